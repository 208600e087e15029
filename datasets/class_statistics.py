"""How much of a data set each class is: pixels of every mask, fractions of images and of pixels.

    pixels = class_pixels(split.masks)     # (images, classes), a row a mask; more than 0 where the class is there
    statistics = class_statistics(split.masks)     # ClassStatistics

Masks are read a few at a time: nothing but the counts is kept.
"""

from typing import NamedTuple

import numpy as np

CHUNK = 32  # masks at a time


class ClassStatistics(NamedTuple):
    """Of one split. images: how many. having: (classes,), images that have the class. any: images that have one at all.
    pixels: (classes,), fraction of all pixels."""

    images: int
    having: np.ndarray
    any: int
    pixels: np.ndarray


def class_pixels(masks: np.ndarray) -> np.ndarray:
    """Pixels of each class in each mask. masks: uint8 (N, H, W, classes) of {0, 1}. Returns int64 (N, classes)."""
    _, height, width, classes = masks.shape
    found = [np.zeros((0, classes), np.int64)]
    for start in range(0, len(masks), CHUNK):
        part = np.asarray(masks[start : start + CHUNK]).reshape(-1, height, width * classes)
        columns = part.sum(axis=1, dtype=np.uint32)  # (n, W · classes): rows first, ten times as fast
        found.append(columns.reshape(-1, width, classes).sum(axis=1, dtype=np.int64))  # (n, classes)
    return np.concatenate(found)


def class_statistics(masks: np.ndarray) -> ClassStatistics:
    """The ClassStatistics of masks, uint8 (N, H, W, classes) of {0, 1}, one at least."""
    pixels = class_pixels(masks)
    there = pixels > 0
    all_pixels = len(pixels) * masks.shape[1] * masks.shape[2]
    return ClassStatistics(
        images=len(pixels),
        having=there.sum(axis=0),
        any=int(there.any(axis=1).sum()),
        pixels=pixels.sum(axis=0) / all_pixels,
    )
