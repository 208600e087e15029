"""How sure a score is: 95 % intervals by drawing the images anew, with replacement, 10,000 times.

    drawn = sums(table)                   # table (images, columns) -> (draws, columns), sums over each draw's images
    interval(drawn[:, 0] / len(table))    # [low, high] of the mean of a column
    each(score, values, jaccards)         # of any score of rows: (draws,)

For sums a draw is a row of counts, how often each image is in it, so that a chunk of draws is one product of matrices.
The draws depend on the seed and the number of images alone: two runs scored on the same images are drawn alike, and the
difference of their scores in each draw is the paired bootstrap.
"""

from collections.abc import Callable, Iterator

import numpy as np

from utils.errors import UserError

DRAWS = 10_000
CELLS = 2_000_000  # of a chunk of draws, 16 MB


def sums(table: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Sums of the columns of a table (images, columns) over the images of each draw: float64 (draws, columns)."""
    table = np.asarray(table, np.float64)
    if len(table) == 0:
        raise UserError("there is no image to draw")
    return np.concatenate([weights @ table for weights in _weights(len(table), seed, draws)])


def each(score: Callable[..., np.ndarray], *values: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """A score of each draw, (draws,). values: (images,) each; score: of rows of such, (some, images), to (some,)."""
    drawn = _drawn(len(values[0]), seed, draws)
    return np.concatenate([score(*(column[numbers] for column in values)) for numbers in drawn])


def _drawn(images, seed, draws) -> Iterator[np.ndarray]:
    """Yields chunks of draws, the numbers of the images in each: (some, images)."""
    generator = np.random.default_rng(seed)
    some = max(1, CELLS // images)
    for start in range(0, draws, some):
        yield generator.integers(0, images, (min(some, draws - start), images))


def _weights(images, seed, draws):
    """Yields chunks of draws, how often each image is in each: float64 (some, images)."""
    for numbers in _drawn(images, seed, draws):
        rows = len(numbers)
        cells = numbers + np.arange(rows)[:, None] * images
        yield np.bincount(cells.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float64)


def interval(samples: np.ndarray) -> list[float]:
    """The middle 95 % of samples (draws,), [low, high]; undefined ones (NaN) are left out, NaN if all are."""
    defined = samples[~np.isnan(samples)]
    return np.percentile(defined, [2.5, 97.5]).tolist() if defined.size else [float("nan")] * 2


def two_sided(differences: np.ndarray) -> float:
    """Two-sided p: twice the fraction of differences (draws,) on the rarer side of 0."""
    below, above = (np.count_nonzero(side) for side in (differences <= 0, differences >= 0))
    return min(1.0, 2 * min(below, above) / len(differences))
