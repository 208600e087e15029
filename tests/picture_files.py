"""Bytes of picture files of every format and kind, for the tests."""

import io
import struct
import zlib

import cv2
from PIL import Image

from imaging import headers


def encode(pixels, suffix, *options):
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def pil_bytes(pixels, mode, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def turned(pixels, orientation, kind="JPEG", **options):
    """A file of uint8 (H, W, 3) RGB pixels with an EXIF orientation."""
    exif = Image.Exif()
    exif[headers.ORIENTATION] = orientation
    return pil_bytes(pixels, "RGB", kind, exif=exif, **options)


def tiff(tags):
    """A TIFF of one strip of 60 bytes from its tags: {number: value}, in Motorola's order of bytes."""
    tags = {**tags, 273: 62, 279: 60}
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries).ljust(62 + 60, b"\0")


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


SIDES = (30000 - 1).to_bytes(3, "little") * 2
BOMBS = {
    "TIFF": tiff({256: 30000, 257: 30000}),
    "WebP": b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\0" * 4 + SIDES,
    "PNG": b"\x89PNG\r\n\x1a\n"
    + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0))
    + png_chunk(b"IEND", b""),
}
