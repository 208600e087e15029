import itertools

import numpy as np
import pytest
import tensorflow as tf

from imaging import augmentations
from imaging.augmentations import Augmentations, augment, key

STRENGTHS = {  # other than those of the preview, where these are too strong to compare masks
    "rotation": 180.0, "zoom": 0.5, "shift": 0.3, "elastic": 0.08, "brightness": 0.2, "contrast": 0.4,
    "saturation": 0.5, "hue": 30.0, "blur": 1.5, "jpeg": 60, "cutout": 0.8,
}  # fmt: skip
FIELDS = {field.name: field for field in augmentations.FIELDS}
EVERYTHING = {name: STRENGTHS.get(name, field.metadata["preview"]) for name, field in FIELDS.items()}
GEOMETRY = {name: value for name, value in EVERYTHING.items() if FIELDS[name].metadata["kind"] == "geometry"}
ALIKE = [name for name in EVERYTHING if name not in ("hair", "mixup")]  # a hair lies on the lesion, mixup makes it soft


def blobs(count, height, width, seed=0):
    """Masks (B, H, W, 1) of a few smooth blobs."""
    noise = tf.random.stateless_normal((count, 5, 5, 1), (seed, 0))
    return np.asarray(tf.image.resize(noise, (height, width), "bicubic") > 0.2, "uint8")


def applied(images, masks, settings, seed=(3, 4), in_tf_data=False):
    """augment, eagerly or inside tf.data, as arrays."""
    if not in_tf_data:
        return [x.numpy() for x in augment(images, masks, settings, seed)]
    data = tf.data.Dataset.from_tensor_slices((images, masks)).batch(len(images))
    return [x.numpy() for x in next(iter(data.map(lambda x, y: augment(x, y, settings, seed))))]


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize("in_tf_data", [False, True])
@pytest.mark.parametrize("size", [(96, 96), (96, 128)])
def test_image_and_mask_move_together(size, in_tf_data):
    masks = blobs(16, *size)
    images = np.repeat(masks * 255, 3, axis=-1)
    moved, mask = applied(images, masks, Augmentations(**GEOMETRY), in_tf_data=in_tf_data)
    assert set(np.unique(mask)) == {0, 1}
    assert moved.shape == images.shape and mask.shape == masks.shape
    assert overlap(mask > 0, masks > 0) < 0.9
    assert overlap(moved[..., :1] > 127.5, mask > 0) >= 0.98


@pytest.mark.parametrize("name", ALIKE)
def test_each_does_the_same_to_image_and_mask(name):
    masks = blobs(8, 64, 96)
    images = np.repeat(masks * 255, 3, axis=-1)
    settings = Augmentations(**{name: EVERYTHING[name]})
    eager, in_tf_data = (applied(images, masks, settings, in_tf_data=x) for x in (False, True))
    for moved, mask in (eager, in_tf_data):
        assert moved.dtype == mask.dtype == "float32"
        assert set(np.unique(mask)) == {0, 1}
        assert overlap(moved > 127.5, np.repeat(mask > 0, 3, axis=-1)) >= 0.98
        assert np.array_equal(mask, masks) == (FIELDS[name].metadata["kind"] in ("color", "image"))
    np.testing.assert_allclose(eager[0], in_tf_data[0], atol=1)
    assert np.array_equal(eager[1], in_tf_data[1])


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_does_something_and_only_by_its_seed(name):
    pictures, masks = np.random.default_rng(0).integers(0, 256, (8, 64, 96, 3), "uint8"), blobs(8, 64, 96)
    settings = Augmentations(**{name: EVERYTHING[name]})
    first, again, other = (applied(pictures, masks, settings, seed)[0] for seed in ((3, 4), (3, 4), (3, 9)))
    changed = np.abs(first - pictures).mean(axis=(1, 2, 3)) > 0.5
    assert changed.mean() >= 0.25  # mirrored, for one, is half of them
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (name == "color_constancy")  # of strength 1: for every image


def test_mixup_blends_image_and_mask_alike():
    masks = blobs(8, 64, 96)
    images = np.repeat(masks * 255, 3, axis=-1)
    for in_tf_data in (False, True):
        mixed, soft = applied(images, masks, Augmentations(mixup=1.0), in_tf_data=in_tf_data)
        np.testing.assert_allclose(mixed / 255, np.repeat(soft, 3, axis=-1), atol=1e-5)
        assert soft.min() == 0 and soft.max() == 1 and len(np.unique(soft)) > 8
        assert np.array_equal(soft > 0.5, masks > 0)  # each image prevails in its own mask


def test_all_eight_flips_and_turns_are_drawn_equally_often():
    image = np.arange(4 * 4 * 3, dtype="float32").reshape(1, 4, 4, 3).repeat(800, 0)
    moved, _ = augment(image, image[..., :1] > 0, Augmentations(flip=True, turn=True), (0, 0))
    variants, counts = np.unique(np.rint(moved.numpy()).reshape(800, -1), axis=0, return_counts=True)
    assert len(variants) == 8
    assert counts.min() > 60


def test_oblong_images_turn_by_half_only():
    image = np.arange(4 * 6 * 3, dtype="float32").reshape(1, 4, 6, 3).repeat(64, 0)
    moved, _ = augment(image, image[..., :1] > 0, Augmentations(turn=True), (0, 0))
    variants = np.unique(np.rint(moved.numpy()).reshape(64, -1), axis=0)
    assert {tuple(v) for v in variants} == {tuple(image[0].ravel()), tuple(image[0, ::-1, ::-1].ravel())}


@pytest.mark.parametrize(("name", "strength"), [("rotation", 30.0), ("shear", 20.0)])
def test_angles_are_drawn_up_to_the_setting_either_way(name, strength):
    images = tf.zeros((2000, 8, 8, 3))
    matrices = getattr(augmentations, name)(images, strength, (1, 2)).numpy()
    angles = np.degrees(np.arctan(matrices[:, 0, 1] / matrices[:, 1, 1]))
    assert -strength <= angles.min() < -0.95 * strength and 0.95 * strength < angles.max() <= strength


def test_zoom_and_shift_are_drawn_up_to_the_setting_either_way():
    images = tf.zeros((2000, 10, 20, 3))
    factors = 1 / augmentations.zoom(images, 0.4, (1, 2)).numpy()[:, 0, 0]
    assert 0.6 <= factors.min() < 0.61 and 1.39 < factors.max() <= 1.4001
    right, down = augmentations.shift(images, 0.3, (1, 2)).numpy()[:, :2, 2].T
    assert -6 <= right.min() < -5.9 and 5.9 < right.max() <= 6 and -3 <= down.min() < -2.9 and 2.9 < down.max() <= 3


def test_brightness_and_contrast_are_drawn_up_to_the_setting_either_way():
    images, mean = tf.zeros((2000, 8, 8, 3)), tf.zeros((2000, 3))
    offsets = augmentations.brightness(images, mean, 0.2, (1, 2))[1].numpy()
    assert -51 <= offsets.min() < -50 and 50 < offsets.max() <= 51
    factors = augmentations.contrast(images, mean, 0.3, (1, 2))[0].numpy()[:, 0, 0]
    assert 0.7 <= factors.min() < 0.71 and 1.29 < factors.max() <= 1.3001


def test_color_constancy_is_for_a_fraction_of_the_images():
    scene = np.random.default_rng(0).uniform(20, 200, (1, 8, 8, 1)).repeat(3, -1).astype("float32")
    tinted = np.repeat(scene, 400, 0) * np.float32([1.2, 1.0, 0.7])
    some, _ = augment(tinted, tinted[..., :1] > 99, Augmentations(color_constancy=0.3), (0, 0))
    gray = np.isclose(some[:, 0, 0, 0], some[:, 0, 0, 2], rtol=0.01).mean()
    assert 0.2 < gray < 0.4


def test_nothing_that_is_on_changes_nothing():
    images, masks = np.full((4, 8, 8, 3), 77, "uint8"), blobs(4, 8, 8)
    same, same_masks = augment(images, masks, Augmentations(), (0, 0))
    assert np.array_equal(same, images) and np.array_equal(same_masks, masks)


def test_all_geometry_is_one_warp_and_all_color_one_pass():
    kinds = [kind for kind, _ in itertools.groupby(field.metadata["kind"] for field in augmentations.FIELDS)]
    assert kinds.count("geometry") == kinds.count("color") == kinds.count("mix") == 1


def test_another_augmentation_changes_no_draws():
    images, masks = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), "uint8"), blobs(16, 32, 32)
    flat = np.full_like(images, 77)  # geometry does not show
    alone = applied(flat, masks, Augmentations(brightness=0.2))[0]
    np.testing.assert_allclose(applied(flat, masks, Augmentations(brightness=0.2, **GEOMETRY))[0], alone, atol=0.01)
    moved = applied(images, masks, Augmentations(flip=True, rotation=30.0))[1]
    assert np.array_equal(applied(images, masks, Augmentations(flip=True, rotation=30.0, hue=9.0, blur=2.0))[1], moved)


def test_draws_are_keyed_by_name_and_step():
    names = [key((1, 2), name).numpy().tolist() for name in FIELDS]
    assert len(set(map(tuple, names))) == len(FIELDS)
    assert key((1, 2), "flip").numpy().tolist() != key((1, 3), "flip").numpy().tolist()
    assert key((1, 2), "flip").numpy().tolist() == [
        7464880146280614444,
        2600395861,
    ]  # for good: a change changes every run


def test_a_kind_that_is_none_is_refused():
    with pytest.raises(ValueError, match="sepia is of kind 'colour', expected one of geometry, color"):

        @augmentations.augmentation("colour", 0.0, 0, 1, preview=1.0)
        def sepia(images, mean, strength, seed):
            """Tint."""
