"""Decoding: pictures of every kind and state."""

import io
import struct
import tracemalloc

import cv2
import numpy as np
import pytest
from miniature import SIZE, picture, square
from picture_files import BOMBS, encode, pil_bytes, tiff, turned
from PIL import Image, ImageOps

from imaging import decode, headers, masks
from utils.errors import UserError


def test_image_is_rgb_at_the_target_size():
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[..., 2] = 200  # red, in OpenCV's order
    image, size = decode.image(encode(pixels, ".png"), (20, 30))
    assert image.dtype == np.uint8 and image.shape == (20, 30, 3) and size == (40, 60)
    assert (image == [200, 0, 0]).all()


@pytest.mark.parametrize("size", [(48, 64), (24, 32), (12, 16), (6, 8), (5, 9), (96, 128), (100, 20)])
def test_reduced_decoding_gives_what_full_decoding_gives(size):
    data = encode(picture(3, (389, 517)), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)
    full = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    full = cv2.resize(full, size[::-1], interpolation=cv2.INTER_AREA)
    reduced, source_size = decode.image(data, size)
    assert source_size == (389, 517) and reduced.shape == (*size, 3)
    assert np.abs(reduced.astype(int) - full).mean() < 1.0


def test_reduced_picture_is_never_smaller_than_the_target():
    data = encode(picture(1, (300, 400)), ".jpg")
    sizes = [(300, 400), (151, 10), (150, 200), (75, 100), (76, 100), (38, 50), (39, 50), (4, 4), (500, 500)]
    assert [decode.decode_at_least(data, size)[0].shape[:2] for size in sizes] == [
        (300, 400), (300, 400), (150, 200), (75, 100), (150, 200), (38, 50), (75, 100), (38, 50), (300, 400),
    ]  # fmt: skip


def test_grey_rgba_16_bit_and_cmyk_images_are_converted():
    pixels = picture(5)
    rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    rgba = np.dstack([pixels, np.full(SIZE, 30, np.uint8)])
    cases = {
        "gray PNG": (encode(gray, ".png"), np.dstack([gray] * 3), 0),
        "gray JPEG": (encode(gray, ".jpg"), np.dstack([gray] * 3), 3),
        "RGBA": (encode(rgba, ".png"), rgb, 0),
        "16 bit": (encode(pixels.astype(np.uint16) * 257, ".png"), rgb, 1),
        "CMYK": (pil_bytes(rgb, "CMYK", "JPEG", quality=95), rgb, 6),
        "palette": (pil_bytes(rgb, "P", "PNG"), rgb, 25),
        "BMP": (encode(pixels, ".bmp"), rgb, 0),
        "1-bit BMP": (pil_bytes(gray, "1", "BMP"), None, 0),
    }
    for name, (data, expected, tolerance) in cases.items():
        image, size = decode.image(data, SIZE)
        assert image.shape == (*SIZE, 3) and image.dtype == np.uint8 and size == SIZE, name
        if expected is not None:
            assert np.abs(image.astype(int) - expected).mean() <= tolerance, name


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright_or_left_as_stored(kind, orientation):
    stored = cv2.cvtColor(picture(1, (120, 160)), cv2.COLOR_BGR2RGB)
    data = turned(stored, orientation, kind, **({} if kind == "TIFF" else {"quality": 95}))
    with Image.open(io.BytesIO(data)) as opened:
        upright = np.array(ImageOps.exif_transpose(opened).convert("RGB"))
    size = upright.shape[:2]
    image, source = decode.image(data, size)
    assert np.abs(image.astype(int) - upright).mean() < 2
    assert source == size == headers.upright_size(data)
    image, source = decode.image(data, (120, 160), upright=False)
    assert source == (120, 160) and np.abs(image.astype(int) - stored).mean() < 3


def test_an_orientation_that_is_none_is_upright():
    for wrong in (0, 9, 255):
        assert headers.orientation(turned(picture(1), wrong)) == 1
    for data in (encode(picture(1), ".bmp"), encode(picture(1), ".png"), b"\xff\xd8 damaged", b""):
        assert headers.orientation(data) == 1


@pytest.mark.parametrize(("kind", "options"), [
    ("WEBP", {"lossless": True}), ("WEBP", {"quality": 95}), ("WEBP", {"quality": 95, "exif": b"Exif\0\0"}),
    ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"compression": "tiff_deflate"}),
])  # fmt: skip
def test_tiff_and_webp_are_read_and_checked_as_the_others(kind, options):
    pixels = cv2.cvtColor(picture(2, (121, 163)), cv2.COLOR_BGR2RGB)
    data = pil_bytes(pixels, "RGB", kind, **options)
    image, size = decode.image(data, (121, 163))
    assert size == (121, 163) and np.abs(image.astype(int) - pixels).mean() < 3
    for fraction in (0.95, 0.5, 0.05):
        with pytest.raises(ValueError, match=r"cut off|damaged|not an image"):
            decode.image(data[: int(len(data) * fraction)], (24, 32))


def test_tiffs_of_many_kinds():
    deep = picture(3).astype(np.uint16) * 257
    big = encode(deep, ".tiff")  # 16 bits
    assert np.abs(decode.image(big, SIZE)[0].astype(int) - picture(3)[..., ::-1]).mean() < 1.5
    mask, _ = masks.mask(encode(square(4), ".tiff"), SIZE, SIZE)
    assert np.array_equal(mask, square(4) > 0)
    assert headers.stored_size(tiff({256: 5, 257: 4})) == (4, 5)


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_of_every_format_are_refused_from_their_header(kind):
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"30000x30000 pixels, more than the 128,000,000 accepted"):
        decode.image(BOMBS[kind], SIZE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_whole_jpegs_of_all_kinds_are_accepted():
    pixels = cv2.cvtColor(picture(2), cv2.COLOR_BGR2RGB)
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}, {"comment": b"\xff\xd9" * 5}):
        data = pil_bytes(pixels, "RGB", "JPEG", **options)
        assert headers.stored_size(data) == SIZE
        assert headers.stored_size(data + b"\0" * 100) == SIZE  # cameras append what they like


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("share", [0.99, 0.6, 0.1, 0.02])
def test_cut_off_images_are_found(suffix, share):
    data = encode(picture(2, (120, 160)), suffix)
    with pytest.raises(ValueError, match=r"cut off|damaged|not an image"):
        decode.image(data[: int(len(data) * share)], (24, 32))


def test_cut_progressive_jpeg_and_jpeg_padded_with_zeros_are_found():
    data = pil_bytes(picture(2, (120, 160)), "RGB", "JPEG", progressive=True)
    for broken in (data[:-2], data[: len(data) // 2], data[: len(data) // 2] + b"\0" * (len(data) // 2)):
        with pytest.raises(ValueError, match="the file is cut off; copy or download it again"):
            decode.image(broken, (24, 32))


def test_not_an_image_empty_file_and_damaged_files():
    with pytest.raises(ValueError, match="not an image"):
        decode.image(b"<html>404</html>", (8, 8))
    with pytest.raises(ValueError, match="an empty file"):
        decode.image(b"", (8, 8))
    data = bytearray(encode(picture(2), ".png"))
    data[len(data) // 2] ^= 255
    with pytest.raises(ValueError, match=r"damaged PNG \(wrong checksum inside\)"):
        decode.image(bytes(data), (8, 8))
    with pytest.raises(ValueError, match="damaged JPEG header"):
        decode.image(b"\xff\xd8" + b"x" * 100, (8, 8))


def test_jpeg_of_unknown_sampling_is_damaged():
    data = bytearray(encode(picture(2), ".jpg"))
    data[data.index(b"\xff\xc0") + 11] = 0x31  # three times as wide as the colors, which no encoder writes
    with pytest.raises(UserError, match="a damaged JPEG"):
        decode.as_stored(bytes(data))


def test_huge_header_is_refused_before_any_memory_is_taken():
    data = bytearray(encode(picture(2), ".jpg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    with pytest.raises(ValueError, match=r"65500x65500 pixels, more than the 128,000,000 accepted"):
        decode.image(bytes(data), (8, 8))
    data[at + 5 : at + 9] = struct.pack(">HH", 0, 10)
    with pytest.raises(ValueError, match="0x10 pixels; the file is damaged"):
        decode.image(bytes(data), (8, 8))
