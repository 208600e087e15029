"""Bytes of a picture file to an RGB image or a {0, 1} mask at the target size. JPEG, PNG, BMP, TIFF and WebP.

The header is read first: it gives the size (needed to pair image and mask, and to refuse absurd ones before any
memory is taken) and shows whether the file is whole; OpenCV fills what a cut JPEG lacks with gray and says nothing.

An image may be stored turned, with its EXIF orientation beside it. `image` gives it upright or as it is stored; masks
are always taken as they are stored.
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

Size = tuple[int, int]  # height, width in pixels
MAX_PIXELS = 100_000_000  # the largest ISIC image has 30 million; decoding this many takes 300 MB
LARGE = 1_000_000  # pixels from which on a mask is worth a faster way to reduce it
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
FORMATS = "JPEG, PNG, BMP, TIFF or WebP"
ORIENTATION = 0x0112  # tag of EXIF: 1 to 8, 1 is upright
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # orientation -> flip of OpenCV, after a transposition from 5 on
_REMEDY_CUT = "the file is cut off; copy or download it again"
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
_COLOR_MASK = "a color mask; expected one gray channel, 0 or 1 for background and 255 or 1 for lesion"


def image(data: bytes, size: Size, upright: bool = True) -> tuple[np.ndarray, Size]:
    """Decode and resize an image.

    data: bytes of the file; gray, RGBA, 16-bit and CMYK pictures are converted. size: (H, W) of the result in pixels.
    upright: turned as its EXIF orientation says, else as it is stored.
    Returns (uint8 (H, W, 3) RGB, (height, width) of the source). A JPEG is decoded at 1/8, 1/4 or 1/2 of its size if
    that is still at least `size`: the discrete cosine transform then does part of the averaging, many times faster.
    UserError: not a picture, cut off, damaged, or absurdly large (without the file's name: the caller adds it).
    """
    rgb, source = decode_at_least(data, size, upright)
    return resize(rgb, size), source


def decode_at_least(data: bytes, size: Size | None, upright: bool = True) -> tuple[np.ndarray, Size]:
    """As `image`, but not resized: uint8 (h, w, 3) RGB, and the full (height, width).

    size: a JPEG is decoded at 1/8, 1/4 or 1/2 if that is still at least (H, W); None for its full size.
    """
    stored = header_size(data)
    turn = orientation(data) if upright else 1
    sideways = turn >= 5
    flag = cv2.IMREAD_COLOR
    if size and data.startswith(b"\xff\xd8"):
        flag = _reduction(stored, size[::-1] if sideways else size)
    rgb = cv2.cvtColor(_imdecode(data, flag), cv2.COLOR_BGR2RGB)
    if sideways:
        rgb = cv2.transpose(rgb)
    if turn in _FLIPS:
        rgb = cv2.flip(rgb, _FLIPS[turn])
    return rgb, stored[::-1] if sideways else stored


def orientation(data: bytes) -> int:
    """The EXIF orientation of a JPEG, PNG or WebP, 1 to 8; 1, which is upright, where there is none."""
    if data.startswith((b"II", b"MM", b"BM")):  # OpenCV turns TIFF itself; BMP has none
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as picture:
            found = picture.getexif().get(ORIENTATION, 1)
    except _PILLOW_ERRORS:  # what is wrong with the picture itself is found where it is decoded
        return 1
    return found if found in range(1, 9) else 1


def _reduction(source, size):
    """OpenCV's flag to decode a JPEG of `source` (height, width) as small as is at least `size`."""
    for factor, flag in _REDUCED.items():
        if all(-(-side // factor) >= wanted for side, wanted in zip(source, size, strict=True)):
            return flag
    return cv2.IMREAD_COLOR


def mask(data: bytes, size: Size | None, source: Size | None) -> tuple[np.ndarray, bool]:
    """Decode a mask and resize it: by area, then a pixel is lesion if at least half of it was.

    data: bytes of the file. size: (H, W) of the result, None for the mask's own.
    source: the image's (height, width), None for any.
    Returns (uint8 (H, W) of {0, 1}, True if the mask had grays between and was thresholded at 127).
    UserError: as `image`; also another size than the image's, a color mask, or values that are no mask's.
    """
    found = _mask_size(data, source)
    binary, anti_aliased = _binary(_one_channel(_imdecode(data, cv2.IMREAD_UNCHANGED)))
    return shrink(binary, size or found), anti_aliased  # (H, W)


def index_mask(data: bytes, size: Size | None, source: Size | None, classes: int) -> np.ndarray:
    """Decode a mask of several classes, of which the first has the value 1, the second 2 …; 0 is background.

    data: bytes of a file; of one with a palette the values are indices into it. size, source: as for `mask`.
    Returns uint8 (H, W, classes) of {0, 1}: a pixel has a class if at least half of it had.
    UserError: as `mask`; also a JPEG, which does not keep values.
    """
    found = _mask_size(data, source)
    if data.startswith(b"\xff\xd8"):
        raise UserError("a JPEG, which does not keep the numbers of classes; save the mask as PNG")
    values = _palette_indices(data)
    if values is None:
        values = _one_channel(_imdecode(data, cv2.IMREAD_UNCHANGED))
    if values.max() > classes:
        listed = ", ".join(map(str, np.unique(values)[:8]))
        raise UserError(f"mask values {listed}; expected 0 for background and 1 to {classes} for the classes")
    masks = [shrink((values == number) * np.uint8(255), size or found) for number in range(1, classes + 1)]
    return np.stack(masks, axis=-1)  # (H, W, classes)


def _palette_indices(data):
    """uint8 (H, W) of a picture with a palette, which OpenCV only gives as colors; None for one without."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.array(picture) if picture.mode == "P" else None
    except _PILLOW_ERRORS as error:
        raise UserError(f"cannot be decoded ({error}); the file is damaged, copy or download it again") from None


def _mask_size(data, source):
    size = header_size(data)
    if source is not None and size != tuple(source):
        raise UserError(
            f"the mask is {size[0]}x{size[1]} (height x width), its image {source[0]}x{source[1]}; "
            "find the mask that belongs to this image"
        )
    return size


def header_size(data: bytes) -> Size:
    """(height, width) in pixels as stored, from the header, after a check that the file is whole."""
    try:
        if data.startswith(b"\xff\xd8"):
            size = _check_jpeg(data)
        elif data.startswith(b"\x89PNG\r\n\x1a\n"):
            size = _check_png(data)
        elif data.startswith(b"BM"):
            size = _check_bmp(data)
        elif data.startswith((b"II*\0", b"MM\0*")):
            size = _check_tiff(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            size = _check_webp(data)
        elif not data:
            raise UserError(f"an empty file; {_REMEDY_CUT}")
        else:
            raise UserError(f"not an image ({FORMATS}); delete it or put the right file in its place")
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
    size = None
    at = 2
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
    view = memoryview(data)
    at = 8
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


def _check_tiff(data):
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    tags = dict(_tiff_entry(data, order, at + 2 + 12 * number) for number in range(count))
    pieces = [(273, 279), (324, 325)]  # offsets and lengths, of strips or of tiles
    offsets, lengths = next(((tags[o], tags[n]) for o, n in pieces if o in tags and n in tags), ((), ()))
    if not offsets or len(offsets) != len(lengths) or not tags.get(256) or not tags.get(257):
        raise UserError("a damaged TIFF header; copy or download it again")
    if max(map(sum, zip(offsets, lengths, strict=True))) > len(data):
        raise UserError(_REMEDY_CUT)
    return tags[257][0], tags[256][0]


def _tiff_entry(data, order, at):
    """(tag, its values: whole numbers, or none of another type) of an entry of a TIFF directory."""
    tag, kind, count = struct.unpack_from(f"{order}HHI", data, at)
    letter = {3: "H", 4: "I"}.get(kind)  # 16 or 32 bits
    if letter is None:
        return tag, ()
    width = struct.calcsize(letter)
    if width * count > len(data):
        raise UserError("a damaged TIFF header; copy or download it again")
    if width * count > 4:  # the values lie elsewhere
        (start,) = struct.unpack_from(f"{order}I", data, at + 8)
    else:
        start = at + 8
    return tag, struct.unpack_from(f"{order}{count}{letter}", data, start)


def _check_webp(data):
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < 8 + length:
        raise UserError(_REMEDY_CUT)
    kind = data[12:16]
    if kind == b"VP8X":  # extended: the canvas, less one, in three bytes each
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L":  # lossless: 14 bits each, less one
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise UserError("a damaged WebP header; copy or download it again")
    return height, width


# === Pixels ===


def _imdecode(data, flag):
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise UserError(f"cannot be decoded ({error.err}); the file is damaged, copy or download it again") from None
    if pixels is None:
        raise UserError("cannot be decoded; the file is damaged, copy or download it again")
    return pixels


def shrink(binary: np.ndarray, size: Size) -> np.ndarray:
    """A mask uint8 (H0, W0) of {0, 255} as uint8 (H, W) of {0, 1}: a pixel is lesion if at least half of it was."""
    if binary.size > LARGE and binary.shape[0] >= 2 * size[0] and binary.shape[1] >= 2 * size[1]:
        return (_area_means(binary, size) >= 127.5 - 1e-6).astype(np.uint8)
    return (resize(binary, size) > 127).astype(np.uint8)


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


def resize(pixels: np.ndarray, size: Size) -> np.ndarray:
    """An image or mask at another size, (H, W): the mean of areas where it becomes smaller, else bilinear."""
    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = pixels.shape[0] >= height and pixels.shape[1] >= width
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _one_channel(pixels):
    """uint8 (H, W) from what OpenCV read: gray, or color with equal channels (alpha is ignored), of 8 or 16 bits."""
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


def _binary(gray):
    """(uint8 (H, W) of {0, 255}, whether it was anti-aliased) from a gray mask uint8 (H, W)."""
    if cv2.sumElems(gray)[0] == 255 * cv2.countNonZero(gray):  # 0 and 255 alone, as nearly all are
        return gray, False
    histogram = cv2.calcHist([gray], [0], None, [256], [0, 256])
    values = np.flatnonzero(histogram)
    if len(values) == 1 or set(values) == {0, 1}:
        cut = 0 if values[-1] == 1 else 127
    elif values[-1] <= 127 or values[0] > 127:
        listed = ", ".join(map(str, values[:5])) + (" …" if len(values) > 5 else "")
        raise UserError(f"mask values {listed}; expected two, 0 and 255 or 0 and 1 (several classes: see --classes)")
    else:
        cut = 127
    return cv2.threshold(gray, cut, 255, cv2.THRESH_BINARY)[1], len(values) > 2
