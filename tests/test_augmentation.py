import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import augmentation
from augmentation import augment, geometry, recolor, warp
from config import Settings
from datasets.prepared import open_split

EVERYTHING = {"flip": True, "turn": True, "rotation": 180.0, "zoom": 0.3, "shift": 0.2}


def blobs(count, height, width, seed=0):
    """Masks (B, H, W, 1) of a few smooth blobs."""
    noise = tf.random.stateless_normal((count, 5, 5, 1), (seed, 0))
    return np.asarray(tf.image.resize(noise, (height, width), "bicubic") > 0.2, "uint8")


def draws(**values):
    """One row of geometry draws, zero (no change) but for the given ones; mirror at 0 means no mirror."""
    names = ["mirror", "turn", "angle", "zoom", "down", "right"]
    return tf.constant([[values.get(name, -1.0 if name == "turn" else 0.0) for name in names]])


@pytest.mark.parametrize("in_tf_data", [False, True])
@pytest.mark.parametrize("size", [(96, 96), (96, 128)])
def test_image_and_mask_move_together(size, in_tf_data):
    masks = blobs(16, *size)
    images = np.repeat(masks * 255, 3, axis=-1)
    settings = Settings(**EVERYTHING)
    if in_tf_data:
        data = tf.data.Dataset.from_tensors((images, masks)).map(lambda x, y: augment(x, y, settings, (3, 4)))
        moved, mask = (x.numpy() for x in next(iter(data)))
    else:
        moved, mask = (x.numpy() for x in augment(images, masks, settings, (3, 4)))
    assert set(np.unique(mask)) == {0, 1}
    assert moved.shape == images.shape and mask.shape == masks.shape
    assert not np.array_equal(mask, masks)
    same = moved[..., :1] > 127.5
    assert (same & (mask > 0)).sum() / (same | (mask > 0)).sum() >= 0.98


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


def test_colours_by_hand():
    image = tf.constant([[[[100.0, 100, 100], [200, 200, 200]]]])
    bright = recolor(image, tf.constant([[1.0, 0, 0, 0]]), Settings(brightness=0.1))
    np.testing.assert_allclose(bright, image + 25.5, atol=0.05)
    flat = recolor(image, tf.constant([[0.0, -1, 0, 0]]), Settings(contrast=0.5))
    np.testing.assert_allclose(flat[0, 0], [[125] * 3, [175] * 3], atol=0.1)
    red = tf.constant([[[[200.0, 100, 100]]]])
    grey = recolor(red, tf.constant([[0.0, 0, -1, 0]]), Settings(saturation=1.0))
    np.testing.assert_allclose(grey[0, 0, 0], [129.9] * 3, atol=0.2)  # its luma
    turned = recolor(red, tf.constant([[0.0, 0, 0, 1]]), Settings(hue=120.0)).numpy()[0, 0, 0]
    assert turned.argmax() != 0
    np.testing.assert_allclose(augmentation.YIQ[0] @ turned, 129.9, atol=0.2)


def test_no_augmentation_changes_nothing_and_seeds_decide():
    images, masks = np.full((4, 8, 8, 3), 77, "uint8"), blobs(4, 8, 8)
    same, same_masks = augment(images, masks, Settings(), (0, 0))
    assert np.array_equal(same, images) and np.array_equal(same_masks, masks)
    settings = Settings(**EVERYTHING, hue=20.0)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), "uint8")
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
    assert not list((tmp_path / "four").glob("*.tmp"))


def test_fourfold_refusals(discs, tmp_path):
    for argv, words in (
        (["--data", str(tmp_path / "none")], "none"),
        (["--data", str(discs), "--out", str(discs)], "name another folder"),
    ):
        with pytest.raises(SystemExit) as error:
            augmentation.main(argv)
        assert words in str(error.value)
