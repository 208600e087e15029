"""Bytes of a mask file to a mask of {0, 1}. docs/reading.md says for people what is here said to the program.

A mask is black and white, 0 and 255 or 0 and 1, in one channel or in three equal ones; or one color, and what is opaque
of it is lesion. Grays between, of a smoothed edge, are cut at 127. Everything else is refused with the values that were
found, unless `Labels` say which values mean what.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from imaging import decode, headers
from imaging.headers import Size
from utils.errors import UserError

LARGE = 1_000_000  # pixels from which on a mask is worth a faster way to reduce it
_COLOR_MASK = "a color mask; expected one gray channel, 0 or 1 for background and 255 or 1 for lesion"
SMALL = 32  # values up to here are numbers of classes rather than grays
MANY = 8  # more grays than these are those of a smoothed edge
_SHOWN = 5  # values in a message


@dataclass(frozen=True)
class Labels:
    """What the values of masks mean where the usual rule does not hold. Of a file with a palette they are indices.

    lesion: the values that are lesion; none for the usual rule. ignore: values of unsure pixels, such as a void border;
    masks know no third value, so these pixels become background.
    """

    lesion: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()


USUAL = Labels()


def mask(data: bytes, size: Size | None, source: Size | None, labels: Labels = USUAL) -> tuple[np.ndarray, bool]:
    """Decode a mask and resize it: by area, then a pixel is lesion if at least half of it was.

    data: bytes of the file. size: (H, W) of the result, None for the mask's own.
    source: the image's (height, width), None for any.
    Returns (uint8 (H, W) of {0, 1}, True if the mask had grays between and was thresholded at 127).
    UserError: as `decode.image`; also another size than the image's, a color mask, or values that are no mask's.
    """
    found = _checked_size(data, source)
    anti_aliased = False
    if labels == USUAL:
        gray = _one_channel(decode.as_stored(data), data)
        binary, anti_aliased = _binary(gray, lossy=headers.is_jpeg(data))
    else:
        binary = _labeled(_values(data), labels)
    binary = decode.turned(binary, headers.orientation(data))
    return shrink(binary, size or found), anti_aliased  # (H, W)


def index_mask(
    data: bytes, size: Size | None, source: Size | None, classes: int, ignore: Sequence[int] = ()
) -> np.ndarray:
    """Decode a mask of several classes, of which the first has the value 1, the second 2 …; 0 is background.

    data: bytes of a file; of one with a palette the values are indices into it. size, source: as for `mask`.
    ignore: values that become background too.
    Returns uint8 (H, W, classes) of {0, 1}: a pixel has a class if at least half of it had.
    UserError: as `mask`; also a JPEG, which does not keep values.
    """
    found = _checked_size(data, source)
    values = _values(data)
    values[np.isin(values, ignore)] = 0
    if values.max() > classes:
        raise UserError(
            f"mask values {_listed(np.unique(values))}; expected 0 for background and 1 to {classes} for the classes "
            f"(--ignore {values.max()} makes background of a void label)"
        )
    values = decode.turned(values, headers.orientation(data))
    masks = [shrink((values == number) * np.uint8(255), size or found) for number in range(1, classes + 1)]
    return np.stack(masks, axis=-1)  # (H, W, classes)


def reading(data: bytes, labels: Labels = USUAL) -> str:
    """How `mask` reads a file, in words. UserError: it does not."""
    if labels != USUAL:
        return "labels by --mask_values and --ignore"
    pixels = decode.as_stored(data)
    gray = _one_channel(pixels, data)
    values = set(np.unique(gray).tolist())
    if pixels.ndim == 3 and pixels.shape[2] == 4 and len(np.unique(pixels[..., 3])) > 1:
        return "what is opaque is lesion"
    if values <= {0, 1}:
        return "0 and 1" if values == {0, 1} else f"{values.pop()} alone"
    return "0 and 255" if values <= {0, 255} else "grays, cut at 127"


def _checked_size(data, source):
    size = headers.upright_size(data)
    if source is not None and size != tuple(source):
        raise UserError(
            f"the mask is {size[0]}x{size[1]} (height x width), its image {source[0]}x{source[1]}; "
            "find the mask that belongs to this image"
        )
    return size


# === Values of pixels ===


def _values(data):
    """uint8 (H, W): the numbers that a file holds, indices where it has a palette."""
    if headers.is_jpeg(data):
        raise UserError("a JPEG, which does not keep the numbers of classes; save the mask as PNG")
    indices = decode.palette_indices(data)
    return _one_channel(decode.as_stored(data), data).copy() if indices is None else indices


def _one_channel(pixels, data):
    """uint8 (H, W) from pixels as stored: gray, three equal colors, or the alpha of one color."""
    if pixels.ndim == 2:
        return _eight_bits(pixels)
    if pixels.shape[2] == 4:
        return _without_alpha(pixels)
    if not _is_gray(pixels):
        raise UserError(_COLOR_MASK + _palette_hint(data))
    return _eight_bits(np.ascontiguousarray(pixels[..., 0]))


def _eight_bits(pixels):
    if pixels.dtype == np.uint16:
        return pixels.astype(np.uint8) if pixels.max() <= 255 else (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise UserError(f"a mask of {pixels.dtype} values; expected 8 or 16 bits")
    return pixels


def _is_gray(pixels):
    first = pixels[..., 0]
    return np.array_equal(first, pixels[..., 1]) and np.array_equal(first, pixels[..., 2])


def _without_alpha(pixels):
    """uint8 (H, W) from (H, W, 4): alpha where what can be seen has one color, the color where alpha is constant."""
    color = pixels[..., :3]
    alpha = np.ascontiguousarray(pixels[..., 3])
    lowest, highest = int(alpha.min()), int(alpha.max())
    if highest > lowest:
        seen = color[alpha > (lowest + highest) // 2]  # (N, 3)
        if (seen == seen[0]).all():
            return cv2.normalize(alpha, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
        raise UserError(
            "a mask with several colors and a transparency of its own, so that either could be the mask; save it "
            "without an alpha channel, or in one color on a transparent background"
        )
    if not highest and (color == color[0, 0]).all():  # nothing is drawn on a transparent background
        return np.zeros(alpha.shape, np.uint8)
    if not highest:
        raise UserError("a mask that is transparent everywhere; save it without an alpha channel")
    if not _is_gray(color):
        raise UserError(_COLOR_MASK)
    return _eight_bits(np.ascontiguousarray(color[..., 0]))


def _palette_hint(data):
    """What a user may do about the colors of a palette."""
    indices = None if headers.is_jpeg(data) else decode.palette_indices(data)
    if indices is None:
        return ""
    values = np.unique(indices)
    return f". It has a palette, with the numbers {_listed(values)}: {_remedy(values)}"


# === Meaning of values ===


def _labeled(values, labels):
    """uint8 (H, W) of {0, 255} by `labels`."""
    values[np.isin(values, labels.ignore)] = 0
    found = np.unique(values)
    if labels.lesion:
        unknown = np.setdiff1d(found, [0, *labels.lesion])
        lesion = np.isin(values, labels.lesion)
    else:
        unknown = found[(found != 0) & (found != found.max())]
        lesion = values > 0
    if len(unknown):
        raise UserError(
            f"mask values {_listed(found)}, of which {_listed(unknown)} are neither among --mask_values nor --ignore"
        )
    return lesion * np.uint8(255)


def _binary(gray, lossy):
    """(uint8 (H, W) of {0, 255}, whether it was anti-aliased) from a gray mask uint8 (H, W). lossy: of a JPEG."""
    if cv2.sumElems(gray)[0] == 255 * cv2.countNonZero(gray):  # 0 and 255 alone, as nearly all are
        return gray, False
    histogram = cv2.calcHist([gray], [0], None, [256], [0, 256])
    values = np.flatnonzero(histogram)
    if not lossy and set(values) <= {0, 1}:
        return gray * np.uint8(255), False
    if lossy and values[-1] <= 127:
        raise UserError(f"a JPEG mask whose largest value is {values[-1]}: compression has changed it; save it as PNG")
    if not lossy and len(values) == 1:
        raise UserError(f"mask values {values[0]} alone; expected 0 and 255, or 0 and 1")
    if values[-1] <= 127 or (values[0] > 127 and not lossy):
        raise UserError(
            f"mask values {_listed(values)}; expected two, 0 and 255 or 0 and 1 "
            "(several classes in one file: --index_classes NAMES; a value that is lesion: --mask_values)"
        )
    if not lossy and _has_labels(gray, values):
        raise UserError(f"mask values {_listed(values)}, which are labels and no smoothed edge: {_remedy(values)}")
    return cv2.threshold(gray, 127, 255, cv2.THRESH_BINARY)[1], len(values) > 2


def _has_labels(gray, values):
    """Whether the few grays of a mask are labels: small numbers, or areas of one gray.

    The grays of a smoothed edge are lighter than one neighbor and darker than another.
    """
    between = values[1:-1]
    if not len(between) or len(between) > MANY:
        return False
    if between[-1] <= SMALL:  # a smoothed edge has lighter grays too
        return True
    square = np.ones((3, 3), np.uint8)
    inside = (gray > values[0]) & (gray < values[-1])
    on_edge = inside & (cv2.erode(gray, square) < gray) & (gray < cv2.dilate(gray, square))
    return 2 * np.count_nonzero(on_edge) < np.count_nonzero(inside)


def _remedy(values):
    """The options that say what the values of masks mean, as an example."""
    labels = [value for value in values if value] or [1]
    lesion = labels[0] if labels[0] <= SMALL else labels[-1]
    void = [str(value) for value in labels if value != lesion]
    ignore = f" --ignore {','.join(void)}" if 0 < len(void) <= _SHOWN else ""
    return f"say which are lesion, and which are unsure and become background, such as --mask_values {lesion}{ignore}"


def _listed(values):
    return ", ".join(map(str, values[:_SHOWN])) + (" …" if len(values) > _SHOWN else "")


# === Size ===


def shrink(binary: np.ndarray, size: Size) -> np.ndarray:
    """A mask uint8 (H0, W0) of {0, 255} as uint8 (H, W) of {0, 1}: a pixel is lesion if at least half of it was."""
    if binary.size > LARGE and binary.shape[0] >= 2 * size[0] and binary.shape[1] >= 2 * size[1]:
        return (_area_means(binary, size) >= 127.5 - 1e-6).astype(np.uint8)
    return (decode.resize(binary, size) > 127).astype(np.uint8)


def shrink_all(masks: np.ndarray, size: Size) -> np.ndarray:
    """Masks of several classes uint8 (H0, W0, classes) of {0, 1} as uint8 (H, W, classes), each as `shrink` does."""
    channels = [shrink(channel * np.uint8(255), size) for channel in np.moveaxis(masks, -1, 0)]
    return np.stack(channels, axis=-1)


def _area_means(pixels, size):
    """float64 (H, W): the mean of uint8 (H0, W0) over each pixel's area, as INTER_AREA has it, five times as fast."""
    height, width = size
    # 1. sums over the rows of each new row, of those on its edge only the part inside
    edges = np.linspace(0, pixels.shape[0], height + 1)
    sums = np.empty((height, pixels.shape[1]))  # (H, W0)
    for row, (top, bottom) in enumerate(itertools.pairwise(edges)):
        first, last = math.ceil(top), math.floor(bottom)
        sums[row] = cv2.reduce(pixels[first:last], 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
        if first > top:
            sums[row] += (first - top) * pixels[first - 1]
        if bottom > last:
            sums[row] += (bottom - last) * pixels[last]
    # 2. the same over columns: differences of the running sum, which is linear within a pixel
    running = np.zeros((height, pixels.shape[1] + 1))
    np.cumsum(sums, axis=1, out=running[:, 1:])
    edges = np.linspace(0, pixels.shape[1], width + 1)
    left = np.minimum(edges.astype(int), pixels.shape[1] - 1)
    at_edges = running[:, left] + (edges - left) * sums[:, left]  # (H, W + 1)
    return np.diff(at_edges, axis=1) * (height * width / pixels.size)
