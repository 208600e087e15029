"""Bytes of a picture file to an RGB image or a {0, 1} mask at the target size. JPEG, PNG and BMP.

The header is looked at first: it gives the size (needed to pair image and mask, and to refuse absurd ones before any
memory is taken) and shows whether the file is whole; OpenCV fills what a cut JPEG lacks with grey and says nothing.

EXIF orientation is ignored for image and mask alike: masks are drawn on, and the challenge scores at, the grid of
pixels as stored. Turning only the image would part it from its mask.
"""

import io
import itertools
import math
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from utils.errors import UserError

MAX_PIXELS = 100_000_000  # the largest ISIC image has 30 million; decoding this many takes 300 MB
LARGE = 1_000_000  # pixels from which on a mask is worth a faster way to reduce it
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
_REMEDY_CUT = "the file is cut off; copy or download it again"
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
_COLOR_MASK = "a color mask; expected one grey channel, 0 or 1 for background and 255 or 1 for lesion"


def image(data, size):
    """Decode and resize an image.

    data: bytes of the file; grey, RGBA, 16-bit and CMYK pictures are converted. size: (H, W) of the result in pixels.
    Returns (uint8 (H, W, 3) RGB, (height, width) of the source). A JPEG is decoded at 1/8, 1/4 or 1/2 of its size if
    that is still at least `size`: the discrete cosine transform then does part of the averaging, many times faster.
    UserError: not a picture, cut off, damaged, or absurdly large (without the file's name: the caller adds it).
    """
    source = header_size(data)
    flag = reduction(source, size)[0] if data.startswith(b"\xff\xd8") else cv2.IMREAD_COLOR
    bgr = _imdecode(data, flag)
    return cv2.cvtColor(_resize(bgr, size), cv2.COLOR_BGR2RGB), source  # (H, W, 3)


def reduction(source, size):
    """How to decode a JPEG of `source` (height, width) as small as is at least `size`: OpenCV's flag, and the size."""
    for factor, flag in _REDUCED.items():
        height, width = (-(-side // factor) for side in source)
        if height >= size[0] and width >= size[1]:
            return flag, (height, width)
    return cv2.IMREAD_COLOR, tuple(source)


def mask(data, size, source):
    """Decode a mask and resize it: by area, then a pixel is lesion if at least half of it was.

    data: bytes of the file. size: (H, W) of the result, None for the mask's own.
    source: the image's (height, width), None for any.
    Returns (uint8 (H, W) of {0, 1}, True if the mask had greys between and was thresholded at 127).
    UserError: as `image`; also another size than the image's, a color mask, or values that are no mask's.
    """
    found = _mask_size(data, source)
    binary, anti_aliased = _binary(_one_channel(_imdecode(data, cv2.IMREAD_UNCHANGED)))
    return shrink(binary, size or found), anti_aliased  # (H, W)


def index_mask(data, size, source, classes):
    """Decode a mask of several classes, of which the first has the value 1, the second 2 …; 0 is background.

    data: bytes of a PNG or BMP; of one with a palette the values are the places in it. size, source: as for `mask`.
    Returns uint8 (H, W, classes) of {0, 1}: a pixel has a class if at least half of it had.
    UserError: as `mask`; also a JPEG, which does not keep values.
    """
    found = _mask_size(data, source)
    if data.startswith(b"\xff\xd8"):
        raise UserError("a JPEG, which does not keep the numbers of classes; save the mask as PNG")
    values = _palette_places(data)
    values = _one_channel(_imdecode(data, cv2.IMREAD_UNCHANGED)) if values is None else values
    if values.max() > classes:
        listed = ", ".join(map(str, np.unique(values)[:8]))
        raise UserError(f"mask values {listed}; expected 0 for background and 1 to {classes} for the classes")
    masks = [shrink((values == number) * np.uint8(255), size or found) for number in range(1, classes + 1)]
    return np.stack(masks, axis=-1)  # (H, W, classes)


def _palette_places(data):
    """uint8 (H, W) of a picture with a palette, which OpenCV only gives as colors; None for one without."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.array(picture) if picture.mode == "P" else None
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"cannot be decoded ({error}); the file is damaged, copy or download it again") from None


def _mask_size(data, source):
    size = header_size(data)
    if source is not None and size != tuple(source):
        raise UserError(
            f"the mask is {size[0]}x{size[1]} (height x width), its image {source[0]}x{source[1]}; "
            "find the mask that belongs to this image"
        )
    return size


def header_size(data):
    """(height, width) in pixels from the header of a JPEG, PNG or BMP, after a check that the file is whole."""
    try:
        if data.startswith(b"\xff\xd8"):
            size = _check_jpeg(data)
        elif data.startswith(b"\x89PNG\r\n\x1a\n"):
            size = _check_png(data)
        elif data.startswith(b"BM"):
            size = _check_bmp(data)
        elif not data:
            raise UserError(f"an empty file; {_REMEDY_CUT}")
        else:
            raise UserError("not an image (JPEG, PNG or BMP); delete it or put the right file in its place")
    except struct.error:  # the data end inside a header
        raise UserError(_REMEDY_CUT) from None
    if not all(size):
        raise UserError(f"the header says {size[0]}x{size[1]} pixels; the file is damaged, copy or download it again")
    if size[0] * size[1] > MAX_PIXELS:
        raise UserError(
            f"the header says {size[0]}x{size[1]} pixels, more than the {MAX_PIXELS:,} accepted; "
            "the file is damaged, or must be made smaller first"
        )
    return size


# === Headers ===


def _check_jpeg(data):
    size, at = None, 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        start, marker, length = struct.unpack_from(">BBH", data, at)
        if start != 0xFF:
            raise UserError("a damaged JPEG header; copy or download it again")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame header
            size = struct.unpack_from(">HH", data, at + 5)
        at += 2 + length
        if marker == 0xDA:  # the picture's data follow; in them 0xFF 0xD9 can only be the end marker
            break
    if size is None:
        raise UserError("a damaged JPEG header; copy or download it again")
    if data.find(b"\xff\xd9", at) < 0:
        raise UserError(_REMEDY_CUT)
    return size


def _check_png(data):
    view, at = memoryview(data), 8
    kind = None
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(view[at + 4 : at + 8 + length]) != checksum:
            raise UserError("a damaged PNG (wrong checksum inside); copy or download it again")
        at += 12 + length
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _check_bmp(data):
    offset, _, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
    height = abs(height)  # negative: rows from top to bottom
    row = (width * bits + 31) // 32 * 4  # bytes, padded to four
    if compression in (0, 3) and len(data) < offset + row * height:  # 0 and 3: not compressed
        raise UserError(_REMEDY_CUT)
    return height, max(width, 0)


# === Pixels ===


def _imdecode(data, flag):
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise UserError(f"cannot be decoded ({error.err}); the file is damaged, copy or download it again") from None
    if pixels is None:
        raise UserError("cannot be decoded; the file is damaged, copy or download it again")
    return pixels


def shrink(binary, size):
    """A mask uint8 (H0, W0) of {0, 255} as uint8 (H, W) of {0, 1}: a pixel is lesion if at least half of it was."""
    if binary.size > LARGE and binary.shape[0] >= 2 * size[0] and binary.shape[1] >= 2 * size[1]:
        return (_area_means(binary, size) >= 127.5 - 1e-6).astype(np.uint8)
    return (_resize(binary, size) > 127).astype(np.uint8)


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


def _resize(pixels, size):
    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = pixels.shape[0] >= height and pixels.shape[1] >= width
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _one_channel(pixels):
    """uint8 (H, W) from what OpenCV read: grey, or color with equal channels (alpha is ignored), of 8 or 16 bits."""
    if pixels.dtype == np.uint16:
        pixels = pixels.astype(np.uint8) if pixels.max() <= 255 else (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise UserError(f"a mask of {pixels.dtype} values; expected 8 or 16 bits")
    if pixels.ndim == 2:
        return pixels
    first = pixels[..., 0]  # (H, W)
    if pixels.shape[2] >= 3 and not (np.array_equal(first, pixels[..., 1]) and np.array_equal(first, pixels[..., 2])):
        raise UserError(_COLOR_MASK)
    return np.ascontiguousarray(first)


def _binary(grey):
    """(uint8 (H, W) of {0, 255}, whether it was anti-aliased) from a grey mask uint8 (H, W)."""
    if cv2.sumElems(grey)[0] == 255 * cv2.countNonZero(grey):  # 0 and 255 alone, as nearly all are
        return grey, False
    histogram = cv2.calcHist([grey], [0], None, [256], [0, 256])
    values = np.flatnonzero(histogram)
    if len(values) == 1 or set(values) == {0, 1}:
        cut = 0 if values[-1] == 1 else 127
    elif values[-1] <= 127 or values[0] > 127:
        listed = ", ".join(map(str, values[:5])) + (" …" if len(values) > 5 else "")
        raise UserError(f"mask values {listed}; expected two, 0 and 255 or 0 and 1 (several classes: see --classes)")
    else:
        cut = 127
    return cv2.threshold(grey, cut, 255, cv2.THRESH_BINARY)[1], len(values) > 2
