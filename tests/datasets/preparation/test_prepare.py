"""Preparation: every kind of bad input stops with a clear message or is skipped; memory stays flat."""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import cv2
import numpy as np
import pytest
from miniature import SIZE, attribute_path, image_path, mask_path, picture, save, square, write_isic2018, zip_folders

from datasets import arrays as prepared_arrays
from datasets import isic2018
from datasets.preparation import find_pairs, load_pairs, prepare
from imaging import decode
from utils import threads
from utils.errors import UserError


def run(root, task=1, archives=None, on_error="stop"):
    options = prepare.Options(on_error)
    return prepare.prepare(isic2018.TASKS[task], root, (24, 32), archives=archives, options=options)[0]


def arrays(root):
    return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


@pytest.fixture
def root(tmp_path):
    write_isic2018(tmp_path / "isic", {"train": 4, "val": 2, "test": 3}, tasks=(1, 2))
    return tmp_path / "isic"


def test_a_picture_that_a_killed_preparation_left_out_is_drawn(root):
    run(root)
    before = arrays(root)
    (root / "check.jpg").unlink()
    leftover = root / f".writing_{2**22 + 1}_44b3628a_1.jpg"  # of a process that cannot be
    leftover.write_bytes(b"half")
    run(root)
    assert arrays(root) == before


# === Bad input ===


def damage(root, kind):
    """Spoil one thing; returns what the message must say."""
    image, mask = image_path(root, "ISIC_0000001"), mask_path(root, "ISIC_0000001")
    name, mask_name = "ISIC_0000001.jpg", "ISIC_0000001_segmentation.png"
    if kind == "image without mask":
        mask.unlink()
        return [name, "image without mask, no ISIC_0000001_segmentation.png in ISIC2018_Task1_Training_GroundTruth"]
    if kind == "mask without image":
        image.unlink()
        return [mask_name, "mask without image, no image ISIC_0000001; add it or remove the mask"]
    if kind == "truncated JPEG":
        image.write_bytes(image.read_bytes()[:-200])
        return [name, "the file is cut off; copy or download it again"]
    if kind == "not an image":
        image.write_text("<html>not found</html>")
        return [name, "not an image (JPEG, PNG, BMP, TIFF, WebP or DICOM)"]
    if kind == "mask of another size":
        save(mask, np.zeros((48, 63), np.uint8))
        return [mask_name, "the mask is 48x63 (height x width), its image 48x64"]
    if kind == "mask with three classes":
        save(mask, np.tile(np.array([0, 1, 2, 3], np.uint8), (48, 16)))
        return [mask_name, "mask values 0, 1, 2, 3; expected two"]
    if kind == "color mask":
        save(mask, picture(1))
        return [mask_name, "a color mask"]
    if kind == "duplicate ids":
        save(image.with_suffix(".png"), picture(1))
        return ["ISIC_0000001.png", "same id as", name, "remove one of them"]
    assert kind == "stranger among the masks"
    save(mask.with_name("holiday.png"), square(1))
    return ["holiday.png", "no mask's name, expected <image>_segmentation"]


BAD = [
    "image without mask", "mask without image", "truncated JPEG", "not an image", "mask of another size",
    "mask with three classes", "color mask", "duplicate ids", "stranger among the masks",
]  # fmt: skip
KEPT = {"duplicate ids": 4, "stranger among the masks": 4}  # of the 4 training pairs; 3 in all other cases


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_stops_or_is_skipped(root, kind):
    run(root)
    before = arrays(root)
    words = damage(root, kind)
    with pytest.raises(UserError) as caught:
        run(root)
    assert words and all(word in str(caught.value) for word in words)
    assert arrays(root) == before  # nothing half-written, nothing lost
    summary = run(root, on_error="skip")["summary"]
    assert len(summary["train"]["skipped"]) == 1 and all(word in summary["train"]["skipped"][0] for word in words)
    assert "    skipped: " + summary["train"]["skipped"][0] in prepare.describe(prepared_arrays.read_meta(root), root)
    data = prepared_arrays.open_split(root, "train")
    expected = [f"ISIC_000000{n}" for n in range(4) if n != 1 or KEPT.get(kind)]
    assert data.ids == expected and len(data.images) == len(data.masks) == len(expected)
    for row, id in enumerate(expected):  # what follows a skipped pair has not slipped
        assert np.array_equal(data.masks[row, ..., 0], square(int(id[-1]))[::2, ::2] // 255)


def test_missing_attribute_of_task_2_is_named(root):
    attribute_path(root, "ISIC_0000002", "streaks").unlink()
    attribute_path(root, "ISIC_0000002", "globules").unlink()
    run(root)  # Task 1 does not care
    message = r"ISIC_0000002.jpg: .*no ISIC_0000002_attribute_streaks.png, ISIC_0000002_attribute_globules.png in .*_v3"
    with pytest.raises(ValueError, match=message):
        run(root, task=2)


def test_odd_images_and_masks_that_are_fine(root):
    gray = cv2.cvtColor(picture(0), cv2.COLOR_BGR2GRAY)
    save(image_path(root, "ISIC_0000000"), gray)
    save(mask_path(root, "ISIC_0000000"), np.zeros(SIZE, np.uint8))  # one color
    save(mask_path(root, "ISIC_0000001"), np.full(SIZE, 255, np.uint8))
    save(mask_path(root, "ISIC_0000002"), cv2.GaussianBlur(square(2), (3, 3), 0))
    image_path(root, "ISIC_0000003").unlink()
    save(image_path(root, "ISIC_0000003").with_suffix(".png"), picture(3).astype(np.uint16) * 257)
    summary = run(root)["summary"]["train"]
    data = prepared_arrays.open_split(root, "train")
    assert np.ptp(data.images[0].astype(int), axis=-1).max() == 0
    assert data.masks[0].max() == 0 and data.masks[1].min() == 1 and data.masks[2].max() == 1
    assert np.abs(data.images[3].astype(int) - cv2.resize(picture(3), (32, 24))[..., ::-1]).mean() < 3
    assert summary["anti_aliased"] == 1 and summary["area_percent"]["lesion"]["empty"] == 1


def test_missing_folders(root, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        run(tmp_path / "nowhere")
    for word in ("ISIC2018_Task1-2_Training_Input", "nowhere' (no such folder)", "--download", "--archives DIR"):
        assert word in str(caught.value)
    assert not (tmp_path / "nowhere").exists()
    shutil.rmtree(mask_path(root, "x").parent)
    with pytest.raises(FileNotFoundError, match=r"Training_Input is there, masks .*GroundTruth are not: add them"):
        run(root)
    write_isic2018(root, {"train": 1})
    shutil.rmtree(image_path(root, "x", "val").parent)
    with pytest.raises(FileNotFoundError, match=r"GroundTruth is there, images ISIC2018_Task1-2_Validation_Input are"):
        run(root)
    for folder in root.glob("*_Input"):
        shutil.rmtree(folder)
        folder.mkdir()
    for folder in root.glob("*_GroundTruth"):
        shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match=r"are not: add them|no images found"):
        run(root)


def test_archive_with_an_unsafe_path(root, tmp_path):
    zips = zip_folders(root, tmp_path / "zips", prefix="../")
    with pytest.raises(ValueError, match=r"Training_Input.zip holds an unsafe path, '../ISIC2018"):
        run(tmp_path / "out", archives=zips)
    assert not list(tmp_path.rglob("*.npy"))


def test_damaged_entry_of_an_archive(root, tmp_path):
    zips = zip_folders(root, tmp_path / "zips")
    path = zips / "ISIC2018_Task1-2_Training_Input.zip"
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("ISIC2018_Task1-2_Training_Input/ISIC_0000001.jpg").header_offset
    data = bytearray(path.read_bytes())
    data[at + 300] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"Training_Input.zip/.*/ISIC_0000001.jpg: damaged inside the archive"):
        run(tmp_path / "out", archives=zips)


def test_disk_full_is_told_before_anything_is_written(root, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 5000))
    with pytest.raises(OSError, match=r"disk full: the arrays need .* GB, '.*' has 0.00 GB free; free some space"):
        run(root)
    assert not list(root.glob("*.npy"))


def test_everything_skipped_is_an_error(root):
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"no")
    with pytest.raises(ValueError, match=r"no image is left, all were skipped: .*not an image"):
        run(root, on_error="skip")
    assert [path.name for path in root.iterdir() if path.is_file()] == [".lock"]


# === Speed and memory ===


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    program = (
        "import sys\n"
        "from datasets import isic2018\n"
        "from datasets.preparation.prepare import prepare\n"
        "prepare(isic2018.TASKS[1], sys.argv[1], (512, 512))\n"
        "print(next(line for line in open('/proc/self/status') if 'VmHWM' in line).split()[1])"
    )
    peaks = []
    for count in (40, 400):
        write_isic2018(tmp_path / str(count), {"train": count})
        result = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / str(count))],
            capture_output=True, text=True, check=True, cwd=Path(prepare.__file__).parents[2],
        )  # fmt: skip
        peaks.append(int(result.stdout.split()[-1]) / 1000)  # MB
    arrays_grew = 360 * 512 * 512 * 4 / 1e6  # MB
    assert peaks[1] < 1000 and peaks[1] - peaks[0] < 0.1 * arrays_grew


def test_decoding_never_runs_far_ahead_of_writing(root, monkeypatch):
    loaded = []
    real = decode.image
    monkeypatch.setattr(decode, "image", lambda *args: loaded.append(1) or real(*args))
    pairs = isic_pairs(root) * 50
    ordered = load_pairs.load_all(pairs, (8, 8), "stop", [], "train")
    next(ordered)
    time.sleep(0.2)
    assert len(loaded) <= 2 * threads.count() + 2
    ordered.close()


def isic_pairs(root):
    return find_pairs.Listing(isic2018.TASKS[1], root, archives=False).pairs["train"]


def test_a_class_that_no_image_has_is_said_to_be_empty():
    areas = {"streaks": {"empty": 3, "quartiles": []}, "globules": {"empty": 1, "quartiles": [1, 2, 3, 4, 5]}}
    part = {"images": 3, "skipped": [], "area_percent": areas}
    meta = {"size": [8, 12], "dataset": "mine", "task": 2, "summary": {"train": part}, "notes": [], "near_copies": []}
    assert prepare.describe(meta, "root") == [
        "mine task 2, 8x12 (height x width) in root",
        "  train: 3 pairs",
        "    streaks: all 3 masks are empty",
        "    globules: quartiles of the area 2.0 / 3.0 / 4.0 % of the image, from 1.0 to 5.0; 1 empty masks",
    ]
