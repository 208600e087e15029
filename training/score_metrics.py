"""The scores of training and validation, those of `metrics.SCORES` that are logged, as Keras metrics.

    build(classes=1, threshold=0.5)    # new metrics; each has the name of its score

They take masks (B, H, W, C) of {0, 1} and logits (B, H, W, C). A soft mask, which MixUp makes, is cut at one half: what
remains is the mask of the image that prevails. Their state is a sum, so that the result is exact for any batch size, an
uneven last batch and MirroredStrategy.
"""

import math

import keras
from keras import ops

import metrics
from utils.errors import UserError


def build(classes: int, threshold: float) -> list[keras.metrics.Metric]:
    """New metrics of the logged scores: means over images; of several classes, which may be rare, macro means."""
    if classes == 1:
        return [ImageScore(name, threshold) for name in metrics.logged()]
    return [MacroScore(name, classes, threshold) for name in metrics.logged()]


def image_counts(masks, logits, threshold: float) -> metrics.Counts:
    """Counts of pixels as float32 tensors (B, C); predicted is what has a probability at or above the threshold."""
    true = ops.cast(ops.cast(masks, "float32") > 0.5, "float32")
    predicted = ops.cast(ops.cast(logits, "float32") >= math.log(threshold / (1 - threshold)), "float32")
    tp, positives, found = (ops.sum(pixels, axis=(1, 2)) for pixels in (true * predicted, true, predicted))  # (B, C)
    pixels = math.prod(masks.shape[1:3])
    return metrics.Counts(tp, found - tp, positives - tp, pixels - positives - found + tp)


class CountMetric(keras.metrics.Metric):
    """A metric of a score of `metrics.SCORES`, named like it. threshold: a probability."""

    def __init__(self, score: str, threshold: float = 0.5, name: str | None = None, dtype=None):
        super().__init__(name=name or score, dtype=dtype)
        if not 0 < threshold < 1:
            raise UserError(f"threshold must be a probability between 0 and 1, got {threshold!r}")
        self.score = score
        self.threshold = threshold

    def get_config(self):
        return {**super().get_config(), "score": self.score, "threshold": self.threshold}


@keras.saving.register_keras_serializable("lesion")
class ImageScore(CountMetric):
    """The mean over images of the score of each image and class (then over classes)."""

    def __init__(self, score: str, threshold: float = 0.5, name: str | None = None, dtype=None):
        super().__init__(score, threshold, name, dtype)
        self.total = self.add_variable((), "zeros", name="total")
        self.images = self.add_variable((), "zeros", name="images")

    def update_state(self, y_true, y_pred, sample_weight=None):
        scores = ops.mean(self.of_images(image_counts(y_true, y_pred, self.threshold)), axis=-1)  # (B,)
        weights = _weights(sample_weight, scores)
        self.total.assign_add(ops.cast(ops.sum(scores * weights), self.total.dtype))
        self.images.assign_add(ops.cast(ops.sum(weights), self.images.dtype))

    def of_images(self, counts: metrics.Counts):
        """The score of each image and class, (B, C), from counts (B, C)."""
        score = metrics.SCORES[self.score]
        above, below = score.formula(counts)
        values = ops.where(below != 0, above / ops.where(below != 0, below, 1.0), score.empty)
        return ops.where(values < score.cut, 0.0, values) if score.cut else values

    def result(self):
        return ops.divide_no_nan(self.total, self.images)


@keras.saving.register_keras_serializable("lesion")
class MacroScore(CountMetric):
    """The mean over classes of the score of each class's pixels in all images together.

    For several classes that are often absent, where a mean over images rewards predicting nothing. Counts are fractions
    of their image, as in ISIC 2018 Task 2. A class for which the score is undefined is left out of the mean.
    """

    def __init__(self, score: str, classes: int, threshold: float = 0.5, name: str | None = None, dtype=None):
        super().__init__(score, threshold, name, dtype)
        self.classes = classes
        self.counts = self.add_variable((4, classes), "zeros", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        pixels = math.prod(y_true.shape[1:3])
        fractions = ops.stack(image_counts(y_true, y_pred, self.threshold)) / pixels  # (4, B, C)
        weights = _weights(sample_weight, fractions[0, :, 0])
        fractions = ops.sum(fractions * ops.reshape(weights, (1, -1, 1)), axis=1)  # (4, C)
        self.counts.assign_add(ops.cast(fractions, self.counts.dtype))

    def result(self):
        above, below = metrics.SCORES[self.score].formula(metrics.Counts(*ops.unstack(self.counts, 4)))  # (C,) each
        defined = ops.cast(below != 0, below.dtype)
        return ops.divide_no_nan(ops.sum(ops.divide_no_nan(above, below)), ops.sum(defined))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def _weights(sample_weight, values):
    """The weight of each image, float32 (B,): 1 where none are given for values (B,)."""
    if sample_weight is None:
        return ops.ones_like(values)
    return ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
