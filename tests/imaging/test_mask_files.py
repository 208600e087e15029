"""Overlays by value, names and files of masks."""

import cv2
import numpy as np
import pytest

from imaging import mask_files

ATTRIBUTES = ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")


def disk(height=48, width=64, x=30, radius=14):
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(columns - x, rows - height // 2) < radius


def test_overlay_adds_seven_tenths_of_green_and_clips():
    image = np.full((2, 2, 3), (200, 100, 50), np.uint8)
    result = mask_files.overlay(image, np.array([[1, 0], [0, 0]]))
    assert result[0, 0].tolist() == [200, 255, 50]  # 100 + 178.5 is above 255
    assert result[1, 1].tolist() == [200, 100, 50] and image[0, 0].tolist() == [200, 100, 50]
    dark = mask_files.overlay(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), bool), color=(255, 0, 100), strength=0.5)
    assert dark[0, 0].tolist() == [128, 0, 50]


def test_contour_overlay_colors_the_rim_alone():
    image, mask = np.zeros((48, 64, 3), np.uint8), disk()
    result = mask_files.contour_overlay(image, mask, color=(255, 0, 0), thickness=1)
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0
    changed = (result == (255, 0, 0)).all(axis=-1)
    assert changed.sum() > 50 and not changed[~mask].any() and not changed[inside].any() and image.sum() == 0
    assert np.array_equal(mask_files.contour_overlay(image, np.zeros((48, 64))), image)


@pytest.mark.parametrize(
    ("classes", "k", "name"),
    [
        (["lesion"], 0, "ISIC_7_segmentation.png"),
        (ATTRIBUTES, 3, "ISIC_7_attribute_milia_like_cyst.png"),
        (["nevus", "scale"], 1, "ISIC_7_scale.png"),
    ],
)
def test_mask_names(classes, k, name):
    assert mask_files.mask_name("ISIC_7", classes, k) == name


def test_masks_come_back_as_written(tmp_path):
    masks = np.random.default_rng(0).integers(0, 2, (9, 7, 5)).astype(bool)
    mask_files.write_masks(tmp_path, "ISIC_7", masks, ATTRIBUTES)
    assert np.array_equal(mask_files.read_masks(tmp_path, "ISIC_7", ATTRIBUTES), masks)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"ISIC_7_attribute_{c}.png" for c in ATTRIBUTES)
    assert set(np.unique(cv2.imread(tmp_path / "ISIC_7_attribute_streaks.png", -1))) == {0, 255}
    with pytest.raises(FileNotFoundError, match=r"ISIC_8_attribute_pigment_network\.png.*python evaluate\.py --run"):
        mask_files.read_masks(tmp_path, "ISIC_8", ATTRIBUTES)


def test_write_png_keeps_red_red(tmp_path):
    mask_files.write_png(tmp_path / "red.png", np.full((4, 4, 3), (255, 0, 0), np.uint8))
    assert cv2.imread(tmp_path / "red.png")[0, 0].tolist() == [0, 0, 255]  # OpenCV reads blue, green, red


def test_errors_by_value():
    image = np.full((1, 4, 3), 100, np.uint8)
    truth, found = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
    missed, added = [[round(0.35 * 100 + 0.65 * v - 0.5) for v in c] for c in ((0, 114, 178), (213, 94, 0))]
    picture = mask_files.errors(image, truth, found)[0]
    assert np.abs(picture - np.array([[100] * 3, missed, added, [100] * 3])).max() <= 1
