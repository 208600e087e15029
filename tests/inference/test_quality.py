"""Features of a mask's quality by hand, and the estimate from a model's numbers."""

import numpy as np
import pytest

from inference import quality


def values(*maps, threshold=0.5):
    found = quality.features(maps, threshold)
    return dict(zip((*quality.NAMES, *quality.BASELINES), found, strict=True))


def square(inside=1.0, outside=0.0):
    """A map of 20 × 20 with a square of 10 × 10 in its middle."""
    result = np.full((20, 20), outside, np.float32)
    result[5:15, 5:15] = inside
    return result


def test_a_map_without_doubt():
    found = values(square(), square())
    assert found["disagreement"] == found["vagueness"] == found["threshold_effect"] == found["border"] == 0
    assert found["outline_entropy"] == pytest.approx(0, abs=1e-3)
    assert found["log_area"] == pytest.approx(np.log10(0.25))
    assert found["components"] == 0 and found["area"] == 0.25 and found["mean_confidence"] == 1


def test_doubt_by_hand():
    last = square(0.75, 0.25)
    found = values(square(0.5, 0.25), last)
    assert found["disagreement"] == pytest.approx(1 - (50 + 75) / (75 + 75))  # Σ min / Σ max
    assert found["vagueness"] == pytest.approx(1 - 75 / (100 + 75))
    assert found["threshold_effect"] == pytest.approx(1 - 100 / 400)  # all of it at 0.25, the square at 0.75
    assert found["outline_entropy"] == pytest.approx(0.8113, abs=1e-4)  # of 1/4 and of 3/4, bits
    assert found["mean_confidence"] == 0.75


def test_border_and_components():
    last = np.zeros((10, 10), np.float32)
    last[:, 0] = 1  # 10 of the 36 pixels of the border
    last[4, 5] = last[8, 7] = 1
    found = values(last)
    assert np.isnan(found["disagreement"])  # of one map
    assert found["border"] == pytest.approx(10 / 36)
    assert found["components"] == pytest.approx(np.log2(3))


def test_an_empty_mask_is_defined():
    found = values(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32))
    assert found["outline_entropy"] == 1 and found["mean_confidence"] == 0 and found["area"] == 0
    assert found["vagueness"] == 0 and found["log_area"] == pytest.approx(np.log10(1 / 64))


def test_the_estimate_is_linear_within_0_and_1():
    model = {"names": ["vagueness", "border"], "means": [0.1, 0.0], "scales": [0.2, 0.5], "weights": [-0.3, -0.1]}
    features = np.zeros((3, len(quality.NAMES) + len(quality.BASELINES)))
    features[:, quality.NAMES.index("vagueness")] = [0.1, 0.3, 9]
    features[:, quality.NAMES.index("border")] = [0.5, 0.0, 0]
    assert quality.estimate(model | {"intercept": 0.8}, features) == pytest.approx([0.7, 0.5, 0])
