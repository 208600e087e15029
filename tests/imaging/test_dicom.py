"""DICOM photographs: files made here and those that pydicom ships; damage; patient data that get nowhere."""

import io
import logging
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pydicom.data
import pytest
from dicom_files import PATIENT_ID, RGB, encoded, photograph
from miniature import picture, save, square
from PIL import Image
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from datasets import __main__, folder
from datasets.arrays import open_split
from datasets.preparation import check
from imaging import decode, dicom, headers, masks
from utils.errors import UserError

SHIPPED = Path(pydicom.data.__file__).parent / "test_files"


def as_jpeg(pixels=RGB, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, options.pop("format", "JPEG"), **options)
    return stream.getvalue()


def assert_read(data, pixels=RGB, tolerance=0.0):
    image, size = decode.image(data, pixels.shape[:2])
    assert size == headers.stored_size(data) == headers.upright_size(data) == pixels.shape[:2]
    assert image.dtype == np.uint8 and image.shape == (*pixels.shape[:2], 3)
    assert np.abs(image.astype(int) - pixels).mean() <= tolerance


# === Files made here ===


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_without_loss(syntax):
    made = photograph(syntax=ExplicitVRLittleEndian if syntax == RLELossless else syntax)
    if syntax == RLELossless:
        made.compress(RLELossless)
    assert_read(encoded(made))


def test_jpeg_and_jpeg_2000():
    jpeg = as_jpeg(quality=95)
    assert_read(encoded(photograph(syntax=JPEGBaseline8Bit, kind="YBR_FULL_422", frame=jpeg)), tolerance=2.0)
    lossless = as_jpeg(format="JPEG2000", irreversible=False, no_jp2=True, mct=1)
    assert_read(encoded(photograph(syntax=JPEG2000Lossless, kind="YBR_RCT", frame=lossless)))
    small, _ = decode.image(encoded(photograph(syntax=JPEGBaseline8Bit, kind="YBR_FULL_422", frame=jpeg)), (24, 32))
    assert np.abs(small.astype(int) - cv2.resize(RGB, (32, 24), interpolation=cv2.INTER_AREA)).mean() < 2


def test_kinds_of_pixels():
    planes = np.ascontiguousarray(np.moveaxis(RGB, -1, 0))
    made = photograph(PlanarConfiguration=1)
    made.PixelData = planes.tobytes()
    assert_read(encoded(made))
    ybr = cv2.cvtColor(RGB, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    assert_read(encoded(photograph(np.ascontiguousarray(ybr), kind="YBR_FULL")), tolerance=1.0)
    assert_read(encoded(photograph(RGB.astype(np.uint16) * 257)))
    gray = RGB[..., 0].copy()
    three = np.repeat(gray[..., None], 3, axis=-1)
    assert_read(encoded(photograph(gray, kind="MONOCHROME2")), three)
    assert_read(encoded(photograph(gray, kind="MONOCHROME1")), 255 - three)
    assert_read(encoded(photograph(gray.astype(np.uint16) << 4, kind="MONOCHROME2", BitsStored=12, HighBit=11)), three)
    signed = (gray.astype(np.int16) - 128) << 8
    assert_read(encoded(photograph(signed, kind="MONOCHROME2")), three)
    window = photograph(gray.astype(np.uint16), kind="MONOCHROME2", WindowCenter=128, WindowWidth=256)
    assert_read(encoded(window), three)
    table = {f"{color}PaletteColorLookupTableDescriptor": [256, 0, 16] for color in ("Red", "Green", "Blue")}
    values = (np.arange(256, dtype=np.uint16) * 257).tobytes()
    table |= {f"{color}PaletteColorLookupTableData": values for color in ("Red", "Green", "Blue")}
    assert_read(encoded(photograph(gray, kind="PALETTE COLOR", **table)), three)


def test_first_row_above_whatever_exif_says():
    exif = Image.Exif()
    exif[headers.ORIENTATION] = 6
    data = encoded(photograph(syntax=JPEGBaseline8Bit, kind="YBR_FULL_422", frame=as_jpeg(quality=95, exif=exif)))
    assert headers.orientation(data) == 1
    assert_read(data, tolerance=2.0)


def test_a_dicom_file_that_is_a_tiff_too():
    data = b"II*\0" + bytes(124) + encoded(photograph())[128:]
    assert_read(data)


def test_masks():
    mask = (RGB[..., 0] > 100) * np.uint8(255)
    found, _ = masks.mask(encoded(photograph(mask, kind="MONOCHROME2")), None, mask.shape)
    assert np.array_equal(found * 255, mask)


# === Files that pydicom ships ===

REFERENCE = "SC_rgb_rle.dcm"  # without loss; the others of its kind hold the same picture


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("SC_rgb_jpeg_gdcm.dcm", 0),  # JPEG lossless
        ("SC_rgb_jls_lossy_line.dcm", 3),  # JPEG-LS
        ("SC_rgb_gdcm_KY.dcm", 6),  # JPEG 2000
        ("SC_rgb_dcmtk_+eb+cr.dcm", 8),  # JPEG of RGB
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", 8),  # JPEG, YBR_FULL_422
        ("SC_rgb_jpeg_dcmtk.dcm", 8),  # JPEG, YBR_FULL
        ("SC_ybr_full_422_uncompressed.dcm", 4),
        ("SC_rgb_rle_16bit.dcm", 0),
    ],
)
def test_shipped_colors(name, tolerance):
    if name == "SC_rgb_jpeg_gdcm.dcm":
        pytest.importorskip("libjpeg", reason="JPEG lossless needs pylibjpeg-libjpeg, which is GPL")
    expected = pydicom.dcmread(SHIPPED / REFERENCE).pixel_array
    assert_read((SHIPPED / name).read_bytes(), expected, tolerance)


@pytest.mark.parametrize(
    ("name", "like"),
    [("MR_small_RLE.dcm", "MR_small.dcm"), ("MR_small_bigendian.dcm", "MR_small.dcm"),
     ("MR_small_jp2klossless.dcm", "MR_small.dcm"), ("MR_small_implicit.dcm", "MR_small.dcm")],
)  # fmt: skip
def test_shipped_grays(name, like):
    one, two = (decode.as_stored((SHIPPED / each).read_bytes()) for each in (name, like))
    assert np.array_equal(one, two) and one.shape == (64, 64) and one.max() == 255


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MR_truncated.dcm", "its pixels cannot be decoded"),
        ("image_dfl.dcm", "a deflated DICOM file, which is not read"),
        ("SC_rgb_rle_2frame.dcm", "a DICOM file of 2 images"),
        ("rtdose_1frame.dcm", "32 bits; expected color or gray of 8 or 16"),
        ("liver_1frame.dcm", "1 bits"),
        ("reportsi.dcm", "without the size of an image"),
        ("badVR.dcm", "a damaged DICOM file"),
    ],
)
def test_shipped_and_refused(name, message):
    with pytest.raises(UserError, match=message) as caught:
        decode.image((SHIPPED / name).read_bytes(), (8, 8))
    assert "\n" not in str(caught.value)


# === Damage ===


def test_sizes_that_lie():
    bomb = photograph(Rows=60_000, Columns=60_000)
    with pytest.raises(UserError, match="60000x60000 pixels, more than the 128,000,000 accepted"):
        decode.image(encoded(bomb), (8, 8))
    large = as_jpeg(np.zeros((960, 640, 3), np.uint8))
    with pytest.raises(UserError, match="a compressed image of another size than the file says"):
        decode.image(encoded(photograph(syntax=JPEGBaseline8Bit, kind="YBR_FULL_422", frame=large)), (8, 8))
    wide = as_jpeg(np.zeros((960, 640, 3), np.uint8), format="JPEG2000", no_jp2=True)
    with pytest.raises(UserError, match="a compressed image of another size than the file says"):
        decode.image(encoded(photograph(syntax=JPEG2000Lossless, kind="YBR_RCT", frame=wide)), (8, 8))


def test_a_jpeg_that_is_damaged_inside():
    jpeg = bytearray(as_jpeg(np.random.default_rng(0).integers(0, 256, RGB.shape, np.uint8), quality=95))
    third = len(jpeg) // 3
    jpeg[third : 2 * third] = bytes(third)
    with pytest.raises(UserError, match=r"a damaged JPEG|cannot be decoded"):
        decode.image(encoded(photograph(syntax=JPEGBaseline8Bit, kind="YBR_FULL_422", frame=bytes(jpeg))), (8, 8))


def test_no_mutation_ends_in_anything_but_a_user_error():
    good = [encoded(photograph(RGB[:16, :16].copy()))]
    jpeg = as_jpeg(RGB[:16, :16].copy())
    good.append(encoded(photograph(RGB[:16, :16], JPEGBaseline8Bit, "YBR_FULL_422", jpeg)))
    random = np.random.default_rng(0)
    refused = 0
    for number in range(300):
        data = bytearray(good[number % 2])
        if number % 3:
            for at in random.integers(132, len(data), 1 + number % 5):
                data[at] = random.integers(256)
        else:
            del data[random.integers(132, len(data)) :]
        try:
            decode.image(bytes(data), (8, 8))
        except UserError as problem:
            refused += 1
            assert "\n" not in str(problem) and "Muster" not in str(problem)
    assert refused > 100


# === Packages and patients ===


def test_without_pydicom(monkeypatch):
    data = encoded(photograph())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    dicom.library.cache_clear()
    with pytest.raises(UserError, match=r"pydicom is needed: pip install -r requirements-dicom.txt"):
        decode.image(data, (8, 8))


def test_without_a_decoder(monkeypatch):
    decoder = pydicom.pixels.get_decoder(JPEG2000Lossless)
    monkeypatch.setattr(type(decoder), "is_available", False)
    frame = as_jpeg(format="JPEG2000", no_jp2=True)
    with pytest.raises(UserError, match=r"compressed by JPEG 2000 .*, whose decoder is missing: pip install"):
        decode.image(encoded(photograph(syntax=JPEG2000Lossless, kind="YBR_RCT", frame=frame)), (8, 8))


def test_pixels_with_burned_in_names_are_refused():
    with pytest.raises(UserError, match="patient data are burned into its pixels; blacken them first"):
        decode.image(encoded(photograph(BurnedInAnnotation="YES")), (8, 8))
    assert_read(encoded(photograph(BurnedInAnnotation="NO")))


def test_odd_values_are_not_quoted(capsys, caplog):
    made = photograph()
    data = encoded(made).replace(b"19560401", b"1956?401")
    dicom.library.cache_clear()
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        assert_read(data)
        with pytest.raises(UserError):
            decode.image(data[:-4000], (8, 8))
    out, err = capsys.readouterr()
    everything = out + err + caplog.text + "".join(str(each.message) for each in warned)
    assert not any(part in everything for part in ("Muster", PATIENT_ID, "1956"))


def test_a_folder_of_photographs_is_prepared(tmp_path):
    for n in range(3):
        save(tmp_path / f"data/train/masks/p{n}.png", square(n))
        path = tmp_path / f"data/train/images/p{n}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(photograph(np.ascontiguousarray(picture(n)[..., ::-1]))))
    where = ["--folders", str(tmp_path / "data"), "--root", str(tmp_path / "out"), "--size", "24x32"]
    __main__.main(["folder", *where])
    split = open_split(tmp_path / "out", "train")
    expected = cv2.resize(picture(1), (32, 24), interpolation=cv2.INTER_AREA)[..., ::-1]
    assert split.ids == ["p0", "p1", "p2"] and np.array_equal(split.images[1], expected)
    lines = check.check(folder.DATASET, tmp_path / "data", (24, 32), 0, tmp_path / "check.jpg")
    assert "    images: 3 DICOM" in lines
    files = [path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()]
    assert not any(b"Mustermann" in data or PATIENT_ID.encode() in data for data in files)
