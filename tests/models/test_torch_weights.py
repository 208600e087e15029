"""Weights of PyTorch state dictionaries: written by the reference formula, read into our networks."""

import sys

import keras
import numpy as np
import pytest
from reference_weights import reference, relative_difference, values
from safetensors.numpy import save_file

import model
from datasets.isic2018 import ATTRIBUTES
from inference.predictor import load_predictor

# reference -> network and options: one for each family that came from PyTorch
FAMILIES = {
    "adstnet_unet16": ("unet16", {}),
    "adstnet_adaptive_scale_unet16": ("adstnet", {}),
    "jaal_da_net": ("da_net", {"classes": 3}),
    "attributes_unet_bilinear": ("attributes_unet", {"upsample": "bilinear"}),
    "attributes_residual_unet_bilinear": ("attributes_residual_unet", {"upsample": "bilinear"}),
    "attributes_attention_unet_bilinear": ("attributes_attention_unet", {"upsample": "bilinear"}),
    "attributes_convnext_unet_bilinear": ("attributes_convnext_unet", {"upsample": "bilinear", "weights": "none"}),
    "ham10000_unet": ("ham10000_unet", {}),
}


def state_dictionary(name):
    """The state dictionary that the original code would save, with PyTorch's counters of batches."""
    description = reference(name)[0]
    state = {tensor["name"]: values(tensor) for tensor in description["tensors"]}
    for key in [key for key in state if key.endswith("running_var")]:
        state[key.replace("running_var", "num_batches_tracked")] = np.array(7)
    return state


@pytest.mark.parametrize("name", FAMILIES)
def test_file_of_the_original_gives_the_output_of_the_original(name, tmp_path):
    _, image, theirs = reference(name)
    network, options = FAMILIES[name]
    ours = model.build(network, (*image.shape[1:3], 3), **options)
    state = state_dictionary(name)
    save_file(state, tmp_path / "original.safetensors")
    taken = model.load_torch_weights(ours, tmp_path / "original.safetensors")
    assert taken == sum(not key.endswith("num_batches_tracked") for key in state)
    output = ours(image, training=False)
    if name == "jaal_da_net":
        output = keras.ops.sigmoid(output)
    elif isinstance(output, dict):
        output = np.concatenate([output["core"], output["edge"], output["binary"]], axis=-1)
    assert relative_difference(output, theirs) < 1e-5
    keras.backend.clear_session()


# === Errors, and nothing changed ===
@pytest.fixture
def network():
    return model.build("da_net", (16, 16, 3), classes=3)


@pytest.fixture
def state():
    return state_dictionary("jaal_da_net")


def message(network, state, folder):
    """The error that loading `state` raises; no weight may have changed."""
    before = [keras.ops.convert_to_numpy(v).copy() for v in network.weights]
    save_file(state, folder / "state.safetensors")
    with pytest.raises(ValueError, match=r"state\.safetensors does not fit") as error:
        model.load_torch_weights(network, folder / "state.safetensors")
    for variable, value in zip(network.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    return str(error.value)


def test_every_mismatch_is_listed(network, state, tmp_path):
    state["extra.weight"] = np.zeros(3, np.float32)
    del state["conv1.bias"]
    state["conv2.weight"] = np.zeros((2, 64, 4, 4), np.float32)
    text = message(network, state, tmp_path)
    assert "da_net: tensors of the file without a place in the network: extra.weight; " in text
    assert "weights of the network without a tensor in the file: conv1/bias; " in text
    assert "conv2.weight (4, 4, 64, 2) for conv2/kernel (4, 4, 64, 1)" in text
    assert "Build the network with the options that the file was trained with" in text


def test_wrong_options_are_seen_and_long_lists_cut(tmp_path):
    other = model.build("attributes_unet", (32, 32, 3), width=8)
    text = message(other, state_dictionary("adstnet_unet16"), tmp_path)
    assert "a place in the network: Conv" in text and "Conv1.conv.0.bias" in text
    assert "… (134 in all)" in text and "… (100 in all)" in text  # tensors of the file, weights of the network


def test_prefixes_of_wrappers_are_taken_off(network, state, tmp_path):
    save_file({f"module.{name}": array for name, array in state.items()}, tmp_path / "a.safetensors")
    assert model.load_torch_weights(network, tmp_path / "a.safetensors") == 14
    np.testing.assert_array_equal(network.get_layer("position").gamma, [0.5])


def test_half_precision_files_become_float32(network, state, tmp_path):
    save_file({name: array.astype(np.float16) for name, array in state.items()}, tmp_path / "a.safetensors")
    model.load_torch_weights(network, tmp_path / "a.safetensors")
    np.testing.assert_allclose(network.get_layer("conv1").bias, state["conv1.bias"], rtol=1e-3)


def test_files_that_cannot_be_read(network, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of weights at .*absent\.pth"):
        model.load_torch_weights(network, tmp_path / "absent.pth")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"broken\.safetensors is no file of safetensors"):
        model.load_torch_weights(network, tmp_path / "broken.safetensors")
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(ValueError, match=r"empty\.safetensors holds no tensors"):
        model.load_torch_weights(network, tmp_path / "empty.safetensors")


def test_networks_without_names_say_which_have_some(state, tmp_path):
    save_file(state, tmp_path / "a.safetensors")
    for name, options in (("lf_net", {"width": 4}), ("as_net", {"weights": "none"})):
        with pytest.raises(ValueError, match=f"no PyTorch names are known for '{name}'; known are adstnet, "):
            model.load_torch_weights(model.build(name, (32, 32, 3), **options), tmp_path / "a.safetensors")


# === .pth files, with and without PyTorch ===
def test_pth_without_pytorch_says_what_to_do(network, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(ImportError, match=r"a\.pth needs PyTorch: pip install torch, or save .* as \.safetensors"):
        model.load_torch_weights(network, tmp_path / "a.pth")


class FakeTensor(np.ndarray):
    """As much of a torch.Tensor as the reader uses."""

    def detach(self):
        return self

    def float(self):
        return self.astype(np.float32)

    def numpy(self):
        return np.asarray(self)


class FakeTorch:
    """Stands for PyTorch, which the tests do without: hands out what it was given, if it is asked for safely."""

    Tensor = FakeTensor

    def __init__(self, content):
        self.content = content

    def load(self, path, map_location, weights_only):
        assert map_location == "cpu" and weights_only is True
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict"])
def test_pth_through_pytorch(network, state, wrapper, tmp_path, monkeypatch):
    content = {name: array.view(FakeTensor) for name, array in state.items()}
    content = {wrapper: content, "epoch": 3} if wrapper else content
    monkeypatch.setitem(sys.modules, "torch", FakeTorch(content))
    (tmp_path / "a.pth").write_bytes(b"")
    assert model.load_torch_weights(network, tmp_path / "a.pth") == 14
    np.testing.assert_array_equal(network.get_layer("conv2").bias, state["conv2.bias"])


@pytest.mark.parametrize(
    ("content", "text"),
    [([1, 2], "holds a list: expected a state dictionary"), (KeyError("x"), "is no state dictionary")],
)
def test_pth_that_is_no_state_dictionary(network, content, text, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", FakeTorch(content))
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=text):
        model.load_torch_weights(network, tmp_path / "a.pth")


# === Encoders of torchvision ===
def random_like(variable, axes):
    """Values for a variable of ours, and the same in PyTorch's order of axes."""
    ours = np.random.RandomState(len(variable.path)).standard_normal(variable.shape).astype(np.float32)
    return ours, np.ascontiguousarray(ours.transpose(axes))


def test_vgg16_of_torchvision_fills_the_encoder(tmp_path):
    network = model.build("as_net", (32, 32, 3), weights="none")
    decoder = keras.ops.convert_to_numpy(network.get_layer("sam1_conv1").kernel)
    state, expected = {"classifier.0.weight": np.zeros((2, 2), np.float32)}, {}
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    layers = [layer for layer in network.layers if layer.name.startswith("block") and layer.weights]
    for place, layer in zip(places, layers, strict=True):
        expected[layer.name], state[f"features.{place}.weight"] = random_like(layer.kernel, (3, 2, 0, 1))
        state[f"features.{place}.bias"] = np.full(layer.bias.shape, place, np.float32)
    save_file(state, tmp_path / "vgg16.safetensors")
    assert model.load_torch_weights(network, tmp_path / "vgg16.safetensors") == 26
    for place, layer in zip(places, layers, strict=True):
        np.testing.assert_array_equal(layer.kernel, expected[layer.name])
        assert (keras.ops.convert_to_numpy(layer.bias) == place).all()
    np.testing.assert_array_equal(network.get_layer("sam1_conv1").kernel, decoder)
    del state["features.28.bias"]
    assert "without a tensor in the file: block5_conv3/bias" in message(network, state, tmp_path)


def test_convnext_tiny_of_torchvision_fills_the_encoder(tmp_path):
    name = "attributes_convnext_unet_transpose"
    description = reference(name)[0]
    network = model.build("attributes_convnext_unet", (32, 32, 3), weights="none")
    head = keras.ops.convert_to_numpy(network.get_layer("head").kernel)
    state = {"classifier.2.weight": np.zeros((2, 2), np.float32), "classifier.0.bias": np.zeros(2, np.float32)}
    for tensor in description["tensors"]:
        if tensor["name"].startswith("encoder.stem."):
            state[tensor["name"].replace("encoder.stem.", "features.0.")] = values(tensor)
        elif tensor["name"].startswith("encoder.stages."):
            stage, rest = tensor["name"].removeprefix("encoder.stages.").split(".", 1)
            state[f"features.{int(stage) + 1}.{rest}"] = values(tensor)
    assert "features.7.2.block.5.weight" in state  # as torchvision calls the last block
    save_file(state, tmp_path / "convnext.safetensors")
    assert model.load_torch_weights(network, tmp_path / "convnext.safetensors") == len(state) - 2
    stem = network.get_layer("stage0_down_conv").kernel
    np.testing.assert_array_equal(stem, state["features.0.0.weight"].transpose(2, 3, 1, 0))
    scale = network.get_layer("stage3_block2_scale").weights[0]
    np.testing.assert_array_equal(scale, state["features.7.2.layer_scale"].ravel())
    np.testing.assert_array_equal(network.get_layer("head").kernel, head)


# === Command line ===
def test_import_writes_a_network(state, tmp_path, capsys):
    save_file(state, tmp_path / "da.safetensors")
    arguments = ["--model", "da_net", "--input_shape", "32x32x3", "--option", "classes=3"]
    model.main(["import", str(tmp_path / "da.safetensors"), *arguments, "--out", str(tmp_path / "new" / "da.keras")])
    assert "14 tensors of" in capsys.readouterr().out
    _, image, theirs = reference("jaal_da_net")
    loaded = model.load(tmp_path / "new" / "da.keras")
    assert relative_difference(keras.ops.sigmoid(loaded(image)), theirs) < 1e-5


def test_an_imported_network_says_how_pixels_are_normalized(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "load_torch_weights", lambda network, path: 1)
    options = ["--option", "width=2", "--option", "depth=1"]
    file = tmp_path / "unet.keras"
    model.main(
        ["import", "a.pth", "--model", "attributes_unet", "--input_shape", "32x32x3", *options, "--out", str(file)]
    )
    predictor = load_predictor(file)
    assert (predictor.name, predictor.settings.normalize) == ("unet", "standardize")
    assert predictor.settings.options == {"width": 2, "depth": 1} and predictor.classes == list(ATTRIBUTES)
    assert predictor(np.zeros((40, 50, 3), np.uint8))[0].shape == (40, 50, 5)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--model", "da_net", "--out", "x.h5"], "--out must end in .keras, got x.h5"),
        (["--model", "da", "--out", "x.keras"], "no network named 'da'"),
        (["--model", "da_net", "--out", "x.keras"], "no file of weights at absent.pth"),
        (["--model", "da_net", "--out", "x.keras", "--option", "classes"], "expected KEY=VALUE"),
        (["--model", "da_net", "--out", "x.keras", "--option", "kind=big"], "da_net has no option kind"),
    ],
)
def test_import_tells_what_is_wrong(arguments, text, capsys):
    with pytest.raises(SystemExit) as stop:
        model.main(["import", "absent.pth", *arguments])
    assert stop.value.code == 2
    assert text in capsys.readouterr().err
