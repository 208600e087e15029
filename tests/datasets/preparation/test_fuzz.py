"""500 random mutations of valid miniatures: a clear error or right arrays, never a wrong pair or half a file."""

import random
import shutil
import struct

import cv2
import numpy as np
import pytest
import raw_folders
from miniature import SIZE, picture, save, square, write_isic2018

from datasets import arrays, isic2018
from datasets.preparation import prepare
from datasets.registry import TABLE

ROUNDS = 500
KEPT = {".lock", ".hidden.jpg", ".hidden.png", ".hidden.bmp"}  # hidden by a mutation
SETS = ("isic2018", "ph2", "busi", "kvasir_seg", "folder", "ham10000")


def write(name, root):
    if name == "isic2018":
        write_isic2018(root, {"train": 3, "test": 1})
    else:
        getattr(raw_folders, name)(root)


def truncate(rng, path, data, other):
    path.write_bytes(data[: rng.randrange(len(data))])


def flip(rng, path, data, other):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 10))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def zero_size(rng, path, data, other):
    path.write_bytes(b"")


def delete(rng, path, data, other):
    path.unlink()


def rename(rng, path, data, other):
    path.rename(path.with_name(rng.choice(("x", "ISIC_9", ".hidden", f"{path.stem}_", other.stem)) + path.suffix))


def other_suffix(rng, path, data, other):
    path.rename(path.with_suffix(rng.choice((".png", ".jpg", ".BMP", ".tif", ".txt", ""))))


def swap_kinds(rng, path, data, other):
    path.write_bytes(other.read_bytes())


def wrong_mode(rng, path, data, other):
    size = rng.choice(((48, 64), (47, 64), (1, 1)))
    color, gray = picture(1, size), square(1, size)
    pixels = rng.choice((color, gray, gray.astype(np.uint16) * 3, color[..., 0]))
    path.write_bytes(cv2.imencode(rng.choice((".png", ".jpg", ".bmp", ".tiff")), pixels)[1].tobytes())


def huge_header(rng, path, data, other):
    data = bytearray(data)
    at = data.find(b"\xff\xc0") + 5 if data.startswith(b"\xff\xd8") else 16
    data[at : at + 4] = struct.pack(">I", rng.choice((0xFFFFFFFF, 0x7FFFFFFF, 0, 0x00010001)))
    path.write_bytes(data)


def noise(rng, path, data, other):
    path.write_bytes(data[: rng.choice((0, 2, 8, 30))] + rng.randbytes(rng.randrange(1, 3000)))


MUTATIONS = (truncate, flip, zero_size, delete, rename, other_suffix, swap_kinds, wrong_mode, huge_header, noise)


@pytest.mark.slow
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_no_mutation_ends_in_a_traceback_or_a_wrong_pair(tmp_path, on_error, monkeypatch):
    monkeypatch.setattr(arrays.os, "fsync", lambda file: None)  # the pace of the disk is not the subject
    monkeypatch.setattr(raw_folders, "COUNT", 5)
    rng = random.Random(on_error)
    for name in SETS:
        write(name, tmp_path / name)
    errors = 0
    for number in range(ROUNDS // 2):
        root, name = tmp_path / "mutated", SETS[number % len(SETS)]
        shutil.copytree(tmp_path / name, root)
        files = sorted(path for path in root.rglob("*.*") if path.is_file() and path.suffix in (".jpg", ".png", ".bmp"))
        mutation = MUTATIONS[number // len(SETS) % len(MUTATIONS)]
        path, other = rng.sample(files, 2)
        mutation(rng, path, path.read_bytes(), other)
        try:
            prepare.prepare(TABLE[name], root, (24, 32), options=prepare.Options(on_error))
        except (ValueError, FileNotFoundError) as error:
            errors += 1
            assert len(str(error)) > 20 and not list(root.glob("*.npy")), (name, mutation.__name__)
        else:
            check_pairs(root, mutation)
        assert not {path.name for path in root.iterdir() if path.name.startswith(".")} - KEPT
        shutil.rmtree(root)
    assert errors == 0 if on_error == "skip" else errors > ROUNDS / 5


def check_pairs(root, mutation):
    """All pairs but at most the mutated one are as in the valid set."""
    wrong = 0
    for split in arrays.read_meta(root)["counts"]:
        data = arrays.open_split(root, split)
        for row, id in enumerate(data.ids):
            if (not id[-1].isdigit() and not id.endswith(")")) or id == "ISIC_9":  # renamed, in a split without masks
                continue
            n = raw_folders.number(id)
            same_image = np.abs(data.images[row] - cv2.resize(picture(n), (32, 24))[..., ::-1].astype(int)).mean() < 3
            mask = np.zeros(SIZE) if "normal" in id else square(n) // 255
            same_mask = data.masks is None or (data.masks[row, ..., 0] != mask[::2, ::2]).mean() < 0.01  # JPEG masks
            wrong += not (same_image and same_mask)
    assert wrong <= 1, mutation.__name__


def test_the_check_itself_finds_a_wrong_pair(tmp_path):
    write_isic2018(tmp_path, {"train": 3})
    for n in range(3):
        save(tmp_path / "ISIC2018_Task1_Training_GroundTruth" / f"ISIC_000000{n}_segmentation.png", square((n + 1) % 3))
    prepare.prepare(isic2018.TASKS[1], tmp_path, (24, 32))
    with pytest.raises(AssertionError, match="delete"):
        check_pairs(tmp_path, delete)
