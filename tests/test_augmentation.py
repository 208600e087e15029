import json

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import augmentation
import train
from augmentation import augment, geometry, recolor, warp
from config import Settings
from datasets.arrays import open_split

EVERYTHING = {"flip": True, "turn": True, "rotation": 180.0, "zoom": 0.3, "shift": 0.2, "shear": 20.0, "elastic": 0.08}
ONE_BY_ONE = {
    **{"flip": True, "turn": True, "rotation": 180.0, "zoom": 0.5, "shift": 0.3, "shear": 30.0, "elastic": 0.08},
    **{"brightness": 0.2, "contrast": 0.4, "saturation": 0.5, "hue": 30.0, "color_constancy": 1.0},
    **{"blur": 1.5, "jpeg": 60, "cutout": 0.8, "cutmix": 1.0},
}
COLOURS = ("brightness", "contrast", "saturation", "hue", "color_constancy", "blur", "jpeg")  # these leave the mask


def blobs(count, height, width, seed=0):
    """Masks (B, H, W, 1) of a few smooth blobs."""
    noise = tf.random.stateless_normal((count, 5, 5, 1), (seed, 0))
    return np.asarray(tf.image.resize(noise, (height, width), "bicubic") > 0.2, "uint8")


def draws(**values):
    """One row of geometry draws, zero (no change) but for the given ones; mirror at 0 means no mirror."""
    names = ["mirror", "turn", "angle", "zoom", "down", "right", "slant"]
    return tf.constant([[values.get(name, -1.0 if name == "turn" else 0.0) for name in names]])


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
    moved, mask = applied(images, masks, Settings(**EVERYTHING), in_tf_data=in_tf_data)
    assert set(np.unique(mask)) == {0, 1}
    assert moved.shape == images.shape and mask.shape == masks.shape
    assert overlap(mask > 0, masks > 0) < 0.9
    assert overlap(moved[..., :1] > 127.5, mask > 0) >= 0.98


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_each_setting_does_the_same_to_image_and_mask(name):
    masks = blobs(8, 64, 96)
    images = np.repeat(masks * 255, 3, axis=-1)
    settings = Settings(**{name: ONE_BY_ONE[name]})
    eager, in_tf_data = (applied(images, masks, settings, in_tf_data=x) for x in (False, True))
    for moved, mask in (eager, in_tf_data):
        assert moved.dtype == mask.dtype == "float32"
        assert set(np.unique(mask)) == {0, 1}
        assert overlap(moved > 127.5, np.repeat(mask > 0, 3, axis=-1)) >= 0.98
        assert np.array_equal(mask, masks) == (name in COLOURS)
    np.testing.assert_allclose(eager[0], in_tf_data[0], atol=1)
    assert np.array_equal(eager[1], in_tf_data[1])
    pictures = np.random.default_rng(0).integers(0, 256, images.shape, "uint8")
    changed = np.abs(applied(pictures, masks, settings)[0] - pictures).mean(axis=(1, 2, 3)) > 0.5
    assert changed.mean() >= 0.25  # it does something; mirrored, for one, is half of them


def test_mixup_blends_image_and_mask_alike():
    masks = blobs(8, 64, 96)
    images = np.repeat(masks * 255, 3, axis=-1)
    for in_tf_data in (False, True):
        mixed, soft = applied(images, masks, Settings(mixup=1.0), in_tf_data=in_tf_data)
        np.testing.assert_allclose(mixed / 255, np.repeat(soft, 3, axis=-1), atol=1e-5)
        assert soft.min() == 0 and soft.max() == 1 and len(np.unique(soft)) > 8
        assert np.array_equal(soft > 0.5, masks > 0)  # each image prevails in its own mask


def test_turns_and_flips_are_exact_permutations():
    image = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3)).astype("float32")
    mask = np.random.default_rng(1).integers(0, 2, (1, 6, 6, 2)).astype("float32")
    settings = Settings(flip=True, turn=True)
    for turn in range(4):
        for mirror in (1.0, -1.0):
            matrix = geometry(draws(mirror=mirror, turn=-0.9 + turn / 2), 6, 6, settings)
            moved, moved_mask = (x.numpy()[0] for x in warp(image, mask, matrix))
            distances = [np.abs(moved - np.rot90(image[0, :, :: int(mirror)], k)).max() for k in range(4)]
            assert min(distances) < 0.01
            assert np.array_equal(moved_mask, np.rot90(mask[0, :, :: int(mirror)], np.argmin(distances)))


def test_eight_poses_are_all_drawn_equally_often():
    image = np.arange(4 * 4 * 3, dtype="float32").reshape(1, 4, 4, 3).repeat(800, 0)
    moved, _ = augment(image, image[..., :1] > 0, Settings(flip=True, turn=True), (0, 0))
    poses, counts = np.unique(np.rint(moved.numpy()).reshape(800, -1), axis=0, return_counts=True)
    assert len(poses) == 8
    assert counts.min() > 60


def test_oblong_images_turn_by_half_only():
    image = np.arange(4 * 6 * 3, dtype="float32").reshape(1, 4, 6, 3).repeat(64, 0)
    moved, _ = augment(image, image[..., :1] > 0, Settings(turn=True), (0, 0))
    poses = np.unique(np.rint(moved.numpy()).reshape(64, -1), axis=0)
    assert {tuple(p) for p in poses} == {tuple(image[0].ravel()), tuple(image[0, ::-1, ::-1].ravel())}


def test_zoom_and_shift_by_hand():
    mask = np.zeros((1, 40, 40, 1), "float32")
    mask[0, 10:30, 10:30] = 1
    image = mask.repeat(3, -1) * 255
    _, larger = warp(image, mask, geometry(draws(zoom=1.0), 40, 40, Settings(zoom=0.5)))
    assert larger.numpy().sum() == 30 * 30
    _, moved = warp(image, mask, geometry(draws(down=1.0, right=-1.0), 40, 40, Settings(shift=0.25)))
    rows, columns = np.nonzero(moved.numpy()[0, ..., 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 19, 20, 39)


def test_shear_by_hand():
    mask = np.zeros((1, 41, 41, 1), "float32")
    mask[0, :, 20] = 1  # an upright line through the middle
    matrix = geometry(draws(slant=-1.0), 41, 41, Settings(shear=45.0))
    _, moved = warp(mask.repeat(3, -1), mask, matrix)
    assert np.array_equal(moved.numpy()[0, ..., 0], np.eye(41))


@pytest.mark.parametrize("fill", ["REFLECT", "NEAREST"])
def test_the_dense_warp_is_the_projective_one(fill):
    images = np.random.default_rng(0).integers(0, 256, (8, 40, 56, 3)).astype("float32")
    masks = blobs(8, 40, 56).astype("float32")
    numbers = tf.random.stateless_uniform([8, 7], (1, 2), -1.0, 1.0)
    settings = Settings(flip=True, turn=True, rotation=180.0, zoom=0.6, shift=0.4, shear=30.0)
    matrix = geometry(numbers, 40, 56, settings)
    plain, plain_mask = warp(images, masks, matrix, fill)
    dense, dense_mask = warp(images, masks, matrix, fill, field=tf.zeros((8, 2, 40, 56)))
    np.testing.assert_allclose(dense, plain, atol=0.3)
    assert (dense_mask.numpy() != plain_mask.numpy()).mean() < 1e-3


def test_elastic_displacements_are_smooth_and_bounded():
    field = augmentation.displacement(64, 60, 80, 0.09, (0, 0)).numpy()
    assert field.shape == (64, 2, 60, 80)
    assert 5 < np.abs(field).max() < 9  # 0.09 of 60 pixels, and what bicubic curves overshoot
    assert np.abs(np.diff(field, axis=2)).max() < 1 and np.abs(np.diff(field, axis=3)).max() < 1  # nothing folds
    assert np.abs(field.mean(axis=(2, 3))).max() > 0.5 and field.std(axis=(2, 3)).min() > 0.5


def test_shades_of_grey_takes_out_the_lamp():
    scene = np.random.default_rng(0).uniform(20, 200, (2, 64, 64, 1)).repeat(3, -1).astype("float32")
    lamp = np.float32([1.2, 1.0, 0.7])
    white, _ = augment(scene * lamp, scene[..., :1] > 99, Settings(color_constancy=1.0), (0, 0))
    np.testing.assert_allclose(white[..., 0], white[..., 1], rtol=1e-3)
    np.testing.assert_allclose(white[..., 2], white[..., 1], rtol=1e-3)
    tinted = np.repeat(scene[:1], 400, 0) * lamp
    some, _ = augment(tinted[:, :8, :8], tinted[:, :8, :8, :1] > 99, Settings(color_constancy=0.3), (0, 0))
    grey = np.isclose(some[:, 0, 0, 0], some[:, 0, 0, 2], rtol=0.01).mean()
    assert 0.2 < grey < 0.4


def test_colours_by_hand():
    image = tf.constant([[[[100.0, 100, 100], [200, 200, 200]]]])
    bright = recolor(image, tf.constant([[1.0, 0, 0, 0, 0]]), Settings(brightness=0.1))
    np.testing.assert_allclose(bright, image + 25.5, atol=0.05)
    flat = recolor(image, tf.constant([[0.0, -1, 0, 0, 0]]), Settings(contrast=0.5))
    np.testing.assert_allclose(flat[0, 0], [[125] * 3, [175] * 3], atol=0.1)
    red = tf.constant([[[[200.0, 100, 100]]]])
    grey = recolor(red, tf.constant([[0.0, 0, -1, 0, 0]]), Settings(saturation=1.0))
    np.testing.assert_allclose(grey[0, 0, 0], [129.9] * 3, atol=0.2)  # its luma
    turned = recolor(red, tf.constant([[0.0, 0, 0, 1, 0]]), Settings(hue=120.0)).numpy()[0, 0, 0]
    assert turned.argmax() != 0
    np.testing.assert_allclose(augmentation.YIQ[0] @ turned, 129.9, atol=0.2)


def test_no_augmentation_changes_nothing_and_seeds_decide():
    images, masks = np.full((4, 8, 8, 3), 77, "uint8"), blobs(4, 8, 8)
    same, same_masks = augment(images, masks, Settings(), (0, 0))
    assert np.array_equal(same, images) and np.array_equal(same_masks, masks)
    settings = Settings(**(EVERYTHING | ONE_BY_ONE), hair=5, mixup=0.5)
    images, masks = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), "uint8"), blobs(4, 32, 32)
    first, again, other = (augment(images, masks, settings, seed)[0].numpy() for seed in ((1, 2), (1, 2), (1, 3)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_fourfold_folder(discs, tmp_path):
    augmentation.main(["--data", str(discs), "--out", str(tmp_path / "four"), "--seed", "5"])
    augmentation.main(["--data", str(discs), "--out", str(tmp_path / "again"), "--seed", "5"])
    before, after = open_split(discs, "train"), open_split(tmp_path / "four", "train")
    assert len(after.ids) == 80 and after.ids[:5] == ["train_00", "train_00_1", "train_00_2", "train_00_3", "train_01"]
    assert np.array_equal(after.images[::4], before.images)
    assert not np.array_equal(after.masks[1::4], before.masks)
    assert set(np.unique(after.masks)) == {0, 1}
    assert np.array_equal(after.images, open_split(tmp_path / "again", "train").images)
    dark = after.images[..., 0] < 150  # the discs are dark: each copy's mask must lie on its own disc
    both = (dark & (after.masks[..., 0] > 0)).sum() / (dark | (after.masks[..., 0] > 0)).sum()
    assert both > 0.95
    for split in ("val", "test"):
        assert np.array_equal(open_split(tmp_path / "four", split).images, open_split(discs, split).images)
    assert json.loads((tmp_path / "four" / "meta.json").read_text())["counts"] == {"train": 80, "val": 6, "test": 5}
    assert len(pd.read_csv(tmp_path / "four" / "index_train.csv")) == 80
    assert not [path for path in (tmp_path / "four").iterdir() if path.name.startswith(".")]


def test_fourfold_refusals(discs, tmp_path):
    for argv, words in (
        (["--data", str(tmp_path / "none")], "none"),
        (["--data", str(discs), "--out", str(discs)], "name another folder"),
    ):
        with pytest.raises(SystemExit) as error:
            augmentation.main(argv)
        assert words in str(error.value)


def test_preview(discs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    augmentation.main(["--preview", "--data", str(discs), "--out", "sheet.png"])
    sheet = cv2.imread("sheet.png")
    assert sheet.shape[0] > 1000 and sheet.std() > 10
    assert augmentation.examples(tmp_path)[0].shape == (4, 192, 256, 3)  # a phantom, where there is no folder


def test_mixup_is_refused_where_masks_must_be_hard(discs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for chosen in (["--model", "unet", "--loss", "dice + lovasz"], ["--model", "jaal_net", "--loss", "bce"]):
        with pytest.raises(SystemExit, match=r"masks of \{0, 1\}, and mixup makes soft ones: use cutmix"):
            train.main(["--data", str(discs), "--mixup", "0.4", *chosen])
