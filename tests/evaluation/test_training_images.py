"""Limits of training images: how many they leave out, and which splits have none."""

import numpy as np

import config
from datasets.phantoms import phantom
from datasets.split import Split
from evaluation import training_images
from imaging import image_statistics


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
    assert np.shape(found["precision"]) == (len(image_statistics.NAMES),) * 2
    assert found["areas"] == [0.25, 0.25]  # an empty mask has none


def test_few_images_have_no_limits_and_several_classes_no_area():
    assert training_images.limits(split(99), config.Settings()) == {}
    assert training_images.limits(split(101, classes=2), config.Settings())["areas"] == []


def test_two_of_a_hundred_training_images_at_most_are_left_out():
    values = np.random.default_rng(0).standard_t(4, (2000, len(image_statistics.NAMES)))
    found = training_images.of_statistics(values)
    low, high = np.array(list(found["ranges"].values())).T
    outside = ((values < low) | (values > high)).any(axis=1)
    assert 0.002 < outside.mean() <= training_images.OUTSIDE
