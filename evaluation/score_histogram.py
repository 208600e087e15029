"""Scores of probabilities, over all thresholds or without one (ROC, soft Dice, calibration), from one histogram.

The table `SCORES` names those of the reports; a new one is a method without arguments and a line in the table.
"""

import functools
import math
import threading

import numpy as np

from inference import calibration
from utils.errors import UserError

# Bins are runs of neighbouring float32 numbers, counted from 0 upwards below 0.5 and from 1 downwards above, so that
# saturated probabilities are distinguished as well as undecided ones, relative to their distance from 0 or 1.
KNEE = np.float32(2.0**-9).view(np.int32)  # bits of the distance from 0 or 1 at which bins become finer
HALF = np.float32(0.5).view(np.int32)
COARSE, FINE = 12, 7  # bits dropped below the knee (2,048 bins an octave) and above it (65,536)
BELOW = int((KNEE >> COARSE) + ((HALF - KNEE) >> FINE))  # bins below a probability of 0.5
BINS = 2 * BELOW + 1
CHUNK = 1 << 18  # pixels worked on at a time, which stay in the cache
FLUSH = 1 << 22  # pixels gathered before they are counted

SCORES = {  # method of ScoreHistogram: label in reports
    "soft_dice": "Soft Dice (of probabilities, no threshold)",
    "soft_jaccard": "Soft Jaccard (of probabilities, no threshold)",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision (area under the precision–recall curve)",
    "brier": "Brier score (0 is best)",
    "expected_calibration_error": "Expected calibration error (0 is best)",
}


def _bins(probabilities):
    """The bin of each float32 probability, int32 in [0, BINS), never falling with it; 0.5 opens bin BELOW."""
    bits = np.minimum(probabilities, 1 - probabilities).view(np.int32)
    low = (np.minimum(bits, KNEE) >> COARSE) + ((np.maximum(bits, KNEE) - KNEE) >> FINE)
    return np.where(probabilities < 0.5, low, 2 * BELOW - low)


@functools.cache
def _centers():
    """The probability in the middle of each bin, float64 (BINS,)."""
    knee = int(KNEE) >> COARSE
    steps = np.arange(BELOW + 1)
    bits = np.where(steps <= knee, steps << COARSE, int(KNEE) + ((steps - knee) << FINE)).astype(np.int32)
    edges = bits.view(np.float32).astype(np.float64)  # (BELOW + 1,): lower ends, the last one 0.5
    below = (edges[:-1] + edges[1:]) / 2
    return np.concatenate([below, [0.5], 1 - below[::-1]])


@functools.cache
def _logits():
    """The logits of `_centers`, within those that calibration.apply tells apart, ±16.6; float64 (BINS,)."""
    below = np.maximum(_centers()[:BELOW], calibration.LEAST)
    logits = np.log(below / (1 - below))
    return np.concatenate([logits, [0.0], -logits[::-1]])


def _calibrated(temperature):
    """The probabilities of `_centers` once their logits are divided by a temperature, float64 (BINS,)."""
    return _centers() if temperature == 1 else 1 / (1 + np.exp(-_logits() / temperature))


def _sums(values, starts):
    """Sums of values from each start to the next, 0 where there are none; the last to the end."""
    total = np.concatenate([[0], np.cumsum(values)])
    return np.diff(total[np.append(starts, len(values))])


class ScoreHistogram:
    """Counts the probabilities of true and of other pixels, batch by batch, in fixed memory (25 MB, 100 MB at moments).

    Areas under curves agree with scikit-learn's on the full float32 scores to 1e-4, saturated scores included. (Scores
    that all lie within 0.005 of 0.5, as of an untrained network, give the average precision to 1e-3 only.) All of it is
    pooled over the pixels given; NaN where undefined.
    """

    def __init__(self):
        self._table = np.zeros(2 * BINS, np.int64)  # bin by bin: other pixels, true pixels
        self._pending = []
        self._lock = threading.Lock()

    @classmethod
    def together(cls, histograms):
        """A histogram of the pixels of all these."""
        result = cls()
        for histogram in histograms:
            histogram._count()
            result._table += histogram._table
        return result

    def update(self, probabilities: np.ndarray, truth: np.ndarray) -> None:
        """Adds pixels: probabilities in [0, 1] (taken as float32) and truth {0, 1} or bool, of one shape.

        Several threads may call it at a time. Raises UserError for different shapes, and for values outside [0, 1]
        (logits) or NaN.
        """
        probabilities = np.asarray(probabilities, np.float32)
        truth = np.asarray(truth)
        if probabilities.shape != truth.shape:
            raise UserError(f"probabilities {probabilities.shape} and truth {truth.shape} must have one shape")
        if probabilities.size == 0:
            return
        if not (probabilities.min() >= 0 and probabilities.max() <= 1):
            raise UserError("probabilities must lie in [0, 1]: apply the sigmoid to logits first, and look for NaN")
        probabilities, truth = probabilities.ravel(), truth.ravel()
        parts = [slice(start, start + CHUNK) for start in range(0, truth.size, CHUNK)]
        bins = [2 * _bins(probabilities[part]) + truth[part].astype(np.int32) for part in parts]
        with self._lock:
            self._pending += bins
            if sum(map(len, self._pending)) >= FLUSH:
                self._count()

    def _count(self):
        if self._pending:
            self._table += np.bincount(np.concatenate(self._pending, dtype=np.int64), minlength=2 * BINS)
            self._pending = []

    def counts(self):
        """Other and true pixels of each bin, by rising probability: two int64 arrays (BINS,)."""
        self._count()
        return self._table[0::2], self._table[1::2]

    def _falling(self):
        """True and other pixels so far (float64), and the probability, by falling probability, over bins in use."""
        negatives, positives = (side[::-1] for side in self.counts())
        held = np.flatnonzero(negatives + positives)
        if not held.size:
            held = np.array([BINS - 1])  # a point of no pixels, so that all scores become NaN
        true, false = (np.cumsum(side[held], dtype=float) for side in (positives, negatives))
        return true, false, _centers()[::-1][held]

    # === Ranking ===

    def roc_auc(self) -> float:
        """The area under the ROC curve: the chance that a true pixel scores above another one, ties counting half."""
        false_rates, true_rates, _ = self.roc_curve(points=None)
        return float(np.sum(np.diff(false_rates) * (true_rates[1:] + true_rates[:-1])) / 2)

    def average_precision(self) -> float:
        """Σ (recall step) · precision over falling thresholds, as scikit-learn's average_precision_score."""
        precisions, recalls, _ = self.precision_recall_curve(points=None)
        return float(-np.sum(np.diff(recalls) * precisions[:-1]))

    def roc_curve(self, points=1000):
        """False positive rates, true positive rates and thresholds, falling, from (0, 0, inf) to (1, 1).

        points: about the most to return, chosen evenly along the curve; None: all.
        """
        true, false, probabilities = self._falling()
        true, false = (np.concatenate([[0.0], x]) for x in (true, false))
        true_rates = _ratio(true, true[-1])
        false_rates = _ratio(false, false[-1])
        kept = _thin(true_rates, false_rates, points)
        return false_rates[kept], true_rates[kept], np.concatenate([[np.inf], probabilities])[kept]

    def precision_recall_curve(self, points=1000):
        """Precisions, recalls and thresholds, rising, as scikit-learn's: precision 1 at recall 0 ends the curve.

        points: about the most to return, chosen evenly along the curve; None: all.
        """
        true, false, probabilities = self._falling()
        precisions = _ratio(true, true + false)
        recalls = _ratio(true, true[-1])
        kept = _thin(recalls, precisions, points)[::-1]
        return np.append(precisions[kept], 1.0), np.append(recalls[kept], 0.0), probabilities[kept]

    def threshold_curve(self, thresholds=None):
        """Dice and Jaccard of all pixels pooled, by threshold.

        thresholds: probabilities (T,), by default 0, 0.01, …, 1. Returns a dictionary of float64 arrays (T,):
        threshold, dice, jaccard. A pixel counts as predicted where its probability is at or above the threshold, to the
        width of a bin (exact at 0.5). NaN where neither mask holds a pixel.
        """
        thresholds = np.linspace(0, 1, 101) if thresholds is None else np.asarray(thresholds, float)
        negatives, positives = self.counts()
        first = _bins(thresholds.astype(np.float32))  # (T,)
        true, false = (np.append(np.cumsum(side[::-1])[::-1], 0)[first] for side in (positives, negatives))
        all_true = positives.sum()
        return {
            "threshold": thresholds,
            "dice": _ratio(2.0 * true, true + false + all_true),
            "jaccard": _ratio(1.0 * true, false + all_true),
        }

    # === Overlap of the probabilities themselves ===

    def soft_dice(self) -> float:
        """2 Σ p y / (Σ p + Σ y) over all pixels, p their probabilities: Dice without a threshold."""
        both, predicted, true = self._soft_areas()
        return float(_ratio(2 * both, predicted + true))

    def soft_jaccard(self) -> float:
        """Σ p y / (Σ p + Σ y - Σ p y) over all pixels, p their probabilities: Jaccard without a threshold."""
        both, predicted, true = self._soft_areas()
        return float(_ratio(both, predicted + true - both))

    def _soft_areas(self):
        """Σ p y, Σ p and Σ y."""
        negatives, positives = self.counts()
        both = positives @ _centers()
        return both, both + negatives @ _centers(), positives.sum()

    # === Calibration ===

    def temperature(self) -> float:
        """By which logits are divided for the least log loss: temperature scaling (Guo et al., 2017).

        The log loss is convex in 1 / temperature: its derivative, Σ logit · (probability - truth), is brought to 0 by
        bisection. 1 where that raises the Brier score: then the network errs otherwise than by being too sure or unsure
        of itself. NaN where all pixels are of one kind.
        """
        negatives, positives = self.counts()
        if not negatives.any() or not positives.any():
            return math.nan
        logits = _logits()
        pixels = negatives + positives
        used = np.flatnonzero(pixels)
        logits, pixels, positives = (each[used] for each in (logits, pixels, positives))
        low, high = 1 / calibration.HIGHEST, 1 / calibration.LOWEST
        for _ in range(60):
            middle = math.sqrt(low * high)
            derivative = logits @ (pixels / (1 + np.exp(-middle * logits)) - positives)
            low, high = (low, middle) if derivative > 0 else (middle, high)
        temperature = 1 / math.sqrt(low * high)
        return temperature if self.brier(temperature) < self.brier() else 1.0

    def brier(self, temperature: float = 1.0) -> float:
        """Mean squared difference of probability and truth."""
        negatives, positives = self.counts()
        centers = _calibrated(temperature)
        error = negatives @ centers**2 + positives @ (1 - centers) ** 2
        return float(_ratio(error, negatives.sum() + positives.sum()))

    def reliability(self, bins=15, temperature: float = 1.0):
        """By equally wide bins of the probability: its mean, the fraction of true pixels, their number; (bins,)."""
        negatives, positives = self.counts()
        centers = _calibrated(temperature)
        starts = np.searchsorted(centers, np.arange(bins) / bins)
        pixels = negatives + positives
        pixels, true, sums = (_sums(x, starts) for x in (pixels, positives, pixels * centers))
        return _ratio(sums, pixels), _ratio(true, pixels), pixels

    def expected_calibration_error(self, bins: int = 15, temperature: float = 1.0) -> float:
        """Mean over pixels of |fraction of true pixels - mean probability| of their bin (Guo et al., 2017, binary)."""
        probability, fraction, pixels = self.reliability(bins, temperature)
        return float(_ratio(np.nansum(np.abs(fraction - probability) * pixels), pixels.sum()))


def _ratio(part, whole):
    """part / whole as float64, NaN where whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, math.nan), where=whole != 0)


def _thin(x, y, points):
    """Indices of about `points` points spread evenly along a curve, both ends kept; all if there are no more."""
    if points is None or len(x) <= points:
        return np.arange(len(x))
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(np.nan_to_num([x, y]))).sum(axis=0))])
    return np.unique(np.append(np.searchsorted(length, np.linspace(0, length[-1], points - 1)), len(x) - 1))
