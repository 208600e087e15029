"""Unusual images: phantoms stand for the training images, their blurred, inverted and gray copies for others."""

import cv2
import numpy as np
import pytest

from datasets.phantoms import phantom
from evaluation import training_images
from imaging import image_statistics
from inference import image_range

AREA = [0.3]  # of the image that the mask takes


@pytest.fixture(scope="module")
def images():
    return [phantom(seed=seed, height=64, width=64).image for seed in range(170)]


@pytest.fixture(scope="module")
def limits(images):
    found = training_images.of_statistics(np.array([image_statistics.describe(image) for image in images[:140]]))
    return found | {"areas": [0.02, 0.9]}


def fraction(limits, images):
    return np.mean([bool(image_range.reasons(limits, image, AREA)) for image in images])


def test_most_other_images_of_the_kind_pass(limits, images):
    assert fraction(limits, images[:140]) <= 0.03
    assert fraction(limits, images[140:]) <= 0.2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda image: cv2.GaussianBlur(image, (0, 0), 2), "blurred"),
        (lambda image: 255 - image, "no skin-like colors"),
        (lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), "hardly any color"),
        (lambda image: image // 5, "much darker than the training images"),
    ],
)
def test_changed_copies_are_flagged_with_the_reason(limits, images, change, reason):
    changed = [np.ascontiguousarray(change(image)) for image in images[140:]]
    found = [image_range.reasons(limits, image, AREA) for image in changed]
    assert np.mean([bool(each) for each in found]) >= 0.95
    assert np.mean([reason in each for each in found]) >= 0.8


def test_the_lesion_counts_too(limits, images):
    inside = next(image for image in images if not image_range.reasons(limits, image, AREA))
    assert image_range.reasons(limits, inside, [0.0]) == ["no lesion found"]
    assert image_range.reasons(limits, inside, [0.001]) == ["lesion much smaller than in the training images"]
    assert image_range.reasons(limits, inside, [0.95]) == ["lesion much larger than in the training images"]
    assert image_range.reasons(limits | {"areas": []}, inside, [0.0, 0.0]) == []  # several classes


def test_what_is_unusual_only_together(limits, images):
    """Each statistic as in some training image, but no two of one and the same."""
    known = np.array([image_statistics.describe(image) for image in images[:140]])
    assert np.mean(image_range.distances(limits, known) > limits["distance"]) <= 0.02
    mixed = np.random.default_rng(0).permuted(known, axis=0)
    assert np.mean(image_range.distances(limits, mixed) > limits["distance"]) >= 0.95


def test_every_side_of_every_statistic_has_words():
    assert set(image_range.BELOW) == set(image_range.ABOVE) == {*image_statistics.NAMES, "area"}
