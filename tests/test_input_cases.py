"""Every kind of picture that people have, at every door: the right pixels, or one line that says what is wrong.

GOOD_IMAGES and BAD_IMAGES, GOOD_MASKS and BAD_MASKS are the table; the tests below are its columns.
"""

import io
import os
import re
import struct
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from miniature import SIZE, picture, save, square
from picture_files import BOMBS, encode, pil_bytes, png_chunk, turned
from PIL import Image

import submission
from datasets import __main__
from datasets.arrays import open_split, read_meta
from datasets.preparation.source_masks import source_masks
from evaluation import mask_files
from imaging import hair_removal
from inference.predictor import Predictor
from utils.errors import UserError

RGB = picture(1)[..., ::-1].copy()
TURNS = {2: (0, 1), 3: (2, 0), 4: (2, 1), 5: (3, 1), 6: (1, 0), 7: (1, 1), 8: (3, 0)}  # quarters, mirrored


def stored(upright, orientation):
    """The pixels that a camera of this orientation stores of a picture: the inverse of what a viewer does."""
    quarters, mirrored = TURNS[orientation]
    pixels = np.rot90(upright, quarters)
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)


# === Images: file -> (suffix, bytes, greatest mean difference) or (suffix, bytes, text of the error) ===

JPEG = pil_bytes(picture(1, (480, 640))[..., ::-1].copy(), "RGB", "JPEG", quality=95)
PROGRESSIVE = pil_bytes(picture(1, (480, 640))[..., ::-1].copy(), "RGB", "JPEG", quality=95, progressive=True)
NOISE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def without_middle(data):
    """A file whose middle third is zeroed, its end as it was."""
    third = len(data) // 3
    return data[:third] + bytes(third) + data[2 * third :]


def bmp_of_size(width, height):
    data = bytearray(encode(RGB, ".bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def short_png():
    """A PNG with right checksums whose header says twice the rows that there are."""
    data = encode(RGB, ".png")
    header = struct.unpack(">IIBBBBB", data[16:29])
    return data[:8] + png_chunk(b"IHDR", struct.pack(">IIBBBBB", header[0], 2 * header[1], *header[2:])) + data[33:]


def cut_webp():
    """Half a WebP whose header says that this is all."""
    data = pil_bytes(NOISE, "RGB", "WEBP", lossless=True)
    data = data[: len(data) // 4 * 2]
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


GOOD_IMAGES = {
    "jpeg": (".jpg", pil_bytes(RGB, "RGB", "JPEG", quality=95), 3),
    "progressive": (".jpeg", pil_bytes(RGB, "RGB", "JPEG", quality=95, progressive=True), 3),
    "jfif": (".jfif", pil_bytes(RGB, "RGB", "JPEG", quality=95), 3),
    "cmyk": (".jpg", pil_bytes(RGB, "CMYK", "JPEG", quality=95), 6),
    "bytes behind the end": (".jpg", pil_bytes(RGB, "RGB", "JPEG", quality=95) + b"\0" * 99, 3),
    "bytes before the end": (".jpg", pil_bytes(RGB, "RGB", "JPEG", quality=95)[:-2] + b"\x01\x02\xff\xd9", 3),
    "png": (".png", pil_bytes(RGB, "RGB", "PNG"), 0),
    "16 bit": (".png", encode(RGB[..., ::-1].astype(np.uint16) * 257, ".png"), 1),
    "alpha": (".png", pil_bytes(RGB, "RGBA", "PNG"), 0),
    "bmp": (".bmp", pil_bytes(RGB, "RGB", "BMP"), 0),
    "bmp with two bytes more": (".bmp", pil_bytes(RGB, "RGB", "BMP") + b"\0\0", 0),
    "tiff": (".tif", pil_bytes(RGB, "RGB", "TIFF", compression="tiff_lzw"), 0),
    "16-bit tiff": (".tiff", encode(RGB[..., ::-1].astype(np.uint16) * 257, ".tiff"), 1),
    "webp": (".webp", pil_bytes(RGB, "RGB", "WEBP", lossless=True), 0),
}
GOOD_IMAGES |= {f"jpeg turned {k}": (".jpg", turned(stored(RGB, k), k, quality=95), 3) for k in TURNS}
GOOD_IMAGES |= {f"png turned {k}": (".png", turned(stored(RGB, k), k, "PNG"), 0) for k in TURNS}
GOOD_IMAGES |= {f"tiff turned {k}": (".tif", turned(stored(RGB, k), k, "TIFF"), 0) for k in TURNS}
GOOD_IMAGES |= {f"webp turned {k}": (".webp", turned(stored(RGB, k), k, "WEBP", lossless=True), 0) for k in TURNS}

TIFFS = {kind: pil_bytes(NOISE, "RGB", "TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_deflate")}
BAD_IMAGES = {
    "jpeg without its middle": (".jpg", without_middle(JPEG), "a damaged JPEG"),
    "progressive without its middle": (".jpg", without_middle(PROGRESSIVE), "a damaged JPEG"),
    "cut jpeg": (".jpg", JPEG[: len(JPEG) // 2], "cut off"),
    "cut jpeg with an end mark": (".jpg", JPEG[: len(JPEG) // 2] + b"\xff\xd9", "a damaged JPEG"),
    "bmp of half the width": (".bmp", bmp_of_size(32, 48), "a BMP of 32x48 pixels with data for another size"),
    "bmp of half the height": (".bmp", bmp_of_size(64, 24), "a BMP of 64x24 pixels with data for another size"),
    "bmp of twice the height": (".bmp", bmp_of_size(64, 96), "cut off"),
    "png of twice the height": (".png", short_png(), "damaged"),
    "cut webp of edited length": (".webp", cut_webp(), "damaged"),
    "cut webp": (".webp", pil_bytes(NOISE, "RGB", "WEBP")[:900], "cut off"),
    "empty": (".png", b"", "an empty file"),
    "text": (".jpg", b"<html>404 not found</html>", "not an image"),
    "gif": (".png", pil_bytes(RGB, "RGB", "GIF"), "a GIF, which is not read; save it as PNG"),
    "heic": (".jpg", b"\0\0\0\x18ftypheic" + bytes(99), "a HEIC image, which is not read; save it as PNG"),
    "dicom": (".jpg", bytes(128) + b"DICM" + bytes(99), "a (damaged )?DICOM file"),
    "float tiff": (".tif", encode(RGB.astype(np.float32), ".tiff"), "damaged|save it as PNG"),
}
BAD_IMAGES |= {f"{kind} without its middle": (".tif", without_middle(data), "damaged") for kind, data in TIFFS.items()}
BAD_IMAGES |= {f"{kind} bomb": (f".{kind}".lower(), data, "more than the 128,000,000") for kind, data in BOMBS.items()}

# === Masks: file -> (suffix, bytes, options) or (suffix, bytes, text of the error) ===

LESION = square(3)  # uint8 (H, W) of 0 and 255
INSIDE = LESION > 0
FRAME = (cv2.dilate(LESION, np.ones((5, 5), np.uint8)) > 0) & ~INSIDE  # two pixels wide, around the lesion


def rgba(color, alpha):
    """A PNG of one color, (3,) or (H, W, 3), and alpha."""
    pixels = np.empty((*SIZE, 4), np.uint8)
    pixels[..., :3] = color
    pixels[..., 3] = alpha
    return pil_bytes(pixels, "RGBA", "PNG")


def labels(lesion, void, background=0):
    """uint8 (H, W) of label numbers."""
    values = np.full(SIZE, background, np.uint8)
    values[INSIDE] = lesion
    values[FRAME] = void
    return values


def with_palette(values, colors):
    """A PNG of indices into a palette, {index: (r, g, b)}."""
    one = Image.fromarray(values).convert("P")
    one.putdata(values.ravel().tolist())
    palette = np.zeros((256, 3), np.uint8)
    for index, color in colors.items():
        palette[index] = color
    one.putpalette(palette.ravel().tolist())
    file = io.BytesIO()
    one.save(file, "PNG")
    return file.getvalue()


VOC = with_palette(labels(1, 255), {1: (128, 0, 0), 255: (224, 224, 192)})
SMOOTH = cv2.GaussianBlur(LESION, (5, 5), 0)
VOID = ("--mask_values", "1", "--ignore", "255")
GOOD_MASKS = {
    "0 and 255": (".png", encode(LESION, ".png"), ()),
    "0 and 1": (".png", encode(LESION // 255, ".png"), ()),
    "16 bit": (".png", encode(LESION.astype(np.uint16) * 257, ".png"), ()),
    "16 bit of 0 and 1": (".png", encode(LESION.astype(np.uint16) // 255, ".png"), ()),
    "1 bit": (".bmp", pil_bytes(LESION, "1", "BMP"), ()),
    "color of equal channels": (".png", pil_bytes(LESION, "RGB", "PNG"), ()),
    "smooth": (".png", encode(SMOOTH, ".png"), ()),
    "jpeg": (".jpg", encode(LESION, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95), ()),
    "tiff": (".tif", pil_bytes(LESION, "L", "TIFF", compression="tiff_lzw"), ()),
    "16-bit tiff": (".tif", encode(LESION.astype(np.uint16) * 257, ".tiff"), ()),
    "1-bit tiff": (".tif", pil_bytes(LESION, "1", "TIFF", compression="group4"), ()),
    "webp": (".webp", pil_bytes(LESION, "RGB", "WEBP", lossless=True), ()),
    "palette of black and white": (".png", with_palette(LESION // 255, {1: (255, 255, 255)}), ()),
    "opaque": (".png", rgba(LESION[..., None], 255), ()),
    "white on transparent white": (".png", rgba(255, LESION), ()),
    "black on transparent black": (".png", rgba(0, LESION), ()),
    "red on transparent": (".png", rgba(INSIDE[..., None] * np.uint8([255, 0, 0]), LESION), ()),
    "red that shines through": (".png", rgba(INSIDE[..., None] * np.uint8([255, 0, 0]), LESION // 3), ()),
    "turned as its image": (".png", turned(stored(np.dstack([LESION] * 3), 6), 6, "PNG"), ()),
    "void label": (".png", encode(labels(1, 255), ".png"), VOID),
    "void label ignored": (".png", encode(labels(1, 255), ".png"), ("--ignore", "255")),
    "trimap": (".png", encode(labels(255, 128), ".png"), ("--mask_values", "255", "--ignore", "128")),
    "PASCAL VOC": (".png", VOC, VOID),
}
BAD_MASKS = {
    "void label": (".png", encode(labels(1, 255), ".png"), "0, 1, 255.*--mask_values 1 --ignore 255"),
    "void label, color": (".png", pil_bytes(labels(1, 255), "RGB", "PNG"), "0, 1, 255.*--mask_values 1 --ignore 255"),
    "trimap": (".png", encode(labels(255, 128), ".png"), "0, 128, 255.*--mask_values 255 --ignore 128"),
    "three labels": (".png", encode(labels(1, 2), ".png"), "mask values 0, 1, 2"),
    "one odd value": (".png", encode(np.full(SIZE, 7, np.uint8), ".png"), "mask values 7 alone"),
    "PASCAL VOC": (".png", VOC, "a color mask.*palette, with the numbers 0, 1, 255.*--mask_values 1 --ignore 255"),
    "red and black": (".png", pil_bytes(INSIDE[..., None] * np.uint8([255, 0, 0]), "RGB", "PNG"), "a color mask"),
    "colors with alpha": (".png", rgba(LESION[..., None], np.fliplr(LESION)), "transparency of its own"),
    "invisible": (".png", rgba(LESION[..., None], 0), "transparent everywhere"),
    "jpeg of 0 and 1": (".jpg", encode(LESION // 255, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95), "JPEG mask whose largest"),
    "jpeg without its middle": (".jpg", without_middle(encode(NOISE[..., 0], ".jpg")), "a damaged JPEG"),
    "gif": (".png", pil_bytes(LESION, "L", "GIF"), "a GIF, which is not read"),
    "other size": (".png", encode(LESION[:, :60], ".png"), r"the mask is 48x60 .*its image 48x64"),
    "float": (".tif", encode(LESION.astype(np.float32), ".tiff"), "damaged|save it as PNG"),
}


# === Doors ===


def prepare(tmp_path, *options):
    where = ["--folders", str(tmp_path / "data"), "--root", str(tmp_path / "out"), "--size", "48x64"]
    __main__.main(["folder", *where, *options])
    return open_split(tmp_path / "out", "train")


def put(tmp_path, name, image=None, mask=None):
    """An image and a mask, (suffix, bytes) each, into the folder of own data."""
    for kind, (suffix, data) in {"images": image or (".png", encode(picture(1), ".png")),
                                 "masks": mask or (".png", encode(LESION, ".png"))}.items():  # fmt: skip
        path = tmp_path / "data/train" / kind / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "data/train"


def predicted(path):
    """What prediction makes of a file."""
    door = SimpleNamespace(size=SIZE, fit=lambda image: image)
    return Predictor.decode(door, path.read_bytes(), path)


def difference(found, expected):
    return np.abs(found.astype(int) - expected).mean()


def test_good_images_are_the_same_at_every_door(tmp_path, monkeypatch):
    for n, (suffix, data, _) in enumerate(GOOD_IMAGES.values()):
        folder = put(tmp_path, f"{n:02d}", (suffix, data))
    split = prepare(tmp_path)
    prepare(tmp_path, "--records")
    records = open_split(f"tfds:{tmp_path}/out/folder_segmentation@48x64", "train")
    in_records = dict(zip(records.ids, records.images[:], strict=True))
    sizes = submission.image_sizes(folder / "images")
    monkeypatch.chdir(tmp_path)
    hair_removal.main([str(path) for path in sorted((folder / "images").iterdir())])
    assert len(split.ids) == len(GOOD_IMAGES) == len(in_records)
    for n, (name, (suffix, _, most)) in enumerate(GOOD_IMAGES.items()):
        label = f"{n:02d}"
        path = folder / "images" / f"{label}{suffix}"
        cleaned = cv2.imread(f"cleaned/{label}.png")[:, : SIZE[1], ::-1]
        for image in (split.images[n], in_records[label], predicted(path)[0], cleaned):
            assert image.shape == RGB.shape and difference(image, RGB) <= most, name
        assert np.array_equal(split.masks[n, ..., 0], INSIDE) and tuple(split.sizes[n]) == SIZE, name
        assert predicted(path)[1] == sizes[label] == SIZE, name
    turned_ones = sum("turned" in name for name in GOOD_IMAGES)
    assert read_meta(tmp_path / "out")["summary"]["train"]["turned"] == turned_ones


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images_are_named_at_every_door(tmp_path, name):
    suffix, data, text = BAD_IMAGES[name]
    path = put(tmp_path, "bad", (suffix, data)) / "images" / f"bad{suffix}"
    message = rf"{re.escape(str(path))}.*({text})"
    with pytest.raises(UserError, match=message):
        prepare(tmp_path)
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, "--records")
    with pytest.raises(UserError, match=message):
        predicted(path)
    with pytest.raises(SystemExit, match=message):
        hair_removal.main([str(path), "--out", str(tmp_path / "cleaned")])
    put(tmp_path, "good")
    prepare(tmp_path, "--on_error", "skip")
    meta = read_meta(tmp_path / "out")
    assert meta["counts"] == {"train": 1} and re.search(message, meta["summary"]["train"]["skipped"][0])


@pytest.mark.parametrize("name", GOOD_MASKS)
def test_good_masks_are_the_same_at_every_door(tmp_path, name):
    suffix, data, options = GOOD_MASKS[name]
    path = put(tmp_path, "a", mask=(suffix, data)) / "masks" / f"a{suffix}"
    split = prepare(tmp_path, *options)
    found = [split.masks[0, ..., 0], source_masks(tmp_path / "out", "train")(0)[..., 0]]
    if not options:
        found.append(mask_files.read([path])[..., 0])
    for mask in found:
        assert mask.shape == SIZE and (mask != INSIDE).mean() <= 0.003


@pytest.mark.parametrize("name", BAD_MASKS)
def test_bad_masks_are_named_at_every_door(tmp_path, name):
    suffix, data, text = BAD_MASKS[name]
    path = put(tmp_path, "a", mask=(suffix, data)) / "masks" / f"a{suffix}"
    with pytest.raises(UserError, match=rf"{re.escape(str(path))}.*({text})"):
        prepare(tmp_path)
    if name != "other size":
        with pytest.raises(UserError, match=rf"{re.escape(str(path))}.*({text})"):
            mask_files.read([path])


def test_empty_masks_of_every_kind_are_empty(tmp_path):
    nothing = np.zeros(SIZE, np.uint8)
    for name, data in {"gray": encode(nothing, ".png"), "transparent white": rgba(255, 0), "jpeg": b""}.items():
        suffix = ".jpg" if name == "jpeg" else ".png"
        put(tmp_path, name, mask=(suffix, data or encode(nothing, ".jpg")))
    assert not prepare(tmp_path).masks.any()


@pytest.mark.parametrize("name", ["001", "1e5", "NA", "null", "nan", "True", "a b", "ü", "a.b", "-1"])
def test_names_are_text_whatever_they_look_like(tmp_path, name):
    put(tmp_path, name)
    put(tmp_path, "other")
    assert sorted(prepare(tmp_path).ids) == sorted([name, "other"])
    assert np.array_equal(source_masks(tmp_path / "out", "train")(0)[..., 0], INSIDE)


@pytest.mark.parametrize("inside", ["", "folder/"])
def test_folders_of_patients_make_the_names(tmp_path, inside):
    for n, name in enumerate(("p1/left", "p1/right", "p2/left", "p3/left")):
        patient, _, side = name.partition("/")
        form = "{patient}/{kind}" if inside else "{kind}/{patient}"
        for kind, pixels in (("images", picture(n)), ("masks", square(n))):
            ending = "_mask" if kind == "masks" else ""
            save(tmp_path / "data/train" / form.format(patient=patient, kind=kind) / f"{side}{ending}.png", pixels)
    split = prepare(tmp_path)
    assert split.ids == ["p1_left", "p1_right", "p2_left", "p3_left"]
    masks = source_masks(tmp_path / "out", "train")
    for n in range(4):
        assert np.array_equal(split.images[n], picture(n)[..., ::-1])
        assert np.array_equal(masks(n)[..., 0] * 255, square(n)) and np.array_equal(split.masks[n], masks(n))


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes that are no text")
def test_names_that_are_not_utf_8(tmp_path, capsys):
    for kind, pixels in (("images", picture(1)), ("masks", LESION)):
        (tmp_path / "data/train" / kind).mkdir(parents=True)
        path = os.path.join(os.fsencode(tmp_path / "data/train" / kind), b"L\xe4sion_1.png")
        with open(path, "wb") as file:
            file.write(encode(pixels, ".png"))
    assert prepare(tmp_path).ids == ["Läsion_1"]
    put(tmp_path, "other")
    os.remove(path)
    with pytest.raises(UserError, match=r"L\\xe4sion_1.png: image without mask"):
        prepare(tmp_path)


def test_what_is_not_used_is_said(tmp_path, capsys):
    for name in ("a", "b"):
        put(tmp_path, name)
    for name in ("train/images/c.heic", "train/labels/a.png", "valid/images/v.jpg", "valid/images/w.jpg", "notes.gif"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"x")
    prepare(tmp_path)
    said = "not used: . (1 .gif), train/images (1 .heic), train/labels (1 .png), valid/images (2 .jpg); read are train"
    assert said in capsys.readouterr().out
    (tmp_path / "data/train/images").rename(tmp_path / "data/train/Images")
    message = (
        r"train/masks is there, images train/images are not: .*there is .*train/Images \(1 .heic\), train/Images \(2"
    )
    with pytest.raises(FileNotFoundError, match=message):
        prepare(tmp_path)
    (tmp_path / "data/train").rename(tmp_path / "data/training")
    with pytest.raises(FileNotFoundError, match=r"no images found in .*there is .*training/Images \(2 .png\)"):
        prepare(tmp_path)


def test_labels_that_are_not_said(tmp_path):
    put(tmp_path, "a", mask=(".png", encode(labels(1, 255), ".png")))
    with pytest.raises(UserError, match="mask values 0, 1, 255, of which 255 are neither among --mask_values nor"):
        prepare(tmp_path, "--mask_values", "1")


def test_void_labels_of_several_classes(tmp_path):
    put(tmp_path, "a", mask=(".png", VOC))
    with pytest.raises(UserError, match=r"mask values 0, 1, 255; expected 0 .* \(--ignore 255 makes background"):
        prepare(tmp_path, "--index_classes", "nail,hair")
    split = prepare(tmp_path, "--index_classes", "nail,hair", "--ignore", "255")
    assert np.array_equal(split.masks[0, ..., 0], INSIDE) and not split.masks[0, ..., 1].any()
    assert np.array_equal(source_masks(tmp_path / "out", "train")(0), split.masks[0])
