"""CIELAB against scikit-image's."""

import numpy as np
import pytest

from imaging import cielab


def test_colors_are_those_of_scikit_image():
    color = pytest.importorskip("skimage.color", reason="scikit-image is not installed: pip install scikit-image")
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image[0, :2] = [(0, 0, 0), (255, 255, 255)]
    found = cielab.from_rgb(image)
    assert found.dtype == np.float32 and found[0, 0] == pytest.approx([0, 0, 0], abs=1e-3)
    assert found[0, 1] == pytest.approx([100, 0, 0], abs=0.05)
    assert found == pytest.approx(color.rgb2lab(image), abs=0.1)
