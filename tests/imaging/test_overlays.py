"""Overlays by value."""

import itertools

import cv2
import numpy as np
import pytest
from figure_files import disk

from imaging import overlays, palette


def test_tint_adds_seven_tenths_of_a_color_and_clips():
    image = np.full((2, 2, 3), (200, 100, 50), np.uint8)
    result = overlays.tint(image, np.array([[1, 0], [0, 0]]), "#00FF00")
    assert result[0, 0].tolist() == [200, 255, 50]  # 100 + 178.5 is above 255
    assert result[1, 1].tolist() == [200, 100, 50] and image[0, 0].tolist() == [200, 100, 50]
    dark = overlays.tint(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), bool), color="#FF0064", strength=0.5)
    assert dark[0, 0].tolist() == [128, 0, 50]


def test_outline_colors_the_rim_alone():
    image, mask = np.zeros((48, 64, 3), np.uint8), disk()
    result = overlays.outline(image, mask, color="#FF0000", thickness=1)
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0
    changed = (result == (255, 0, 0)).all(axis=-1)
    assert changed.sum() > 50 and not changed[~mask].any() and not changed[inside].any() and image.sum() == 0
    assert np.array_equal(overlays.outline(image, np.zeros((48, 64))), image)


def test_errors_by_value():
    image = np.full((1, 4, 3), 100, np.uint8)
    truth, found = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
    negative, positive = [[round(0.35 * 100 + 0.65 * v - 0.5) for v in c] for c in ((0, 114, 178), (213, 94, 0))]
    picture = overlays.errors(image, truth, found)[0]
    assert np.abs(picture - np.array([[100] * 3, negative, positive, [100] * 3])).max() <= 1


def test_confusion_by_value():
    truth, found = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
    names = (palette.TRUE_POSITIVE, palette.FALSE_NEGATIVE, palette.FALSE_POSITIVE, palette.TRUE_NEGATIVE)
    assert overlays.confusion(truth, found).tolist() == [[list(palette.rgb(name)) for name in names]]


def lightness_and_opponents(color):
    """CIE L*a*b* of "#RRGGBB" (sRGB, D65)."""
    pixel = np.float32(palette.rgb(color))[None, None] / 255
    return cv2.cvtColor(pixel, cv2.COLOR_RGB2Lab)[0, 0]


def as_deuteranope(color):
    """ "#RRGGBB" as seen without the middle-wave cone (Viénot, Brettel and Mollon, 1999, in linear RGB)."""
    linear = (np.array(palette.rgb(color)) / 255) ** 2.2
    red, green, blue = linear
    yellow = 0.29275 * red + 0.70725 * green
    seen = np.array([yellow, yellow, np.clip(-0.02234 * red + 0.02234 * green + blue, 0, 1)]) ** (1 / 2.2)
    return "#{:02X}{:02X}{:02X}".format(*np.round(255 * seen).astype(int))


@pytest.mark.parametrize("seen_as", [str, as_deuteranope])
def test_pairs_of_colors_can_be_told_apart_by_color_blind_readers(seen_as):
    areas = (palette.FALSE_NEGATIVE, palette.FALSE_POSITIVE, palette.TRUE_NEGATIVE, palette.TRUE_POSITIVE)
    for group in (areas, (palette.TRUTH, palette.PREDICTION)):
        for one, other in itertools.combinations(group, 2):
            distance = np.linalg.norm(lightness_and_opponents(seen_as(one)) - lightness_and_opponents(seen_as(other)))
            assert distance > 40, (one, other)
    green_and_red = [lightness_and_opponents(as_deuteranope(color)) for color in ("#009E73", "#CC5533")]
    assert np.linalg.norm(green_and_red[0] - green_and_red[1]) < 40  # the measure knows what cannot be told apart


@pytest.mark.parametrize("size", [(240, 320), (900, 1200)])
def test_a_caption_is_white_on_a_dark_band_and_leaves_the_rest(size):
    image = np.full((*size, 3), 150, np.uint8)
    found = overlays.caption(image, ["predicted Jaccard 0.83", "unusual: gedämpft, blurred"])
    assert overlays.caption(image, []) is image and image.min() == 150
    changed = np.flatnonzero((found != 150).any((1, 2)))
    height = size[0] - changed[0]  # of the band
    letters = max(9, size[1] / 40)
    assert changed.tolist() == list(range(changed[0], size[0])) and 2.8 * letters <= height + 2 <= 4 * letters
    band = found[changed[0] :]
    assert 0.6 < (band == 50).mean() < 0.98 and band.max() > 240  # a third of 150 where no letter is
    columns = np.flatnonzero((band != 50).any((0, 2)))
    assert columns[0] > 0 and columns[-1] < 0.9 * size[1]  # no letter is cut


def test_a_caption_wider_than_the_image_is_written_smaller():
    found = overlays.caption(np.full((40, 60, 3), 150, np.uint8), ["no skin-like colors; much darker than the images"])
    columns = np.flatnonzero((found > 150).any((0, 2)))
    assert columns.size and columns[-1] < 59
