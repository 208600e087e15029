"""A network in the formats of other runtimes, with all that is between a photograph's pixels and probabilities inside.

    deployed = Deployed(network, "gamma")                 # uint8 images → probabilities, as a TensorFlow function
    FORMATS["onnx"].write(deployed, folder, "name")       # folder/name.onnx
    compute = FORMATS["onnx"].read(folder / "name.onnx")  # {name of an input: array} → probabilities

Batch norms are folded into the convolutions before them; the batch may be of any size. Each `read` takes the runtime
that the format is for, so that what is written can be compared with Keras.
"""

import importlib
import json
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from compute.onnx_file import KEY, quiet_session
from imaging import normalization
from inference.exported import EDGES, IMAGE, feeds
from inference.probabilities import folded
from utils.errors import UserError

OPSET = 18  # of ONNX: the newest that the converter writes
OUTPUT = "probabilities"
METADATA = "metadata.json"

Compute = Callable[[dict[str, np.ndarray]], np.ndarray]  # {name of an input: array} → probabilities


@keras.saving.register_keras_serializable(package="lesion")
class NearestResize(keras.layers.Layer):
    """Every pixel twice along both axes: (B, H, W, C) -> (B, 2H, 2W, C), as one operation in the file.

    Keras's UpSampling2D repeats along one axis after the other, which converters write as a dozen operations.
    """

    def call(self, x):
        return tf.image.resize(x, (2 * x.shape[1], 2 * x.shape[2]), method="nearest")


class Deployed:
    """What is exported of a network: images → probabilities, `function` of tensors with the names in `inputs`.

    inputs: {name: shape} of uint8 tensors: "image", (None, H, W, 3), and for minmax_edges "edges", (None, H, W, 1).

    Raises:
        UserError: the network does not take the pixels that this normalization gives.
    """

    def __init__(self, network: keras.Model, normalize: str):
        height, width, channels = network.input_shape[1:]
        self.inputs = {IMAGE: (None, height, width, 3)}
        if normalize == "minmax_edges":
            self.inputs[EDGES] = (None, height, width, 1)
        given = sum(shape[-1] for shape in self.inputs.values())
        if channels != given:
            raise UserError(
                f"{network.name} takes {channels} channels, and normalize '{normalize}' gives {given}: only a network"
                " that makes masks of images alone can be exported"
            )
        self.normalize = normalize
        self.network = keras.models.clone_model(folded(network), clone_function=_simpler)
        groups = (self.network.trainable_variables, self.network.non_trainable_variables)
        # they become constants of the graph: LiteRT's converter leaves variables without their values
        self.weights = [[keras.ops.convert_to_numpy(variable) for variable in group] for group in groups]
        signature = [tf.TensorSpec(shape, tf.uint8, name=name) for name, shape in self.inputs.items()]
        self.function = tf.function(self._call, input_signature=signature, autograph=False)

    def _call(self, image, edges=None):
        if edges is None:
            pixels = normalization.normalize(image, self.normalize)
        else:
            pixels = normalization.with_edges(tf.cast(image, tf.float32), edges)
        weights = [[tf.constant(value) for value in group] for group in self.weights]
        logits, _ = self.network.stateless_call(*weights, pixels, training=False)
        return {OUTPUT: tf.sigmoid(logits)}

    def feeds(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the function takes, {name: array}, for images, uint8 (B, H, W, 3)."""
        return feeds(images, EDGES in self.inputs)


def _simpler(layer):
    """The layer itself, or one that computes the same and is simpler in other formats."""
    doubling = isinstance(layer, keras.layers.UpSampling2D) and layer.size == (2, 2)
    return NearestResize(name=layer.name) if doubling and layer.interpolation == "nearest" else layer


# === ONNX ===


def write_onnx(deployed: Deployed, folder: Path, name: str) -> Path:
    """folder/name.onnx, whose first dimension is named "batch"."""
    tf2onnx = needed("tf2onnx")
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    model, _ = tf2onnx.convert.from_function(
        deployed.function,
        input_signature=deployed.function.input_signature,
        opset=OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    path = folder / f"{name}.onnx"
    needed("onnx").save(model, path)
    return path


def _erfc(context, node, name, args):
    """The complementary error function of exact GELU, which ONNX has not: 1 - erf(x)."""
    result = node.output[0]
    node.type = "Erf"
    one = context.make_const(f"{name}_one", np.float32(1))
    difference = context.make_node("Sub", [one.output[0], result])
    others = [each for each in context.get_nodes() if each is not difference]
    context.replace_all_inputs(result, difference.output[0], ops=others)
    return node


def annotate_onnx(path: Path, noted: dict) -> None:
    """The metadata as JSON in metadata_props."""
    onnx = needed("onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {KEY: json.dumps(noted)})
    onnx.save(model, path)


def read_onnx(path: Path) -> Compute:
    """In ONNX Runtime, in float32."""
    session = quiet_session(needed("onnxruntime"), path)
    return lambda feeds: session.run([OUTPUT], feeds)[0]


def quantize(path: Path, target: Path, feeds: Iterable[dict[str, np.ndarray]]) -> None:
    """An ONNX file in int8, a scale a channel, calibrated on what the network is fed with."""
    onnx = needed("onnx")
    nncf = needed("nncf")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    feeds = list(feeds)
    onnx.save(nncf.quantize(onnx.load(path), nncf.Dataset(feeds), subset_size=len(feeds)), target)


# === OpenVINO ===


def write_openvino(deployed: Deployed, folder: Path, name: str) -> Path:
    """folder/name.xml and name.bin, float32."""
    openvino = needed("openvino")
    onnx = write_onnx(deployed, folder, name)
    openvino.save_model(openvino.convert_model(onnx), folder / f"{name}.xml", compress_to_fp16=False)
    onnx.unlink()
    return folder / f"{name}.xml"


def annotate_openvino(path: Path, noted: dict) -> None:
    """The metadata as JSON in rt_info, in the .xml file."""
    openvino = needed("openvino")
    model = openvino.Core().read_model(path)
    model.set_rt_info(json.dumps(noted), [KEY])
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # the weights of the model that is read are mapped
        openvino.save_model(model, Path(folder, path.name), compress_to_fp16=False)
        os.replace(Path(folder, path.name), path)


def read_openvino(path: Path) -> Compute:
    compiled = needed("openvino").Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return lambda feeds: np.array(request.infer(feeds)[0])


# === TensorFlow's own ===


def write_saved_model(deployed: Deployed, folder: Path, name: str) -> Path:
    """folder/name/, a SavedModel with the signature serving_default."""
    module = tf.Module()
    module.predict = deployed.function
    tf.saved_model.save(module, folder / name, signatures=deployed.function)
    return folder / name


def annotate_saved_model(path: Path, noted: dict) -> None:
    """The metadata in a file metadata.json."""
    (path / METADATA).write_text(json.dumps(noted), encoding="utf-8")


def read_saved_model(path: Path) -> Compute:
    loaded = tf.saved_model.load(path)

    def run(feeds):
        tensors = {name: tf.constant(array) for name, array in feeds.items()}
        return loaded.signatures["serving_default"](**tensors)[OUTPUT].numpy()

    return run


def write_litert(deployed: Deployed, folder: Path, name: str) -> Path:
    """folder/name.tflite, float32."""
    saved = write_saved_model(deployed, folder, f"{name}.saved")
    path = folder / f"{name}.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert())
    shutil.rmtree(saved)
    return path


def annotate_litert(path: Path, noted: dict) -> None:
    """The metadata as metadata.json in a zip archive at the file's end, where LiteRT keeps files that belong to it."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(METADATA, json.dumps(noted))


def read_litert(path: Path) -> Compute:
    interpreter = needed("ai_edge_litert.interpreter").Interpreter(str(path))
    signature = interpreter.get_signature_runner()
    return lambda feeds: signature(**feeds)[OUTPUT]


# === All of them ===


class Format(NamedTuple):
    """write(deployed, folder, name) → path; annotate(path, metadata); read(path) → a function of {name: array}."""

    suffix: str
    write: Callable[[Deployed, Path, str], Path]
    annotate: Callable[[Path, dict], None]
    read: Callable[[Path], Compute]


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", write_onnx, annotate_onnx, read_onnx),
    "openvino": Format(".xml", write_openvino, annotate_openvino, read_openvino),
    "litert": Format(".tflite", write_litert, annotate_litert, read_litert),
    "saved_model": Format("", write_saved_model, annotate_saved_model, read_saved_model),
}


def needed(name: str) -> Any:
    """A module of requirements-export.txt. UserError: it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise UserError(f"exporting needs {problem.name}: pip install -r requirements-export.txt") from None
