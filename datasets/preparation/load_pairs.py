"""Pairs of files to arrays: decode, check and put together, on all cores, in order and a few ahead of the reader."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from datasets.preparation import annotators
from datasets.preparation.archives import File
from datasets.preparation.find_pairs import Pair
from datasets.preparation.near_duplicates import SIDE, fingerprint
from imaging import decode, headers
from imaging import masks as mask_decoding
from utils.errors import UserError
from utils.threads import in_order

REDUCED = (SIDE, SIDE)  # (height, width) of images that are compared, whatever the size of the arrays


class Loaded(NamedTuple):
    """A pair at the size of the arrays; area and fingerprint are the same at any."""

    image: np.ndarray  # uint8 (H, W, 3) RGB
    mask: np.ndarray | None  # uint8 (H, W, classes) of {0, 1}
    area: float | None  # fraction of the masks that is lesion, in the source
    source: tuple[int, int]  # height, width in pixels
    anti_aliased: bool  # whether a mask had grays, which were thresholded
    turned: bool  # whether the image was turned as its EXIF orientation says
    fingerprint: np.ndarray  # of the source, see near_duplicates.py
    votes: np.ndarray | None = None  # uint8 (H, W, classes), bit k the mask of annotator k (annotators.py)


def load(pair: Pair, size: tuple[int, int]) -> Loaded:
    """The `Loaded` of a pair. size: (H, W) in pixels. UserError: a bad file; the message names it."""
    image, source, turned, reduced = load_images(pair, size)
    mask = area = None
    votes = None
    anti_aliased = False
    if pair.masks is not None:
        full, anti_aliased = load_masks(pair, source)
        mask = mask_decoding.shrink_all(full, size)
        area = float(full.mean())
    if pair.annotators:
        votes = annotators.bits(load_annotators(pair, size, source))
    return Loaded(image, mask, area, source, anti_aliased, turned, fingerprint(reduced), votes)


def load_image(pair: Pair, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int], bool]:
    """(uint8 (H, W, 3) RGB, (height, width) of the source, whether its EXIF orientation turned it)."""
    return load_images(pair, size)[:3]


def load_images(pair: Pair, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int], bool, np.ndarray]:
    """As `load_image`, and the image at least as large as REDUCED, the same for any `size`.

    Images are upright, as annotation tools show them, unless the size of the mask shows that it was drawn on the
    pixels as they are stored.
    """

    def work(data):
        turn = headers.orientation(data)
        upright = turn != 1
        if turn >= 5 and pair.masks:  # height and width are swapped
            upright = read(pair.masks[0][0], headers.upright_size) == headers.upright_size(data)
        rgb, source = decode.decode_at_least(data, size, upright)
        reduced = decode.decode_at_least(data, REDUCED, upright)[0] if headers.is_jpeg(data) else rgb
        return decode.resize(rgb, size), source, upright, reduced

    return read(pair.image, work)


def load_masks(pair: Pair, source: tuple[int, int] | None) -> tuple[np.ndarray, bool]:
    """(uint8 (H0, W0, classes) of {0, 1}, as large as the files, whether any was anti-aliased).

    source: the size that the files must have, None for any. Of several annotators their consensus.
    """
    if pair.annotators:
        masks = load_annotators(pair, None, source)  # (annotators, H0, W0, classes)
        agreed = annotators.CONSENSUS[pair.consensus]
        channels = [agreed(np.ascontiguousarray(masks[..., k])) for k in range(masks.shape[-1])]
        return np.stack(channels, axis=-1), False
    if pair.index_classes:
        values = pair.index_classes, pair.labels.ignore
        return read(pair.masks[0][0], mask_decoding.index_mask, None, source, *values), False
    channels = []
    anti_aliased = False
    for group in pair.masks:
        found = [read(file, mask_decoding.mask, None, source, pair.labels) for file in group]
        masks, flags = zip(*found, strict=True)
        channels.append(np.maximum.reduce(masks))  # several files: their union
        anti_aliased |= any(flags)
    return np.stack(channels, axis=-1), anti_aliased


def load_annotators(pair: Pair, size: tuple[int, int] | None, source: tuple[int, int] | None) -> np.ndarray:
    """The masks of the annotators of a pair, uint8 (annotators, H, W, classes) of {0, 1}.

    size: (H, W) of the masks, None for their own. source: as of `load_masks`.

    UserError: a bad file, or masks of different sizes.
    """
    channels = []
    for group in pair.masks:
        masks = [read(file, mask_decoding.mask, size, source, pair.labels)[0] for file in group]
        if odd := next((n for n, mask in enumerate(masks) if mask.shape != masks[0].shape), None):
            raise UserError(f"{group[odd].label}: the mask is not as large as {group[0].label}")
        channels.append(np.stack(masks))
    return np.stack(channels, axis=-1)


def read(file: File, function: Callable, *arguments: Any) -> Any:
    """function(bytes of a file, *arguments). UserError: a bad file; the message names it."""
    try:
        return function(file.read(), *arguments)
    except UserError as error:
        raise UserError(f"{file.label}: {error}") from None


def load_all(
    pairs: Sequence[Pair], size: tuple[int, int], on_error: str, skipped: list[str], title: str
) -> Iterator[tuple[Pair, Loaded]]:
    """Each pair with its `Loaded`, in order; threads decode a few ahead of the reader.

    on_error: "stop" raises the UserError of a bad file, "skip" appends its message to `skipped` and goes on.
    title: of the progress bar.
    """

    def work(pair):
        try:
            return pair, load(pair, size)
        except UserError as error:
            if on_error == "stop":
                raise
            return pair, str(error)

    for pair, result in tqdm(in_order(work, pairs), title, len(pairs), unit="image", disable=None):
        if isinstance(result, Loaded):
            yield pair, result
        else:
            skipped.append(result)
