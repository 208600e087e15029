"""Counts first, then every score: exact, streaming, with the reduction and the rule for empty masks always stated.

    c = counts(truth, prediction)            # (images, classes) integers: tp, fp, fn, tn
    jaccard(c)                               # mean over images (and classes); both masks empty: 1, the challenge's rule
    jaccard(c, "pooled")                     # all pixels of all images in one count
    jaccard(c, "none", empty=float("nan"))   # (images, classes), undefined ones as NaN

Reductions, and what they give for (images, classes) counts:

    none               (images, classes)  nothing reduced
    image_per_class    (classes,)         mean over images
    image              number             mean over images, then over classes
    pooled_per_class   (classes,)         counts summed over images
    pooled_macro       number             counts summed over images, then the mean over classes
    pooled             number             counts summed over images and classes

`empty` is the value where a score is 0/0. NaN is left out of means; a mean of nothing is NaN. A pixel is predicted
where its probability is at or above the threshold.
"""

import math
import warnings
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from evaluation.score_histogram import ScoreHistogram  # noqa: F401 (metrics is the one place to import scores from)
from utils.errors import UserError

CUT = 0.65  # Jaccard below which the ISIC 2018 challenge counts an image as failed
PACKAGE = "lesion"  # the prefix under which Keras files our classes in saved models


# === Counts ===


class Counts(NamedTuple):
    """Pixels per image and class, each (images, classes): int64, or float64 from `soft_counts`."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray


def counts(truth, prediction):
    """Exact counts of true and false positives and negatives.

    truth, prediction: masks of {0, 1} or bool, (N, H, W, C) or (N, H, W), of one shape; memory-mapped arrays are read
    image by image. Returns Counts of int64 (N, C). Raises UserError for other shapes or values.
    """
    classes = truth.shape[3] if len(truth.shape) == 4 else 1
    sums = np.zeros((3, len(truth), classes), np.int64)  # both, truth, prediction
    for i, (true, predicted) in enumerate(mask_pairs(truth, prediction)):
        for c in range(classes):
            sums[:, i, c] = [np.count_nonzero(x) for x in (true[c] & predicted[c], true[c], predicted[c])]
    both, true, predicted = sums
    return Counts(both, predicted - both, true - both, math.prod(truth.shape[1:3]) - true - predicted + both)


def mask_pairs(truth, prediction):
    """Yields truth and prediction of each image as bool (C, H, W); arguments and errors as for `counts`."""
    if truth.shape != prediction.shape or len(truth.shape) not in (3, 4):
        raise UserError(
            "truth and prediction must have one shape, (images, height, width) or (images, height, width, classes), "
            f"got {tuple(truth.shape)} and {tuple(prediction.shape)}"
        )
    for true, predicted in zip(truth, prediction, strict=True):
        yield _planes(true, "truth"), _planes(predicted, "prediction")


def _planes(mask, name):
    """One mask (H, W) or (H, W, C) as bool (C, H, W), each class in one piece of memory."""
    mask = np.asarray(mask)
    if mask.dtype != bool:
        if mask.dtype != np.uint8 and np.isin(mask, (0, 1)).all():
            mask = mask.astype(np.uint8)
        if mask.dtype != np.uint8 or mask.max(initial=0) > 1:
            raise UserError(f"{name} must hold 0 and 1 only, got {mask.dtype} from {mask.min()} to {mask.max()}")
        mask = mask.view(bool)
    return mask[None] if mask.ndim == 2 else np.ascontiguousarray(np.moveaxis(mask, -1, 0))


def soft_counts(truth, probabilities):
    """Counts with probabilities in place of decisions (tp = Σ p y, fp = Σ p (1 - y), …), for unthresholded scores.

    truth: masks of {0, 1}, probabilities: floats in [0, 1], both (N, H, W, C). Returns float64 (N, C).
    """
    truth, probabilities = np.asarray(truth, np.float64), np.asarray(probabilities, np.float64)
    both, true, predicted = (x.sum(axis=(1, 2)) for x in (truth * probabilities, truth, probabilities))  # (N, C)
    return Counts(both, predicted - both, true - both, math.prod(truth.shape[1:3]) - true - predicted + both)


def threshold_counts(truth, probabilities, steps=100):
    """Counts of each image at many thresholds; of them, `jaccard(c, "image_per_class")` is the curve of the image mean.

    truth: masks of {0, 1}, probabilities: floats in [0, 1], both (N, H, W). Thresholds are 1 / steps, 2 / steps, … and
    below 1. Predicted is what lies at or above one, or below it by rounding alone. Returns Counts of int64 (N,
    steps - 1).
    """
    scale = np.float32(steps * (1 + 2.0**-22))  # what equals a threshold must not be rounded below it
    rows = []
    for true, scores in zip(truth, np.asarray(probabilities, np.float32), strict=True):
        places = (scores * scale).astype(np.intp)  # (H, W), 0 to steps
        places += (steps + 1) * _planes(true, "truth")[0]
        sides = np.bincount(places.ravel(), minlength=2 * steps + 2).reshape(2, -1)  # others, true pixels
        above = sides[:, ::-1].cumsum(axis=1)[:, ::-1]  # (2, steps + 1)
        fp, tp = above[:, 1:-1]
        rows.append((tp, fp, above[1, 0] - tp, above[0, 0] - fp))
    return Counts(*np.array(rows, np.int64).reshape(-1, 4, steps - 1).swapaxes(0, 1))


def concatenate(parts):
    """Counts of several batches as one, in order."""
    return Counts(*(np.concatenate(field) for field in zip(*parts, strict=True)))


# === Scores from counts ===


def _sum(c, reduction):
    """The counts a pooled reduction works on; unchanged counts for the others."""
    if reduction in ("pooled_per_class", "pooled_macro"):
        return Counts(*(field.sum(axis=0) for field in c))
    return Counts(*(field.sum() for field in c)) if reduction == "pooled" else c


def _mean(scores, axis):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN, as documented
        return np.nanmean(scores, axis=axis)


def _average(scores, reduction):
    """The reduction's mean of the scores of its counts."""
    if reduction == "image":
        return float(_mean(_mean(scores, 0), 0))
    if reduction == "image_per_class":
        return _mean(scores, 0)
    if reduction == "pooled_macro":
        return float(_mean(scores, 0))
    return float(scores) if reduction == "pooled" else scores


REDUCTIONS = ("none", "image_per_class", "image", "pooled_per_class", "pooled_macro", "pooled")


def _score(formula, c, reduction, empty):
    """formula(counts) -> (above, below) the line, under a reduction, with `empty` where the lower one is 0."""
    if reduction not in REDUCTIONS:
        raise UserError(f"unknown reduction {reduction!r}; there are: {', '.join(REDUCTIONS)}")
    above, below = (np.asarray(x, np.float64) for x in formula(_sum(c, reduction)))
    scores = np.divide(above, below, out=np.full(below.shape, empty, np.float64), where=below != 0)
    return _average(scores, reduction)


def dice(c, reduction="image", empty=1.0):
    """2 tp / (2 tp + fp + fn), the F1 score of pixels; empty: no positives in either mask."""
    return _score(lambda c: (2 * c.tp, 2 * c.tp + c.fp + c.fn), c, reduction, empty)


def jaccard(c, reduction="image", empty=1.0):
    """tp / (tp + fp + fn); empty: no positives in either mask."""
    return _score(lambda c: (c.tp, c.tp + c.fp + c.fn), c, reduction, empty)


def thresholded_jaccard(c, reduction="image", cut=CUT, empty=1.0):
    """The Jaccard of each image and class, 0 where below `cut`; not defined for pooled counts (UserError)."""
    if reduction.startswith("pooled"):
        raise UserError(f"thresholded Jaccard is a score of single images, not of {reduction} counts")
    scores = jaccard(c, "none", empty)
    if reduction not in REDUCTIONS:
        raise UserError(f"unknown reduction {reduction!r}; there are: none, image_per_class, image")
    return _average(np.where(scores < cut, 0.0, scores), reduction)  # NaN stays NaN


def accuracy(c, reduction="image", empty=1.0):
    """(tp + tn) / all pixels."""
    return _score(lambda c: (c.tp + c.tn, c.tp + c.fp + c.fn + c.tn), c, reduction, empty)


def sensitivity(c, reduction="image", empty=1.0):
    """tp / (tp + fn), also called recall; empty: no positives in the truth."""
    return _score(lambda c: (c.tp, c.tp + c.fn), c, reduction, empty)


def specificity(c, reduction="image", empty=1.0):
    """tn / (tn + fp); empty: no negatives in the truth."""
    return _score(lambda c: (c.tn, c.tn + c.fp), c, reduction, empty)


def precision(c, reduction="image", empty=1.0):
    """tp / (tp + fp); empty: nothing predicted."""
    return _score(lambda c: (c.tp, c.tp + c.fp), c, reduction, empty)


def f_beta(c, beta=2.0, reduction="image", empty=1.0):
    """(1 + β²) tp / ((1 + β²) tp + β² fn + fp): sensitivity counts β times as much as precision."""
    b = beta * beta
    return _score(lambda c: ((1 + b) * c.tp, (1 + b) * c.tp + b * c.fn + c.fp), c, reduction, empty)


def mcc(c, reduction="image", empty=0.0):
    """Matthews correlation in [-1, 1]; empty (0, as in scikit-learn): a mask, true or predicted, of one value only."""

    def formula(c):
        tp, fp, fn, tn = (np.asarray(x, np.float64) for x in c)  # products of four counts overflow 64-bit integers
        return tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn)) * np.sqrt((tn + fp) * (tn + fn))

    return _score(formula, c, reduction, empty)


def relative_volume_difference(c, reduction="image", empty=math.nan):
    """(predicted - true) / true area: above 0 when too much is predicted; empty: no positives in the truth."""
    return _score(lambda c: (c.fp - c.fn, c.tp + c.fn), c, reduction, empty)


def task2_scores(c, classes):
    """The scores of ISIC 2018 Task 2 as the challenge's own scorer computes them.

    Counts are divided by the image's pixel count and summed over images. c: Counts (images, attributes); classes: their
    names. Returns {attribute: {"jaccard", "dice"}, …, "micro_average": {…}, "overall": Jaccard of all attributes' sum}.
    """
    pixels = sum(c)
    shares = Counts(*(field / pixels for field in c))
    per_class = zip(classes, jaccard(shares, "pooled_per_class"), dice(shares, "pooled_per_class"), strict=True)
    scores = {name: {"jaccard": float(j), "dice": float(d)} for name, j, d in per_class}
    scores["micro_average"] = {"jaccard": jaccard(shares, "pooled"), "dice": dice(shares, "pooled")}
    return {**scores, "overall": scores["micro_average"]["jaccard"]}


# === Keras metrics ===


def _areas(masks, logits, threshold):
    """Areas (B, C) in pixels: what a mask and a prediction have in common, and the sum of the two."""
    true = ops.cast(ops.cast(masks, "float32") > 0.5, "float32")
    predicted = ops.cast(ops.cast(logits, "float32") >= math.log(threshold / (1 - threshold)), "float32")
    both, true, predicted = (ops.sum(x, axis=(1, 2)) for x in (true * predicted, true, predicted))
    return both, true + predicted


class _ImageMetric(keras.metrics.Metric):
    """The mean over images of a score per image and class (then over classes), from logits.

    update_state takes masks (B, H, W, C) of {0, 1} and logits (B, H, W, C); both masks empty counts as 1. A soft mask,
    which MixUp makes in training, is cut at one half: what remains is the mask of the image that prevails. The state is
    two sums, so that the result is exact for any batch size, an uneven last batch and MirroredStrategy. `threshold`: a
    probability.
    """

    def __init__(self, name=None, threshold=0.5, dtype=None):
        super().__init__(name=name, dtype=dtype)
        if not 0 < threshold < 1:
            raise UserError(f"threshold must be a probability between 0 and 1, got {threshold!r}")
        self.threshold = threshold
        self.total = self.add_variable((), "zeros", name="total")
        self.images = self.add_variable((), "zeros", name="images")

    def update_state(self, y_true, y_pred, sample_weight=None):
        both, areas = _areas(y_true, y_pred, self.threshold)
        scores = ops.mean(self.score(both, areas), axis=-1)  # (B,)
        weights = ops.ones_like(scores) if sample_weight is None else ops.cast(sample_weight, "float32")
        weights = ops.reshape(weights, (-1,))  # (B,)
        self.total.assign_add(ops.cast(ops.sum(scores * weights), self.total.dtype))
        self.images.assign_add(ops.cast(ops.sum(weights), self.images.dtype))

    def score(self, both, areas):
        """The score from areas in pixels, (B, C): of both masks' overlap, and of the two masks together."""
        raise NotImplementedError

    def result(self):
        return ops.divide_no_nan(self.total, self.images)

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}


@keras.saving.register_keras_serializable(PACKAGE)
class ImageDice(_ImageMetric):
    """Mean Dice of images."""

    def __init__(self, name="dice", threshold=0.5, dtype=None):
        super().__init__(name, threshold, dtype)

    def score(self, both, areas):
        return ops.where(areas > 0, 2 * both / ops.maximum(areas, 1), 1.0)


@keras.saving.register_keras_serializable(PACKAGE)
class ImageJaccard(_ImageMetric):
    """Mean Jaccard of images; those below `cut` count 0 (0.65: the challenge's thresholded Jaccard)."""

    def __init__(self, name="jaccard", threshold=0.5, cut=0.0, dtype=None):
        super().__init__(name, threshold, dtype)
        self.cut = cut

    def score(self, both, areas):
        jaccards = ops.where(areas > 0, both / ops.maximum(areas - both, 1), 1.0)
        return ops.where(jaccards >= self.cut, jaccards, 0.0)

    def get_config(self):
        return {**super().get_config(), "cut": self.cut}


class _MacroMetric(keras.metrics.Metric):
    """The mean over classes of a score of each class's pixels in all images together, from logits.

    For several classes that are often absent, where a mean over images rewards marking nothing. update_state as above;
    areas are shares of their image, as in ISIC 2018 Task 2. A class neither true nor predicted in any image is left out
    of the mean. The state is a sum: exact for any batch size and under MirroredStrategy.
    """

    def __init__(self, classes, name=None, threshold=0.5, dtype=None):
        super().__init__(name=name or self.NAME, dtype=dtype)
        self.classes, self.threshold = classes, threshold
        self.areas = self.add_variable((2, classes), "zeros", name="areas")  # common ones, sums of the two

    def update_state(self, y_true, y_pred, sample_weight=None):
        areas = ops.stack(_areas(y_true, y_pred, self.threshold)) / math.prod(y_true.shape[1:3])  # (2, B, C)
        weights = ops.ones_like(areas[0, :, 0]) if sample_weight is None else ops.cast(sample_weight, "float32")
        areas = ops.sum(areas * ops.reshape(weights, (1, -1, 1)), axis=1)  # (2, C)
        self.areas.assign_add(ops.cast(areas, self.areas.dtype))

    def result(self):
        scores = ops.divide_no_nan(*self.ratio(*ops.unstack(self.areas, 2)))  # (C,)
        return ops.divide_no_nan(ops.sum(scores), ops.sum(ops.cast(self.areas[1] > 0, scores.dtype)))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes, "threshold": self.threshold}


@keras.saving.register_keras_serializable(PACKAGE)
class MacroDice(_MacroMetric):
    """Mean Dice of classes."""

    NAME = "dice"

    @staticmethod
    def ratio(both, areas):
        """What is above and below the line, (C,) each."""
        return 2 * both, areas


@keras.saving.register_keras_serializable(PACKAGE)
class MacroJaccard(_MacroMetric):
    """Mean Jaccard of classes."""

    NAME = "jaccard"

    @staticmethod
    def ratio(both, areas):
        """What is above and below the line, (C,) each."""
        return both, areas - both
