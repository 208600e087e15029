"""DICOM files: bytes to pixels, by pydicom, an optional package (requirements-dicom.txt).

What is read of a file are the attributes in TAGS alone. None of them says who the patient is, and messages hold no
value of a file but sizes and kinds, so that patient data get nowhere. A file that says that such data are burned into
its pixels is refused.

Pixels are given as viewers show them, the first row above: an orientation in the Exif header of a JPEG inside does not
count in DICOM, and masks must lie on the pixels as they are stored.
"""

import io
import logging
import math
import struct
import warnings
from functools import cache

import numpy as np

from utils.errors import UserError

INSTALL = "pip install -r requirements-dicom.txt"
TAGS = (
    *("SOPClassUID", "BurnedInAnnotation", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *(f"{color}PaletteColorLookupTable{part}" for color in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData"),
)
COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
GRAYS = ("MONOCHROME1", "MONOCHROME2")
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # transfer syntax
_JPEG_2000 = b"\xff\x4f\xff\x51"  # how a code stream begins: its start, and the marker of its size
_REMEDY = "copy or export the file again"


def is_dicom(data: bytes) -> bool:
    """Whether a file begins as a DICOM file does. It may begin as a TIFF at the same time: ask this first."""
    return data[128:132] == b"DICM"


def size(data: bytes) -> tuple[int, int]:
    """(height, width) in pixels. UserError: no single image, damaged, or pydicom is missing (without the name)."""
    return _size(_read(data, pixels=False))


def frame(data: bytes) -> bytes | None:
    """The JPEG in a DICOM file of this kind, which is decoded once more by a stricter decoder; None in others."""
    found = _read(data)
    return _code_stream(found) if found.file_meta.TransferSyntaxUID == JPEG_BASELINE else None


def pixels(data: bytes) -> np.ndarray:
    """uint8 (H, W), or (H, W, 3) RGB, of a DICOM file.

    More than 8 bits of gray become 8 by the file's window, where it has one, else all by their upper 8.
    UserError: as `size`; also pixels of a kind that is not read, or no decoder for them.
    """
    found = _read(data)
    height, width = _size(found)
    kind = str(found.get("PhotometricInterpretation", "none"))
    if kind not in (*COLORS, *GRAYS, "PALETTE COLOR") or found.get("BitsAllocated") not in (8, 16):
        bits = found.get("BitsAllocated")
        raise UserError(f"pixels of the kind {kind[:20]}, {bits} bits; expected color or gray of 8 or 16 bits")
    _require_decoder(found)
    stream = _code_stream(found)
    if stream is not None and _stream_size(stream) not in (None, (height, width)):
        raise UserError(f"a compressed image of another size than the file says; {_REMEDY}")
    try:
        decoded = library().pixels.pixel_array(found, index=0)  # YBR has become RGB
        shown = _shown(found, decoded, kind)
    except UserError:
        raise
    except Exception as problem:  # a damaged file raises anything, with values of the file in its text
        raise UserError(f"its pixels cannot be decoded ({type(problem).__name__}); {_REMEDY}") from None
    if shown.shape[:2] != (height, width):
        raise UserError(f"pixels of another size than the file says; {_REMEDY}")
    return shown


# === Reading ===


@cache
def library():
    """pydicom, which is told to keep values of files to itself. UserError: it is missing."""
    try:
        import pydicom
        import pydicom.pixels
    except ModuleNotFoundError:
        raise UserError(f"a DICOM file, for which pydicom is needed: {INSTALL}") from None
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # it quotes what is odd, and so do its warnings
    warnings.filterwarnings("ignore", module="pydicom")
    return pydicom


def _read(data, pixels=True):
    """The Dataset of TAGS. UserError: it is none, or packed so that it may take any memory."""
    reader = library()
    if _DEFLATED in data[:4096]:
        raise UserError("a deflated DICOM file, which is not read; export it without compression, as JPEG or JPEG 2000")
    tags = [tag for tag in TAGS if pixels or tag != "PixelData"]
    try:
        found = reader.dcmread(io.BytesIO(data), stop_before_pixels=not pixels, specific_tags=tags)
        for name in tags:  # values are converted when they are asked for, which may fail
            found.get(name)
        burned = str(found.get("BurnedInAnnotation", "NO")).strip().upper() == "YES"
        frames = int(found.get("NumberOfFrames") or 1)
        complete = found.file_meta.TransferSyntaxUID.is_compressed in (True, False)
        complete = complete and (not pixels or "PixelData" in found)
    except Exception as problem:
        raise UserError(f"a damaged DICOM file ({type(problem).__name__}); {_REMEDY}") from None
    if burned:
        raise UserError("a DICOM file that says that patient data are burned into its pixels; blacken them first")
    if frames != 1:
        raise UserError(f"a DICOM file of {frames} images; expected one: export it as a file of its own")
    if not complete:
        raise UserError(f"a DICOM file without an image; {_REMEDY}")
    return found


def _size(found):
    sides = (found.get("Rows"), found.get("Columns"))
    if not all(isinstance(side, int) for side in sides):
        raise UserError("a DICOM file without the size of an image; expected a photograph")
    return sides


def _require_decoder(found):
    syntax = found.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return
    try:
        decoder = library().pixels.get_decoder(syntax)
    except NotImplementedError:
        raise UserError(
            f"a DICOM file compressed by {syntax.name}, which is not read; export it as JPEG 2000"
        ) from None
    if not decoder.is_available:
        raise UserError(f"a DICOM file compressed by {syntax.name}, whose decoder is missing: {INSTALL}") from None


def _code_stream(found):
    """The compressed image; None where it is not compressed."""
    if not found.file_meta.TransferSyntaxUID.is_compressed:
        return None
    try:
        return library().encaps.get_frame(found.PixelData, 0, number_of_frames=1)
    except Exception as problem:
        raise UserError(f"a damaged DICOM file ({type(problem).__name__}); {_REMEDY}") from None


def _stream_size(stream):
    """(height, width) of a JPEG, JPEG-LS or JPEG 2000 by its own header; None of others. It may be larger than said."""
    at = stream.find(_JPEG_2000)
    try:
        if at >= 0:
            right, bottom, left, top = struct.unpack_from(">IIII", stream, at + 8)
            return bottom - top, right - left
        if not stream.startswith(b"\xff\xd8"):
            return None
        at = 2
        while True:
            mark, kind, length = struct.unpack_from(">BBH", stream, at)
            if mark == 0xFF and (kind == 0xF7 or (0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC))):
                return struct.unpack_from(">HH", stream, at + 5)
            at += 1 if kind == 0xFF else 2 + length
    except struct.error:
        raise UserError(f"a compressed image that is cut off; {_REMEDY}") from None


# === To what is shown ===


def _shown(found, decoded, kind):
    """uint8 (H, W) or (H, W, 3) from what a file's pixels are."""
    processing = library().pixels
    if kind == "PALETTE COLOR":
        color = processing.apply_color_lut(decoded, found)
        return color if color.dtype == np.uint8 else (color >> 8).astype(np.uint8)
    if kind in COLORS:
        return _eight_bits(decoded, found)
    if "WindowCenter" in found and "WindowWidth" in found:
        gray = _windowed(processing.apply_rescale(decoded, found), found)
    else:
        gray = _eight_bits(decoded, found)
    return 255 - gray if kind == "MONOCHROME1" else gray


def _eight_bits(values, found):
    """The upper 8 of the bits that a file uses."""
    bits = int(found.BitsStored)
    values = values.astype(np.int64)
    if found.get("PixelRepresentation") == 1:
        values += 1 << (bits - 1)
    shifted = values >> (bits - 8) if bits >= 8 else values << (8 - bits)
    return np.clip(shifted, 0, 255).astype(np.uint8)


def _windowed(values, found):
    """0 to 255 by the first window of a file, linear (PS3.3 C.11.2.1.2) whatever function it names."""
    center, width = (np.ravel(found[name].value)[0] for name in ("WindowCenter", "WindowWidth"))
    center, width = float(center), float(width)
    if not (math.isfinite(center) and width >= 1):
        raise UserError(f"a DICOM file with a window that shows nothing; {_REMEDY}")
    scaled = ((values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5) * 255
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)
