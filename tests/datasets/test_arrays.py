"""Prepared arrays: what is written comes back, and nothing half-written is ever seen."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets import arrays
from datasets.preparation import near_duplicates, splits
from utils.errors import UserError

HOME = Path(arrays.__file__).parents[1]


def write(root, count=3, size=(4, 5), fill=0, **meta):
    with arrays.Writer(root, {"dataset": "x", "task": 1, **meta}, size, ["lesion"]) as writer:
        for number in range(count):
            image = np.full((*size, 3), fill + number, np.uint8)
            writer.add("train", f"id{number}", image, np.full((*size, 1), number % 2, np.uint8), (40, 50 + number))
        writer.add("test", "alone", np.zeros((*size, 3), np.uint8), None, (7, 8))


def test_written_arrays_come_back_memory_mapped(tmp_path):
    write(tmp_path / "set")
    split = arrays.open_split(tmp_path / "set", "train")
    assert isinstance(split.images, np.memmap) and isinstance(split.masks, np.memmap)
    assert split.images.shape == (3, 4, 5, 3) and split.masks.shape == (3, 4, 5, 1)
    assert split.images[:, 0, 0, 0].tolist() == [0, 1, 2] and split.masks[:, 3, 4, 0].tolist() == [0, 1, 0]
    assert split.ids == ["id0", "id1", "id2"] and split.classes == ["lesion"]
    assert split.sizes.tolist() == [[40, 50], [40, 51], [40, 52]]
    assert arrays.open_split(tmp_path / "set", "test").masks is None
    assert np.load(tmp_path / "set" / "data_train.npy").dtype == np.uint8  # any numpy program can read them
    counts = {"train": 3, "test": 1}
    expected = {"dataset": "x", "task": 1, "size": [4, 5], "classes": ["lesion"], "counts": counts}
    assert arrays.read_meta(tmp_path / "set") == {**expected, "masks": ["train"], "version": 1}


def test_what_divisions_need_is_noted(tmp_path):
    write(tmp_path / "set")
    split = arrays.open_split(tmp_path / "set", "train")
    assert split.areas.tolist() == [0, 1, 0] and split.prints.shape == (3, near_duplicates.BITS)
    assert np.array_equal(split.prints[1], near_duplicates.fingerprint(split.images[1]))
    assert arrays.open_split(tmp_path / "set", "test").areas is None
    index = tmp_path / "set" / "index_train.csv"
    rows = index.read_text().splitlines()
    index.write_text("\n".join(row.rsplit(",", 2)[0] for row in rows) + "\n")  # as older versions wrote it
    older = arrays.open_split(tmp_path / "set", "train")
    assert older.areas is None and older.prints is None and older.ids == split.ids
    for found, expected in zip(splits.areas_and_groups(older), splits.areas_and_groups(split), strict=True):
        assert np.array_equal(found, expected)
    for wrong in ("00", "no hash"):
        index.write_text("\n".join([rows[0], f"id0,40,50,{wrong},0.5", *rows[2:]]) + "\n")
        with pytest.raises(UserError, match=r"index_train.csv.*prepare the data set again"):
            arrays.open_split(tmp_path / "set", "train")


def test_writing_again_replaces_everything(tmp_path):
    write(tmp_path, count=5)
    with arrays.Writer(tmp_path, {"dataset": "y", "task": 1}, (2, 2), ["a", "b"]) as writer:
        writer.add("val", "one", np.ones((2, 2, 3), np.uint8), np.ones((2, 2, 2), np.uint8), (2, 2))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data_val.npy", "index_val.csv", "mask_val.npy", "meta.json",
    ]  # fmt: skip
    assert arrays.open_split(tmp_path, "val").classes == ["a", "b"]


@pytest.mark.parametrize("failure", [RuntimeError("stop"), KeyboardInterrupt()])
def test_an_error_while_writing_leaves_what_was_there(tmp_path, failure):
    write(tmp_path, fill=7)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(type(failure)), arrays.Writer(tmp_path, {}, (4, 5), ["lesion"]) as writer:
        writer.add("train", "a", np.zeros((4, 5, 3), np.uint8), None, (4, 5))
        raise failure
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    (tmp_path / ".writing_99999999_0").mkdir()
    (tmp_path / ".writing_99999999_0" / "data_train.npy").write_bytes(b"half")
    with pytest.raises(FileNotFoundError, match="holds no prepared arrays"):
        arrays.open_split(tmp_path, "train")
    write(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_two_may_write_at_a_time(tmp_path):
    with arrays.Writer(tmp_path, {}, (2, 2), ["lesion"]) as writer:
        writer.add("train", "first", np.zeros((2, 2, 3), np.uint8), None, (2, 2))
        write(tmp_path)
        assert len(arrays.open_split(tmp_path, "train").ids) == 3
        writer.add("train", "second", np.zeros((2, 2, 3), np.uint8), None, (2, 2))
    assert arrays.open_split(tmp_path, "train").ids == ["first", "second"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data_train.npy", "index_train.csv", "meta.json"]


KILLED = """
import os, sys
import numpy as np
from datasets import arrays

root, calls, at = sys.argv[1], 0, 0


def write(folder, fill, splits):
    with arrays.Writer(folder, {"fill": fill}, (2, 2), ["lesion"]) as writer:
        for split in splits:
            for n in range(2):
                pixels = np.full((2, 2, 4), fill, np.uint8)
                mask = pixels[..., 3:] - 1 if split == "train" else None
                writer.add(split, f"{fill}", pixels[..., :3], mask, (fill, fill))


def kill(event, arguments):
    global calls
    if at and event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and root in str(arguments[0]):
        calls += 1
        if calls == at:
            os._exit(9)


sys.addaudithook(kill)
number, status = 0, 9
while status:
    number += 1
    write(f"{root}/{number}", 1, ("train", "test"))
    child = os.fork()
    if not child:
        at = number
        write(f"{root}/{number}", 2, ("train", "val"))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(number)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_a_kill_at_any_file_operation_leaves_the_old_arrays_or_the_new(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=True)
    counts = {1: {"train": 2, "test": 2}, 2: {"train": 2, "val": 2}}
    found = []
    for number in range(1, int(done.stdout) + 1):
        root = tmp_path / str(number)
        meta = arrays.read_meta(root)
        fill = meta["fill"]
        assert meta["counts"] == counts[fill]
        for name in meta["counts"]:
            split = arrays.open_split(root, name)
            assert (split.images[:] == fill).all() and split.ids == [str(fill)] * 2 and (split.sizes == fill).all()
            assert (split.masks is None) == (name != "train") and (
                name != "train" or (split.masks[:] == fill - 1).all()
            )
        found.append(fill)
    assert found == sorted(found) and found.count(1) > 5 and found.count(2) > 5  # at one stroke


def test_disk_full_while_writing(tmp_path, monkeypatch):
    write(tmp_path, fill=7)
    before = (tmp_path / "data_train.npy").read_bytes()

    def full(self, row):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(arrays.ArrayFile, "append", full)
    with pytest.raises(OSError, match=r"disk full while writing into '.*': free some space"):
        write(tmp_path)
    assert (tmp_path / "data_train.npy").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_row_of_another_shape_or_type_is_refused(tmp_path):
    image, mask = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5, 1), np.uint8)
    with (
        pytest.raises(ValueError, match=r"uint8 \(4, 5, 3\), received float64 \(4, 5, 3\)"),
        arrays.Writer(tmp_path, {}, (4, 5), ["lesion"]) as writer,
    ):
        writer.add("train", "a", image / 2, None, (4, 5))
    with (
        pytest.raises(ValueError, match="all have a mask, or none"),
        arrays.Writer(tmp_path, {}, (4, 5), ["lesion"]) as writer,
    ):
        writer.add("train", "a", image, None, (4, 5))
        writer.add("train", "b", image, mask, (4, 5))


def test_reader_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python dataset_isic18.py --root"):
        arrays.open_split(tmp_path / "nothing", "train")
    write(tmp_path)
    with pytest.raises(ValueError, match="no split 'val'; it has: train, test"):
        arrays.open_split(tmp_path, "val")
    with open(tmp_path / "data_train.npy", "r+b") as file:
        file.truncate(150)
    with pytest.raises(ValueError, match=r"data_train.npy is damaged"):
        arrays.open_split(tmp_path, "train")
    np.save(tmp_path / "data_train.npy", np.zeros((2, 4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match=r"is uint8 \(2, 4, 5, 3\), meta.json says uint8 \(3, 4, 5, 3\)"):
        arrays.open_split(tmp_path, "train")
    np.save(tmp_path / "data_train.npy", np.zeros((3, 4, 5, 3), np.uint8))
    masks = np.load(tmp_path / "mask_train.npy")
    masks[2, 3, 4] = 255
    np.save(tmp_path / "mask_train.npy", masks)
    with pytest.raises(UserError, match=r"mask_train.npy holds 255, expected masks of 0 and 1; prepare the data set"):
        arrays.open_split(tmp_path, "train")
    (tmp_path / "mask_train.npy").unlink()
    np.save(tmp_path / "data_train.npy", np.zeros((3, 4, 5, 3), np.uint8))
    with pytest.raises(FileNotFoundError, match=r"mask_train.npy not found though meta.json lists it"):
        arrays.open_split(tmp_path, "train")
    (tmp_path / "meta.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(ValueError, match="format version 99, this program reads 1"):
        arrays.read_meta(tmp_path)
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(ValueError, match=r"meta.json cannot be read"):
        arrays.read_meta(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("index_train.csv", "id1", "../../id1", r"'\.\./\.\./id1' cannot name an image or a class"),
        ("index_train.csv", "id1", "/tmp/id1", "cannot name an image or a class"),
        ("index_train.csv", "id1", "..\\id1", "cannot name an image or a class"),
        ("meta.json", '"lesion"', '"../lesion"', "cannot name an image or a class"),
        ("index_train.csv", "height", "tall", "cannot be read .*; prepare the data set again"),
        ("index_train.csv", "40", "forty", "cannot be read .*; prepare the data set again"),
        ("index_train.csv", "id1", "\0", "cannot (be read|name)"),
        ("index_train.csv", "id1,40", "id1,-40", "has a size below 1 pixel"),
    ],
)
def test_an_edited_index_is_refused_in_one_line(tmp_path, file, old, new, message):
    write(tmp_path)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=f"{file}.* {message}") as caught:
        arrays.open_split(tmp_path, "train")
    assert "\n" not in str(caught.value)
