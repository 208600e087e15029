"""Limits of training images: how many they leave out, and which splits have none."""

import json

import cv2
import numpy as np
import pytest
import scipy.stats

import config
from datasets.phantoms import phantom
from datasets.split import Split
from evaluation import training_images
from imaging import image_statistics
from inference import image_range


def split(count, classes=1):
    images = np.stack([phantom(seed=seed, height=32, width=32).image for seed in range(count)])
    masks = np.zeros((count, 32, 32, classes), np.uint8)
    masks[:, 8:24, 8:24] = 1
    masks[0] = 0
    return Split(images, masks, [str(k) for k in range(count)], np.full((count, 2), 32), ["a", "b"][:classes])


def test_limits_are_plain_numbers_of_every_statistic():
    found = training_images.limits(split(110), config.Settings())
    assert found["images"] == 110 and list(found["ranges"]) == list(image_statistics.NAMES)
    assert all(low <= high for low, high in found["ranges"].values())
    assert np.shape(found["quantiles"]) == (image_statistics.COUNT, len(image_range.DEVIATES))
    assert [len(row) for row in found["whitening"]] == list(range(1, image_statistics.COUNT + 1))
    assert len(json.dumps(found)) < 24_000  # a .keras file has 64 KB for all that is inside
    assert found["areas"] == [0.25, 0.25]  # an empty mask has none


def test_few_images_have_no_limits_and_several_classes_no_area():
    assert training_images.limits(split(99), config.Settings()) == {}
    assert training_images.limits(split(101, classes=2), config.Settings())["areas"] == []


def test_one_of_a_hundred_training_images_at_most_is_left_out():
    values = np.random.default_rng(0).standard_t(4, (2000, image_statistics.COUNT))
    found = training_images.of_statistics(values)
    low, high = np.array(list(found["ranges"].values())).T
    named = values[:, : len(low)]
    outside = ((named < low) | (named > high)).any(axis=1)
    assert 0.002 < outside.mean() <= training_images.OUTSIDE


@pytest.mark.parametrize("count", [150, 2000])
def test_the_ellipsoid_is_as_wide_for_images_that_it_was_not_fitted_to(count):
    random = np.random.default_rng(0)
    mixing = random.normal(size=(image_statistics.COUNT, image_statistics.COUNT))
    values = random.standard_t(6, (count + 2000, image_statistics.COUNT)) @ mixing
    found = training_images.of_statistics(values[:count])
    beyond = image_range.distances(found, values[count:]) > found["distance"]
    assert beyond.mean() < 2.5 * training_images.OUTSIDE


def test_rounding_of_gray_images_is_no_difference():
    random = np.random.default_rng(0)

    def gray():
        image = cv2.GaussianBlur(random.integers(0, 256, (48, 48, 1), np.uint8), (0, 0), random.uniform(0.6, 1.2))
        return np.repeat(
            cv2.normalize(image, None, 0, random.integers(120, 256), cv2.NORM_MINMAX)[..., None], 3, axis=2
        )

    values = np.array([image_statistics.describe(gray()) for _ in range(400)])
    limits = training_images.of_statistics(values) | {"areas": []}
    new = [gray() for _ in range(100)]
    assert np.mean([bool(image_range.reasons(limits, image, [0.3])) for image in new]) <= 0.05
    blurred = [cv2.GaussianBlur(image, (0, 0), 2) for image in new]
    assert np.mean([bool(image_range.reasons(limits, image, [0.3])) for image in blurred]) >= 0.95
    noise = random.normal(0, 1e-5, values.shape)  # as much as another arithmetic may give
    assert np.all(
        np.abs(image_range.distances(limits, values + noise) / image_range.distances(limits, values) - 1) < 0.05
    )


def test_statistics_are_brought_to_a_normal_distribution():
    random = np.random.default_rng(0)
    values = np.stack([np.exp(random.normal(size=4000)), random.normal(3, 5, 4000)], axis=1)
    quantiles = np.quantile(values, scipy.stats.norm.cdf(image_range.DEVIATES), axis=0).T
    found = image_range.normal(quantiles, values)
    assert scipy.stats.kstest(found[:, 0], "norm").pvalue > 0.05  # a logarithmic normal distribution became normal
    inside = np.abs(found[:, 1]) < 2.4
    assert found[inside, 1] == pytest.approx((values[inside, 1] - 3) / 5, abs=0.15)
    assert np.all(np.diff(found[np.argsort(values[:, 0]), 0]) >= 0)
    far = image_range.normal(quantiles, np.array([[1e3, 103.0]]))[0]
    assert far[1] == pytest.approx(20, rel=0.2) and far[0] > 20
