"""Scores of groups: quarters, classes of skin tone, trends against SciPy, and the section of the report."""

import math

import cv2
import numpy as np
import pytest
import scipy.stats

from datasets.split import Split
from evaluation import report_formats, subgroups


def split(lightness, areas):
    """Images whose skin has these L* (b* 15) and whose lesions, darker, take so many rows of 20."""
    images = []
    masks = np.zeros((len(areas), 20, 20, 1), np.uint8)
    for k, (light, rows) in enumerate(zip(lightness, areas, strict=True)):
        lab = np.full((20, 20, 3), (light, 10, 15), np.float32)
        masks[k, :rows] = 1
        lab[:rows, :, 0] -= 20
        images.append(np.round(255 * cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)).astype(np.uint8))
    ids = [str(k) for k in range(len(areas))]
    return Split(np.stack(images), masks, ids, np.full((len(areas), 2), 20), ["lesion"])


@pytest.fixture(scope="module")
def found():
    lightness = [*np.linspace(76, 40, 12)]
    areas = [2, 4, 6, 8] * 3
    return subgroups.measure(split(lightness, areas), np.linspace(0.9, 0.35, 12), 5.0 * np.array(areas))


def test_skin_tones_in_their_classes(found):
    groups = found["skin_tone_classes"]
    assert [group["name"] for group in groups] == ["very light", "light", "intermediate", "tan", "brown", "dark"]
    assert sum(group["images"] for group in groups) == 12
    assert groups[0]["jaccard"] > 0.8 > groups[-1]["jaccard"]
    assert groups[-1]["low"] == 1 and groups[0]["low"] == 0


def test_quarters_and_trend(found):
    tone = found["skin_tone"]
    assert [part["images"] for part in tone["quarters"]] == [3] * 4
    assert tone["quarters"][0]["jaccard"] == pytest.approx(np.mean([0.35, 0.4, 0.45]))
    assert tone["correlation"] == pytest.approx(1) and tone["p"] == pytest.approx(1 / 10_001)
    assert found["area"]["quarters"][0]["range"] == pytest.approx([10, 10])
    assert found["area"]["p"] > 0.05


def test_the_trend_agrees_with_scipy():
    random = np.random.default_rng(3)
    values = np.round(random.random(40), 1)
    jaccards = values + random.normal(0, 0.6, 40)
    trend = subgroups.trend(values, jaccards)
    expected = scipy.stats.spearmanr(values, jaccards)
    assert trend["correlation"] == pytest.approx(expected.statistic)
    assert trend["p"] == pytest.approx(expected.pvalue, abs=0.02)
    assert trend["interval"][0] < trend["correlation"] < trend["interval"][1]


def test_what_has_no_trend():
    trend = subgroups.trend(np.ones(10), np.arange(10.0))
    assert math.isnan(trend["correlation"]) and math.isnan(trend["p"])


def test_the_report_says_limits_and_angles(found):
    text = report_formats.text("Title", subgroups.blocks({"subgroups": found}))
    assert "rough measure" in text and "very light (above 55°)" in text and "dark (-30° or less)" in text
    assert "Trend +1.00" in text and "p = 0.0001" in text and "its quarters below. Trend -0.32" in text
