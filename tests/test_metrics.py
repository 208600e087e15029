"""Metrics: hand-made counts, scikit-learn, the challenge's own scorer, and Keras metrics under any batching."""

import math
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
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


def test_soft_counts_of_decisions_are_the_counts_and_of_probabilities_their_sums():
    truth, prediction = masks()
    for soft, hard in zip(metrics.soft_counts(truth, prediction), metrics.counts(truth, prediction), strict=True):
        assert (soft == hard).all()
    c = metrics.soft_counts(np.array([1, 0]).reshape(1, 1, 2, 1), np.array([0.75, 0.5]).reshape(1, 1, 2, 1))
    assert [field.item() for field in c] == [0.75, 0.5, 0.25, 0.5]
    assert metrics.dice(c) == pytest.approx(1.5 / 2.25)


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
    ("score", "expected"),
    [
        (metrics.dice, 2 * 3 / 9),
        (metrics.jaccard, 3 / 6),
        (metrics.accuracy, 7 / 10),
        (metrics.sensitivity, 3 / 5),
        (metrics.specificity, 4 / 5),
        (metrics.precision, 3 / 4),
        (metrics.f_beta, 5 * 3 / (5 * 3 + 4 * 2 + 1)),
        (metrics.mcc, (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6)),
        (metrics.relative_volume_difference, -1 / 5),
    ],
)
def test_scores_of_hand_made_counts(score, expected):
    c = single(tp=3, fp=1, fn=2, tn=4)
    for reduction in ("image", "pooled", "pooled_macro"):
        assert score(c, reduction=reduction) == pytest.approx(expected, abs=1e-12)
    assert score(c, reduction="none") == pytest.approx(np.array([[expected]]), abs=1e-12)


def test_reductions():
    c = Counts(*(np.array(x) for x in ([[1, 0], [3, 2]], [[1, 0], [0, 0]], [[0, 2], [1, 0]], [[0, 0], [0, 0]])))
    assert metrics.jaccard(c, "none").tolist() == [[0.5, 0.0], [0.75, 1.0]]
    assert metrics.jaccard(c, "image_per_class").tolist() == [0.625, 0.5]
    assert metrics.jaccard(c, "image") == 0.5625
    assert metrics.jaccard(c, "pooled_per_class") == pytest.approx([4 / 6, 2 / 4])
    assert metrics.jaccard(c, "pooled_macro") == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert metrics.jaccard(c, "pooled") == pytest.approx(6 / 10)
    for score in (metrics.dice, metrics.thresholded_jaccard):
        with pytest.raises(ValueError, match="unknown reduction 'mean'; there are: none, image"):
            score(c, "mean")


def test_rule_for_empty_masks():
    nothing, all_lesion = single(0, 0, 0, 9), single(9, 0, 0, 0)
    assert metrics.dice(nothing) == metrics.jaccard(nothing) == metrics.sensitivity(nothing) == 1
    assert metrics.precision(nothing) == metrics.f_beta(nothing) == metrics.specificity(all_lesion) == 1
    assert metrics.jaccard(single(0, 4, 0, 5)) == metrics.jaccard(single(0, 0, 4, 5)) == 0
    assert metrics.mcc(nothing) == metrics.mcc(all_lesion) == 0
    assert math.isnan(metrics.relative_volume_difference(nothing))
    for score in (metrics.dice, metrics.jaccard, metrics.thresholded_jaccard, metrics.sensitivity, metrics.precision):
        assert math.isnan(score(nothing, empty=math.nan))


def test_undefined_scores_are_left_out_of_means_when_asked():
    c = metrics.concatenate([single(0, 0, 0, 9), single(1, 1, 0, 7)])
    assert metrics.jaccard(c) == 0.75
    assert metrics.jaccard(c, empty=math.nan) == 0.5
    assert np.isnan(metrics.jaccard(c, "none", empty=math.nan)).ravel().tolist() == [True, False]


def test_thresholded_jaccard():
    c = metrics.concatenate([single(65, 35, 0, 0), single(64, 36, 0, 0)])
    assert metrics.thresholded_jaccard(c, "none").ravel().tolist() == [0.65, 0.0]
    assert metrics.thresholded_jaccard(c) == 0.325
    assert metrics.thresholded_jaccard(c, cut=0.5) == pytest.approx(0.645)
    with pytest.raises(ValueError, match="a score of single images, not of pooled counts"):
        metrics.thresholded_jaccard(c, "pooled")


def test_pooled_scores_agree_with_scikit_learn():
    truth, prediction = masks()
    t, p = truth.ravel(), prediction.ravel()
    c = metrics.counts(truth, prediction)
    pairs = [
        (metrics.dice, sklearn.metrics.f1_score(t, p)),
        (metrics.jaccard, sklearn.metrics.jaccard_score(t, p)),
        (metrics.accuracy, sklearn.metrics.accuracy_score(t, p)),
        (metrics.sensitivity, sklearn.metrics.recall_score(t, p)),
        (metrics.specificity, sklearn.metrics.recall_score(1 - t, 1 - p)),
        (metrics.precision, sklearn.metrics.precision_score(t, p)),
        (metrics.f_beta, sklearn.metrics.fbeta_score(t, p, beta=2)),
        (metrics.mcc, sklearn.metrics.matthews_corrcoef(t, p)),
    ]
    for score, expected in pairs:
        assert score(c, reduction="pooled") == pytest.approx(expected, abs=1e-6), score.__name__
    assert metrics.f_beta(c, 0.5, "pooled") == pytest.approx(sklearn.metrics.fbeta_score(t, p, beta=0.5), abs=1e-6)


def test_mcc_of_very_many_pixels_does_not_overflow():
    assert metrics.mcc(single(3e11, 1e11, 2e11, 4e11)) == pytest.approx(10 / math.sqrt(4 * 5 * 5 * 6))


# === The challenge's scorer ===


def official(truth, prediction):
    """Macro averages of isic-challenge-scoring over masks (N, H, W) of {0, 1}."""
    images = zip(255 * truth, 255 * prediction, strict=True)
    pairs = [SimpleNamespace(truth_image=t, prediction_image=p, image_id=str(i)) for i, (t, p) in enumerate(images)]
    return SegmentationScore(pairs)


def test_task_1_equals_the_official_scorer_per_image_and_overall():
    truth, prediction = masks((12, 24, 32))
    c = metrics.counts(truth, prediction)
    names = {
        "accuracy": metrics.accuracy,
        "sensitivity": metrics.sensitivity,
        "specificity": metrics.specificity,
        "jaccard": metrics.jaccard,
        "threshold_jaccard": metrics.thresholded_jaccard,
        "dice": metrics.dice,
    }
    per_image = [official(truth[i : i + 1], prediction[i : i + 1]).macro_average for i in range(12)]
    whole = official(truth, prediction)
    for name, score in names.items():
        assert score(c, "none").ravel().tolist() == [row[name] for row in per_image], name
        assert score(c) == pytest.approx(whole.macro_average[name], abs=1e-15)
    assert metrics.thresholded_jaccard(c) == pytest.approx(whole.overall, abs=1e-15)


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


# === Keras metrics ===


def logits(truth, prediction):
    rng = np.random.default_rng(3)
    sizes = rng.uniform(0.1, 9, truth.shape).astype("float32")
    return truth.astype("float32"), np.where(prediction == 1, sizes, -sizes)


@pytest.mark.parametrize("step", [1, 4, 6])
def test_keras_metrics_equal_counts_for_any_batch_size(step):
    truth, prediction = masks()
    c = metrics.counts(truth, prediction)
    true, given = logits(truth, prediction)
    made = [metrics.ImageDice(), metrics.ImageJaccard(), metrics.ImageJaccard(name="thresholded", cut=metrics.CUT)]
    for metric in made:
        for start in range(0, len(true), step):
            metric.update_state(true[start : start + step], given[start : start + step], sample_weight=None)
    expected = [metrics.dice(c), metrics.jaccard(c), metrics.thresholded_jaccard(c)]
    assert [float(metric.result()) for metric in made] == pytest.approx(expected, abs=1e-6)
    assert [metric.name for metric in made] == ["dice", "jaccard", "thresholded"]


def test_keras_metrics_threshold_weights_and_reset():
    true = np.array([1.0, 0.0, 1.0, 1.0]).reshape(2, 1, 2, 1)
    given = np.log(np.array([0.4, 0.2, 0.6, 0.6]) / np.array([0.6, 0.8, 0.4, 0.4])).reshape(2, 1, 2, 1)
    metric = metrics.ImageDice(threshold=0.5)
    assert float(metric(true, given)) == pytest.approx(0.5)
    assert float(metrics.ImageDice(threshold=0.3)(true, given)) == pytest.approx(1.0)
    assert float(metrics.ImageDice(threshold=0.1)(true, given)) == pytest.approx((2 / 3 + 1) / 2)
    metric.reset_state()
    assert float(metric(true, given, sample_weight=[3.0, 1.0])) == pytest.approx(0.25)
    assert float(metric(true.astype("uint8"), given.astype("float16"), sample_weight=[[0.0], [4.0]])) == 5 / 8
    with pytest.raises(ValueError, match="threshold must be a probability between 0 and 1, got 128"):
        metrics.ImageDice(threshold=128)


@pytest.mark.parametrize("step", [1, 4, 6])
def test_macro_metrics_are_the_mean_of_classes_that_are_there(step):
    truth, prediction = masks((6, 9, 7, 4))
    truth[..., 2] = prediction[..., 2] = 0  # nowhere
    truth[..., 3] = 0  # predicted, never true: 0
    c = metrics.counts(truth, prediction)
    true, given = logits(truth, prediction)
    for metric, score in ((metrics.MacroDice(4), metrics.dice), (metrics.MacroJaccard(4), metrics.jaccard)):
        for start in range(0, len(true), step):
            metric.update_state(true[start : start + step], given[start : start + step])
        assert float(metric.result()) == pytest.approx(score(c, "pooled_macro", empty=math.nan), abs=1e-6)
        metric.reset_state()
        metric.update_state(true[4:], given[4:], sample_weight=[1.0, 0.0])  # the second is padding
        expected = score(metrics.counts(truth[4:5], prediction[4:5]), "pooled_macro", empty=math.nan)
        assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_keras_metrics_are_saved_with_their_parameters():
    macro = metrics.MacroJaccard(5, threshold=0.3)
    for metric in (macro, metrics.ImageDice("d", threshold=0.3), metrics.ImageJaccard("j", threshold=0.4, cut=0.65)):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
        assert type(again) is type(metric)
        assert again.get_config() == metric.get_config()
    assert metric.get_config() == {"name": "j", "dtype": "float32", "threshold": 0.4, "cut": 0.65}


def test_keras_metrics_in_fit_on_two_replicas_with_an_uneven_last_batch():
    truth, prediction = masks((7, 8, 8, 1))
    true, given = logits(truth, prediction)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        model = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Activation("linear")])
        macro = [metrics.MacroDice(1, name="macro"), metrics.MacroJaccard(1, name="macro_jaccard")]
        model.compile(loss="mse", metrics=[metrics.ImageDice(), metrics.ImageJaccard(), *macro])
    found = model.evaluate(given, true, batch_size=4, verbose=0, return_dict=True)
    c = metrics.counts(truth, prediction)
    assert found["dice"] == pytest.approx(metrics.dice(c), abs=1e-6)
    assert found["jaccard"] == pytest.approx(metrics.jaccard(c), abs=1e-6)
    assert found["macro"] == pytest.approx(metrics.dice(c, "pooled_macro"), abs=1e-6)
    assert found["macro_jaccard"] == pytest.approx(metrics.jaccard(c, "pooled_macro"), abs=1e-6)


def test_keras_metrics_cut_soft_masks_at_one_half():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 2, (2, 3, 8, 8, 1)).astype("float32")
    logits = random.normal(size=first.shape).astype("float32")
    for metric in (metrics.ImageDice, metrics.ImageJaccard):
        assert float(metric()(0.7 * first + 0.3 * second, logits)) == float(metric()(first, logits))
