"""Decoding: pictures of every kind and state."""

import io
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from miniature import SIZE, picture, square
from PIL import Image, ImageOps

from imaging import decode


def encode(pixels, suffix, *options):
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def pil_bytes(pixels, mode, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


# === decode: images ===


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


def test_reduced_picture_is_never_smaller_than_the_target(monkeypatch):
    seen = []
    real = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, flag: seen.append(real(data, flag).shape[:2]) or real(data, flag))
    data = encode(picture(1, (300, 400)), ".jpg")
    for size in [(300, 400), (151, 10), (150, 200), (75, 100), (76, 100), (38, 50), (39, 50), (4, 4), (500, 500)]:
        decode.image(data, size)
    assert seen == [
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


def turned(pixels, orientation, kind="JPEG", **options):
    """A file of uint8 (H, W, 3) RGB pixels with an EXIF orientation."""
    exif = Image.Exif()
    exif[decode.ORIENTATION] = orientation
    return pil_bytes(pixels, "RGB", kind, exif=exif, **options)


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
    if kind != "TIFF":  # OpenCV turns TIFF by itself
        assert source == size
        image, source = decode.image(data, (120, 160), upright=False)
        assert source == (120, 160) and np.abs(image.astype(int) - stored).mean() < 3


def test_an_orientation_that_is_none_is_upright():
    for wrong in (0, 9, 255):
        assert decode.orientation(turned(picture(1), wrong)) == 1
    for data in (encode(picture(1), ".bmp"), encode(picture(1), ".png"), b"\xff\xd8 damaged", b""):
        assert decode.orientation(data) == 1


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
    big = encode(deep, ".tiff")  # 16 bits, which Pillow does not read
    assert np.abs(decode.image(big, SIZE)[0].astype(int) - picture(3)[..., ::-1]).mean() < 1.5
    mask, _ = decode.mask(encode(square(4), ".tiff"), SIZE, SIZE)
    assert np.array_equal(mask, square(4) > 0)
    assert decode.header_size(tiff({256: 5, 257: 4})) == (4, 5)


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


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_of_every_format_are_refused_from_their_header(kind):
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"30000x30000 pixels, more than the 100,000,000 accepted"):
        decode.image(BOMBS[kind], SIZE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_whole_jpegs_of_all_kinds_are_accepted():
    pixels = cv2.cvtColor(picture(2), cv2.COLOR_BGR2RGB)
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}, {"comment": b"\xff\xd9" * 5}):
        data = pil_bytes(pixels, "RGB", "JPEG", **options)
        assert decode.header_size(data) == SIZE
        assert decode.header_size(data + b"\0" * 100) == SIZE  # cameras append what they like


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


def test_huge_header_is_refused_before_any_memory_is_taken():
    data = bytearray(encode(picture(2), ".jpg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    with pytest.raises(ValueError, match=r"65500x65500 pixels, more than the 100,000,000 accepted"):
        decode.image(bytes(data), (8, 8))
    data[at + 5 : at + 9] = struct.pack(">HH", 0, 10)
    with pytest.raises(ValueError, match="0x10 pixels; the file is damaged"):
        decode.image(bytes(data), (8, 8))


# === decode: masks ===


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0, 255), (0, 1)), ((0, 1), (0, 1)), ((0,), (0,)), ((255,), (1,)), ((1,), (1,)), ((3, 250), (0, 1))],
)
def test_mask_values(values, expected):
    gray = np.tile(np.array(values, np.uint8), (10, 4))
    mask, anti_aliased = decode.mask(encode(gray, ".png"), gray.shape, gray.shape)
    assert mask.dtype == np.uint8 and not anti_aliased
    assert mask.tolist() == np.tile(np.array(expected), (10, 4)).tolist()


def test_anti_aliased_mask_is_cut_at_127_and_told():
    gray = np.array([[0, 100, 127, 128, 200, 255]] * 3, np.uint8)
    mask, anti_aliased = decode.mask(encode(gray, ".png"), gray.shape, gray.shape)
    assert anti_aliased and mask[0].tolist() == [0, 0, 0, 1, 1, 1]
    jpeg = encode(square(9), ".jpg")  # as Kvasir-SEG has them
    mask, _ = decode.mask(jpeg, SIZE, SIZE)
    assert (mask != (square(9) > 0)).mean() < 0.01


def test_masks_of_other_modes_give_the_same():
    expected = (square(4) > 0).astype(np.uint8)
    variants = [
        pil_bytes(square(4), "1", "PNG"),
        pil_bytes(square(4), "1", "BMP"),
        pil_bytes(square(4), "P", "PNG"),
        pil_bytes(square(4), "LA", "PNG"),
        encode(np.dstack([square(4)] * 3), ".bmp"),
        encode(np.dstack([square(4)] * 3 + [np.full(SIZE, 255, np.uint8)]), ".png"),
        encode(square(4).astype(np.uint16) * 257, ".png"),
        encode((square(4) > 0).astype(np.uint16), ".png"),
    ]
    for data in variants:
        mask, anti_aliased = decode.mask(data, SIZE, SIZE)
        assert np.array_equal(mask, expected) and not anti_aliased


def test_masks_that_are_no_masks_are_refused():
    with pytest.raises(ValueError, match="a color mask; expected one gray channel"):
        decode.mask(encode(picture(1), ".png"), SIZE, SIZE)
    classes = np.tile(np.array([0, 1, 2], np.uint8), (10, 4))
    with pytest.raises(ValueError, match="mask values 0, 1, 2; expected two, 0 and 255 or 0 and 1"):
        decode.mask(encode(classes, ".png"), classes.shape, classes.shape)
    with pytest.raises(ValueError, match=r"the mask is 48x64 \(height x width\), its image 64x48"):
        decode.mask(encode(square(1), ".png"), (8, 8), (64, 48))


def test_mask_pixel_is_lesion_if_at_least_half_of_it_was():
    mask = np.zeros((4, 8), np.uint8)
    mask[0, 0] = 255  # 1 of 4 pixels
    mask[0:2, 2] = 255  # 2 of 4
    mask[2:4, 6:8] = 255  # 4 of 4
    small, _ = decode.mask(encode(mask, ".png"), (2, 4), (4, 8))
    assert small.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    large, _ = decode.mask(encode(mask, ".png"), (40, 80), (4, 8))
    assert set(np.unique(large)) == {0, 1} and abs(large.mean() - (mask > 0).mean()) < 0.06


@pytest.mark.parametrize("size", [(192, 256), (75, 100), (300, 500), (131, 77)])
def test_large_masks_are_reduced_as_small_ones(monkeypatch, size):
    rng = np.random.default_rng(4)
    blobs = cv2.resize(rng.integers(0, 256, (30, 40), np.uint8), (1003, 997), interpolation=cv2.INTER_CUBIC)
    data = encode((blobs > 127) * np.uint8(255), ".png")
    expected, _ = decode.mask(data, size, (997, 1003))
    monkeypatch.setattr(decode, "LARGE", 0)
    calls = []
    real = decode._area_means
    monkeypatch.setattr(decode, "_area_means", lambda *args: calls.append(1) or real(*args))
    assert np.array_equal(decode.mask(data, size, (997, 1003))[0], expected) and len(calls) == 1
