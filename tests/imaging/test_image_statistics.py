"""Statistics of an image, of pictures for which they are known."""

import cv2
import numpy as np
import pytest

from imaging.image_statistics import NAMES, describe


def values(image):
    return dict(zip(NAMES, describe(np.ascontiguousarray(image, np.uint8)), strict=True))


def noise(size=64):
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)


def test_gray_black_and_white():
    assert values(np.zeros((32, 32, 3)))["brightness"] == 0 and values(np.zeros((32, 32, 3)))["field_of_view"] == 0
    white = values(np.full((32, 32, 3), 255))
    assert white["brightness"] == pytest.approx(100, abs=0.01)
    assert white["skin_colors"] == 0 and white["saturation"] == pytest.approx(0, abs=0.1)
    assert all(np.isfinite(describe(image)).all() for image in (np.zeros((16, 16, 3), np.uint8), noise(16)))


def test_skin_has_skin_colors_and_its_negative_has_not():
    skin = np.full((32, 32, 3), (220, 180, 160))
    assert values(skin)["skin_colors"] == 1 and values(255 - skin)["skin_colors"] == 0


def test_detail_falls_with_blur():
    found = [values(cv2.GaussianBlur(noise(), (0, 0), deviation))["detail"] for deviation in (0.3, 1, 2, 4)]
    assert found[0] > found[1] + 1 > max(found[2:]) + 2


def test_pigment_alone_varies_along_one_axis():
    amount = np.random.default_rng(1).random((64, 64, 1))
    amount = cv2.GaussianBlur(amount, (0, 0), 4)[..., None]
    pigment = 255 * np.exp(-amount * [0.5, 1.0, 1.5])
    assert values(pigment)["foreign_colors"] < -9 < values(noise())["foreign_colors"]
