"""Sheets of pictures: what is drawn where, in which color."""

import cv2
import numpy as np
import pytest
from figure_files import ATTRIBUTES, disk, has_color

from figures import sheets
from imaging import palette


def test_sample_sheet_draws_what_is_there(tmp_path):
    image = np.full((48, 64, 3), 180, np.uint8)
    full, empty = np.ones((48, 64, 1), bool), np.zeros((48, 64, 1), bool)
    sheets.sample_sheet([("both", image, disk()[..., None], full)], tmp_path / "both.png")
    short = cv2.imread(tmp_path / "both.png").shape
    sheets.sample_sheet([("a", image, empty, empty), ("b", image, empty, empty)], tmp_path / "none.png", title="t")
    assert cv2.imread(tmp_path / "none.png").shape[0] > 1.5 * short[0]
    with pytest.raises(ValueError, match=r"empty\.png: no images to draw"):
        sheets.sample_sheet([], tmp_path / "empty.png")


def test_sample_sheet_colors_the_classes(tmp_path):
    image, masks = np.full((48, 64, 3), 180, np.uint8), np.zeros((48, 64, 5), bool)
    masks[..., 1] = disk()
    sheets.sample_sheet([("a", image, masks, masks)], tmp_path / "five.png", classes=ATTRIBUTES)
    sheets.sample_sheet([("a", image, masks[..., 1:2], masks[..., :1])], tmp_path / "one.png")
    assert has_color(tmp_path / "five.png", palette.CLASSES[1])
    assert not has_color(tmp_path / "one.png", palette.CLASSES[1])
    assert has_color(tmp_path / "one.png", palette.TRUTH)
