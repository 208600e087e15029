"""The limits of a run's training images, by which inference/image_range.py recognises images that are unlike them."""

from typing import Any

import numpy as np
from scipy.stats import norm
from tqdm import tqdm

import config
from datasets.split import Split
from imaging import hair_removal, image_statistics
from inference import image_range
from utils.threads import in_order

LEAST = 100  # images, from which on there are limits
MOST = 3000  # images, spread evenly, which are enough
OUTSIDE = 0.01  # of the training images, by any range; and as many by their distance from the rest
TAILS = (0.005, 0.003, 0.002, 0.0015, 0.001, 0.0007, 0.0005, 0.0003, 0.0)  # quantiles on either side
AREA_TAIL = 0.001
SHRINKAGE = 0.01  # added to the covariance's diagonal, so that no direction of little variation decides
FOLDS = 5
DIGITS = 6  # of the numbers that are kept


def limits(split: Split, settings: config.Settings) -> dict[str, Any]:
    """The limits of a split's images as plain numbers; empty of fewer than LEAST."""
    count = len(split.ids)
    if count < LEAST:
        return {}
    numbers = np.unique(np.linspace(0, count - 1, min(count, MOST)).astype(int))
    single = len(split.classes) == 1 and split.masks is not None
    masks: Any = split.masks

    def work(number):
        image = np.asarray(split.images[number])
        shown = hair_removal.remove(image) if settings.remove_hair else image
        return image_statistics.describe(shown), masks[number].mean() if single else 0.0

    rows = tqdm(in_order(work, numbers), "training images", len(numbers), unit="image", disable=None)
    values, areas = (np.array(each) for each in zip(*rows, strict=True))
    found = of_statistics(values)
    areas = areas[areas > 0]
    tails = np.quantile(areas, [AREA_TAIL, 1 - AREA_TAIL]).tolist() if len(areas) else []
    return found | {"areas": tails, "images": len(numbers)}


def of_statistics(values: np.ndarray) -> dict[str, Any]:
    """The limits of image statistics (N, statistics): ranges of the named ones that leave out OUTSIDE of the images,
    and the ellipsoid of all, which leaves out as many of those that it was not fitted to (five folds).
    """
    named = values[:, : len(image_statistics.NAMES)]
    for tail in TAILS:
        low, high = np.quantile(named, [tail, 1 - tail], axis=0)
        if np.mean(((named < low) | (named > high)).any(axis=1)) <= OUTSIDE:
            break
    wider = image_statistics.TOLERANCES[: len(low)]
    ranges = dict(zip(image_statistics.NAMES, np.stack([low - wider, high + wider], axis=1).tolist(), strict=True))
    folds = np.arange(len(values)) % FOLDS
    unseen = [image_range.distances(_ellipsoid(values[folds != k]), values[folds == k]) for k in range(FOLDS)]
    distance = float(np.quantile(np.concatenate(unseen), 1 - OUTSIDE))
    return {"ranges": ranges, **_ellipsoid(values), "distance": distance}


def _ellipsoid(values):
    """What image_range.distances takes: the statistics' quantiles, and what makes their deviates uncorrelated.

    The quantiles are apart by the statistics' tolerances at least, so that rounding is no difference.
    """
    quantiles = np.quantile(values, norm.cdf(image_range.DEVIATES), axis=0).T
    quantiles += np.outer(image_statistics.TOLERANCES, image_range.DEVIATES)
    quantiles = np.array([_rounded(row) for row in quantiles])
    deviates = image_range.normal(quantiles, values)
    covariance = deviates.T @ deviates / len(values) + SHRINKAGE * np.eye(values.shape[1])
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    rows = [_rounded(row[: k + 1]) for k, row in enumerate(whitening)]
    return {"quantiles": quantiles.tolist(), "whitening": rows}


def _rounded(numbers):
    return [float(f"{number:.{DIGITS}g}") for number in numbers]
