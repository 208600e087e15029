"""Counts first, then every score: exact, with the reduction and the rule for empty masks always stated.

    c = counts(truth, prediction)                 # (images, classes) integers: tp, fp, fn, tn
    score("jaccard", c)                           # mean over images (and classes); both masks empty: 1
    score("jaccard", c, "pooled")                 # all pixels of all images in one count
    score("jaccard", c, "none", empty=math.nan)   # (images, classes), undefined ones as NaN

Reductions, and what they give for (images, classes) counts:

    none               (images, classes)  nothing reduced
    image_per_class    (classes,)         mean over images
    image              number             mean over images, then over classes
    pooled_per_class   (classes,)         counts summed over images
    pooled_macro       number             counts summed over images, then the mean over classes
    pooled             number             counts summed over images and classes

The table `SCORES` has a line for each score. From it come the columns of the training log, the choices of the setting
`monitor`, and the scores of metrics.json, per_image.csv, reports, comparisons and model cards. A new score is a formula
and a line in the table.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from utils.errors import UserError

CUT = 0.65  # Jaccard below which the ISIC 2018 challenge counts an image as failed


# === Counts ===


class Counts(NamedTuple):
    """Pixels per image and class, each (images, classes): true and false positives and negatives."""

    tp: Any
    fp: Any
    fn: Any
    tn: Any


def counts(truth: np.ndarray, prediction: np.ndarray) -> Counts:
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


def mask_pairs(truth: np.ndarray, prediction: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
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


def threshold_counts(truth: np.ndarray, probabilities: np.ndarray, steps: int = 100) -> Counts:
    """Counts of each image at many thresholds: `score("jaccard", c, "image_per_class")` is the curve of the image mean.

    truth: masks of {0, 1}, probabilities: floats in [0, 1], both (N, H, W). Thresholds are 1 / steps, 2 / steps, … and
    below 1. Predicted is what lies at or above one, or below it by rounding alone. Returns Counts of int64 (N,
    steps - 1).
    """
    scale = np.float32(steps * (1 + 2.0**-22))  # what equals a threshold must not be rounded below it
    rows = []
    for true, scores in zip(truth, np.asarray(probabilities, np.float32), strict=True):
        bins = (scores * scale).astype(np.intp)  # (H, W), 0 to steps
        bins += (steps + 1) * _planes(true, "truth")[0]
        pixels = np.bincount(bins.ravel(), minlength=2 * steps + 2).reshape(2, -1)  # negatives, positives by bin
        above = pixels[:, ::-1].cumsum(axis=1)[:, ::-1]  # (2, steps + 1)
        fp, tp = above[:, 1:-1]
        rows.append((tp, fp, above[1, 0] - tp, above[0, 0] - fp))
    return Counts(*np.array(rows, np.int64).reshape(-1, 4, steps - 1).swapaxes(0, 1))


def concatenate(parts: Iterable[Counts]) -> Counts:
    """Counts of several batches as one, in order."""
    return Counts(*(np.concatenate(field) for field in zip(*parts, strict=True)))


# === Formulas: numerator and denominator from counts, by arithmetic alone, so that arrays and tensors will do ===


def jaccard(c: Counts) -> tuple:
    """tp / (tp + fp + fn); undefined without positives in either mask."""
    return c.tp, c.tp + c.fp + c.fn


def dice(c: Counts) -> tuple:
    """2 tp / (2 tp + fp + fn), the F1 score of pixels; undefined without positives in either mask."""
    return 2 * c.tp, 2 * c.tp + c.fp + c.fn


def accuracy(c: Counts) -> tuple:
    """(tp + tn) / all pixels."""
    return c.tp + c.tn, c.tp + c.fp + c.fn + c.tn


def sensitivity(c: Counts) -> tuple:
    """tp / (tp + fn), also called recall; undefined without positives in the truth."""
    return c.tp, c.tp + c.fn


def specificity(c: Counts) -> tuple:
    """tn / (tn + fp); undefined without negatives in the truth."""
    return c.tn, c.tn + c.fp


def precision(c: Counts) -> tuple:
    """tp / (tp + fp); undefined where nothing is predicted."""
    return c.tp, c.tp + c.fp


def mcc(c: Counts) -> tuple:
    """(tp tn - fp fn) / √((tp + fp)(tp + fn)(tn + fp)(tn + fn)), in [-1, 1]; undefined where a mask is of one value."""
    positives = ((c.tp + c.fp) * (c.tp + c.fn)) ** 0.5
    negatives = ((c.tn + c.fp) * (c.tn + c.fn)) ** 0.5
    return c.tp * c.tn - c.fp * c.fn, positives * negatives


# === The table ===


@dataclass(frozen=True)
class Score:
    """A score of masks, a line of SCORES.

    label: its name in reports; what explains it stands in brackets.
    formula: a function of Counts that returns numerator and denominator.
    kinds: which numbers a report has of it: "per_image", the mean over images, and "pooled", of the pixels of all
        images together (of several classes also of each one, and the mean over them).
    main: those by which runs are compared, in the report's first lines, in comparisons and in model cards: any of
        kinds, and of several classes "class_mean" (macro) and "challenge" (ISIC 2018 Task 2).
    empty: the score of an image whose denominator is 0; reports call pooled scores undefined there.
    cut: a score of single images that is 0 below this value.
    logged: training computes it too, as a column NAME and a column val_NAME of log.csv.
    higher_is_better: for the setting `monitor`.
    """

    label: str
    formula: Callable[[Counts], tuple]
    kinds: tuple[str, ...]
    main: tuple[str, ...] = ()
    empty: float = 1.0
    cut: float = 0.0
    logged: bool = False
    higher_is_better: bool = True

    @property
    def short(self) -> str:
        """The label without what stands in brackets."""
        return self.label.split(" (")[0]


BOTH = ("per_image", "pooled")
ALL = ("per_image", "challenge", "class_mean", "pooled")
SCORES = {
    "jaccard": Score("Jaccard", jaccard, BOTH, main=ALL, logged=True),
    "thresholded_jaccard": Score(
        "Thresholded Jaccard (0 below 0.65)", jaccard, ("per_image",), main=("per_image",), cut=CUT
    ),
    "dice": Score("Dice (F1)", dice, BOTH, main=("per_image", "challenge", "class_mean"), logged=True),
    "accuracy": Score("Accuracy", accuracy, BOTH),
    "sensitivity": Score("Sensitivity (recall)", sensitivity, BOTH),
    "specificity": Score("Specificity", specificity, BOTH),
    "precision": Score("Precision", precision, ("pooled",)),
    "mcc": Score("Matthews correlation", mcc, ("pooled",), empty=0.0),  # empty as in scikit-learn
}


def of_kind(kind: str) -> list[str]:
    """Names of the scores that reports have of a kind, "per_image" or "pooled"."""
    return [name for name, one in SCORES.items() if kind in one.kinds]


def main_scores(kind: str) -> list[str]:
    """Names of the scores of a kind by which runs are compared."""
    return [name for name, one in SCORES.items() if kind in one.main]


def logged() -> list[str]:
    """Names of the scores that training computes, in alphabetical order."""
    return sorted(name for name, one in SCORES.items() if one.logged)


def monitors() -> dict[str, bool]:
    """By what the best epoch can be chosen: {value of the setting `monitor`: whether higher is better}."""
    scores = {f"val_{name}": SCORES[name].higher_is_better for name in logged()}
    return {"val_loss": False, **scores, "epoch": True}


# === Scores from counts ===

REDUCTIONS = ("none", "image_per_class", "image", "pooled_per_class", "pooled_macro", "pooled")


def score(name: str, c: Counts, reduction: str = "image", empty: float | None = None):
    """A score of SCORES under a reduction.

    empty: its value where the denominator is 0, by default the table's; NaN is left out of means, and a mean of nothing
    is NaN. Returns a float, or float64 of the shape that the reduction gives. UserError: no such reduction, or a pooled
    one of a score of single images.
    """
    one = SCORES[name]
    if reduction not in REDUCTIONS:
        raise UserError(f"unknown reduction {reduction!r}; there are: {', '.join(REDUCTIONS)}")
    if one.cut and reduction.startswith("pooled"):
        raise UserError(f"{one.short} is a score of single images, not of {reduction} counts")
    pixels = Counts(*(np.asarray(field, np.float64) for field in _summed(c, reduction)))
    above, below = one.formula(pixels)
    undefined = one.empty if empty is None else empty
    values = np.divide(above, below, out=np.full(below.shape, undefined, np.float64), where=below != 0)
    if one.cut:
        values = np.where(values < one.cut, 0.0, values)  # NaN stays NaN
    return _averaged(values, reduction)


def _summed(c, reduction):
    """The counts that a pooled reduction works on; unchanged counts for the others."""
    if reduction in ("pooled_per_class", "pooled_macro"):
        return Counts(*(field.sum(axis=0) for field in c))
    if reduction == "pooled":
        return Counts(*(field.sum() for field in c))
    return c


def _averaged(values, reduction):
    """The reduction's mean of the scores of its counts."""
    if reduction == "image":
        return float(_mean(_mean(values)))
    if reduction == "image_per_class":
        return _mean(values)
    if reduction == "pooled_macro":
        return float(_mean(values))
    if reduction == "pooled":
        return float(values)
    return values


def _mean(values):
    """Mean over the first axis of what is defined, NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis=0)


def task2_scores(c: Counts, classes: Iterable[str]) -> dict:
    """The scores of ISIC 2018 Task 2 as the challenge's own scorer computes them.

    Counts are divided by the image's pixel count and summed over images. c: Counts (images, attributes); classes: their
    names. Returns {attribute: {"jaccard", "dice"}, …, "micro_average": {…}, "overall": Jaccard of all attributes' sum}.
    """
    pixels = sum(c)
    fractions = Counts(*(field / pixels for field in c))
    names = main_scores("challenge")
    per_class = {name: score(name, fractions, "pooled_per_class") for name in names}
    scores = {each: {name: float(per_class[name][k]) for name in names} for k, each in enumerate(classes)}
    scores["micro_average"] = {name: score(name, fractions, "pooled") for name in names}
    return {**scores, "overall": scores["micro_average"]["jaccard"]}
