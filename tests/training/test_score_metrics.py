"""Scores as Keras metrics: equal to those from counts for any batching, weights and several replicas."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import metrics
from training.score_metrics import ImageScore, MacroScore, build


def masks(shape=(6, 24, 32, 2), seed=0):
    """Truth and prediction that agree on most pixels; image 0 has both empty, 1 an empty truth, 2 a full truth."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(shape) > 0.6).astype(np.uint8)
    prediction = np.where(rng.random(shape) > 0.15, truth, 1 - truth).astype(np.uint8)
    truth[:2], prediction[0], truth[2] = 0, 0, 1
    return truth, prediction


def logits(truth, prediction):
    rng = np.random.default_rng(3)
    sizes = rng.uniform(0.1, 9, truth.shape).astype("float32")
    return truth.astype("float32"), np.where(prediction == 1, sizes, -sizes)


@pytest.mark.parametrize("step", [1, 4, 6])
def test_keras_metrics_equal_counts_for_any_batch_size(step):
    truth, prediction = masks()
    c = metrics.counts(truth, prediction)
    true, given = logits(truth, prediction)
    made = [ImageScore(name) for name in ("dice", "jaccard", "thresholded_jaccard", "mcc")]
    for metric in made:
        for start in range(0, len(true), step):
            metric.update_state(true[start : start + step], given[start : start + step], sample_weight=None)
    expected = [metrics.score(metric.name, c) for metric in made]
    assert [float(metric.result()) for metric in made] == pytest.approx(expected, abs=1e-6)
    assert 0 < expected[3] < expected[2] < expected[1] < expected[0] < 1


def test_keras_metrics_threshold_weights_and_reset():
    true = np.array([1.0, 0.0, 1.0, 1.0]).reshape(2, 1, 2, 1)
    given = np.log(np.array([0.4, 0.2, 0.6, 0.6]) / np.array([0.6, 0.8, 0.4, 0.4])).reshape(2, 1, 2, 1)
    metric = ImageScore("dice")
    assert float(metric(true, given)) == pytest.approx(0.5)
    assert float(ImageScore("dice", threshold=0.3)(true, given)) == pytest.approx(1.0)
    assert float(ImageScore("dice", threshold=0.1)(true, given)) == pytest.approx((2 / 3 + 1) / 2)
    metric.reset_state()
    assert float(metric(true, given, sample_weight=[3.0, 1.0])) == pytest.approx(0.25)
    assert float(metric(true.astype("uint8"), given.astype("float16"), sample_weight=[[0.0], [4.0]])) == 5 / 8
    with pytest.raises(ValueError, match="threshold must be a probability between 0 and 1, got 128"):
        ImageScore("dice", threshold=128)


@pytest.mark.parametrize("step", [1, 4, 6])
def test_macro_metrics_are_the_mean_of_classes_that_are_there(step):
    truth, prediction = masks((6, 9, 7, 4))
    truth[..., 2] = prediction[..., 2] = 0  # nowhere
    truth[..., 3] = 0  # predicted, never true: 0
    c = metrics.counts(truth, prediction)
    true, given = logits(truth, prediction)
    for metric in [MacroScore(name, 4) for name in ("dice", "jaccard")]:
        for start in range(0, len(true), step):
            metric.update_state(true[start : start + step], given[start : start + step])
        assert float(metric.result()) == pytest.approx(
            metrics.score(metric.name, c, "pooled_macro", empty=math.nan), abs=1e-6
        )
        metric.reset_state()
        metric.update_state(true[4:], given[4:], sample_weight=[1.0, 0.0])  # the second is padding
        expected = metrics.score(
            metric.name, metrics.counts(truth[4:5], prediction[4:5]), "pooled_macro", empty=math.nan
        )
        assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_keras_metrics_are_saved_with_their_parameters():
    for metric in (MacroScore("jaccard", 5, threshold=0.3), ImageScore("dice", threshold=0.3, name="d")):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
        assert type(again) is type(metric)
        assert again.get_config() == metric.get_config()
    assert metric.get_config() == {"name": "d", "dtype": "float32", "score": "dice", "threshold": 0.3}


def test_keras_metrics_in_fit_on_two_replicas_with_an_uneven_last_batch():
    truth, prediction = masks((7, 8, 8, 1))
    true, given = logits(truth, prediction)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        model = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Activation("linear")])
        macro = [MacroScore(name, 1, name=f"macro_{name}") for name in ("dice", "jaccard")]
        model.compile(loss="mse", metrics=[ImageScore("dice"), ImageScore("jaccard"), *macro])
    found = model.evaluate(given, true, batch_size=4, verbose=0, return_dict=True)
    c = metrics.counts(truth, prediction)
    for name in ("dice", "jaccard"):
        assert found[name] == pytest.approx(metrics.score(name, c), abs=1e-6)
        assert found[f"macro_{name}"] == pytest.approx(metrics.score(name, c, "pooled_macro"), abs=1e-6)


def test_keras_metrics_cut_soft_masks_at_one_half():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 2, (2, 3, 8, 8, 1)).astype("float32")
    logits = random.normal(size=first.shape).astype("float32")
    for name in ("dice", "jaccard"):
        soft = ImageScore(name)(0.7 * first + 0.3 * second, logits)
        assert float(soft) == float(ImageScore(name)(first, logits))


def test_the_logged_scores_are_built_in_alphabetical_order():
    assert [(type(each), each.name) for each in build(1, 0.5)] == [(ImageScore, "dice"), (ImageScore, "jaccard")]
    assert [(type(each), each.name) for each in build(5, 0.5)] == [(MacroScore, "dice"), (MacroScore, "jaccard")]
    assert list(metrics.monitors()) == ["val_loss", "val_dice", "val_jaccard", "epoch"]
