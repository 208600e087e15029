"""Statistics of an image, of pictures for which they are known."""

import cv2
import numpy as np
import pytest

from imaging import cielab
from imaging.image_statistics import BANDS, COUNT, NAMES, describe


def values(image):
    return dict(zip(NAMES, describe(np.ascontiguousarray(image, np.uint8)), strict=False))


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


def texture(image):
    """Of an image mean and spread of the channels, (6,), and a row a band: energies, kurtosis, correlations, (4, 7)."""
    found = describe(image)
    assert found.shape == (COUNT,)
    return found[len(NAMES) : len(NAMES) + 6], found[len(NAMES) + 6 :].reshape(BANDS, 7)


def test_texture_of_gray_noise():
    image = np.repeat(noise()[..., :1], 3, axis=-1)
    lightness = cielab.from_rgb(image)[..., 0]
    channels, bands = texture(image)
    assert channels[0] == pytest.approx(lightness.mean(), abs=0.01)
    assert channels[3] == pytest.approx(np.log(lightness.std() + 0.1), abs=1e-3)
    fine = lightness - cv2.GaussianBlur(lightness, (0, 0), 1)
    assert bands[0, 0] == pytest.approx(np.log(fine.var()), abs=1e-3)
    assert bands[0, 1:3].max() < -7 < bands[0, 0] - 8  # no color but for rounding
    assert np.exp(bands[0, 3]) == pytest.approx(np.mean((fine - fine.mean()) ** 4) / fine.var() ** 2, rel=1e-2)
    assert np.all(np.diff(bands[:, 0]) < 0)  # noise has less of coarse structures


def test_texture_tells_how_channels_are_correlated():
    pigment = (255 * np.exp(-np.random.default_rng(2).random((64, 64, 1)) * [0.5, 1.0, 1.5])).astype(np.uint8)
    _, bands = texture(pigment)
    lab = cielab.from_rgb(pigment)
    fine = (lab - cv2.GaussianBlur(lab, (0, 0), 1)).reshape(-1, 3)
    assert np.tanh(bands[0, 4:]) == pytest.approx(np.corrcoef(fine.T)[[0, 0, 1], [1, 2, 2]], abs=0.005)
