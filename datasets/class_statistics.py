"""How much of a data set each class is: pixels of every mask, shares of images and of pixels.

    pixels = class_pixels(split.masks)     # (images, classes), a row a mask; more than 0 where the class is there
    shares = class_shares(split.masks)     # Shares

Masks are read a few at a time: nothing but the counts is kept.
"""

from typing import NamedTuple

import numpy as np

CHUNK = 32  # masks at a time


class Shares(NamedTuple):
    """Of one split. images: how many. having: (classes,), images that have the class. any: images that have one at all.
    pixels: (classes,), share of all pixels."""

    images: int
    having: np.ndarray
    any: int
    pixels: np.ndarray


def class_pixels(masks):
    """Pixels of each class in each mask. masks: uint8 (N, H, W, classes) of {0, 1}. Returns int64 (N, classes)."""
    _, height, width, classes = masks.shape
    found = [np.zeros((0, classes), np.int64)]
    for start in range(0, len(masks), CHUNK):
        part = np.asarray(masks[start : start + CHUNK]).reshape(-1, height, width * classes)
        columns = part.sum(axis=1, dtype=np.uint32)  # (n, W · classes): rows first, ten times as fast
        found.append(columns.reshape(-1, width, classes).sum(axis=1, dtype=np.int64))  # (n, classes)
    return np.concatenate(found)


def class_shares(masks):
    """The Shares of masks, uint8 (N, H, W, classes) of {0, 1}, one at least."""
    pixels = class_pixels(masks)
    there = pixels > 0
    having, any_class = there.sum(axis=0), int(there.any(axis=1).sum())
    return Shares(len(pixels), having, any_class, pixels.sum(axis=0) / (len(pixels) * masks.shape[1] * masks.shape[2]))
