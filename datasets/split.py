"""One split of a data set, as training and evaluation see it."""

from dataclasses import dataclass

import numpy as np

RECORDS = "tfds:"  # what the address of records begins with (tfds_records.py), which may stand for a prepared folder


@dataclass(frozen=True)
class Split:
    """Images and masks; the arrays are memory-mapped and read-only, or read from records (tfds_records.Rows).

    images: uint8 (N, H, W, 3) RGB.
    masks: uint8 (N, H, W, classes), values {0, 1}; None where the split has no masks.
    ids: names of the N source images.
    sizes: int64 (N, 2), height and width of the source images in pixels.
    classes: names of the mask channels.
    sources: of each image the name of the one that it is a copy of, its own name if of none; None where there are no
    copies.
    """

    images: np.memmap
    masks: np.memmap | None
    ids: list[str]
    sizes: np.ndarray
    classes: list[str]
    sources: list[str] | None = None
