"""Names and files of masks."""

import cv2
import numpy as np
import pytest
from figure_files import ATTRIBUTES

from imaging import mask_files


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
    missing = r"ISIC_8_attribute_pigment_network\.png.*python evaluate\.py writes it"
    with pytest.raises(FileNotFoundError, match=missing):
        mask_files.read_masks(tmp_path, "ISIC_8", ATTRIBUTES)


def test_write_png_keeps_red_red(tmp_path):
    mask_files.write_png(tmp_path / "red.png", np.full((4, 4, 3), (255, 0, 0), np.uint8))
    assert cv2.imread(tmp_path / "red.png")[0, 0].tolist() == [0, 0, 255]  # OpenCV reads blue, green, red
