"""Rare classes: how many images show each class, the weights of the classes in a loss, draws that favor rare ones."""

import numpy as np
import tensorflow as tf

from datasets.class_statistics import class_pixels
from datasets.split import Split
from utils.errors import UserError


def class_weights(split: Split) -> list[float]:
    """How many times rarer than the commonest class each class is, by images that show it: numbers from 1.

    Raises:
        UserError: a class is in no image.
    """
    counts = (class_pixels(split.masks) > 0).sum(axis=0)
    if absent := [name for name, count in zip(split.classes, counts, strict=True) if not count]:
        raise UserError(f"class_weights balanced: no training image shows {', '.join(absent)}: give them as a list")
    return [round(float(counts.max() / count), 4) for count in counts]


class Draws:
    """Turns an epoch's order of all images into draws that favor rare classes.

    An image's probability is (1 - rare) / N + rare * the mean over the classes of 1 / images of the class, for the
    classes it shows. Position k of N falls on the image in whose interval of the summed probabilities (k + chance) / N
    lies, with one chance for all of an epoch: each image is drawn N times its probability, rounded up or down, and for
    `rare` = 0 exactly once.
    """

    def __init__(self, split: Split, rare: float):
        shown = class_pixels(split.masks) > 0  # (N, classes)
        if len(split.classes) < 2 or not shown.any():
            raise UserError(
                f"rare {rare:g} favors images of rare classes, but the training masks hold no more than one: "
                f"{', '.join(split.classes)}"
            )
        counts = shown.sum(axis=0)
        classes = shown[:, counts > 0] / counts[counts > 0]  # (N, classes), sums of 1
        probabilities = (1 - rare) / len(shown) + rare * classes.mean(axis=1)
        self.ends = np.cumsum(probabilities)[:-1]  # of each image's interval, but the last

    def __call__(self, positions, seed):
        """Numbers of images for positions of an epoch, int64 of the same shape. seed: int64 (2,), of the epoch."""
        chance = tf.random.stateless_uniform((), seed, dtype=tf.float64)
        quantiles = (tf.cast(positions, tf.float64) + chance) / (len(self.ends) + 1)
        return tf.searchsorted(self.ends, quantiles, side="right", out_type=tf.int64)
