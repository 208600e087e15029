"""Bytes of a picture file to pixels: JPEG, PNG, BMP, TIFF, WebP and DICOM, the one decoder of every entry point.

Damage is an error, never a guess. The header is read first (headers.py); then a JPEG is decoded by libjpeg-turbo
through simplejpeg, which takes its warnings for errors; TIFF and WebP by Pillow, which is stricter with them than
OpenCV; DICOM by pydicom (dicom.py), a JPEG in it once more by simplejpeg; PNG, whose checksums are tested, and BMP by
OpenCV.

An image may be stored turned, with its EXIF orientation beside it. `image` gives it upright or as it is stored.
"""

import io
import re

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from imaging import dicom, headers
from imaging.headers import PILLOW_ERRORS, REMEDY_DAMAGED, Size
from utils.errors import UserError

_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # orientation -> flip of OpenCV, after a transposition from 5 on
_DIVISORS = (8, 4, 2)  # of a JPEG's sides
_HARMLESS = r"\b\d{1,2} extraneous bytes before marker 0xd9"  # some cameras put a few bytes before the end mark
_MODES = {"1": "L", "P": "RGBA", "LA": "RGBA", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "RGBX": "RGB"}
_PLAIN = ("L", "RGB", "RGBA")


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
    stored = headers.stored_size(data)
    turn = headers.orientation(data) if upright else 1
    sideways = turn >= 5
    if dicom.is_dicom(data):
        rgb = _dicom(data, "RGB")
    elif headers.is_jpeg(data):
        least = size[::-1] if size and sideways else size
        rgb = _jpeg(data, "RGB", _reduced(stored, least) if least else stored)
    elif headers.is_tiff(data) or headers.is_webp(data):
        rgb = _pillow(data, "RGB")
    else:
        rgb = cv2.cvtColor(_opencv(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return turned(rgb, turn), stored[::-1] if sideways else stored


def as_stored(data: bytes) -> np.ndarray:
    """All that a file's pixels hold, at full size and not turned: uint8 or uint16 (H, W), (H, W, 3) or (H, W, 4).

    For masks: one channel, or three colors in whichever order, and behind these alpha. UserError: as `image`.
    """
    stored = headers.stored_size(data)
    if dicom.is_dicom(data):
        return _dicom(data, None)
    if headers.is_jpeg(data):
        gray = _is_gray(data)
        pixels = _jpeg(data, "GRAY" if gray else "RGB", stored)
        return pixels[..., 0] if gray else pixels
    if headers.is_tiff(data) or headers.is_webp(data):
        return _pillow(data, None)
    return _opencv(data, cv2.IMREAD_UNCHANGED)


def palette_indices(data: bytes) -> np.ndarray | None:
    """uint8 (H, W) of a picture with a palette, not turned; None for one without. UserError: it is damaged."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            _leave_as_stored(picture)
            return np.array(picture) if picture.mode == "P" else None
    except PILLOW_ERRORS as error:
        raise UserError(f"cannot be decoded ({error}); {REMEDY_DAMAGED}") from None


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W) or (H, W, channels) as stored, turned upright as an EXIF orientation, 1 to 8, says."""
    if orientation >= 5:
        pixels = cv2.transpose(pixels)
    return cv2.flip(pixels, _FLIPS[orientation]) if orientation in _FLIPS else pixels


def resize(pixels: np.ndarray, size: Size) -> np.ndarray:
    """An image or mask at another size, (H, W): the mean of areas where it becomes smaller, else bilinear."""
    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = pixels.shape[0] >= height and pixels.shape[1] >= width
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


# === Decoders ===


def _reduced(source, size):
    """(height, width) of a JPEG of `source` (height, width) decoded as small as is at least `size`."""
    for divisor in _DIVISORS:
        small = tuple(-(-side // divisor) for side in source)
        if small[0] >= size[0] and small[1] >= size[1]:
            return small
    return source


def _is_gray(data):
    try:
        return simplejpeg.decode_jpeg_header(data, strict=False)[2] == "Gray"
    except ValueError as error:
        raise UserError(f"a damaged JPEG ({error}); copy or download it again") from None


def _jpeg(data, colors, size):
    """uint8 (h, w, channels); `size` is one that `_reduced` gives."""

    def decoded(strict):
        return simplejpeg.decode_jpeg(data, colors, min_height=size[0], min_width=size[1], strict=strict)

    try:
        try:
            return decoded(strict=True)
        except ValueError as error:
            if not re.search(_HARMLESS, str(error)):
                raise
            return decoded(strict=False)
    except ValueError as error:
        raise UserError(f"a damaged JPEG ({error}); copy or download it again") from None


def _pillow(data, mode):
    """A TIFF or WebP, not turned: uint8 in `mode`, or with None in its own, which may also be uint16 (H, W)."""
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF", "WEBP")) as picture:
            _leave_as_stored(picture)
            picture.load()
            if picture.mode.startswith("I;16"):
                deep = np.asarray(picture).astype(np.uint16)
                return deep if mode is None else cv2.cvtColor((deep >> 8).astype(np.uint8), cv2.COLOR_GRAY2RGB)
            own = _MODES.get(picture.mode, picture.mode)
            if own not in _PLAIN:
                raise UserError(f"pixels of the kind {picture.mode}; expected 8 or 16 bits: save it as PNG")
            return np.asarray(picture.convert(mode or own))
    except UserError:
        raise
    except PILLOW_ERRORS as error:
        raise UserError(f"cannot be decoded ({error}); {REMEDY_DAMAGED}") from None


def _dicom(data, mode):
    """uint8 (H, W, 3) in the mode "RGB"; with None in the file's own, which may also be (H, W)."""
    pixels = dicom.pixels(data)
    jpeg = dicom.frame(data)
    if jpeg:  # what pydicom's decoders let pass
        _jpeg(jpeg, "GRAY" if pixels.ndim == 2 else "RGB", pixels.shape[:2])
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if mode and pixels.ndim == 2 else pixels


def _leave_as_stored(picture):
    """Keep Pillow from turning a TIFF by itself, when its pixels are loaded."""
    if picture.format == "TIFF":
        picture.getexif().pop(headers.ORIENTATION, None)


def _opencv(data, flag):
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise UserError(f"cannot be decoded ({error.err}); {REMEDY_DAMAGED}") from None
    if pixels is None:
        raise UserError(f"cannot be decoded; {REMEDY_DAMAGED}")
    return pixels
