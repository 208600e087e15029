import math

import numpy as np
import pytest
import tensorflow as tf

from imaging import geometry
from imaging.geometry import compose, warp


def uniform(low, high, seed, count=8):
    return tf.random.stateless_uniform([count], (seed, 0), low, high)


def mask_and_image(height, width, rows, columns):
    mask = np.zeros((1, height, width, 1), "float32")
    mask[0, rows, columns] = 1
    return mask, mask.repeat(3, -1) * 255


def test_turns_and_mirrors_are_exact_permutations():
    image = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3)).astype("float32")
    mask = np.random.default_rng(1).integers(0, 2, (1, 6, 6, 2)).astype("float32")
    for turn in range(4):
        for step in (1, -1):
            mirrored = geometry.mirror(tf.constant([step == -1]))
            matrix = compose(geometry.rotate(tf.constant([turn * math.pi / 2])), mirrored)
            moved, moved_mask = (x.numpy()[0] for x in warp(image, mask, matrix))
            np.testing.assert_allclose(moved, np.rot90(image[0], turn)[:, ::step], atol=0.01)
            assert np.array_equal(moved_mask, np.rot90(mask[0], turn)[:, ::step])


def test_scale_by_hand():
    mask, image = mask_and_image(40, 40, slice(10, 30), slice(10, 30))
    moved, larger = warp(image, mask, geometry.scale(tf.constant([1.5])))
    assert larger.numpy().sum() == 30 * 30
    assert moved.numpy()[0, 6, 6, 0] == 255 and moved.numpy()[0, 3, 6, 0] == 0


def test_shift_by_hand():
    mask, image = mask_and_image(40, 40, slice(10, 30), slice(10, 30))
    _, moved = warp(image, mask, geometry.shift(tf.constant([-10.0]), tf.constant([10.0])))
    rows, columns = np.nonzero(moved.numpy()[0, ..., 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 19, 20, 39)


def test_shear_by_hand():
    mask, image = mask_and_image(41, 41, slice(None), 20)  # an upright line through the middle
    _, moved = warp(image, mask, geometry.shear(tf.constant([-math.pi / 4])))
    assert np.array_equal(moved.numpy()[0, ..., 0], np.eye(41))


def test_what_is_composed_is_done_in_this_order():
    shift = geometry.shift(tf.constant([3.0]), tf.constant([0.0]))
    quarter = geometry.rotate(tf.constant([math.pi / 2]))
    position = np.array([1.0, 0.0, 1.0])
    np.testing.assert_allclose(compose(quarter, shift)[0].numpy() @ position, [0, 4, 1], atol=1e-6)
    np.testing.assert_allclose(compose(shift, quarter)[0].numpy() @ position, [3, 1, 1], atol=1e-6)


@pytest.mark.parametrize("fill", ["REFLECT", "NEAREST"])
def test_the_warp_by_displacements_is_the_projective_one(fill):
    images = np.random.default_rng(0).integers(0, 256, (8, 40, 56, 3)).astype("float32")
    masks = np.asarray(tf.image.resize(tf.random.stateless_normal((8, 5, 5, 1), (0, 0)), (40, 56)) > 0.2, "float32")
    matrices = geometry.identity(8)
    for next_one in (
        geometry.mirror(uniform(-1.0, 1.0, 1) < 0),
        geometry.shear(uniform(-0.5, 0.5, 2)),
        geometry.rotate(uniform(-3.0, 3.0, 3)),
        geometry.scale(uniform(0.4, 1.6, 4)),
        geometry.shift(uniform(-20.0, 20.0, 5), uniform(-15.0, 15.0, 6)),
    ):
        matrices = compose(next_one, matrices)
    plain, plain_mask = warp(images, masks, matrices, fill=fill)
    dense, dense_mask = warp(images, masks, matrices, tf.zeros((8, 2, 40, 56)), fill)
    np.testing.assert_allclose(dense, plain, atol=0.3)
    assert (dense_mask.numpy() != plain_mask.numpy()).mean() < 1e-3
    assert np.abs(plain - images).mean() > 20


def test_elastic_displacements_are_smooth_and_bounded():
    field = geometry.displacement(64, 60, 80, 0.09, (0, 0)).numpy()
    assert field.shape == (64, 2, 60, 80)
    assert 5 < np.abs(field).max() < 9  # 0.09 of 60 pixels, and what bicubic curves overshoot
    assert np.abs(np.diff(field, axis=2)).max() < 1 and np.abs(np.diff(field, axis=3)).max() < 1  # nothing folds
    assert np.abs(field.mean(axis=(2, 3))).max() > 0.5 and field.std(axis=(2, 3)).min() > 0.5
