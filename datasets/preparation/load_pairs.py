"""Pairs of files to arrays: decode, check and put together, on all cores, in order and a few ahead of the reader."""

import contextlib
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from datasets.preparation.near_duplicates import fingerprint
from imaging import decode
from utils.errors import UserError

MAX_THREADS = 16  # a thread may hold one image and its masks at full size, some 50 MB


class Loaded(NamedTuple):
    """A pair at the size of the arrays."""

    image: np.ndarray  # uint8 (H, W, 3)
    mask: np.ndarray | None  # uint8 (H, W, classes) of {0, 1}
    source: tuple  # (height, width)
    anti_aliased: bool
    fingerprint: np.ndarray  # of the image, see copies.py


def load(pair, size):
    """The `Loaded` of a declaration.Pair. size: (H, W) in pixels. UserError: a bad file; the message names it."""
    image, source = read(pair.image, decode.image, size)
    mask, anti_aliased = load_masks(pair, size, source) if pair.masks is not None else (None, False)
    return Loaded(image, mask, source, anti_aliased, fingerprint(image))


def load_masks(pair, size, source):
    """(uint8 (H, W, classes) of {0, 1}, whether any was anti-aliased).

    size: (H, W) of the masks, None for their own. source: the size they must have in their files, None for any.
    """
    if pair.index_classes:
        return read(pair.masks[0][0], decode.index_mask, size, source, pair.index_classes), False
    channels, anti_aliased = [], False
    for group in pair.masks:
        masks, flags = zip(*(read(file, decode.mask, size, source) for file in group), strict=True)
        channels.append(np.maximum.reduce(masks))  # several files: their union
        anti_aliased |= any(flags)
    return np.stack(channels, axis=-1), anti_aliased


def read(file, function, *arguments):
    """function(bytes of a source.File, *arguments). UserError: a bad file; the message names it."""
    try:
        return function(file.read(), *arguments)
    except UserError as error:
        raise UserError(f"{file.label}: {error}") from None


def in_order(function, items):
    """(item, future of function(item)) in order, on all cores, never more than a few ahead of the reader."""
    workers = threads()
    ahead = deque()
    with _one_thread_each(), ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                ahead.append((item, pool.submit(function, item)))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:  # after an error nobody waits for what is still to come
            pool.shutdown(cancel_futures=True)


def threads():
    return min(os.cpu_count() or 1, MAX_THREADS)


@contextlib.contextmanager
def _one_thread_each():
    """Each of our threads decodes a picture of its own: OpenCV's threads inside would only get in the way."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
