"""The layers of this toolkit, within networks, and the losses give on Keras's JAX backend TensorFlow's numbers.

A process has one backend, so this file is also the script that computes them:

    KERAS_BACKEND=jax python tests/models/test_jax.py FOLDER
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import loss
import model
from models import graph

ROOT = Path(__file__).parents[2]
SMALL = {"weights": "none", "width": 8, "blocks": (1, 1, 1, 1)}  # taken where a network has the option
EXTRA = {"adstnet": {"width": 8}}  # options of its backbone
NETWORKS = ("as_net", "adstnet", "da_net", "attributes_convnext_unet", "texture_unet", "unext")  # each layer is in one
TOLERANCE = 1e-3  # relative
FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # compile four times faster


# === The script: one backend's numbers ===
def fixed(variable, index):
    """Values of a weight, the same on every backend."""
    z = np.random.RandomState(index).standard_normal(variable.shape).astype("float32")
    if variable.name in ("gamma", "moving_variance"):
        return 1 + 0.1 * np.abs(z)
    if len(variable.shape) < 2:
        return 0.1 * z
    return z * np.float32(np.sqrt(2 / np.prod(variable.shape[:-1])))


def small(name):
    """A network of the registry, small."""
    entry = model.REGISTRY[name]
    options = {key: value for key, value in SMALL.items() if key in entry.defaults()} | EXTRA.get(name, {})
    side = 2 * entry.divisor
    return model.build(name, (side, side, 3), **options)


def network_numbers(name):
    """Outputs in inference mode, and the gradients of the cross-entropy in training mode, of a small network."""
    network = small(name)
    for index, variable in enumerate(network.weights):
        if "seed_generator" not in variable.path:
            variable.assign(fixed(variable, index))
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0  # the backends draw different numbers
    random = np.random.RandomState(0)
    x = random.uniform(size=(2, *network.input_shape[1:])).astype("float32")
    masks = [(random.uniform(size=(2, *y.shape[1:])) < 0.3).astype("float32") for y in network.outputs]

    def loss(logits):
        pairs = zip(masks, keras.tree.flatten(logits), strict=True)
        return sum(keras.ops.mean(keras.ops.binary_crossentropy(y, z, from_logits=True)) for y, z in pairs)

    outputs, gradients = forward_and_gradients(network, loss, x)
    numbers = {f"output{i}": y for i, y in enumerate(keras.tree.flatten(outputs))}
    return numbers | dict(zip([v.path for v in network.trainable_weights], gradients, strict=True))


def forward_and_gradients(network, loss, x):
    """The outputs, inference mode, and the gradients of loss(network(x)) by the trainable weights, training mode."""
    if keras.backend.backend() == "jax":
        import jax

        def objective(weights, others):
            return loss(network.stateless_call(weights, others, x, training=True)[0])

        @jax.jit
        def both(weights, others):
            return network.stateless_call(weights, others, x, training=False)[0], jax.grad(objective)(weights, others)

        weights = [v.value for v in network.trainable_variables]
        others = [v.value for v in network.non_trainable_variables]
        return both(weights, others)
    import tensorflow as tf

    outputs = network(x, training=False)  # before training mode moves the batch normalizations' statistics
    with tf.GradientTape() as tape:
        value = loss(network(x, training=True))
    return outputs, tape.gradient(value, [v.value for v in network.trainable_weights])


def loss_numbers(spec):
    """Values (B,) of a loss, and the gradient of their mean by the logits."""
    random = np.random.RandomState(0)
    masks = (random.uniform(size=(3, 8, 8, 2)) < 0.3).astype("float32")
    logits = 3 * random.standard_normal(masks.shape).astype("float32")
    function = loss.from_spec(spec)
    values = function.call(masks, logits)
    if keras.backend.backend() == "jax":
        import jax

        gradient = jax.grad(lambda z: function(masks, z))(logits)
    else:
        import tensorflow as tf

        logits = tf.constant(logits)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = function(masks, logits)
        gradient = tape.gradient(value, logits)
    return {"values": values, "gradient": gradient}


def main(folder):
    for kind, names, numbers in (("network", NETWORKS, network_numbers), ("loss", loss.LOSSES, loss_numbers)):
        for name in names:
            np.savez(Path(folder) / f"{kind} {name}.npz", **{k: sample(v) for k, v in numbers(name).items()})


def sample(values, most=5000):
    """Every value of a small array, every n-th of a large one, as a vector."""
    values = np.asarray(values).ravel()
    return values[:: max(1, values.size // most)]


# === The tests ===
@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What both backends computed, each in a process of its own, at the same time."""
    folders = {backend: tmp_path_factory.mktemp(backend) for backend in ("tensorflow", "jax")}
    runs = []
    for backend, folder in folders.items():
        environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        environment |= {"PYTHONPATH": str(ROOT), "XLA_FLAGS": FAST if backend == "jax" else ""}
        command = [sys.executable, __file__, str(folder)]
        runs.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [run.communicate()[1] for run in runs]
    for run, error in zip(runs, errors, strict=True):
        assert run.returncode == 0, error
    return folders


@pytest.mark.slow
def test_jax_gives_what_tensorflow_gives(folders):
    files = sorted(path.name for path in folders["tensorflow"].iterdir())
    assert files == sorted(path.name for path in folders["jax"].iterdir())
    assert len(files) == len(NETWORKS) + len(loss.LOSSES)
    for file in files:
        ours, theirs = dict(np.load(folders["jax"] / file)), dict(np.load(folders["tensorflow"] / file))
        assert set(ours) == set(theirs), file
        for key in [key for key in theirs if key.startswith("output") or file.startswith("loss")]:
            expected = theirs.pop(key)
            assert np.abs(ours.pop(key) - expected).max() <= TOLERANCE * np.abs(expected).max(), f"{file}: {key}"
        if theirs:
            check_step(ours, theirs, file)


def test_every_layer_of_this_toolkit_is_in_one_of_the_networks():
    own = {layer for layer in subclasses(keras.layers.Layer) if layer.__module__.startswith("models.")}
    own -= set(subclasses(keras.Model))
    found = {type(layer) for name in NETWORKS for layer in graph.layers(small(name))}
    assert own and own <= found, own - found


def subclasses(kind):
    """The classes derived from a class, at any depth."""
    for derived in kind.__subclasses__():
        yield derived
        yield from subclasses(derived)


def check_step(ours, theirs, file):
    """Compare one gradient step: all weights together, and each by the largest gradient of the network.

    Its own largest would not do: a bias before a batch normalization has no gradient but its rounding, and a ReLU that
    rounds to the other side changes a small gradient by a percent.
    """
    scale = max(np.abs(gradient).max() for gradient in theirs.values())
    for key, expected in theirs.items():
        assert np.abs(ours[key] - expected).max() <= TOLERANCE * scale, f"{file}: {key}"
    ours, theirs = (np.concatenate([part[key] for key in sorted(part)]) for part in (ours, theirs))
    assert np.linalg.norm(ours - theirs) <= TOLERANCE * np.linalg.norm(theirs), file


if __name__ == "__main__":
    main(sys.argv[1])
