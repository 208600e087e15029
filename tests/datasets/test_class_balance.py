import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import pipeline
from config import Settings
from datasets import class_balance
from datasets.split import Split, subset

CLASSES = ["common", "rare", "rarest"]
SHOWN = np.array([[1, 0, 0]] * 6 + [[1, 1, 0]] * 2 + [[0, 0, 1]] + [[0, 0, 0]] * 3)  # 8, 2 and 1 of 12 images


@pytest.fixture
def split():
    masks = np.zeros((12, 4, 6, 3), "uint8")
    masks[:, 1, 2] = SHOWN
    images = np.arange(12, dtype="uint8")[:, None, None, None] * np.ones((1, 4, 6, 3), "uint8")
    return Split(images, masks, [f"i{k}" for k in range(12)], np.full((12, 2), 4), CLASSES)


def test_class_weights_by_hand(split):
    assert class_balance.class_weights(split) == [1.0, 4.0, 8.0]
    with pytest.raises(ValueError, match="no training image shows rarest: give them as a list"):
        class_balance.class_weights(subset(split, np.arange(8)))


def test_draws_are_as_frequent_as_their_probabilities(split):
    """Half evenly over 12 images; half over 3 classes, then over their 8, 2 and 1 images."""
    probabilities = 0.5 / 12 + 0.5 / 3 * (SHOWN / [8, 2, 1]).sum(axis=1)
    draws, totals = class_balance.Draws(split, 0.5), np.zeros(12)
    for epoch in range(300):
        counts = np.bincount(draws(np.arange(12), tf.constant([3, epoch], tf.int64)), minlength=12)
        assert (np.abs(counts - 12 * probabilities) < 1).all()  # rounded up or down
        totals += counts
    np.testing.assert_allclose(totals / 300, 12 * probabilities, atol=0.1)
    once = class_balance.Draws(split, 0.0)(np.arange(12)[::-1], tf.constant([3, 0], tf.int64))
    assert list(once) == list(range(12))[::-1]


def test_batches_with_draws_go_on_from_any_step(split):
    settings = Settings(batch_size=5, epochs=4, normalize="unit", rare=0.7, seed=4)
    batches = [(x.numpy(), y.numpy()) for x, y in pipeline.training(split, settings)]
    assert [len(x) for x, _ in batches] == [5, 5, 2] * 4
    for first in (2, 7):
        rest = list(pipeline.training(split, settings, first))
        for (x, y), (again, masks) in zip(batches[first:], rest, strict=True):
            np.testing.assert_array_equal(x, again)
            np.testing.assert_array_equal(y, masks)
    for step in (0, 6, 11):  # the number of an image is its color
        names = pipeline.batch_ids(split, settings, step)
        assert names == [f"i{round(image[0, 0, 0] * 255)}" for image in batches[step][0]]
    epochs = [
        [i for step in range(3 * e, 3 * e + 3) for i in pipeline.batch_ids(split, settings, step)] for e in range(4)
    ]
    assert all(epoch.count("i8") >= 2 for epoch in epochs) and len({tuple(epoch) for epoch in epochs}) == 4


def test_data_of_one_class_have_no_rare_ones(split):
    one = dataclasses.replace(split, masks=split.masks[..., :1], classes=["lesion"])
    with pytest.raises(ValueError, match=r"rare 0\.3 favors images of rare classes.*no more than one: lesion"):
        pipeline.training(one, Settings(normalize="unit", rare=0.3))
