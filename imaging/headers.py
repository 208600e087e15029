"""What a picture file's first bytes say, before anything is decoded: format, size, orientation, whether it is whole.

The size is needed to pair image and mask, and to refuse absurd ones before any memory is taken.
"""

import io
import struct
import zlib

from PIL import Image

from imaging import dicom
from utils.errors import UserError

Size = tuple[int, int]  # height, width in pixels
MAX_PIXELS = 128_000_000  # of telephones, the largest photographs have 108 million; decoding this many takes 400 MB
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm")
FORMATS = "JPEG, PNG, BMP, TIFF, WebP or DICOM"
ORIENTATION = 0x0112  # tag of EXIF: 1 to 8, 1 is upright
PILLOW_ERRORS = (  # of damaged files
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error),
    Image.DecompressionBombError,
)
REMEDY_CUT = "the file is cut off; copy or download it again"
REMEDY_DAMAGED = "the file is damaged, copy or download it again"
_OTHERS = {  # (where, what stands there) -> a format that people have and that is not read
    (0, b"GIF8"): "a GIF",
    (0, b"%PDF"): "a PDF",
    (0, b"8BPS"): "a Photoshop document",
    (0, b"\0\0\0\x0cjP"): "a JPEG 2000 image",
    (4, b"ftypavif"): "an AVIF image",
    (4, b"ftyphe"): "a HEIC image",
    (4, b"ftypmif1"): "a HEIC image",
}
_MARKS = (b"Exif", b"eXIf", b"EXIF", b"tiff:Orientation")  # of JPEG, PNG, WebP, and of XMP
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow's own limit is lower


def is_jpeg(data: bytes) -> bool:
    """Whether a file begins as a JPEG does."""
    return data.startswith(b"\xff\xd8")


def is_tiff(data: bytes) -> bool:
    """Whether a file begins as a TIFF does."""
    return data.startswith((b"II*\0", b"MM\0*"))


def is_webp(data: bytes) -> bool:
    """Whether a file begins as a WebP does."""
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def stored_size(data: bytes) -> Size:
    """(height, width) in pixels as stored, from the header, after a check that the file is whole.

    UserError: not a picture of FORMATS, cut off, or more than MAX_PIXELS (without the file's name).
    """
    size = _checked_size(data)
    if not all(size):
        raise UserError(f"the header says {size[0]}x{size[1]} pixels; {REMEDY_DAMAGED}")
    if size[0] * size[1] > MAX_PIXELS:
        raise UserError(
            f"the header says {size[0]}x{size[1]} pixels, more than the {MAX_PIXELS:,} accepted; "
            "make it smaller first (or copy it again, if it should not be so large)"
        )
    return size


def upright_size(data: bytes) -> Size:
    """(height, width) in pixels when turned as its EXIF orientation says. UserError: as `stored_size`."""
    size = stored_size(data)
    return size[::-1] if orientation(data) >= 5 else size


def orientation(data: bytes) -> int:
    """The EXIF orientation of a picture, 1 to 8; 1, which is upright, where there is none."""
    if dicom.is_dicom(data):
        return 1
    end = data.find(b"\xff\xda") if is_jpeg(data) else len(data)  # of a JPEG's header
    if not is_tiff(data) and all(data.find(mark, 0, end) < 0 for mark in _MARKS):  # nearly all
        return 1  # without Pillow, which would decode a PNG for it
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP", "TIFF")) as picture:
            found = picture.getexif().get(ORIENTATION, 1)
    except PILLOW_ERRORS:  # what is wrong with the picture itself is found where it is decoded
        return 1
    return found if found in range(1, 9) else 1


def _checked_size(data):
    if dicom.is_dicom(data):
        return dicom.size(data)
    try:
        if is_jpeg(data):
            return _check_jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _check_png(data)
        if data.startswith(b"BM"):
            return _check_bmp(data)
        if is_tiff(data):
            return _check_tiff(data)
        if is_webp(data):
            return _check_webp(data)
    except struct.error:  # the data end inside a header
        raise UserError(REMEDY_CUT) from None
    if not data:
        raise UserError(f"an empty file; {REMEDY_CUT}")
    for (at, mark), name in _OTHERS.items():
        if data.startswith(mark, at):
            raise UserError(f"{name}, which is not read; save it as PNG (read are {FORMATS})")
    raise UserError(f"not an image ({FORMATS}); delete it or put the right file in its place")


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
        raise UserError(REMEDY_CUT)
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
    offset, header, width, height, _, bits, compression, declared = struct.unpack_from("<IIiiHHII", data, 10)
    height = abs(height)  # negative: rows from top to bottom
    width = max(width, 0)
    needed = (width * bits + 31) // 32 * 4 * height  # bytes; each row is padded to four
    if compression in (0, 3):  # not compressed
        if len(data) < offset + needed:
            raise UserError(REMEDY_CUT)
        profile = header >= 124  # version 5: a color profile may follow the pixels
        found = declared if declared or profile else len(data) - offset
        if found and not 0 <= found - needed < 4:  # some programs add up to three bytes
            raise UserError(f"a BMP of {width}x{height} pixels with data for another size; {REMEDY_DAMAGED}")
    return height, width


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
        raise UserError(REMEDY_CUT)
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
        raise UserError(REMEDY_CUT)
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
