"""What every network of the registry can do, and the registry's own functions."""

import inspect
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_network import small

import model
from imaging import normalization
from loss import BCE
from models.adstnet import AdSTNet
from models.jaal_net import JAALNet
from utils.errors import UserError

ROOT = Path(__file__).parent.parent


def shaken(network):
    """The network with noise on its weights, so that nothing starts at zero or one."""
    random = np.random.default_rng(0)
    for variable in network.trainable_weights:
        variable.assign_add(0.01 * random.standard_normal(variable.shape).astype("float32"))
        if variable.path.endswith("squeeze/kernel"):  # of AS-Net: both of two hidden units may be off for every image
            variable.assign(np.abs(variable))
    return network


@pytest.fixture(scope="module")
def built():
    """{name: (a small, shaken network of the registry, the values of its variables)}, filled by `at_hand`."""
    return {}


def at_hand(name, built):
    """The small, shaken network of this name: built once, then given the same values again."""
    if name not in built:
        made = shaken(small(name))
        built[name] = made, [variable.numpy() for variable in made.variables]
    made, values = built[name]
    for variable, value in zip(made.variables, values, strict=True):
        variable.assign(value)
    return made


@pytest.fixture
def network(name, built):
    return at_hand(name, built)


def images(network, batch=2):
    random = np.random.default_rng(1)
    return random.uniform(0, 1, (batch, *network.input_shape[1:])).astype("float32")


def outputs(network, x, **options):
    return [np.asarray(y) for y in keras.tree.flatten(network(x, **options))]


# === Every network ===


def check_forward(network):
    """Finite float32 outputs of the symbolic shape; returns the input and the outputs."""
    x = images(network)
    eager = outputs(network, x, training=False)
    symbolic = keras.tree.flatten(network(keras.Input(network.input_shape[1:], batch_size=2)))
    for ours, symbol in zip(eager, symbolic, strict=True):
        assert ours.shape == symbol.shape and ours.dtype == np.float32 and symbol.dtype == "float32"
        assert np.isfinite(ours).all()
        assert np.ptp(ours, axis=(1, 2)).min() > 0  # every map varies from pixel to pixel
        assert np.abs(ours[0] - ours[1]).max() > 0  # and with the image
    return x, eager


@pytest.mark.parametrize("name", model.names())
def test_forward_is_finite_and_the_same_symbolic_eager_and_compiled(name, network):
    assert network.name == name
    x, eager = check_forward(network)
    compiled = outputs(tf.function(network), x, training=False)
    for ours, graph in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(graph, ours, rtol=1e-3, atol=1e-4 * np.abs(ours).max())


@pytest.mark.parametrize("name", model.names())
def test_one_channel_and_a_map_that_is_wider_than_high(name):
    divisor = model.REGISTRY[name].divisor
    network = small(name, (divisor, 2 * divisor, 1))
    assert network.input_shape[1:3] == (divisor, 2 * divisor)
    height, width = keras.tree.flatten(network.outputs)[0].shape[1:3]
    assert width == 2 * height


@pytest.mark.parametrize("name", model.names())
def test_a_saved_network_gives_equal_outputs(name, network, tmp_path):
    x = images(network)
    before = outputs(network, x)
    network.save(tmp_path / "saved.keras")
    after = outputs(model.load(tmp_path / "saved.keras"), x)
    for ours, theirs in zip(after, before, strict=True):
        assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()


def test_a_fresh_process_knows_every_class_of_a_saved_network(built):
    """What a file names is known after `model.register_layers()`, as which `model.load` begins."""
    saved = [json.dumps(keras.saving.serialize_keras_object(at_hand(name, built))) for name in model.names()]
    classes = {name for text in saved for name in re.findall(r'"registered_name": "(lesion>\w+)"', text)}
    assert {"lesion>AdSTNet", "lesion>JAALNet", "lesion>AlignedResize"} <= classes
    script = (
        "import sys, keras, model; model.register_layers(); "
        "print([n for n in sys.argv[1:] if not keras.saving.get_registered_object(n)])"
    )
    done = subprocess.run([sys.executable, "-c", script, *classes], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", model.names())
def test_every_weight_gets_a_gradient_and_a_step_of_fit_lowers_the_loss(name, network):
    x = images(network, 8)  # of two, the batch norms of the deepest maps amplify rounding to more than the step gains
    random = np.random.default_rng(2)
    masks = [(random.uniform(size=(8, *y.shape[1:])) < 0.3).astype("float32") for y in network.outputs]
    masks = keras.tree.pack_sequence_as(network.output, masks)
    loss = BCE()
    with tf.GradientTape() as tape:
        pairs = zip(keras.tree.flatten(masks), keras.tree.flatten(network(x, training=True)), strict=True)
        total = tf.add_n([loss(truth, logits) for truth, logits in pairs])
    variables = network.generator_variables if isinstance(network, JAALNet) else network.trainable_weights
    gradients = tape.gradient(total, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None and np.isfinite(gradient).all(), variable.path
        if variable.name != "bias":  # before a batch normalization, a bias has none
            assert np.abs(gradient).max() > 0, variable.path
    network.compile(keras.optimizers.SGD(1e-4), loss, run_eagerly=True)  # tests/compute/test_precision.py traces steps
    if isinstance(network, AdSTNet):
        masks = network.labels(tf.constant(masks["logits"]))
    losses = network.fit(x, masks, epochs=2, batch_size=8, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", model.names())
def test_mixed_precision_is_finite_with_float32_logits(name, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        network = small(name)
    finally:
        keras.config.set_dtype_policy(before)
    assert policy.removeprefix("mixed_") in {layer.compute_dtype for layer in network.layers}
    for training in (False, True) if policy == "mixed_float16" else (True,):  # bfloat16 has float32's range
        for y in outputs(network, images(network), training=training):
            assert y.dtype == np.float32 and np.isfinite(y).all()


@pytest.mark.parametrize("name", model.names())
def test_a_size_that_does_not_fit_names_the_next_that_do(name):
    divisor = model.REGISTRY[name].divisor
    with pytest.raises(ValueError, match=rf"height must be a multiple of {divisor}.*{divisor} or {2 * divisor}$"):
        small(name, (divisor + 1, divisor, 3))
    with pytest.raises(ValueError, match=rf"width must be a multiple of {divisor}.*the next that fit: {divisor}$"):
        small(name, (divisor, divisor - 1, 3))


@pytest.mark.parametrize("name", model.names())
def test_the_documented_arguments_are_those_of_the_builder(name):
    builder = model.REGISTRY[name].builder
    text = f"{inspect.getdoc(builder)}\n{inspect.getdoc(model.build)}"
    lists = re.findall(r"^ *(\w+(?:, \w+)*):", text, re.MULTILINE)  # of Args
    documented = {name for names in lists for name in names.split(", ")} | set(re.findall(r"`(\w+)`", text))
    assert documented >= set(inspect.signature(builder).parameters)


# === Registry ===


def test_unknown_names_and_options_list_the_right_ones():
    with pytest.raises(ValueError, match="no network named 'u_net'; there are: as_net, unet"):
        model.build("u_net", (32, 32, 3))
    with pytest.raises(ValueError, match="unet has no option widht; there are, with their defaults: classes=1, width="):
        model.build("unet", (32, 32, 3), widht=8)
    with pytest.raises(ValueError, match="upsample must be 'transpose', 'bilinear' or 'nearest', got 'cubic'"):
        model.build("unet", (32, 32, 3), upsample="cubic")
    with pytest.raises(ValueError, match="input_shape must be"):
        model.build("unet", (None, 32, 3))


def test_presets_carry_their_options_and_published_facts():
    assert model.REGISTRY["unet16"].defaults()["width"] == 16
    assert model.build("attributes_unet", (16, 16, 3), width=2).output_shape == (None, 16, 16, 5)
    assert model.build("unet", (16, 16, 4), width=2, classes=2).output_shape == (None, 16, 16, 2)
    assert model.build("unet", (12, 20, 3), width=2, depth=2).output_shape == (None, 12, 20, 1)
    assert model.build("unet16", width=2).input_shape == (None, 256, 256, 3)
    kinds = {entry.normalization for entry in model.REGISTRY.values()}
    assert kinds <= set(normalization.KINDS)
    for entry in model.REGISTRY.values():
        assert all(n % entry.divisor == 0 for n in entry.input_shape[:2])


def test_load_tells_of_a_missing_file(tmp_path):
    (tmp_path / "cut.keras").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"cut\.keras is cut off"):
        model.load(tmp_path / "cut.keras")
    with pytest.raises(FileNotFoundError, match=r"no saved network at .*absent\.keras"):
        model.load(tmp_path / "absent.keras")


def edited(path, name, change):
    """A copy of a saved network with one part of it changed."""
    other = path.with_name("edited.keras")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as copy:
        for entry in archive.namelist():
            data = archive.read(entry)
            copy.writestr(entry, change(data) if entry == name else data)
    return other


def test_a_network_that_cannot_be_loaded_is_named_in_one_line(tmp_path):
    path = tmp_path / "a.keras"
    model.build("unet16", (16, 16, 3), width=2, depth=1).save(path)
    newer = edited(path, "metadata.json", lambda data: data.replace(keras.__version__.encode(), b"9.1"))
    model.load(newer)  # as long as nothing in it is new
    for file, words in (
        (edited(path, "config.json", lambda data: data[: len(data) // 2]), "train it again or copy the file again"),
        (edited(path, "config.json", lambda data: data.replace(b"Conv2D", b"Mine")), "or copy the file again"),
        (edited(path, "model.weights.h5", lambda data: data[:100]), "train it again or copy the file again"),
    ):
        with pytest.raises(UserError, match=rf"^\S*edited\.keras cannot be read \(.*\); .*{words}$"):
            model.load(file)
    newer = edited(path, "metadata.json", lambda data: data.replace(keras.__version__.encode(), b"9.1"))
    strange = newer.rename(tmp_path / "newer.keras")
    strange = edited(strange, "config.json", lambda data: data.replace(b"Conv2D", b"Mine"))
    with pytest.raises(UserError, match=rf"Keras 9\.1 saved it and here is {keras.__version__}: install that one"):
        model.load(strange)


# === Command line ===


def test_the_table_has_a_line_for_every_network(capsys, monkeypatch):
    entries = {name: model.REGISTRY[name] for name in ("unet16",)}
    monkeypatch.setattr(model, "REGISTRY", entries)
    model.main([])
    title, line = capsys.readouterr().out.splitlines()
    assert title.split()[:3] == ["network", "parameters", "GFLOPs"]
    assert line.split()[:4] == ["unet16", "2,162,129", "8.21", "16.0"]
    assert "unit" in line.split()


def test_the_layers_of_one_network(capsys):
    model.main(["unet16", "--input_shape", "32x48x3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["image", "InputLayer", "(None,", "32,", "48,", "3)", "0"]
    assert lines[-1] == "2,162,129 trainable parameters"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["unet17"], "no network named 'unet17'"),
        (["unet16", "--input_shape", "32x33x3"], "the next that fit: 32 or 48"),
        (["unet16", "--input_shape", "32"], "expected HxWxC"),
    ],
)
def test_the_command_line_tells_what_is_wrong(arguments, text, capsys):
    with pytest.raises(SystemExit) as stop:
        model.main(arguments)
    assert stop.value.code == 2
    assert text in capsys.readouterr().err
