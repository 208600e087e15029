"""UNeXt: its shift computed by hand, its layers counted, its parts against plain numpy."""

import keras
import numpy as np
import pytest

import model
from models.unext import ChannelShift, unext


def test_the_parameters_are_those_of_the_public_code():
    network = model.build("unext", (32, 32, 3))
    assert sum(np.prod(v.shape) for v in network.trainable_weights) == 1_471_921
    # by stage: convolutions, norms and blocks of 2c² + 14c + 2c of the norm after them
    counts = {}
    for layer in network.layers:
        part = layer.name.split("_")[0]
        counts[part] = counts.get(part, 0) + sum(np.prod(v.shape) for v in layer.trainable_weights)
    blocks = {c: 2 * c * c + 16 * c for c in (128, 160, 256)}
    assert counts["encoder1"] == 27 * 16 + 3 * 16
    assert counts["encoder2"] == 9 * 16 * 32 + 3 * 32
    assert counts["encoder3"] == 9 * 32 * 128 + 3 * 128
    assert counts["encoder4"] == 9 * 128 * 160 + 3 * 160 + blocks[160]
    assert counts["encoder5"] == 9 * 160 * 256 + 3 * 256 + blocks[256]
    assert counts["decoder1"] == 9 * 256 * 160 + 3 * 160 + blocks[160]
    assert counts["decoder2"] == 9 * 160 * 128 + 3 * 128 + blocks[128]
    assert counts["decoder3"] == 9 * 128 * 32 + 3 * 32
    assert counts["decoder4"] == 9 * 32 * 16 + 3 * 16
    assert counts["decoder5"] == 9 * 16 * 16 + 16
    assert counts["head"] == 16 + 1


def test_the_shift_by_hand():
    column = np.array([1, 2, 3, 4], "float32")
    moved = np.array([[3, 4, 0, 0], [2, 3, 4, 0], [1, 2, 3, 4], [0, 1, 2, 3], [0, 0, 1, 2]], "float32")
    x = np.tile(column[:, None], (1, 5))[None, :, None]  # (1, 4, 1, 5)
    np.testing.assert_array_equal(ChannelShift(1)(x)[0, :, 0], moved.T)
    across = x.swapaxes(1, 2)  # (1, 1, 4, 5)
    np.testing.assert_array_equal(ChannelShift(2)(across)[0, 0], moved.T)
    np.testing.assert_array_equal(ChannelShift(1)(across)[0, 0, :, 2], column)  # of one row, only the middle remains
    assert not np.any(np.asarray(ChannelShift(1)(across))[..., [0, 1, 3, 4]])


@pytest.mark.parametrize(
    ("channels", "shifts"), [(12, [-2] * 3 + [-1] * 3 + [0] * 3 + [1] * 3), (7, [-2] * 2 + [-1] * 2 + [0] * 2 + [1])]
)
def test_channels_that_five_does_not_divide(channels, shifts):
    x = np.random.default_rng(0).standard_normal((2, 6, 3, channels)).astype("float32")
    moved = np.zeros_like(x)
    for channel, shift in enumerate(shifts):
        rows = np.arange(6)
        rows = rows[(rows - shift >= 0) & (rows - shift < 6)]
        moved[:, rows, :, channel] = x[:, rows - shift, :, channel]
    np.testing.assert_array_equal(ChannelShift(1)(x), moved)


def test_a_stride_of_two_looks_at_the_pixel_before_as_the_original_does():
    network = model.build("unext", (32, 32, 3))
    convolution = network.get_layer("encoder4_conv")
    padded = keras.Model(network.get_layer("encoder4_pad").input, convolution.output)
    x = np.random.default_rng(0).standard_normal((1, 4, 4, 128)).astype("float32")
    kernel, bias = (np.asarray(v) for v in convolution.weights)
    corner = np.einsum("ijc,ijcf->f", x[0, :2, :2], kernel[1:, 1:]) + bias  # row and column -1 are zero
    np.testing.assert_allclose(np.asarray(padded(x))[0, 0, 0], corner, rtol=1e-4, atol=1e-4)


def test_the_enlargement_has_half_pixel_centres():
    resize = model.build("unext", (32, 32, 3)).get_layer("decoder5_resize")
    row = np.asarray(resize(np.array([0, 4, 8], "float32").reshape(1, 1, 3, 1)))[0, 0, :, 0]
    np.testing.assert_allclose(row, [0, 1, 3, 5, 7, 8], atol=1e-6)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    network = unext((32, 64, 1), classes=2, widths=[4, 6, 8, 10, 12])
    assert network.output_shape == (None, 32, 64, 2)
    x = np.random.default_rng(0).uniform(size=(2, 32, 64, 1)).astype("float32")
    network.save(tmp_path / "unext.keras")
    loaded = model.load(tmp_path / "unext.keras")
    np.testing.assert_allclose(loaded(x), network(x), rtol=1e-5, atol=1e-6)
    assert loaded.get_layer("encoder4_mlp_across").get_config()["axis"] == 2


def test_widths_must_be_five():
    with pytest.raises(ValueError, match=r"unext: widths must be 5 numbers such as \(16, .*, 256\), got \(8,\)$"):
        unext((32, 32, 3), widths=(8,))
