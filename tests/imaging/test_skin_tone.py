"""Individual typology angle and contrast, of colors whose CIELAB values are known."""

import math

import cv2
import numpy as np
import pytest

from imaging import skin_tone


def rgb(lightness, yellow):
    """The color of this L* and b*, a* 10, as uint8 (3,)."""
    lab = np.array([[[lightness, 10, yellow]]], np.float32)
    return np.round(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0] * 255).astype(np.uint8)


def picture(skin, lesion):
    """An image of 60 × 60 and its mask, a square of 20 × 20."""
    mask = np.zeros((60, 60), np.uint8)
    mask[20:40, 20:40] = 1
    return np.where(mask[..., None], lesion, skin).astype(np.uint8), mask


@pytest.mark.parametrize(
    ("lightness", "yellow", "name"), [(75, 12, "very light"), (66, 16, "light"), (60, 15, "intermediate"),
    (56, 18, "tan"), (48, 18, "brown"), (34, 15, "dark")],
)  # fmt: skip
def test_the_usual_classes(lightness, yellow, name):
    image, mask = picture(rgb(lightness, yellow), rgb(30, 10))
    tone, _ = skin_tone.measure(image, mask)
    assert tone == pytest.approx(math.degrees(math.atan((lightness - 50) / yellow)), abs=1.5)
    assert skin_tone.name_of(tone) == name


def test_contrast_is_the_distance_of_the_angles():
    image, mask = picture(rgb(66, 16), rgb(42, 16))
    _, contrast = skin_tone.measure(image, mask)
    assert contrast == pytest.approx(45 + math.degrees(math.atan(8 / 16)), abs=2)
    image, mask = picture(rgb(66, 16), rgb(66, 16))
    assert skin_tone.measure(image, mask)[1] == 0


def test_black_corners_are_no_skin_and_the_margin_is_left_out():
    image, mask = picture(rgb(66, 16), rgb(42, 16))
    expected = skin_tone.measure(image, mask)
    image[:15] = image[50:] = 0  # outside the lens
    image[18:20, 20:40] = 90  # a halo next to the lesion
    assert skin_tone.measure(image, mask) == pytest.approx(expected)


def test_too_little_skin_or_lesion_is_undefined():
    image, mask = picture(rgb(66, 16), rgb(42, 16))
    assert np.isnan(skin_tone.measure(image, np.ones_like(mask))).all()
    tone, contrast = skin_tone.measure(image, np.zeros_like(mask))
    assert tone == pytest.approx(45, abs=1.5) and math.isnan(contrast)
