"""Scores: hand-made counts, scikit-learn and the challenge's own scorer."""

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import sklearn.metrics
from isic_challenge_scoring import task2
from isic_challenge_scoring.segmentation import SegmentationScore

import metrics
from metrics import Counts

CLASSES = ["pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules"]


def masks(shape=(6, 24, 32, 2), seed=0):
    """Truth and prediction that agree on most pixels; image 0 has both empty, 1 an empty truth, 2 a full truth."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(shape) > 0.6).astype(np.uint8)
    prediction = np.where(rng.random(shape) > 0.15, truth, 1 - truth).astype(np.uint8)
    truth[:2], prediction[0], truth[2] = 0, 0, 1
    return truth, prediction


def single(tp, fp, fn, tn):
    return Counts(*(np.array([[value]]) for value in (tp, fp, fn, tn)))


# === Counts ===


def test_counts_of_a_small_case():
    truth = np.array([[[1, 1, 0], [0, 1, 0]]])
    prediction = np.array([[[1, 0, 0], [1, 1, 0]]])
    c = metrics.counts(truth, prediction)
    assert [field.tolist() for field in c] == [[[2]], [[1]], [[1]], [[2]]]
    assert all(field.dtype == np.int64 for field in c)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32])
def test_counts_equal_the_definition_for_every_type(dtype):
    truth, prediction = masks()
    t, p = truth == 1, prediction == 1
    c = metrics.counts(truth.astype(dtype), prediction.astype(dtype))
    for field, pixels in zip(c, (t & p, ~t & p, t & ~p, ~t & ~p), strict=True):
        assert field.shape == (6, 2)
        assert (field == pixels.sum(axis=(1, 2))).all()


def test_counts_do_not_change_the_masks_and_read_memory_maps(tmp_path):
    truth, prediction = masks()
    np.save(tmp_path / "mask.npy", truth)
    mapped = np.load(tmp_path / "mask.npy", mmap_mode="r")
    c = metrics.counts(mapped, prediction)
    assert (c.tp + c.fn == truth.sum(axis=(1, 2), dtype=int)).all()
    assert (mapped == truth).all()


def test_masks_of_other_values_or_shapes_are_refused():
    truth, prediction = masks()
    with pytest.raises(ValueError, match="prediction must hold 0 and 1 only, got uint8 from 0 to 255"):
        metrics.counts(truth, prediction * 255)
    with pytest.raises(ValueError, match=r"truth must hold 0 and 1 only, got float64 from 0\.0 to 0\.5"):
        metrics.counts(truth[3:] / 2, prediction[3:])
    with pytest.raises(ValueError, match=r"\(6, 24, 32, 2\) and \(6, 24, 32\)"):
        metrics.counts(truth, prediction[..., 0])
    with pytest.raises(ValueError, match="must have one shape"):
        metrics.counts(truth[0, ..., 0], prediction[0, ..., 0])


def test_concatenated_batches_equal_the_whole():
    truth, prediction = masks()
    parts = [metrics.counts(truth[s], prediction[s]) for s in (slice(0, 4), slice(4, 6))]
    for joined, whole in zip(metrics.concatenate(parts), metrics.counts(truth, prediction), strict=True):
        assert (joined == whole).all()


def test_threshold_counts_equal_counts_at_each_threshold():
    rng = np.random.default_rng(0)
    truth, _ = masks((6, 24, 32))
    probabilities = rng.choice(np.linspace(0, 1, 11), truth.shape).astype(np.float32)  # many exactly on a threshold
    probabilities[0] = rng.random((24, 32))
    c = metrics.threshold_counts(truth, probabilities, 10)
    for t, threshold in enumerate(np.linspace(0.1, 0.9, 9)):
        expected = metrics.counts(truth, probabilities >= np.float32(threshold))
        assert all((field[:, t] == other[:, 0]).all() for field, other in zip(c, expected, strict=True))


# === Scores ===


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dice", 2 * 3 / 9),
        ("jaccard", 3 / 6),
        ("accuracy", 7 / 10),
        ("sensitivity", 3 / 5),
        ("specificity", 4 / 5),
        ("precision", 3 / 4),
        ("mcc", (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6)),
    ],
)
def test_scores_of_hand_made_counts(name, expected):
    c = single(tp=3, fp=1, fn=2, tn=4)
    for reduction in ("image", "pooled", "pooled_macro"):
        assert metrics.score(name, c, reduction) == pytest.approx(expected, abs=1e-12)
    assert metrics.score(name, c, "none") == pytest.approx(np.array([[expected]]), abs=1e-12)


def test_reductions():
    c = Counts(*(np.array(x) for x in ([[1, 0], [3, 2]], [[1, 0], [0, 0]], [[0, 2], [1, 0]], [[0, 0], [0, 0]])))
    assert metrics.score("jaccard", c, "none").tolist() == [[0.5, 0.0], [0.75, 1.0]]
    assert metrics.score("jaccard", c, "image_per_class").tolist() == [0.625, 0.5]
    assert metrics.score("jaccard", c, "image") == 0.5625
    assert metrics.score("jaccard", c, "pooled_per_class") == pytest.approx([4 / 6, 2 / 4])
    assert metrics.score("jaccard", c, "pooled_macro") == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert metrics.score("jaccard", c, "pooled") == pytest.approx(6 / 10)
    for name in ("dice", "thresholded_jaccard"):
        with pytest.raises(ValueError, match="unknown reduction 'mean'; there are: none, image"):
            metrics.score(name, c, "mean")


def test_rule_for_empty_masks():
    nothing, all_lesion = single(0, 0, 0, 9), single(9, 0, 0, 0)
    for name in ("dice", "jaccard", "thresholded_jaccard", "sensitivity", "precision"):
        assert metrics.score(name, nothing) == 1
        assert math.isnan(metrics.score(name, nothing, empty=math.nan))
    assert metrics.score("specificity", all_lesion) == 1
    assert metrics.score("jaccard", single(0, 4, 0, 5)) == metrics.score("jaccard", single(0, 0, 4, 5)) == 0
    assert metrics.score("mcc", nothing) == metrics.score("mcc", all_lesion) == 0


def test_undefined_scores_are_left_out_of_means_when_asked():
    c = metrics.concatenate([single(0, 0, 0, 9), single(1, 1, 0, 7)])
    assert metrics.score("jaccard", c) == 0.75
    assert metrics.score("jaccard", c, empty=math.nan) == 0.5
    assert np.isnan(metrics.score("jaccard", c, "none", empty=math.nan)).ravel().tolist() == [True, False]


def test_thresholded_jaccard():
    c = metrics.concatenate([single(65, 35, 0, 0), single(64, 36, 0, 0)])
    assert metrics.score("thresholded_jaccard", c, "none").ravel().tolist() == [0.65, 0.0]
    assert metrics.score("thresholded_jaccard", c) == 0.325
    with pytest.raises(ValueError, match="a score of single images, not of pooled counts"):
        metrics.score("thresholded_jaccard", c, "pooled")


def test_pooled_scores_agree_with_scikit_learn():
    truth, prediction = masks()
    t, p = truth.ravel(), prediction.ravel()
    c = metrics.counts(truth, prediction)
    pairs = [
        ("dice", sklearn.metrics.f1_score(t, p)),
        ("jaccard", sklearn.metrics.jaccard_score(t, p)),
        ("accuracy", sklearn.metrics.accuracy_score(t, p)),
        ("sensitivity", sklearn.metrics.recall_score(t, p)),
        ("specificity", sklearn.metrics.recall_score(1 - t, 1 - p)),
        ("precision", sklearn.metrics.precision_score(t, p)),
        ("mcc", sklearn.metrics.matthews_corrcoef(t, p)),
    ]
    for name, expected in pairs:
        assert metrics.score(name, c, "pooled") == pytest.approx(expected, abs=1e-6), name


def test_mcc_of_very_many_pixels_does_not_overflow():
    assert metrics.score("mcc", single(3e11, 1e11, 2e11, 4e11)) == pytest.approx(10 / math.sqrt(4 * 5 * 5 * 6))


# === The challenge's scorer ===


def official(truth, prediction):
    """Macro averages of isic-challenge-scoring over masks (N, H, W) of {0, 1}."""
    images = zip(255 * truth, 255 * prediction, strict=True)
    pairs = [SimpleNamespace(truth_image=t, prediction_image=p, image_id=str(i)) for i, (t, p) in enumerate(images)]
    return SegmentationScore(pairs)


def test_task_1_equals_the_official_scorer_per_image_and_overall():
    truth, prediction = masks((12, 24, 32))
    c = metrics.counts(truth, prediction)
    names = {name: name for name in ("accuracy", "sensitivity", "specificity", "jaccard", "dice")}
    names["threshold_jaccard"] = "thresholded_jaccard"
    per_image = [official(truth[i : i + 1], prediction[i : i + 1]).macro_average for i in range(12)]
    whole = official(truth, prediction)
    for name, ours in names.items():
        assert metrics.score(ours, c, "none").ravel().tolist() == [row[name] for row in per_image], name
        assert metrics.score(ours, c) == pytest.approx(whole.macro_average[name], abs=1e-15)
    assert metrics.score("thresholded_jaccard", c) == pytest.approx(whole.overall, abs=1e-15)


def test_task_2_equals_the_official_scorer(tmp_path):
    parts = []
    for i, (height, width) in enumerate([(20, 30), (48, 64), (31, 17)]):
        truth, prediction = (array[-1] for array in masks((4, height, width, 5), seed=i))
        truth[..., 2] = prediction[..., 2] = 0  # streaks never occur
        prediction[..., 1] *= i % 2 == 0
        parts.append(metrics.counts(truth[None], prediction[None]))
        for c, name in enumerate(CLASSES):
            for folder, array in (("truth", truth), ("prediction", prediction)):
                (tmp_path / folder).mkdir(exist_ok=True)
                cv2.imwrite(str(tmp_path / folder / f"ISIC_000000{i}_attribute_{name}.png"), 255 * array[..., c])
    expected = task2.score(tmp_path / "truth", tmp_path / "prediction")
    found = metrics.task2_scores(metrics.concatenate(parts), CLASSES)
    assert set(found) == set(expected)
    assert found["overall"] == pytest.approx(expected["overall"], abs=1e-15)
    assert found["streaks"] == {"jaccard": 1.0, "dice": 1.0}
    for name in (*CLASSES, "micro_average"):
        assert found[name] == pytest.approx(expected[name], abs=1e-15)
