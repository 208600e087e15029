"""Score histogram: areas and curves against scikit-learn on the full scores, hard distributions included."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import sklearn.metrics

from evaluation import score_histogram
from evaluation.score_histogram import ScoreHistogram
from inference import calibration

PIXELS = 120_000


def distribution(name):
    """Probabilities (float32) and truth of one kind of network."""
    rng = np.random.default_rng(7)
    truth = (rng.random(PIXELS) < (0.003 if name == "rare" else 0.25)).astype(np.uint8)
    noise = rng.normal(size=PIXELS)
    logits = {
        "moderate": 2 * noise + 3 * truth - 2,
        "saturated": 25 * noise + 40 * truth - 30,
        "far_below": 3 * noise + 4 * truth - 60,
        "near_one": noise + 2 * truth + 9,
        "rare": noise + 2.5 * truth - 5,
        "narrow": -4 + 0.02 * (noise + truth),
        "inverted": 2 * noise - 3 * truth,
        "rounded": np.round(2 * noise + 2 * truth),
        "constant": np.zeros(PIXELS),
        "perfect": 20.0 * truth - 10,
    }[name]
    probabilities = 1 / (1 + np.exp(-logits))
    return (probabilities.astype(np.float16) if name == "rounded" else probabilities).astype(np.float32), truth


def histogram(probabilities, truth, parts=3):
    made = ScoreHistogram()
    for p, t in zip(np.array_split(probabilities, parts), np.array_split(truth, parts), strict=True):
        made.update(p, t)
    return made


KINDS = [
    "moderate", "saturated", "far_below", "near_one", "rare", "narrow", "inverted", "rounded", "constant", "perfect"
]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_areas_agree_with_scikit_learn(name):
    probabilities, truth = distribution(name)
    made = histogram(probabilities, truth)
    expected = sklearn.metrics.roc_auc_score(truth, probabilities)
    assert made.roc_auc() == pytest.approx(expected, abs=1e-4)
    expected = sklearn.metrics.average_precision_score(truth, probabilities)
    assert made.average_precision() == pytest.approx(expected, abs=1e-4)
    assert made.brier() == pytest.approx(np.mean((probabilities.astype(float) - truth) ** 2), abs=1e-5)


def test_undecided_scores_of_an_untrained_network():
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 2, PIXELS)
    probabilities = (0.5 + 1e-3 * (rng.normal(size=PIXELS) + truth)).astype(np.float32)
    made = histogram(probabilities, truth)
    assert made.roc_auc() == pytest.approx(sklearn.metrics.roc_auc_score(truth, probabilities), abs=1e-4)
    expected = sklearn.metrics.average_precision_score(truth, probabilities)
    assert made.average_precision() == pytest.approx(expected, abs=1e-3)


def test_bins_rise_with_the_probability_and_hold_their_centers():
    near = np.float32(1) - np.logspace(-7, -0.31, 400, dtype=np.float32)
    probabilities = np.unique(np.concatenate([[0, 0.5, 1], np.logspace(-44, -0.31, 4000), near]).astype(np.float32))
    bins = score_histogram._bins(probabilities)
    assert (np.diff(bins) >= 0).all()
    assert bins[0] == 0
    assert bins[-1] == score_histogram.BINS - 1
    assert score_histogram._bins(np.float32([0.5]))[0] == score_histogram.BELOW
    assert score_histogram._bins(np.nextafter(np.float32([0.5]), np.float32(0)))[0] == score_histogram.BELOW - 1
    centers = score_histogram._centers()
    assert len(centers) == score_histogram.BINS
    assert (np.diff(centers) >= 0).all()
    assert np.abs(centers[bins] - probabilities).max() < 2e-6


def test_streaming_in_parts_and_types_equals_one_update():
    probabilities, truth = distribution("moderate")
    whole = histogram(probabilities, truth, parts=1)
    shape = (2, 200, 300, 1)
    parts = ScoreHistogram()
    for p, t in zip(probabilities.reshape(shape), truth.reshape(shape), strict=True):
        parts.update(p.astype(np.float64), t.astype(bool))
    assert all((a == b).all() for a, b in zip(whole.counts(), parts.counts(), strict=True))
    assert sum(side.sum() for side in whole.counts()) == PIXELS
    whole.update(np.zeros((0, 4)), np.zeros((0, 4)))
    assert sum(side.sum() for side in whole.counts()) == PIXELS


def test_memory_does_not_grow(monkeypatch):
    monkeypatch.setattr(score_histogram, "FLUSH", 5000)
    made = ScoreHistogram()
    for _ in range(6):
        made.update(np.full(3000, 0.5), np.ones(3000, bool))
        assert sum(map(len, made._pending)) < 5000
    assert made.counts()[1].sum() == 18000


def test_roc_curve_is_scikit_learns():
    probabilities, truth = distribution("rounded")
    false, true, thresholds = histogram(probabilities, truth).roc_curve()
    expected = sklearn.metrics.roc_curve(truth, probabilities, drop_intermediate=False)
    assert false == pytest.approx(expected[0], abs=1e-12)
    assert true == pytest.approx(expected[1], abs=1e-12)
    assert thresholds == pytest.approx(expected[2], abs=1e-5)


def test_precision_recall_curve_is_scikit_learns():
    probabilities, truth = distribution("rounded")
    precision, recall, thresholds = histogram(probabilities, truth).precision_recall_curve()
    expected = sklearn.metrics.precision_recall_curve(truth, probabilities)
    assert precision == pytest.approx(expected[0], abs=1e-12)
    assert recall == pytest.approx(expected[1], abs=1e-12)
    assert thresholds == pytest.approx(expected[2], abs=1e-5)


def test_thinned_curves_keep_their_ends_and_their_course():
    probabilities, truth = distribution("moderate")
    made = histogram(probabilities, truth)
    false, true, thresholds = made.roc_curve(points=200)
    assert 100 < len(false) == len(true) == len(thresholds) <= 200
    assert (false[0], true[0], thresholds[0], false[-1], true[-1]) == (0, 0, np.inf, 1, 1)
    assert sklearn.metrics.auc(false, true) == pytest.approx(made.roc_auc(), abs=1e-4)
    precision, recall, thresholds = made.precision_recall_curve(points=200)
    assert len(precision) == len(recall) == len(thresholds) + 1 <= 201
    assert (precision[-1], recall[-1], recall[0]) == (1, 0, 1)


def test_threshold_curve_equals_scikit_learn():
    probabilities, truth = distribution("rounded")
    curve = histogram(probabilities, truth).threshold_curve()
    assert curve["threshold"] == pytest.approx(np.arange(101) / 100)
    for index in (0, 20, 50, 75, 100):
        predicted = probabilities >= index / 100
        expected = sklearn.metrics.jaccard_score(truth, predicted), sklearn.metrics.f1_score(truth, predicted)
        assert (curve["jaccard"][index], curve["dice"][index]) == pytest.approx(expected, abs=1e-9)
    made = histogram(*distribution("moderate")).threshold_curve([0.5])
    probabilities, truth = distribution("moderate")
    assert made["jaccard"] == pytest.approx([sklearn.metrics.jaccard_score(truth, probabilities >= 0.5)], abs=0)


def test_calibration():
    probabilities = np.repeat(np.float32([0.1, 0.3, 0.8]), [100, 100, 200])
    truth = np.concatenate([np.arange(100) < 10, np.arange(100) < 50, np.arange(200) < 100])
    made = histogram(probabilities, truth)
    assert made.expected_calibration_error() == pytest.approx(0.25 * 0 + 0.25 * 0.2 + 0.5 * 0.3, abs=1e-5)
    mean, share, pixels = made.reliability(bins=5)
    assert mean[[0, 1, 4]] == pytest.approx([0.1, 0.3, 0.8], abs=1e-5)
    assert share[[0, 1, 4]] == pytest.approx([0.1, 0.5, 0.5])
    assert pixels.tolist() == [100, 100, 0, 0, 200]
    assert np.isnan(mean[2])


def test_undefined_areas_are_nan():
    assert math.isnan(ScoreHistogram().roc_auc())
    assert math.isnan(ScoreHistogram().brier())
    assert math.isnan(ScoreHistogram().expected_calibration_error())
    for value in (0, 1):
        made = histogram(np.float32([0.2, 0.7, 0.9]), np.full(3, value))
        assert math.isnan(made.roc_auc())
        assert len(made.roc_curve(points=3)[0]) <= 3
    assert made.average_precision() == 1
    assert math.isnan(histogram(np.float32([0.2, 0.7, 0.9]), np.zeros(3)).average_precision())


def test_logits_nan_and_other_shapes_are_refused():
    for wrong in ([0.5, 1.5], [-0.1, 0.5], [math.nan, 0.5]):
        with pytest.raises(ValueError, match=r"probabilities must lie in \[0, 1\]"):
            ScoreHistogram().update(wrong, [0, 1])
    with pytest.raises(ValueError, match=r"\(2,\) and truth \(3,\) must have one shape"):
        ScoreHistogram().update([0.1, 0.2], [0, 1, 1])


def test_histograms_together_hold_all_pixels():
    (one, true), (two, other) = distribution("moderate"), distribution("rare")
    whole = histogram(np.concatenate([one, two]), np.concatenate([true, other]))
    together = score_histogram.ScoreHistogram.together([histogram(one, true), histogram(two, other)])
    for found, expected in zip(together.counts(), whole.counts(), strict=True):
        assert np.array_equal(found, expected)


def test_threads_count_every_pixel():
    probabilities, truth = distribution("moderate")
    whole, shared = histogram(probabilities, truth), score_histogram.ScoreHistogram()
    parts = zip(np.array_split(probabilities, 50), np.array_split(truth, 50), strict=True)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: shared.update(*part), parts))
    for found, expected in zip(shared.counts(), whole.counts(), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", ["moderate", "saturated", "rare", "rounded"])
def test_the_temperature_has_the_least_log_loss(name):
    probabilities, truth = distribution(name)
    found = histogram(probabilities, truth).temperature()
    logits = np.clip(scipy.special.logit(probabilities.astype(float)), -math.log(2**24 - 1), math.log(2**24 - 1))

    def loss(log_temperature):
        scaled = logits / math.exp(log_temperature)
        return np.mean(np.logaddexp(0, scaled) - truth * scaled)

    expected = math.exp(scipy.optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
    assert found == pytest.approx(expected, rel=0.01)


def test_calibration_scores_are_those_of_calibrated_probabilities():
    probabilities, truth = distribution("saturated")
    made = histogram(probabilities, truth)
    calibrated = calibration.apply(probabilities[:, None], [made.temperature()])[:, 0]
    expected = histogram(calibrated, truth)
    scores = {"temperature": made.temperature()}
    assert made.brier(**scores) == pytest.approx(expected.brier(), abs=1e-4)
    found = made.expected_calibration_error(**scores)
    assert found == pytest.approx(expected.expected_calibration_error(), abs=1e-3)
    assert found < made.expected_calibration_error()


def test_a_temperature_that_raises_the_brier_score_is_not_taken():
    """Most pixels are right and unsure enough; a few are wrong and sure, for which the log loss wants a temperature."""
    probabilities = np.float32([0.95] * 980 + [1 - 1e-7] * 20)
    made = histogram(probabilities, np.uint8([1] * 980 + [0] * 20))
    assert made.brier(1.5) > 1.4 * made.brier()
    assert made.temperature() == 1.0


def test_pixels_of_one_kind_have_no_temperature():
    assert math.isnan(histogram(np.float32([0.2, 0.9]), np.uint8([1, 1])).temperature())
