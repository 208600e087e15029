"""`python -m datasets folder`: pairing, classes, and a run of the whole program on own data without a line of code."""

import json

import cv2
import numpy as np
import pytest
from miniature import SIZE, picture, save, square
from PIL import Image

from datasets import __main__
from datasets.arrays import open_split, read_meta
from datasets.preparation.source_masks import source_masks

ENDINGS = ("_segmentation", "_Segmentation", "_mask", "_lesion", "")


def write(root, counts, ending=None):
    for split, count in counts.items():
        for n in range(count):
            save(root / split / "images" / f"photo {n}.jpg", picture(n))
            save(root / split / "masks" / f"photo {n}{ENDINGS[n % 5] if ending is None else ending}.png", square(n))


def prepare(tmp_path, *arguments):
    where = ["--folders", str(tmp_path / "data"), "--root", str(tmp_path / "out"), "--size", "24x32"]
    __main__.main(["folder", *where, *arguments])


def index_values(n):
    """uint8 (H, W) of 0, 1 and 2."""
    values = square(n) // 255
    values[30:40, 20:50] = 2
    return values


def test_what_does_not_pair_is_listed_in_one_go(tmp_path):
    write(tmp_path / "data", {"train": 6, "test": 2}, "_mask")
    (tmp_path / "data/train/masks/photo 1_mask.png").unlink()
    (tmp_path / "data/train/images/photo 2.jpg").unlink()
    (tmp_path / "data/test/masks/photo 0_mask.png").rename(tmp_path / "data/test/masks/photo 0_outline.png")
    with pytest.raises(ValueError, match=r"4 files do not pair \(--on_error skip leaves such files out\):\n") as caught:
        prepare(tmp_path)
    lines = str(caught.value).split("\n  ")[1:]
    assert [line.partition(":")[0].rpartition("/")[2] for line in lines] == [
        "photo 1.jpg", "photo 2_mask.png", "photo 0.jpg", "photo 0_outline.png",
    ]  # fmt: skip
    assert lines[1].endswith("mask without image, no image photo 2; add it or remove the mask")
    assert lines[3].endswith("add it, remove the mask or, if outline is a class, name all classes with --classes")
    prepare(tmp_path, "--on_error", "skip")
    meta = read_meta(tmp_path / "out")
    assert meta["counts"] == {"train": 4, "test": 1} and meta["notes"] == ["no val split"]
    assert [text for part in meta["summary"].values() for text in part["skipped"]] == lines


@pytest.mark.parametrize("kind", ["png", "palette", "bmp"])
def test_one_mask_with_the_numbers_of_classes(tmp_path, kind):
    write(tmp_path / "data", {"train": 4})
    for n, path in enumerate(sorted((tmp_path / "data/train/masks").iterdir())):
        path.unlink()
        mask = Image.fromarray(index_values(n))
        if kind == "palette":
            mask = mask.convert("P")
            mask.putpalette([0, 0, 0, 200, 10, 10, 10, 10, 200])
        mask.save(path.with_suffix(".bmp" if kind == "bmp" else ".png"))
    prepare(tmp_path, "--index_classes", "nail,hair")
    data, masks = open_split(tmp_path / "out", "train"), source_masks(tmp_path / "out", "train")
    assert data.classes == ["nail", "hair"] and data.masks.shape == (4, 24, 32, 2)
    for row in range(4):
        expected = np.stack([index_values(row) == 1, index_values(row) == 2], axis=-1)
        assert np.array_equal(masks(row), expected) and np.array_equal(data.masks[row], expected[::2, ::2])


def test_masks_that_hold_no_such_classes(tmp_path):
    write(tmp_path / "data", {"train": 1}, "")
    mask = tmp_path / "data/train/masks/photo 0.png"
    save(mask, index_values(0) * 2)
    with pytest.raises(ValueError, match=r"photo 0.png: mask values 0, 2, 4; expected 0 for background and 1 to 2 for"):
        prepare(tmp_path, "--index_classes", "nail,hair")
    with pytest.raises(ValueError, match=r"mask values 0, 2, 4; expected two, .*in one file: --index_classes"):
        prepare(tmp_path)
    save(mask.with_suffix(".jpg"), index_values(0))
    mask.unlink()
    with pytest.raises(ValueError, match=r"photo 0.jpg: a JPEG, which does not keep the numbers of classes"):
        prepare(tmp_path, "--index_classes", "nail,hair")


def test_a_mask_for_each_class(tmp_path):
    write(tmp_path / "data", {"train": 3}, "_hair")
    for n in range(3):
        save(tmp_path / "data/train/masks" / f"photo {n}_long_hair.png", square(n + 4))
    prepare(tmp_path, "--classes", "hair,long_hair")
    data, masks = open_split(tmp_path / "out", "train"), source_masks(tmp_path / "out", "train")
    assert data.classes == ["hair", "long_hair"]
    for row in range(3):
        expected = np.stack([square(row), square(row + 4)], axis=-1) // 255
        assert np.array_equal(masks(row), expected) and np.array_equal(data.masks[row], expected[::2, ::2])
    (tmp_path / "data/train/masks/photo 1_long_hair.png").unlink()
    with pytest.raises(ValueError, match=r"photo 1.jpg: image without mask, no photo 1_long_hair.png in train"):
        prepare(tmp_path, "--classes", "hair,long_hair")


def test_one_class_may_have_its_own_name(tmp_path):
    write(tmp_path / "data", {"train": 5}, None)
    save(tmp_path / "data/train/images/photo 9.jpg", picture(9))
    save(tmp_path / "data/train/masks/photo 9_nail.png", square(9))
    prepare(tmp_path, "--classes", "nail")
    assert open_split(tmp_path / "out", "train").masks.shape == (6, 24, 32, 1)
    assert read_meta(tmp_path / "out")["classes"] == ["nail"]
    assert np.array_equal(source_masks(tmp_path / "out", "train")(5)[..., 0], square(9) // 255)


def test_names_of_masks_are_equal_stems_first(tmp_path):
    for n, name in enumerate(("P000_lesion", "P001_mask", "P002", "P003_nail_mask")):
        save(tmp_path / "data/train/images" / f"{name}.jpg", picture(n))
        save(tmp_path / "data/train/masks" / f"{name if n < 2 else name + '_mask'}.png", square(n))
    prepare(tmp_path)
    split = open_split(tmp_path / "out", "train")
    assert split.ids == ["P000_lesion", "P001_mask", "P002", "P003_nail_mask"]
    assert all(np.array_equal(split.masks[n, ..., 0], square(n)[::2, ::2] // 255) for n in range(4))


def test_tiff_and_webp_are_data_and_litter_is_not(tmp_path):
    write(tmp_path / "data", {"train": 3}, "")
    images, masks = tmp_path / "data/train/images", tmp_path / "data/train/masks"
    for n, suffix in ((1, ".tif"), (2, ".webp")):
        save(images / f"photo {n}{suffix}", picture(n))
        (images / f"photo {n}.jpg").unlink()
    save(masks / "photo 1.tiff", square(1))
    (masks / "photo 1.png").unlink()
    for junk in (".ipynb_checkpoints/photo 0-checkpoint", "@eaDir/photo 0.jpg/SYNOPHOTO_THUMB_M", "._photo 0"):
        save(images / f"{junk}.jpg", picture(0))
    prepare(tmp_path)
    split = open_split(tmp_path / "out", "train")
    assert sorted(split.ids) == ["photo 0", "photo 1", "photo 2"]
    for row, name in enumerate(split.ids):
        assert np.array_equal(split.masks[row, ..., 0], square(int(name[-1]))[::2, ::2] // 255)


def test_linked_folders_are_followed(tmp_path):
    write(tmp_path / "disk", {"train": 3})
    (tmp_path / "data/train").mkdir(parents=True)
    for kind in ("images", "masks"):
        (tmp_path / "data/train" / kind).symlink_to(tmp_path / "disk/train" / kind)
    prepare(tmp_path)
    assert len(open_split(tmp_path / "out", "train").ids) == 3


@pytest.mark.parametrize("drawn_on", ["upright", "stored"])
def test_exif_orientation_agrees_with_the_mask(tmp_path, drawn_on, capsys):
    """Masks are drawn on the upright picture, unless their size shows the contrary."""
    for n, orientation in enumerate((1, 3, 6)):
        upright, mask = cv2.cvtColor(picture(n), cv2.COLOR_BGR2RGB), square(n)
        turns = {1: 0, 3: 2, 6: 1}[orientation]
        stored, exif = np.rot90(upright, turns), Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / "data/train/images" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
        swapped = drawn_on == "stored" and orientation == 6
        save(tmp_path / "data/train/masks" / f"{n}.png", np.rot90(mask, turns) if swapped else mask)
    prepare(tmp_path, "--size", "48x64")
    split, masks = open_split(tmp_path / "out", "train"), source_masks(tmp_path / "out", "train")
    for n in range(3 if drawn_on == "upright" else 2):
        assert np.array_equal(split.images[n], cv2.cvtColor(picture(n), cv2.COLOR_BGR2RGB))
        assert np.array_equal(split.masks[n, ..., 0], square(n) // 255)
        assert np.array_equal(masks(n)[..., 0], square(n) // 255)
    assert split.sizes.tolist() == [[48, 64], [48, 64], [48, 64] if drawn_on == "upright" else [64, 48]]
    count = 2 if drawn_on == "upright" else 1
    assert f"train: 3 pairs, {count} turned upright as their EXIF orientation says" in capsys.readouterr().out


@pytest.mark.slow
def test_train_evaluate_and_predict_with_no_code(tmp_path, monkeypatch):
    import evaluate
    import predict
    import train

    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data", {"train": 8, "test": 3})
    for n, path in enumerate(sorted((tmp_path / "data").glob("*/masks/*.png"))):
        save(path, index_values(n))
    prepare(tmp_path, "--index_classes", "nail,hair")
    prepare(tmp_path, "--index_classes", "nail,hair", "--records")
    small = ["--model", "unet", "--options.width", "4", "--options.depth", "2", "--epochs", "1", "--batch_size", "4"]
    train.main(["--data", "tfds:out/folder_segmentation@24x32", "--run", "own", *small])
    evaluate.main(["--run", "own", "--split", "test"])
    from_records = json.loads((tmp_path / "output/own/test/metrics.json").read_text())
    evaluate.main(["--run", "own", "--split", "test", "--data", "out"])
    from_arrays = json.loads((tmp_path / "output/own/test_out/metrics.json").read_text())
    assert from_records["per_image"] == pytest.approx(from_arrays["per_image"], rel=1e-9)  # summed in another order
    predict.main(["data/test/images", "--run", "own", "--out", "masks"])
    assert (tmp_path / "output/own/test/metrics.json").is_file()
    for n in range(3):
        files = [tmp_path / "masks" / f"photo {n}_{name}.png" for name in ("nail", "hair")]
        for file in files:
            mask = np.array(Image.open(file))
            assert mask.shape == SIZE and set(np.unique(mask)) <= {0, 255}
