"""Folds of train and val together: who is in which, and that they can be read like any prepared folder."""

import numpy as np
import pytest
from discs import disc, write_discs

from datasets import folds
from datasets.arrays import Writer, open_split, read_meta
from utils.errors import UserError

COUNTS = {"train": 13, "val": 5, "test": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """20 discs, of which train_00 and val_00 are one picture."""
    root, random = tmp_path_factory.mktemp("folds") / "discs", np.random.default_rng(0)
    same = disc(random, 16, 24)
    with Writer(root, {"dataset": "discs", "task": 1}, size=(16, 24), classes=["lesion"]) as writer:
        for split, count in COUNTS.items():
            for number in range(count):
                pair = same if number == 0 and split != "test" else disc(random, 16, 24)
                writer.add(split, f"{split}_{number:02}", *pair, original_size=(100 + number, 200))
    return root


def test_every_image_is_held_out_once_and_copies_together(data):
    held_out = []
    for fold in (1, 2, 3):
        where = folds.address(str(data), 3, fold)
        assert where == f"folds:{fold}/3:{data}"
        train, val, test = (open_split(where, name) for name in COUNTS)
        assert not set(train.ids) & set(val.ids) and len(train.ids) + len(val.ids) == 18
        assert ("train_00" in val.ids) == ("val_00" in val.ids)
        assert test.ids == ["test_00", "test_01"]
        assert read_meta(where)["counts"] == {"train": len(train.ids), "val": len(val.ids), "test": 2}
        held_out += val.ids
    together = open_split(folds.address(str(data), 3), "val")
    assert together.ids == held_out  # one fold after the other
    assert sorted(held_out) == sorted(open_split(data, "train").ids + open_split(data, "val").ids)
    assert folds.sizes(f"folds:3:{data}") == [sum(name in held_out[a:b] for name in held_out) for a, b in spans(data)]
    assert read_meta(f"folds:3:{data}")["counts"] == {"train": 18, "val": 18, "test": 2}


def spans(data):
    """Where each of the three folds begins and ends."""
    ends = np.cumsum([len(open_split(f"folds:{fold}/3:{data}", "val").ids) for fold in (1, 2, 3)])
    return zip([0, *ends[:-1]], ends, strict=True)


def test_a_fraction_is_drawn_by_the_seed(tmp_path):
    write_discs(tmp_path / "bare", counts={"train": 20, "test": 3})
    whole = open_split(tmp_path / "bare", "train")
    where = folds.drawn(str(tmp_path / "bare"), 0.2, 3)
    assert where == f"folds:0.2@3:{tmp_path / 'bare'}" and not folds.is_all(where)
    rest, few = (open_split(where, name) for name in ("train", "val"))
    assert len(few.ids) == 4 and sorted(rest.ids + few.ids) == whole.ids
    assert open_split(where, "val").ids == few.ids != open_split(where.replace("@3", "@4"), "val").ids
    assert np.array_equal(few.masks[:], whole.masks[[whole.ids.index(name) for name in few.ids]])
    assert read_meta(where)["counts"] == {"train": 16, "val": 4, "test": 3}
    assert open_split(where, "test").ids == open_split(tmp_path / "bare", "test").ids
    write_discs(tmp_path / "one", counts={"train": 1})
    with pytest.raises(UserError, match="1 training images, all alike, cannot be divided"):
        open_split(folds.drawn(str(tmp_path / "one"), 0.5, 0), "val")


def test_folds_are_alike_in_area(data):
    areas = [np.mean(open_split(f"folds:{fold}/3:{data}", "val").masks[:]) for fold in (1, 2, 3)]
    everything = [np.mean(open_split(data, name).masks[:]) for name in ("train", "val")]
    assert max(areas) - min(areas) < 0.06 and min(areas) < np.mean(everything) * 1.2


def test_rows_are_those_of_their_own_split(data):
    split = open_split(f"folds:2/3:{data}", "train")
    assert split.images.shape == (len(split.ids), 16, 24, 3) and split.masks.dtype == np.uint8
    for number, name in enumerate(split.ids):
        part, position = name.split("_")
        own = open_split(data, part)
        np.testing.assert_array_equal(split.images[number], own.images[int(position)])
        np.testing.assert_array_equal(split.masks[number], own.masks[int(position)])
        assert tuple(split.sizes[number]) == (100 + int(position), 200)
    backwards = np.arange(len(split.ids))[::-1]
    np.testing.assert_array_equal(split.images[backwards], split.images[:][::-1])
    np.testing.assert_array_equal(split.images[1:3], split.images[:][1:3])


def test_masks_at_their_own_size_are_those_of_their_own_split(data):
    def reader(root, split):
        return lambda number: f"{split}_{number:02}"

    for name in COUNTS:
        split, read = open_split(f"folds:2/3:{data}", name), folds.mask_reader(f"folds:2/3:{data}", name, reader)
        assert [read(number) for number in range(len(split.ids))] == split.ids


def test_data_without_a_val_split_are_divided_too(tmp_path):
    with Writer(tmp_path, {"dataset": "discs", "task": 1}, size=(16, 24), classes=["lesion"]) as writer:
        for number in range(4):
            writer.add("train", f"{number}", *disc(np.random.default_rng(number), 16, 24), original_size=(16, 24))
    assert folds.sizes(f"folds:2:{tmp_path}") == [2, 2]
    assert read_meta(f"folds:1/2:{tmp_path}")["counts"] == {"train": 2, "val": 2}
    with pytest.raises(UserError, match="4 images that are no near-duplicates are too few for 5 folds"):
        open_split(f"folds:5:{tmp_path}", "train")


def test_data_that_change_are_divided_anew(tmp_path):
    for count in (6, 8):
        with Writer(tmp_path, {"dataset": "discs", "task": 1}, size=(16, 24), classes=["lesion"]) as writer:
            for number in range(count):
                writer.add("train", f"{number}", *disc(np.random.default_rng(number), 16, 24), original_size=(16, 24))
        assert sum(folds.sizes(f"folds:2:{tmp_path}")) == count


@pytest.mark.parametrize(
    ("address", "name", "words"),
    [
        ("mine", "val", "val of mine"),
        ("folds:2/5:mine", "train", "train of mine, fold 2 of 5 to validate on"),
        ("folds:5:mine", "val", "val of mine, 5 folds"),
        ("folds:0.1@7:mine", "val", "val of mine, 0.1 of it drawn by seed 7 to validate on"),
        ("folds:0.1@7:mine", "test", "test of mine"),
    ],
)
def test_an_address_in_words(address, name, words):
    assert folds.in_words(address, name) == words


@pytest.mark.parametrize("wrong", ["folds:0/5:data", "folds:6/5:data", "folds:1:data", "folds:5", "folds:2:folds:2:d"])
def test_addresses_that_are_none(wrong):
    with pytest.raises(UserError, match=r"expected folds:COUNT:DATA or folds:FOLD/COUNT:DATA"):
        open_split(wrong, "train")
