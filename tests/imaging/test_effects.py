import cv2
import numpy as np
import pytest
import tensorflow as tf

from imaging import effects


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def test_hairs_are_thin_long_and_dark():
    layer, tint = effects.strands(32, 96, 128, 12, (1, 2))
    layer, tint = layer.numpy(), tint.numpy()
    assert layer.shape == (32, 96, 128, 1) and tint.shape == (32, 1, 1, 3)
    assert layer.min() == 0 and 0.7 < layer.max() <= 0.95 and tint.max() < 100
    covered = (layer > 0.3).mean(axis=(1, 2, 3))
    assert 0.01 < covered.mean() < 0.15 and len(np.unique(covered)) > 20
    few = effects.strands(200, 64, 64, 1, (1, 2))[0].numpy()
    for mask in (few[..., 0] > 0.3).astype("uint8"):
        if mask.sum() > 20:
            assert cv2.distanceTransform(mask, cv2.DIST_L2, 5).max() <= 2  # pixels from its edge
            assert np.hypot(*cv2.boundingRect(mask)[2:]) > 0.3 * mask.sum()


def test_hair_is_drawn_over_the_image_alone():
    images = np.full((4, 64, 96, 3), 200, "float32")
    drawn = effects.draw_hair(images, 10, (1, 2)).numpy()
    layer = effects.strands(4, 64, 96, 10, (1, 2))[0].numpy()[..., 0]
    assert np.array_equal(drawn[layer == 0], images[layer == 0])
    assert drawn[layer > 0.5].max() < 160


def test_blur_is_a_gaussian():
    images = noise(6, 40, 56, 3)
    blurred = effects.blur(images, 3.0, (1, 2)).numpy()
    sigmas = 3 * tf.random.stateless_uniform([6, 1, 1], (1, 2)).numpy().ravel()
    for image, result, sigma in zip(images, blurred, sigmas, strict=True):
        expected = cv2.GaussianBlur(image, (31, 31), sigma)
        np.testing.assert_allclose(result[10:-10, 10:-10], expected[10:-10, 10:-10], atol=0.5)
    np.testing.assert_allclose(effects.blur(images, 0.001, (1, 2)), images, atol=0.01)
    flat = np.full((2, 8, 8, 3), 99, "float32")
    np.testing.assert_allclose(effects.blur(flat, 5.0, (1, 2)), flat, rtol=1e-5)  # up to the border


def test_jpeg_qualities():
    smooth = cv2.GaussianBlur(np.moveaxis(noise(48, 64, 3), 0, 0), (0, 0), 2)[None].repeat(16, 0)
    errors = np.abs(effects.jpeg(smooth, 90, (1, 2)) - smooth).mean(axis=(1, 2, 3))
    qualities = 100 - tf.random.stateless_uniform([16], (1, 2), 0, 91, tf.int32).numpy()
    assert np.corrcoef(errors, qualities)[0, 1] < -0.8
    assert np.abs(effects.jpeg(smooth, 0, (1, 2)) - smooth).mean() < 2


def test_cutout_covers_image_and_mask():
    images, masks = np.full((64, 40, 60, 3), 9, "float32"), np.ones((64, 40, 60, 2), "float32")
    cut, cut_masks = (x.numpy() for x in effects.cut_out(images, masks, 0.5, (1, 2)))
    hidden = cut[..., 0] == 0
    assert np.array_equal(hidden, cut_masks[..., 0] == 0) and np.array_equal(hidden, cut_masks[..., 1] == 0)
    heights, widths = hidden.any(axis=2).sum(axis=1), hidden.any(axis=1).sum(axis=1)
    assert np.array_equal(heights * widths, hidden.sum(axis=(1, 2)))  # boxes
    assert 15 < heights.max() <= 21 and 24 < widths.max() <= 31
    assert hidden.any(axis=0).mean() > 0.8  # anywhere


def numbered(count=400):
    """Images whose value is their number, and masks that are 1 in every other one."""
    images = np.arange(count, dtype="float32").reshape(-1, 1, 1, 1).repeat(20, 1).repeat(30, 2).repeat(3, 3)
    return images, (images[..., :1] % 2 == 0).astype("float32")


def test_mixup_blends_with_the_next_image():
    images, masks = numbered()
    mixed = effects.mix(images, masks, [effects.blend(images, 0.4, (1, 2))], (3, 4))[0].numpy()[:-1, 0, 0, 0]
    weights = mixed - images[:-1, 0, 0, 0]  # the next number is larger by one
    assert 0 <= weights.min() < 0.01 and 0.45 < weights.max() <= 0.5001
    assert 0.1 < weights.mean() < 0.2  # of min(b, 1 - b), b of Beta(0.4, 0.4): 0.147


def test_cutmix_pastes_a_box_of_the_next_image():
    images, masks = numbered()
    following = np.roll(images[:, 0, 0, 0], -1)
    pasted, labels = (x.numpy() for x in effects.mix(images, masks, [effects.paste(images, 1.0, (1, 2))], (3, 4)))
    inside = pasted[..., 0] == following[:, None, None]
    assert np.array_equal(pasted[~inside], images[~inside]) and set(np.unique(labels)) == {0, 1}
    assert np.array_equal(labels[..., 0] > 0, (masks[..., 0] > 0) ^ inside)
    assert 0.25 < inside.mean() < 0.5  # half, less what boxes lose at the border


def test_of_several_ways_to_mix_one_is_drawn_for_each_image():
    images, masks = numbered()
    weights = [effects.blend(images, 1.0, (1, 2)), effects.paste(images, 1.0, (1, 3))]
    mixed = effects.mix(images, masks, weights, (3, 4))[0].numpy()[:-1, ..., 0] - images[:-1, ..., 0]
    boxes = np.isin(np.round(mixed, 4), (0, 1)).all(axis=(1, 2))
    assert 0.4 < boxes.mean() < 0.6


@pytest.mark.parametrize("weight", [effects.blend, effects.paste])
def test_a_batch_of_one_image_stays(weight):
    image, mask = noise(1, 8, 8, 3), np.ones((1, 8, 8, 1), "float32")
    mixed, same = effects.mix(image, mask, [weight(image, 1.0, (1, 2))], (3, 4))
    assert np.array_equal(mixed, image) and np.array_equal(same, mask)
