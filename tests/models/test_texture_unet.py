"""Texture energies against OpenCV's filters, on waves and on flat images; the network around them."""

import cv2
import keras
import numpy as np
import pytest

import model
from models.texture_unet import DEVIATIONS, FLOOR, TextureEnergy, band_filters


def waves(length, size=64):
    """Stripes (1, size, size, 3) of this wavelength, in pixels."""
    row = np.sin(2 * np.pi * np.arange(size) / length)
    return np.tile(row[None, None, :, None], (1, size, 1, 3)).astype("float32")


def test_filters_see_no_flat_light_and_weigh_the_same():
    filters = band_filters()
    assert filters.shape == (13, 13, 1, 4) and filters.dtype == np.float32
    np.testing.assert_allclose(filters.sum(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose((filters**2).sum(axis=(0, 1, 2)), 1, atol=1e-6)
    narrow, wide = (cv2.getGaussianKernel(13, s, cv2.CV_64F) for s in DEVIATIONS[1:3])
    band = narrow @ narrow.T - wide @ wide.T
    np.testing.assert_allclose(filters[:, :, 0, 2], band / np.linalg.norm(band), atol=1e-6)


def test_energies_are_those_of_opencv():
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 64, 3)).astype("float32")
    found = np.asarray(TextureEnergy()(image))[0]
    assert found.shape == (8, 16, 19)
    np.testing.assert_allclose(found[..., :3], cv2.resize(image[0], (16, 8), interpolation=cv2.INTER_AREA), atol=1e-5)
    light = image[0].mean(axis=-1)
    small = cv2.resize(light, (16, 8), interpolation=cv2.INTER_AREA)
    for band in range(4):
        kernel = band_filters()[:, :, 0, band]
        fine, coarse = (cv2.filter2D(x, -1, kernel, borderType=cv2.BORDER_REFLECT_101) for x in (light, small))
        for side, sign in ((0, 1), (4, -1)):  # bright grain, dark grain
            around = np.maximum(sign * fine, 0)[2:10, 6:14].mean()  # the 8 x 8 pixels around place (1, 2)
            assert found[1, 2, 3 + side + band] == pytest.approx(np.log(around + FLOOR), abs=1e-4)
            around = np.maximum(sign * coarse, 0)[0:3, 1:4].mean()
            assert found[1, 2, 11 + side + band] == pytest.approx(np.log(around + FLOOR), abs=1e-4)


def test_each_wavelength_has_its_band_and_flat_images_have_none():
    lengths = (2, 4, 7, 10, 16, 28, 40)
    energies = [np.asarray(TextureEnergy()(waves(n)))[0, 4:12, 4:12, 3:].mean(axis=(0, 1)) for n in lengths]
    bands = [int(np.argmax(np.r_[e[:4], e[8:12]])) for e in energies]  # the finest first
    assert bands == sorted(bands) and bands[0] == 0 and bands[-1] >= 6 and len(set(bands)) >= 5
    flat = np.asarray(TextureEnergy()(np.full((1, 32, 32, 3), 1.5, "float32")))
    np.testing.assert_allclose(flat[..., :3], 1.5, atol=1e-6)
    np.testing.assert_allclose(flat[..., 3:], np.log(FLOOR), atol=1e-3)


def test_network(tmp_path):
    network = model.build("texture_unet", (64, 96, 3), classes=5, width=4, depth=2)
    assert network.output_shape == (None, 64, 96, 5)
    assert network.get_layer("encoder0_conv1").input.shape == (None, 16, 24, 19)
    network.save(tmp_path / "saved.keras")
    again = model.load(tmp_path / "saved.keras")
    image = np.random.default_rng(1).uniform(-2, 2, (1, 64, 96, 3)).astype("float32")
    np.testing.assert_allclose(again.predict(image, verbose=0), network.predict(image, verbose=0), atol=1e-5)


def test_what_it_cannot_take():
    with pytest.raises(ValueError, match="the next that fit: 64 or 96"):
        model.build("texture_unet", (65, 64, 3))
    with pytest.raises(ValueError, match="multiples of 4 from 28 on, got 24 x 64"):
        TextureEnergy()(keras.Input((24, 64, 3)))
