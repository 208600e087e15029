"""JAAL-Net's generator and discriminator: counts, the gate by hand, what they do with edges and masks."""

import keras
import numpy as np
import pytest

from models.attention import ChannelAttention, PositionAttention, dilated_cbam, gated_contour
from models.jaal_net import da_net, lf_net


def count(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


def random(*shape):
    return np.random.RandomState(0).standard_normal(shape).astype("float32")


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# === LF-Net ===
def test_lf_net_counts():
    one = lf_net((128, 128, 3))
    assert one.input_shape == (None, 128, 128, 4) and one.output_shape == (None, 128, 128, 1)
    assert count(one) == 11_558_215
    three = lf_net((64, 64, 3), classes=3)
    assert three.output_shape == (None, 64, 64, 3)
    assert count(three) == 11_558_285


def test_lf_net_adds_the_edges_only_in_its_head():
    network = lf_net((32, 48, 3), width=4)
    images = random(2, 32, 48, 4)
    images[..., 3] = 0
    kernel = network.get_layer("head").kernel  # (1, 1, contour 1 + edges 1 + decoder 4, 1)
    assert kernel.shape == (1, 1, 6, 1)
    plain = network(images)
    images[:, :, 10, 3] = 1
    change = np.asarray(network(images) - plain)
    np.testing.assert_allclose(change[:, :, 10], float(kernel[0, 0, 1, 0]), atol=1e-5)
    assert np.abs(np.delete(change, 10, axis=2)).max() == 0


def test_lf_net_names_the_sizes_that_fit():
    with pytest.raises(ValueError, match=r"lf_net: height must be a multiple of 16, got 40; .* fit: 32 or 48"):
        lf_net((40, 32, 3))


def test_lf_net_takes_gray_images():
    network = lf_net((16, 32, 1), width=4)
    assert network.input_shape == (None, 16, 32, 2) and network.output_shape == (None, 16, 32, 1)
    assert network.get_layer("encoder1_conv1").kernel.shape == (3, 3, 1, 4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_gives_finite_float32(policy):
    keras.config.set_dtype_policy(policy)
    try:
        outputs = lf_net((32, 32, 3), width=4)(random(1, 32, 32, 4)), da_net((32, 32, 3))(100 * random(1, 32, 32, 4))
    finally:
        keras.config.set_dtype_policy("float32")
    for value in outputs:
        assert value.dtype == "float32" and np.isfinite(value).all()


@pytest.mark.parametrize("build", [lf_net, da_net])
def test_saved_network_gives_the_same(build, tmp_path):
    network = build((32, 32, 3), width=8)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(random(1, 32, 32, 4)), network(random(1, 32, 32, 4)))


# === The gate, by hand ===
@pytest.fixture
def gate():
    """A gate on 2 channels, 1 out, whose inner convolution hands on (x1, x2, g) as they are and sums x1 − g."""
    x, g = keras.Input((1, 2, 2)), keras.Input((1, 2, 1))
    model = keras.Model([x, g], gated_contour(x, g, 1, "gate"))
    model.get_layer("gate_conv1").kernel.assign(np.eye(3, dtype="float32")[None, None])
    model.get_layer("gate_conv2").kernel.assign(np.array([1, 0, -1], "float32").reshape(1, 1, 3, 1))
    model.get_layer("gate_conv2").bias.assign([0.5])
    model.get_layer("gate_output").kernel.assign(np.array([2, -1], "float32").reshape(1, 1, 2, 1))
    return model


def test_gate_by_hand(gate):
    x = np.array([[[[3, 1], [-2, 4]]]], "float32")
    g = np.array([[[[1], [2]]]], "float32")
    # at the first pixel ReLU(3) − ReLU(1) + 0.5, at the second ReLU(−2) − ReLU(2) + 0.5; 1e-5 is batch norm's epsilon
    s = 1 / np.sqrt(1 + 1e-5)
    a = sigmoid(s * (s * np.array([3 - 1, 0 - 2]) + 0.5))
    expected = np.array([2 * 3 - 1, 2 * -2 - 4]) * (1 + a)
    np.testing.assert_allclose(np.ravel(gate([x, g])), expected, rtol=1e-6)


def test_gate_closed_and_open(gate):
    x, g = random(1, 1, 2, 2), random(1, 1, 2, 1)
    ungated = x @ np.array([[2], [-1]], "float32")
    for bias, factor in ((-1e4, 1), (1e4, 2)):  # a = 0 lets x through, a = 1 doubles it
        gate.get_layer("gate_conv2").bias.assign([bias])
        np.testing.assert_allclose(gate([x, g]), factor * ungated, rtol=1e-5)


# === DA-Net ===
def test_da_net_counts():
    assert count(da_net((128, 128, 3))) == 77_315
    assert count(da_net((32, 32, 3), classes=3)) == 78_467


def test_da_net_gives_one_value_for_sixteen_pixels():
    network = da_net((32, 48, 3), width=8)
    assert network.input_shape == (None, 32, 48, 4) and network.output_shape == (None, 8, 12, 1)
    with pytest.raises(ValueError, match="da_net: width must be a multiple of 4, got 30; the next that fit: 28 or 32"):
        da_net((32, 30, 3))


def test_da_net_starts_without_attention():
    network = da_net((16, 16, 3), width=8)
    x = random(2, 16, 16, 4)
    plain = x
    for name in ("conv_input", "conv1", "conv2"):
        plain = network.get_layer(name)(plain)
    plain = 2 * np.asarray(plain)  # both branches hand on the same map while γ = 0
    np.testing.assert_allclose(network(x), np.where(plain > 0, plain, 0.2 * plain), atol=1e-5)


def test_position_attention_by_formula():
    x = random(2, 3, 4, 6)
    layer = PositionAttention(reduction=3)
    layer.build(x.shape)
    layer.gamma.assign([0.7])
    query, key, value = (np.asarray(part(x)).reshape(2, 12, -1) for part in (layer.query, layer.key, layer.value))
    assert query.shape == key.shape == (2, 12, 2) and value.shape == (2, 12, 6)
    weights = np.exp(query @ key.transpose(0, 2, 1))
    weights /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(layer(x), x + 0.7 * (weights @ value).reshape(x.shape), atol=1e-5)
    assert PositionAttention.from_config(layer.get_config()).reduction == 3


def test_channel_attention_by_formula():
    x = random(2, 3, 4, 6)
    layer = ChannelAttention()
    layer.build(x.shape)
    layer.gamma.assign([0.7])
    flat = x.reshape(2, 12, 6).transpose(0, 2, 1)  # (B, C, H·W)
    energy = flat @ flat.transpose(0, 2, 1)
    weights = np.exp(-energy + energy.min(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    expected = x + 0.7 * (weights @ flat).transpose(0, 2, 1).reshape(x.shape)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_dilated_cbam_with_zero_weights_takes_a_quarter():
    x = keras.Input((8, 8, 4))
    model = keras.Model(x, dilated_cbam(x, "cbam"))
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    value = random(1, 8, 8, 4)
    np.testing.assert_allclose(model(value), value / 4, rtol=1e-6)  # both gates are σ(0)
