"""Models of quality on data whose answer is known; rankings and risks by hand and against SciPy and scikit-learn."""

import numpy as np
import pytest
import scipy.stats
import sklearn.linear_model
import sklearn.metrics

from evaluation import mask_quality
from inference import quality

COUNT = len(quality.NAMES)


def example(images=90, seed=0):
    """Features (images, …) and Jaccards that fall with vagueness, and with nothing else."""
    random = np.random.default_rng(seed)
    features = random.random((images, COUNT + 2))
    vagueness = features[:, quality.NAMES.index("vagueness")]
    return features, np.clip(1 - vagueness + random.normal(0, 0.02, images), 0, 1)


def test_what_there_is_to_learn_is_learned():
    features, jaccards = example()
    model = mask_quality.fit(features, jaccards)
    largest = np.argmax(np.abs(model["weights"]))
    assert model["names"][largest] == "vagueness" and model["weights"][largest] < 0 and model["images"] == 90
    others, theirs = example(seed=1)
    assert np.abs(quality.estimate(model, others) - theirs).mean() < 0.05


def test_the_model_is_scikit_learns_ridge():
    features, jaccards = example()
    model = mask_quality.fit(features, jaccards)
    standard = (features[:, :COUNT] - features[:, :COUNT].mean(axis=0)) / features[:, :COUNT].std(axis=0)
    ridge = sklearn.linear_model.Ridge(alpha=model["penalty"]).fit(standard, jaccards)
    assert model["weights"] == pytest.approx(ridge.coef_.tolist())
    assert quality.estimate(model, features) == pytest.approx(np.clip(ridge.predict(standard), 0, 1))


def test_a_feature_that_is_undefined_is_left_out_and_too_few_images_give_no_model():
    features, jaccards = example()
    features[:, 0] = np.nan
    assert mask_quality.fit(features, jaccards)["names"] == list(quality.NAMES[1:])
    assert mask_quality.is_enough(jaccards[:30])
    assert not mask_quality.is_enough(jaccards[:29]) and not mask_quality.is_enough(np.ones(90))


@pytest.mark.parametrize("images", [30, 31, 37])
def test_of_as_many_images_as_give_a_model_each_has_an_estimate(images):
    features, jaccards = example(images)
    jaccards[5:] = 0.8  # in one fold there may be nothing to learn
    assert mask_quality.is_enough(jaccards) and np.isfinite(mask_quality.fit(features, jaccards)["intercept"])
    found = mask_quality.out_of_fold(features, jaccards)
    assert found.shape == (images,) and np.all((found >= 0) & (found <= 1))


def test_a_feature_that_hardly_ever_varied_decides_nothing():
    features, jaccards = example()
    border = quality.NAMES.index("border")
    features[:, border] = 0
    features[7, border] = 1e-4
    jaccards[7] = 0.1
    model = mask_quality.fit(features, jaccards)
    usual = features[20].copy()
    found = quality.estimate(model, usual)
    usual[border] = 0.5
    assert quality.estimate(model, usual) == pytest.approx(float(found), abs=0.1)


def test_of_a_class_that_is_hardly_ever_found_the_mean_is_expected():
    random = np.random.default_rng(4)
    features = np.tile(quality.features([np.full((8, 8), 0.05, np.float32)], 0.5), (100, 1))
    jaccards = (random.random(100) < 0.8).astype(float)  # 1 where it is not there
    assert mask_quality.is_enough(jaccards)
    model = mask_quality.fit(features, jaccards)
    assert model["names"] == [] and quality.estimate(model, features) == pytest.approx(np.full(100, jaccards.mean()))
    features[:6, : len(quality.NAMES)] = random.random((6, len(quality.NAMES)))  # too few for some of the folds
    assert np.isfinite(mask_quality.out_of_fold(features, jaccards)).all()


def test_out_of_fold_no_image_is_foreseen_by_a_model_that_saw_it():
    features, jaccards = example()
    found = mask_quality.out_of_fold(features, jaccards)
    changed = jaccards.copy()
    changed[::5] = 0  # the first fold
    again = mask_quality.out_of_fold(features, changed)
    assert np.array_equal(found[::5], again[::5]) and not np.array_equal(found[1::5], again[1::5])


def test_rankings_agree_with_scipy_and_scikit_learn():
    random = np.random.default_rng(2)
    values = np.round(random.random(80), 1)  # with ties
    jaccards = np.clip(values + random.normal(0, 0.3, 80), 0, 1)
    assert mask_quality.spearman(values, jaccards) == pytest.approx(scipy.stats.spearmanr(values, jaccards)[0])
    assert np.isnan(mask_quality.spearman(np.ones(5), np.arange(5.0)))
    features = np.zeros((80, COUNT + 2))
    features[:, COUNT] = random.random(80)
    features[:, COUNT + 1] = -jaccards
    found = mask_quality.measure(values, jaccards, features)
    expected = sklearn.metrics.roc_auc_score(jaccards < 0.65, -values)
    assert found["rankings"]["estimate"]["auc"] == pytest.approx(expected)
    assert found["rankings"]["area"]["spearman"] == pytest.approx(-1)
    assert found["low"] == np.count_nonzero(jaccards < 0.65)
    low, high = found["rankings"]["estimate"]["intervals"]["spearman"]
    assert low < found["rankings"]["estimate"]["spearman"] < high


def test_risks_by_hand():
    jaccards = np.array([0.5, 1.0, 0.0])
    assert mask_quality.risks(np.array([2, 3, 1]), jaccards) == pytest.approx([0, 0.25, 0.5])
    assert mask_quality.risk_area(np.array([2, 3, 1]), jaccards) == pytest.approx(0.25)
    assert mask_quality.risk_area(np.array([1, 2, 3]), jaccards) == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_risks_of_equal_values_depend_on_no_order():
    random = np.random.default_rng(0)
    values = np.round(random.random((5, 100)), 1)
    values[0] = 0  # all are equal: any order
    jaccards = random.random((5, 100))
    order = random.permutation(100)
    found = mask_quality.risks(values, jaccards)
    assert mask_quality.risks(values[:, order], jaccards[:, order]) == pytest.approx(found)
    assert found[0] == pytest.approx(np.full(100, 1 - jaccards[0].mean()))
    assert mask_quality.risks(values[3], jaccards[3]) == pytest.approx(found[3])
