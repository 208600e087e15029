"""Scores from counts: intervals, thresholds and sizes against direct computation."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

import metrics
from evaluation import summary
from evaluation.score_histogram import ScoreHistogram


def random_masks(count=12, seed=0):
    """Truth (N, 9, 11) and probabilities that mostly agree with it."""
    generator = np.random.default_rng(seed)
    truth = (generator.random((count, 9, 11)) < generator.random((count, 1, 1))).astype(np.uint8)
    return truth, np.clip(0.6 * truth + generator.normal(0.2, 0.2, truth.shape), 0, 1).astype(np.float32)


def counts_of(truth, probabilities, threshold=0.5):
    return metrics.counts(truth, probabilities >= np.float32(threshold))


def test_intervals_hold_the_scores_of_redrawn_images():
    truth, probabilities = random_masks(60)
    counts = counts_of(truth, probabilities)
    drawn = summary.draws(counts)
    generator = np.random.default_rng(0)
    for draw in range(3):  # the same images, scored anew
        chosen = generator.integers(0, 60, 60)
        again = counts_of(truth[chosen], probabilities[chosen])
        for name in metrics.of_kind("per_image"):
            assert drawn["per_image"][name][draw] == pytest.approx(metrics.score(name, again))
        for name in metrics.of_kind("pooled"):
            assert drawn["pooled"][name][draw] == pytest.approx(metrics.score(name, again, "pooled"))
    result = summary.summarize(counts, None, ["lesion"])
    for kind in ("per_image", "pooled"):
        for name, (low, high) in result["intervals"][kind].items():
            assert low < result[kind][name] < high
    assert "roc_auc" not in result["pooled"]


def test_classes_have_their_own_scores_and_the_mean_leaves_undefined_ones_out():
    truth, probabilities = random_masks(8)
    truth = np.stack([truth, np.zeros_like(truth)], axis=-1)
    counts = metrics.counts(truth, np.stack([probabilities >= 0.5, np.zeros_like(probabilities, bool)], axis=-1))
    result = summary.summarize(counts, None, ["some", "none"])
    assert result["classes"]["some"]["pooled"] == summary.pooled_scores(summary.one_class(counts, 0))
    assert result["classes"]["none"]["empty_masks"] == 8
    assert math.isnan(result["classes"]["none"]["pooled"]["jaccard"])
    assert np.isnan(result["classes"]["none"]["intervals"]["pooled"]["jaccard"]).all()
    assert result["class_mean"]["jaccard"] == result["classes"]["some"]["pooled"]["jaccard"]


def test_threshold_table_equals_scoring_at_each_threshold():
    truth, probabilities = random_masks()
    histogram = ScoreHistogram()
    histogram.update(probabilities, truth)
    at = metrics.threshold_counts(truth, probabilities)
    means = [[metrics.score(name, at, "image_per_class") for name in ("jaccard", "dice")]]
    means[0] += [field.mean(axis=0) / truth[0].size for field in (at.tp, at.fp, at.fn)]
    table = summary.threshold_table(means, [histogram], ["lesion"])
    assert table["threshold"].tolist() == [round(k / 100, 2) for k in range(1, 100)]
    for row in table.iloc[[4, 29, 49, 80]].itertuples():
        counts = counts_of(truth, probabilities, row.threshold)
        assert row.per_image_jaccard == pytest.approx(metrics.score("jaccard", counts))
        assert row.per_image_dice == pytest.approx(metrics.score("dice", counts))
        assert row.pooled_jaccard == pytest.approx(metrics.score("jaccard", counts, "pooled"), abs=1e-3)
        assert row.challenge_jaccard == pytest.approx(metrics.task2_scores(counts, ["a"])["overall"])
    best = summary.best_thresholds(table)
    assert best["measure"] == "per_image_jaccard"
    assert best["score"]["lesion"] == table["per_image_jaccard"].max()
    assert metrics.score("jaccard", counts_of(truth, probabilities, best["best"]["lesion"])) == pytest.approx(
        best["score"]["lesion"]
    )


def test_a_class_without_a_true_pixel_has_no_best_threshold():
    probabilities = random_masks(3)[1]
    histogram = ScoreHistogram()
    histogram.update(probabilities, np.zeros_like(probabilities))
    at = metrics.threshold_counts(np.zeros(probabilities.shape, np.uint8), probabilities)
    rows = [metrics.score("jaccard", at, "image_per_class")] * 2
    rows += [field.mean(axis=0) for field in (at.tp, at.fp, at.fn)]
    table = summary.threshold_table([rows, rows], [histogram] * 2, ["a", "b"])
    assert summary.best_thresholds(table)["best"] == {}


def test_of_equally_good_thresholds_the_middle_and_of_several_classes_the_challenges():
    columns = {"threshold": [0.1, 0.2, 0.3, 0.4], "per_image_jaccard": [0.9, 0.8, 0.8, 0.8]}
    columns["challenge_jaccard"] = [0.3, 0.5, 0.5, 0.5]
    columns |= {"tp": [0.3, 0.5, 0.5, 0.5], "union": 1.0}
    one = pd.DataFrame(columns | {"class": "a"})
    assert summary.best_thresholds(one)["best"] == {"a": 0.1}
    two = pd.concat([one, pd.DataFrame(columns | {"class": "b", "challenge_jaccard": math.nan})])
    expected = {"measure": "challenge_jaccard", "best": {"a": 0.3}, "score": {"a": 0.5}}
    assert summary.best_thresholds(two) == expected | {"together": {"a": 0.3}, "together_score": 0.5}


def test_thresholds_for_all_classes_together_are_the_best_of_all_combinations():
    generator, thresholds = np.random.default_rng(3), [0.2, 0.4, 0.6, 0.8]
    parts = []
    for name in "abc":
        true = generator.uniform(0.01, 0.2)
        tp = true * np.sort(generator.random(4))[::-1]
        union = true + np.sort(generator.uniform(0, 0.3, 4))[::-1]
        columns = {"class": name, "threshold": thresholds, "tp": tp, "union": union, "challenge_jaccard": tp / union}
        parts.append(pd.DataFrame(columns))
    found = summary.best_thresholds(pd.concat(parts, ignore_index=True))
    scores = {}
    for chosen in itertools.product(range(4), repeat=3):
        rows = [part.iloc[i] for part, i in zip(parts, chosen, strict=True)]
        ratio = sum(row["tp"] for row in rows) / sum(row["union"] for row in rows)
        scores[tuple(thresholds[i] for i in chosen)] = ratio
    best = max(scores, key=scores.get)
    assert tuple(found["together"].values()) == best and found["together_score"] == pytest.approx(scores[best])
    assert tuple(found["best"].values()) != best  # each by itself is not the same


def test_sizes_are_quartiles_of_true_area_without_empty_masks():
    true = np.array([50, 0, 10, 80, 20, 40, 60, 30, 70])
    found = np.array([25, 3, 10, 80, 20, 40, 60, 30, 35])
    hit, extra = np.minimum(found, true), found - np.minimum(found, true)
    counts = metrics.Counts(*(x[:, None] for x in (hit, extra, true - hit, 100 - true - extra)))
    quartiles = summary.by_size(counts)
    assert [part["masks"] for part in quartiles] == [2, 2, 2, 2]
    assert [part["area_percent"][0] for part in quartiles] == [10, 30, 50, 70]
    assert [part["jaccard"] for part in quartiles] == pytest.approx([1, 1, 0.75, 0.75])
    assert quartiles[2]["jaccard_interval"] == pytest.approx([0.5, 1])
    assert summary.by_size(metrics.Counts(*np.zeros((3, 2, 1), int), np.full((2, 1), 9))) == []


def test_images_of_several_classes_are_ranked_by_all_pixels_together():
    tp, fp, fn = (
        np.array([[0, 0], [3, 0], [0, 0]]),
        np.array([[0, 0], [1, 0], [0, 2]]),
        np.array([[0, 0], [0, 2], [0, 1]]),
    )
    counts = metrics.Counts(tp, fp, fn, 20 - tp - fp - fn)
    assert summary.image_jaccards(counts).tolist() == pytest.approx([math.nan, 0.5, 0], nan_ok=True)
    assert summary.image_jaccards(summary.one_class(counts, 0)).tolist() == [1, 0.75, 1]


def test_table_and_back():
    truth, probabilities = random_masks(6)
    truth, found = truth.reshape(3, 2, 9, 11).transpose(0, 2, 3, 1), probabilities.reshape(3, 2, 9, 11) >= 0.5
    counts = metrics.counts(truth, found.transpose(0, 2, 3, 1))
    table = summary.image_table(counts, ["a", "b", "c"], ["one", "two"], [(9, 11)] * 3)
    ids, classes, again = summary.table_counts(table)
    assert (ids, classes) == (["a", "b", "c"], ["one", "two"])
    assert all((x == y).all() for x, y in zip(counts, again, strict=True))
    assert table["width"].tolist() == [11] * 6
