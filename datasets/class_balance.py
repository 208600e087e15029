"""Rare classes: how many images show each class, the weights of the classes in a loss, draws that favor rare ones."""

import numpy as np
import tensorflow as tf

from datasets.class_statistics import class_pixels
from utils.errors import UserError


def class_weights(split):
    """How many times rarer than the commonest class each class is, by images that show it: list of floats ≥ 1.

    Raises:
        UserError: a class is in no image.
    """
    counts = (class_pixels(split.masks) > 0).sum(axis=0)
    if absent := [name for name, count in zip(split.classes, counts, strict=True) if not count]:
        raise UserError(f"class_weights balanced: no training image shows {', '.join(absent)}: give them as a list")
    return [round(float(counts.max() / count), 4) for count in counts]


class Draws:
    """Turns an epoch's order of all images into draws that favor rare classes.

    An image's share of the draws is (1 - rare) / N + rare * the mean over the classes of 1 / images of the class, for
    the classes it shows. Place k of N falls on the image in whose stretch of the summed shares (k + chance) / N lies,
    with one chance for the whole epoch: each image is drawn as often as its share says, rounded up or down, and for
    `rare` = 0 exactly once.
    """

    def __init__(self, split, rare):
        shown = class_pixels(split.masks) > 0  # (N, classes)
        if len(split.classes) < 2 or not shown.any():
            raise UserError(
                f"rare {rare:g} favors images of rare classes, but the training masks hold no more than one: "
                f"{', '.join(split.classes)}"
            )
        counts = shown.sum(axis=0)
        classes = shown[:, counts > 0] / counts[counts > 0]  # (N, classes), sums of 1
        shares = (1 - rare) / len(shown) + rare * classes.mean(axis=1)
        self.ends = np.cumsum(shares)[:-1]  # of each image's stretch, but the last

    def __call__(self, places, seed):
        """int64 numbers of images for places of an epoch, of the same shape. seed: int64 (2,), that of the epoch."""
        chance = tf.random.stateless_uniform((), seed, dtype=tf.float64)
        spots = (tf.cast(places, tf.float64) + chance) / (len(self.ends) + 1)
        return tf.searchsorted(self.ends, spots, side="right", out_type=tf.int64)
