"""Every network in ONNX, and one in every format, gives Keras's probabilities for pixels, whatever the batch."""

import keras
import numpy as np
import pytest
from small_network import small

import model
from imaging import normalization
from inference import conversion, exported
from inference.probabilities import bare_and_augmented, probability_function
from models import layers
from models.training_step import deployed
from utils.errors import UserError

NETWORKS = [name for name in model.names() if name != "da_net"]  # which judges a mask and makes none


def images(network, batch=3):
    """Blocks of random colors, which have edges, uint8 (B, H, W, 3)."""
    height, width = network.input_shape[1:3]
    blocks = np.random.default_rng(0).integers(0, 256, (batch, -(-height // 4), -(-width // 4), 3), np.uint8)
    return blocks.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]


def by_keras(network, pixels, kind):
    return probability_function(network)(np.asarray(normalization.normalize(pixels, kind)))


def check(network, kind, form, folder):
    """The largest difference between a file and Keras, for batches of three and of one."""
    made = conversion.Deployed(network, kind)
    path = conversion.FORMATS[form].write(made, folder, "network")
    compute = conversion.FORMATS[form].read(path)
    pixels = images(network)
    expected = by_keras(network, pixels, kind)
    assert np.ptp(expected) > 1e-4
    np.testing.assert_allclose(compute(made.feeds(pixels)), expected, atol=1e-5)
    np.testing.assert_allclose(compute(made.feeds(pixels[:1])), expected[:1], atol=1e-5)
    return path


QUICK = {"unet16", "unext"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NETWORKS]
)
def test_every_network_in_onnx(name, tmp_path):
    network = deployed(small(name))
    random = np.random.default_rng(0)
    for variable in network.trainable_weights:  # as of a trained network, whose weights are not all 0 or 1
        variable.assign_add(0.01 * random.standard_normal(variable.shape).astype("float32"))
    check(network, model.REGISTRY[name].normalization, "onnx", tmp_path)


def two_convolutions(normalize="unit"):
    """Convolution, batch norm, ReLU and doubling, then logits: a little of everything that is converted specially."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 12, 4 if normalize == "minmax_edges" else 3))
    x = layers.conv_norm_relu(inputs, 4, "first")
    x = keras.layers.Activation("gelu")(keras.layers.UpSampling2D(2)(keras.layers.MaxPooling2D(2)(x)))
    network = keras.Model(inputs, layers.logits(x, 2), name="two_convolutions")
    norm = network.get_layer("first_norm")
    norm.set_weights([np.full(4, value, "float32") for value in (1.5, 0.1, 0.2, 0.5)])
    return network


@pytest.mark.parametrize("normalize", normalization.KINDS)
def test_every_normalization(normalize, tmp_path):
    check(two_convolutions(normalize), normalize, "onnx", tmp_path)


@pytest.mark.parametrize("form", conversion.FORMATS)
def test_every_format(form, tmp_path):
    path = check(two_convolutions("minmax_edges"), "minmax_edges", form, tmp_path)
    conversion.FORMATS[form].annotate(path, {"format": 1, "name": "ä"})
    assert conversion.FORMATS[form].read(path) is not None  # as it was
    kept = {each.name for each in tmp_path.iterdir()}
    expected = {"openvino": {"network.xml", "network.bin"}, "saved_model": {"network"}, "litert": {"network.tflite"}}
    assert kept == expected.get(form, {"network.onnx"})


def test_batch_norms_are_folded(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = conversion.write_onnx(conversion.Deployed(two_convolutions(), "unit"), tmp_path, "network")
    operations = [node.op_type for node in onnx.load(path).graph.node]
    assert "BatchNormalization" not in operations and operations.count("Conv") == 2 and "Erf" in operations


def test_a_network_of_other_inputs_is_refused():
    with pytest.raises(UserError, match="da_net takes 4 channels, and normalize 'minmax' gives 3"):
        conversion.Deployed(small("da_net"), "minmax")


@pytest.mark.parametrize("shape", [(8, 12), (8, 8)])
def test_augmentation_is_that_of_keras(shape, tmp_path):
    """Not square: four copies. Square: eight, the transposed ones too."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((*shape, 4))
    network = keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same")(inputs))
    path = conversion.write_onnx(conversion.Deployed(network, "minmax_edges"), tmp_path, "network")
    conversion.annotate_onnx(path, {"format": 1})
    pixels = images(network)
    found = exported.bare_and_augmented(exported.Exported(path))(pixels)
    theirs = bare_and_augmented(network)(np.asarray(normalization.normalize(pixels, "minmax_edges")))
    for ours, expected in zip(found, theirs, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3
