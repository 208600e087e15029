"""AdSTNet: the head around backbones, its parts, and the labels of core and edge."""

from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from models.adstnet import AdSTNet, labels_from_mask
from models.attention import LaplacianResidual, SpatialReconstruction, channel_reconstruction, conv_glu
from models.jaal_net import jaal_net
from models.unet import unet

LABELS = Path(__file__).parents[1] / "reference" / "adstnet_labels.npz"


def count(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


def disc(size, center, radius):
    rows, columns = np.mgrid[:size, :size]
    return ((rows - center[0]) ** 2 + (columns - center[1]) ** 2 <= radius**2).astype(np.uint8)


# === Labels ===
def test_labels_equal_the_originals():
    reference = np.load(LABELS)
    for mask, core_theirs, edge_theirs in zip(
        reference["masks"], reference["shrink"], reference["threshold"], strict=True
    ):
        core, edge = labels_from_mask(mask)
        assert core.dtype == np.uint8 and edge.dtype == np.float32 and core.shape == edge.shape == mask.shape
        assert np.abs(edge - edge_theirs.astype(np.float32)).mean() <= 0.0005
        if mask.sum() > 5000:
            assert (core & core_theirs).sum() / (core | core_theirs).sum() >= 0.98


def test_labels_of_a_square_by_hand():
    mask = np.zeros((64, 64), np.uint8)
    mask[10:51, 10:51] = 1  # 41 pixels a side: the contour is a square of side 40, A/L = 1600/160, D = 8.4
    core, edge = labels_from_mask(mask)
    expected = np.zeros_like(mask)
    expected[18:43, 18:43] = 1  # distance 8 ≥ 7.9
    np.testing.assert_array_equal(core, expected)
    assert edge[10, 30] == pytest.approx(0.7)
    assert edge[14, 30] == edge[6, 30] == pytest.approx(0.3 + 0.4 * (1 - 4 / 8.4))
    assert edge[30, 30] == edge[63, 63] == pytest.approx(0.3)


def test_labels_of_a_mask_that_fills_the_image():
    core, edge = labels_from_mask(np.ones((41, 41), np.uint8))  # the same square: D = 8.4
    assert core.sum() == 25 * 25 and core[8, 8] == 1 and core[7, 20] == 0
    assert edge[0, 20] == pytest.approx(0.7) and edge[20, 20] == pytest.approx(0.3)


def test_labels_of_an_empty_mask():
    core, edge = labels_from_mask(np.zeros((32, 48), np.uint8))
    assert core.shape == (32, 48) and not core.any()
    assert (edge == np.float32(0.3)).all()


@pytest.mark.parametrize("region", [np.s_[5, 5], np.s_[5:7, 5:7], np.s_[5, 3:20], np.s_[0, 0], np.s_[5:8, 5:8]])
def test_labels_of_tiny_masks(region):
    mask = np.zeros((32, 32), np.uint8)
    mask[region] = 1
    core, edge = labels_from_mask(mask)  # D < 1
    np.testing.assert_array_equal(core, mask)
    contour = mask.copy()
    contour[6, 6] &= mask.sum() != 9  # only the 3×3 square has a pixel inside its contour
    np.testing.assert_allclose(edge, 0.3 + 0.4 * contour, atol=1e-6)


def test_labels_of_a_lesion_cut_by_the_border():
    mask = disc(64, (32, 0), 20)
    core, edge = labels_from_mask(mask)
    assert core.any() and not (core & ~mask & 1).any()
    assert core[:, 0].sum() == 0  # the image's border is part of the contour
    assert edge[32, 0] == pytest.approx(0.7) and edge[32, 20] == pytest.approx(0.7)


def test_labels_follow_the_longest_of_many_contours():
    large, small = disc(96, (60, 60), 25), disc(96, (15, 15), 8)
    alone, both = labels_from_mask(large), labels_from_mask(large | small)
    np.testing.assert_array_equal(alone[0], both[0])
    np.testing.assert_allclose(alone[1], both[1], atol=1e-6)


def test_labels_ignore_holes():
    ring = disc(96, (48, 48), 30) - disc(96, (48, 48), 12)
    np.testing.assert_array_equal(labels_from_mask(ring)[0], labels_from_mask(disc(96, (48, 48), 30))[0])


def test_labels_shrink_less_where_the_core_would_fall_apart():
    mask = disc(128, (64, 36), 26) | disc(128, (64, 92), 26)
    mask[57:72, 36:92] = 1  # a bridge of half width 7
    contour = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
    reach = cv2.contourArea(contour) / cv2.arcLength(contour, True)
    assert 0.84 * reach - 0.5 > 7.5 > 0.36 * reach  # by 0.4 the bridge breaks, by 0.8 it holds
    core, edge = labels_from_mask(mask)
    assert core[64, 64] == 1 and cv2.connectedComponents(core)[0] == 2
    assert edge[64, 36] == pytest.approx(0.3)  # the edge keeps its own D


@pytest.mark.parametrize(
    "mask", [np.full((8, 8), 255, np.uint8), np.ones((8, 8, 1), np.uint8), np.ones((8, 8), np.float32)]
)
def test_labels_refuse_what_is_no_mask(mask):
    with pytest.raises(ValueError, match=r"expected a mask \(H, W\) of uint8 0 and 1"):
        labels_from_mask(mask)


# === Head ===
def small(**options):
    return unet((32, 32, 3), width=4, depth=2, **options)


def test_head_gives_four_maps():
    network = AdSTNet(small())
    outputs = network(np.random.RandomState(0).rand(2, 32, 32, 3).astype("float32"))
    assert set(outputs) == {"core", "edge", "binary", "logits"}
    for value in outputs.values():
        assert value.shape == (2, 32, 32, 1) and value.dtype == "float32"
    edge = LaplacianResidual()(outputs["logits"])
    np.testing.assert_allclose(outputs["edge"], edge, atol=1e-6)


def test_head_has_3930_parameters_and_comes_off():
    backbone = small()
    network = AdSTNet(backbone)
    assert count(network) == count(backbone) + 3930
    bare = network.deploy()
    assert [v.path for v in bare.weights] == [v.path for v in backbone.weights]
    image = np.random.RandomState(0).rand(1, 32, 32, 3).astype("float32")
    np.testing.assert_array_equal(bare(image), network(image)["logits"])


def test_saved_network_gives_the_same(tmp_path):
    network = AdSTNet(small())
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    image = np.random.RandomState(0).rand(1, 32, 32, 3).astype("float32")
    for name, value in network(image).items():
        np.testing.assert_array_equal(loaded(image)[name], value)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_head_in_half_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        outputs = AdSTNet(small())(np.random.RandomState(0).rand(1, 32, 32, 3).astype("float32"))
    finally:
        keras.config.set_dtype_policy("float32")
    for value in outputs.values():
        assert value.dtype == "float32" and np.isfinite(value).all()


def test_head_refuses_other_backbones():
    with pytest.raises(ValueError, match=r"one logit map \(B, H, W, 1\), unet gives"):
        AdSTNet(small(classes=2))
    with pytest.raises(ValueError, match="one logit map"):
        AdSTNet(AdSTNet(small()))
    with pytest.raises(ValueError, match="the backbone, jaal_net, has a training step of its own"):
        AdSTNet(jaal_net((32, 32, 3), width=4, discriminator_width=4))


# === Parts ===
@pytest.mark.parametrize("shape", [(16, 16), (7, 12), (9, 9)])
def test_laplacian_residual(shape):
    image = np.random.RandomState(0).rand(*shape).astype("float32")
    line = np.array([1, 4, 6, 4, 1], "float32") / 16
    small = cv2.sepFilter2D(image, -1, line, line, borderType=cv2.BORDER_REFLECT_101)[::2, ::2]
    spread = np.zeros((2 * small.shape[0], 2 * small.shape[1]), "float32")
    spread[::2, ::2] = small
    enlarged = 4 * cv2.sepFilter2D(spread, -1, line, line, borderType=cv2.BORDER_REFLECT_101)
    ours = LaplacianResidual()(image[None, ..., None])
    np.testing.assert_allclose(ours[0, ..., 0], image - enlarged[: shape[0], : shape[1]], atol=1e-6)


def test_laplacian_residual_of_channels_is_that_of_each():
    image = np.random.RandomState(0).rand(1, 8, 8, 3).astype("float32")
    layer = LaplacianResidual()
    for channel in range(3):
        alone = layer(image[..., channel : channel + 1])
        np.testing.assert_allclose(layer(image)[..., channel], alone[..., 0], atol=1e-6)


def test_spatial_reconstruction_by_formula():
    x = np.random.RandomState(0).standard_normal((2, 4, 4, 8)).astype("float32")
    layer = SpatialReconstruction(groups=2)
    layer.build(x.shape)
    gamma = np.linspace(0.5, 2, 8).astype("float32")
    layer.norm.gamma.assign(gamma)
    grouped = x.reshape(2, 16, 2, 4)
    norm = (grouped - grouped.mean((1, 3), keepdims=True)) / np.sqrt(grouped.var((1, 3), keepdims=True) + 1e-5)
    gate = 1 / (1 + np.exp(-norm.reshape(x.shape) * gamma * gamma / gamma.sum()))
    first, second = np.where(gate > 0.5, x, gate * x), np.where(gate > 0.5, 0, gate * x)
    expected = np.concatenate([first[..., :4] + second[..., 4:], first[..., 4:] + second[..., :4]], -1)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_layers_carry_their_settings():
    layer = SpatialReconstruction(groups=2, threshold=0.3, name="sru")
    copy = SpatialReconstruction.from_config(layer.get_config())
    assert (copy.groups, copy.threshold, copy.name) == (2, 0.3, "sru")


def test_parts_keep_the_shape():
    x = keras.Input((8, 8, 16))
    assert channel_reconstruction(x, "cru").shape == conv_glu(x, "glu").shape == (None, 8, 8, 16)
