"""Which images a report shows: the best, median or worst ones, and their rows in a sheet of samples."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from imaging import mask_files
from utils.errors import UserError

ORDERS = ("best", "median", "worst")


def pick(scores: Iterable[float], order: str, count: int = 1) -> np.ndarray:
    """Positions of the `count` best, worst or most median of `scores` (images,); ties keep the order of the images.

    Undefined scores, NaN, come last. UserError: no such order.
    """
    if order not in ORDERS:
        raise UserError(f"unknown order {order!r}; there are {', '.join(ORDERS)}")
    scores = np.asarray(scores, np.float64)
    if order == "median":
        middle = np.sort(scores)[np.count_nonzero(~np.isnan(scores)) // 2]
        return np.argsort(np.abs(scores - middle), kind="stable")[:count]
    return np.argsort(-scores if order == "best" else scores, kind="stable")[:count]


def sample_rows(split, chosen: Iterable[tuple[str, int]], scores: np.ndarray, predictions: Path) -> Iterator[tuple]:
    """Rows (label, image, truth, prediction) of a sample sheet, read when they are needed.

    split: datasets.arrays.Split. chosen: (word, position) pairs, images of the split; scores: (images,) Jaccard;
    predictions: folder of mask files, of any size.
    """
    for word, i in chosen:
        image = split.images[i]
        label = f"{word}, Jaccard {scores[i]:.3f}\n{split.ids[i]}"
        predicted = mask_files.read_masks(predictions, split.ids[i], split.classes, image.shape[:2])
        yield label, image, split.masks[i], predicted
