"""Each layer of this toolkit and each loss gives on Keras's JAX backend TensorFlow's numbers.

A process has one backend, so this file is also the script that computes them:

    KERAS_BACKEND=jax python tests/models/test_jax.py FOLDER

Whole networks are not compared: a ReLU that rounds to the other side changes a gradient of theirs by percents.
"""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import loss
import models
from models import attention, layers, texture_unet, unext

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-4  # of the largest value
MAP = (2, 8, 12, 16)
CASES = {  # layer: the shapes of what it is given
    attention.ChannelAttention(): MAP,
    attention.GroupedConv2D(6, 3, padding="same", groups=2): MAP,
    attention.LaplacianResidual(): (2, 9, 12, 3),
    attention.PositionAttention(): MAP,
    attention.SpatialReconstruction(): MAP,
    layers.AlignedResize((5, 24)): MAP,
    layers.LayerScale(): MAP,
    layers.Synergy(): (MAP, MAP),
    layers.Synergy(adaptive=True): (MAP, MAP),
    texture_unet.TextureEnergy(): (2, 32, 36, 3),
    unext.ChannelShift(1): MAP,
    unext.ChannelShift(2): MAP,
}


# === The script: one backend's numbers ===
def value_and_gradients(function, tensors):
    """function(*tensors), and the gradients of the sum of its squares by each of the tensors."""
    if keras.backend.backend() == "jax":
        import jax

        gradient = jax.grad(lambda *tensors: keras.ops.sum(function(*tensors) ** 2), argnums=tuple(range(len(tensors))))
        return jax.jit(function)(*tensors), jax.jit(gradient)(*tensors)
    import tensorflow as tf

    tensors = [tf.constant(x) for x in tensors]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
        total = tf.reduce_sum(value**2)
    return value, tape.gradient(total, tensors)


def layer_numbers(layer, shapes):
    """The output of a layer in training mode and the gradients by what it is given and by its weights, all random."""
    random = np.random.RandomState(0)
    several = isinstance(shapes[0], tuple)
    inputs = [random.standard_normal(shape).astype("float32") for shape in (shapes if several else [shapes])]
    layer.build(shapes)
    weights = [random.uniform(0.5, 1.5, v.shape).astype("float32") for v in layer.trainable_variables]
    fixed = [v.value for v in layer.non_trainable_variables]

    def function(*tensors):
        given, weights = tensors[: len(inputs)], tensors[len(inputs) :]
        return layer.stateless_call(weights, fixed, list(given) if several else given[0])[0]

    value, gradients = value_and_gradients(function, [*inputs, *weights])
    names = [f"gradient by input {i}" for i in range(len(inputs))]
    names += [f"gradient by {v.path}" for v in layer.trainable_variables]
    return {"output": value} | dict(zip(names, gradients, strict=True))


def loss_numbers(spec):
    """Values (B,) of a loss, and the gradient of the sum of their squares by the logits."""
    random = np.random.RandomState(0)
    masks = (random.uniform(size=(3, 8, 8, 2)) < 0.3).astype("float32")
    logits = 3 * random.standard_normal(masks.shape).astype("float32")
    function = loss.from_spec(spec)
    values, (gradient,) = value_and_gradients(lambda z: function.call(masks, z), [logits])
    return {"values": values, "gradient": gradient}


def main(folder):
    for index, (layer, shapes) in enumerate(CASES.items()):
        np.savez(Path(folder) / f"layer {index} {type(layer).__name__}.npz", **layer_numbers(layer, shapes))
    for spec in loss.LOSSES:
        np.savez(Path(folder) / f"loss {spec}.npz", **loss_numbers(spec))


# === The tests ===
@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What both backends computed."""
    folders = {backend: tmp_path_factory.mktemp(backend) for backend in ("tensorflow", "jax")}
    main(folders["tensorflow"])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, str(folders["jax"])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folders


def test_jax_gives_what_tensorflow_gives(folders):
    files = sorted(path.name for path in folders["tensorflow"].iterdir())
    assert files == sorted(path.name for path in folders["jax"].iterdir())
    assert len(files) == len(CASES) + len(loss.LOSSES)
    for file in files:
        ours, theirs = dict(np.load(folders["jax"] / file)), dict(np.load(folders["tensorflow"] / file))
        assert set(ours) == set(theirs), file
        output, *gradients = theirs
        for keys in ([output], gradients):  # a gradient may be rounding alone: of a bias before a softmax
            largest = max(highest(theirs[key]) for key in keys)
            assert largest > 0, file
            for key in keys:
                assert highest(ours[key] - theirs[key]) <= TOLERANCE * largest, f"{file}: {key}"


def highest(x):
    """The largest absolute value of an array."""
    return np.abs(x).max()


def test_every_layer_of_this_toolkit_is_compared():
    for module in pkgutil.iter_modules(models.__path__):
        importlib.import_module(f"models.{module.name}")
    own = {layer for layer in subclasses(keras.layers.Layer) if layer.__module__.startswith("models.")}
    own -= set(subclasses(keras.Model))
    assert own and own == {type(layer) for layer in CASES}


def subclasses(kind):
    """The classes derived from a class, at any depth."""
    for derived in kind.__subclasses__():
        yield derived
        yield from subclasses(derived)


if __name__ == "__main__":
    main(sys.argv[1])
