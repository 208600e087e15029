"""One split of a data set, as training and evaluation see it."""

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np

RECORDS = "tfds:"  # what the address of records begins with (tfds_records.py), which may stand for a prepared folder
FOLDS = "folds:"  # and that of folds (folds.py)


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
    votes: uint8 (N, H, W, classes), whose bit k is the mask of annotator number k of the image; None where masks are
    not of several annotators, whose consensus `masks` then are. annotators: their names, image by image, or None.
    areas: float64 (N,), fraction of the source's masks that is lesion, of several classes the mean. prints:
    float32 (N, BITS), fingerprints of the sources (preparation/near_duplicates.py). Both are None where not noted.
    """

    images: np.memmap
    masks: np.memmap | None
    ids: list[str]
    sizes: np.ndarray
    classes: list[str]
    sources: list[str] | None = None
    votes: np.memmap | None = None
    annotators: list[list[str]] | None = None
    areas: np.ndarray | None = None
    prints: np.ndarray | None = None


def digest(split: Split) -> str:
    """16 hexadecimal digits that stand for the names of the images of a split, in any order."""
    return hashlib.sha256("\n".join(sorted(split.ids)).encode()).hexdigest()[:16]


class Rows:
    """Some rows of an array, read when they are asked for; indexed along the first axis alone."""

    def __init__(self, array, numbers):
        self.array = array
        self.numbers = numbers
        self.shape = (len(numbers), *array.shape[1:])
        self.dtype = array.dtype

    def __getitem__(self, rows):
        return self.array[self.numbers[rows]]

    def __len__(self):
        return len(self.numbers)


class Joined:
    """Arrays one after the other, read when they are asked for; indexed along the first axis alone."""

    def __init__(self, arrays):
        self.arrays = arrays
        self.first = np.cumsum([0, *(len(array) for array in arrays)])  # number of each one's first row
        self.shape = (int(self.first[-1]), *arrays[0].shape[1:])
        self.dtype = arrays[0].dtype

    def __getitem__(self, rows):
        numbers = np.arange(len(self))[rows]
        if not numbers.ndim:
            return self[[numbers]][0]
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        for array, first in zip(self.arrays, self.first, strict=False):
            inside = (numbers >= first) & (numbers < first + len(array))
            if inside.any():
                found[inside] = array[numbers[inside] - first]
        return found

    def __len__(self):
        return self.shape[0]


def subset(split: Split, numbers: np.ndarray) -> Split:
    """The images of these numbers, an array, as a Split."""
    images = Rows(split.images, numbers)
    masks = None if split.masks is None else Rows(split.masks, numbers)
    ids = [split.ids[i] for i in numbers]
    sources = split.sources and [split.sources[i] for i in numbers]
    areas = None if split.areas is None else split.areas[numbers]
    prints = None if split.prints is None else split.prints[numbers]
    if split.annotators:
        votes = Rows(split.votes, numbers)
        split = dataclasses.replace(split, votes=votes, annotators=[split.annotators[i] for i in numbers])
    some = {"images": images, "masks": masks, "ids": ids, "sources": sources, "areas": areas, "prints": prints}
    return dataclasses.replace(split, sizes=split.sizes[numbers], **some)
