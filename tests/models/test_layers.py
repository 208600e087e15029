"""The shared parts on cases computed by hand or with numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import model
from models import convnext_unet, cost, layers, pretrained


# === AlignedResize ===
def test_aligned_resize_keeps_the_corners_and_interpolates_in_between():
    x = np.array([[0, 3], [6, 9]], "float32")[None, :, :, None]
    y = layers.AlignedResize((4, 3))(x)[0, :, :, 0]
    expected = [[0, 1.5, 3], [2, 3.5, 5], [4, 5.5, 7], [6, 7.5, 9]]
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_aligned_resize_enlarge_then_shrink_is_not_the_identity():
    x = np.array([0, 9, 0, 0], "float32")[None, None, :, None]
    wide = layers.AlignedResize((1, 8))(x)
    back = np.asarray(layers.AlignedResize((1, 4))(wide))[0, 0, :, 0]
    assert back[0] == 0 and back[3] == 0 and 5 < back[1] < 9


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_aligned_resize_stays_in_the_compute_dtype(policy):
    layer = layers.AlignedResize((6, 8), dtype=policy)
    y = layer(np.ones((1, 3, 4, 2), "float32"))
    assert y.dtype.name == policy.removeprefix("mixed_")
    np.testing.assert_allclose(np.asarray(y, "float32"), 1, atol=0.01)
    assert layer.compute_output_shape((None, 3, 4, 2)) == (None, 6, 8, 2)


def test_one_source_pixel_is_repeated():
    y = layers.AlignedResize((3, 2))(np.full((1, 1, 1, 1), 7, "float32"))
    np.testing.assert_allclose(np.asarray(y).ravel(), [7] * 6)


# === Sizes ===
@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((33, 32, 3), "net: height must be a multiple of 16, got 33; the next that fit: 32 or 48"),
        ((32, 15, 3), "net: width must be a multiple of 16, got 15; the next that fit: 16"),
        ((32, 32), r"net: input_shape must be \(height, width, channels\), all known; got \(32, 32\)"),
        ((None, 32, 3), "all known"),
    ],
)
def test_sizes_that_do_not_fit(shape, text):
    with pytest.raises(ValueError, match=text):
        layers.check_size(shape, 16, "net")


# === Small layers ===
def test_layer_scale_starts_at_its_value_and_is_trained():
    layer = layers.LayerScale(0.25)
    np.testing.assert_allclose(layer(np.full((1, 2, 2, 3), 4, "float32")), 1)
    assert [tuple(v.shape) for v in layer.trainable_weights] == [(3,)]


def test_synergy_is_half_of_each_or_two_free_scalars():
    a, b = np.full((1, 2, 2, 1), 3, "float32"), np.full((1, 2, 2, 1), 5, "float32")
    fixed, free = layers.Synergy(), layers.Synergy(adaptive=True)
    np.testing.assert_allclose(fixed([a, b]), 4)
    np.testing.assert_allclose(free([a, b]), 4)
    assert not fixed.weights and len(free.trainable_weights) == 2
    free.alpha.assign(1.0)
    np.testing.assert_allclose(free([a, b]), 5.5)


@pytest.mark.parametrize("layer", [layers.AlignedResize((4, 6)), layers.LayerScale(0.1), layers.Synergy(True)])
def test_layers_are_made_again_from_their_config(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer) and again.get_config() == layer.get_config()


def test_attention_gate_of_zero_weights_halves_the_skip():
    skip, deep = keras.Input((2, 2, 4)), keras.Input((2, 2, 8))
    gate = keras.Model([skip, deep], layers.attention_gate(skip, deep, "gate"))
    for variable in gate.trainable_weights:
        variable.assign(np.zeros(variable.shape))
    x = np.arange(16, dtype="float32").reshape(1, 2, 2, 4)
    np.testing.assert_allclose(gate([x, np.ones((1, 2, 2, 8))]), x / 2)
    assert gate.get_layer("gate_deep_conv").filters == 2  # half the narrower one


# === Pretrained encoders ===
def test_as_net_synergy_can_be_trained():
    network = model.build("as_net", (32, 32, 3), weights="none", trainable_synergy=True)
    assert network.count_params() == 25_001_381 + 2


def test_without_a_connection_the_message_says_what_to_do():
    def application(include_top, weights):
        raise Exception("URL fetch failure on https://…: no route")

    with pytest.raises(ConnectionError, match=r"net: the ImageNet weights .* no route.*--weights none.*--weights FILE"):
        pretrained.pretrained(application, "net", "imagenet")
    with pytest.raises(FileNotFoundError, match="net: weights must be 'imagenet', 'none' or a file, and no"):
        pretrained.pretrained(application, "net", "/x")


def test_convnext_takes_the_weights_of_keras_applications(tmp_path):
    source = keras.applications.ConvNeXtTiny(include_top=False, weights=None, input_shape=(64, 64, 3))
    random = np.random.default_rng(0)
    for variable in source.weights:  # the layer scales start at 1e-6 and would hide the blocks
        variable.assign_add(0.02 * random.standard_normal(variable.shape))
    source.save_weights(tmp_path / "convnext.weights.h5")
    network = model.build("attributes_convnext_unet", (64, 64, 3), weights=str(tmp_path / "convnext.weights.h5"))
    ours = keras.Model(network.inputs, network.get_layer("stage3_block2_add").output)
    pixels = random.uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    prestem = next(layer for layer in source.layers if isinstance(layer, keras.layers.Normalization))
    expected = np.asarray(source(pixels))
    found = np.asarray(source.layers[-1](ours(prestem(pixels))))  # theirs ends in one more layer norm
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    with pytest.raises(ValueError, match="ImageNet weights need an RGB image"):
        convnext_unet.convnext_unet((64, 64, 1), weights=str(tmp_path / "convnext.weights.h5"))


def test_a_frozen_encoder_is_not_trained():
    options = {"weights": "none", "width": 8, "blocks": (1, 1, 1, 1)}
    network = model.build("attributes_convnext_unet", (32, 32, 3), freeze_encoder=True, **options)
    assert not any(v.path.startswith("stage") for v in network.trainable_weights)
    assert any(v.path.startswith("stage") for v in network.weights)


def test_stochastic_depth_grows_linearly_and_skips_whole_images():
    network = model.build("attributes_convnext_unet", (32, 32, 3), weights="none", width=8, blocks=(1, 2, 1, 1))
    rates = [layer.rate for layer in network.layers if layer.name.endswith("_drop")]
    np.testing.assert_allclose(rates, [0, 0.025, 0.05, 0.075, 0.1])
    layer = keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 1), seed=0)
    y = np.asarray(layer(np.ones((32, 2, 2, 3), "float32"), training=True)).reshape(32, -1)
    assert set(y.min(axis=1)) == set(y.max(axis=1)) == {0.0, 2.0}
    assert (y.min(axis=1) == y.max(axis=1)).all()


# === Cost ===
def test_operations_and_memory_of_a_small_network():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)  # 64·4·27 multiply-adds
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(x)  # 16·4·9
    x = keras.layers.Conv2DTranspose(2, 2, strides=2)(x)  # 16·4·2·4
    x = keras.layers.Dense(5)(x)  # 64·2·5
    x = layers.AlignedResize((16, 16))(x)  # rows 16·8·8·5, columns 16·8·16·5
    ops = cost.operations(keras.Model(image, x))
    assert cost.flops(ops) == 2 * (6912 + 576 + 512 + 640 + 5120 + 10240)
    assert cost.peak_activation_bytes(ops) == 4 * 5 * (16 * 8 + 16 * 16)  # before and after the last product
    assert tf.executing_eagerly()
