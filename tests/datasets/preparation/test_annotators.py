"""Masks of several annotators: consensus, bits, pairs by name and by MultiAnnot++'s table, prepared and read back."""

import csv
import json
import re
import sys

import numpy as np
import pytest
from miniature import SIZE, picture, save

from datasets import __main__
from datasets.arrays import open_split, read_meta
from datasets.preparation import annotators
from datasets.preparation.source_masks import source_annotators, source_masks
from datasets.split import subset

HEIGHT, WIDTH = SIZE


def disc(radius, x=30):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (np.hypot(columns - x, rows - 24) < radius).astype(np.uint8)


def prepare(tmp_path, *arguments):
    where = ["--folders", str(tmp_path / "data"), "--root", str(tmp_path / "out"), "--size", "24x32"]
    __main__.main(["folder", *where, *arguments])


def write(tmp_path, radii, split="train"):
    """Images of which number n is drawn by annotators a, b, … with discs of the radii[n]."""
    for n, each in enumerate(radii):
        save(tmp_path / "data" / split / "images" / f"photo_{n}.png", picture(n))
        for name, radius in zip("abcdefghi", each, strict=False):
            save(tmp_path / "data" / split / "masks" / f"photo_{n}_{name}.png", disc(radius) * 255)


def test_majority_and_staple():
    masks = np.array([[[1, 1, 0, 0]], [[1, 0, 1, 0]], [[1, 1, 0, 0]]], np.uint8)  # (3, 1, 4)
    assert annotators.majority(masks).tolist() == [[1, 1, 0, 0]]
    assert annotators.majority(masks[:2]).tolist() == [[1, 1, 1, 0]]  # a tie is lesion
    pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    guess = np.random.default_rng(0).random((3, *SIZE)) < 0.5  # three who guess, and two who agree: they are outvoted
    discs = np.concatenate([np.stack([disc(12), disc(12)]), guess.astype(np.uint8)])
    assert (annotators.majority(discs) != disc(12)).mean() > 0.1
    assert (annotators.staple(discs) != disc(12)).mean() < 0.01
    empty = np.zeros((3, *SIZE), np.uint8)
    assert not annotators.staple(empty).any() and annotators.staple(empty + np.uint8(1)).all()
    assert np.array_equal(annotators.staple(discs[:1]), discs[0])


def test_staple_without_simpleitk(monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(ValueError, match="needs SimpleITK, which is missing: pip install SimpleITK"):
        annotators.staple(np.stack([disc(10), disc(12)]))


def test_bits():
    masks = np.random.default_rng(0).integers(0, 2, (8, 5, 6, 2), np.uint8)
    assert np.array_equal(annotators.from_bits(annotators.bits(masks), 8), masks)
    assert annotators.bits(masks).dtype == np.uint8


def test_prepared_and_read_back(tmp_path):
    write(tmp_path, [(8, 10, 14), (9, 11), (12,)])
    prepare(tmp_path, "--annotators", "majority")
    split = open_split(tmp_path / "out", "train")
    assert split.annotators == [["a", "b", "c"], ["a", "b"], ["a"]]
    masks, drawn = source_masks(tmp_path / "out", "train"), source_annotators(tmp_path / "out", "train")
    for n, (radii, agreed) in enumerate([((8, 10, 14), 10), ((9, 11), 11), ((12,), 12)]):
        assert np.array_equal(masks(n)[..., 0], disc(agreed))
        assert np.array_equal(drawn(n)[..., 0], [disc(radius) for radius in radii])
        small = annotators.from_bits(split.votes[n], len(radii))[..., 0]
        for mask, radius in zip(small, radii, strict=True):
            areas = disc(radius).reshape(24, 2, 32, 2).mean(axis=(1, 3))
            assert np.array_equal(mask, areas >= 0.5)
        assert np.array_equal(split.masks[n, ..., 0], disc(agreed).reshape(24, 2, 32, 2).mean(axis=(1, 3)) >= 0.5)
    notes = read_meta(tmp_path / "out")["notes"]
    assert "train: 2 of 3 images by several of 3 annotators, a (3), b (2), c (1); consensus by majority" in notes
    two = subset(split, np.array([2, 0]))
    assert two.annotators == [["a"], ["a", "b", "c"]] and np.array_equal(two.votes[0], split.votes[2])
    prepare(tmp_path, "--annotators", "majority")  # nothing changed, and nothing is written again
    index = (tmp_path / "out/index_train.csv").read_text().splitlines()
    assert index[0] == "id,height,width,hash,area,annotators"
    assert re.fullmatch(r"photo_0,48,64,[0-9a-f]{64},0\.\d{8},a b c", index[1])


def test_arrays_without_annotators_take_the_place(tmp_path):
    write(tmp_path, [(8, 10)])
    prepare(tmp_path, "--annotators", "majority")
    assert (tmp_path / "out/votes_train.npy").is_file()
    for path in (tmp_path / "data/train/masks").glob("*_b.png"):
        path.unlink()
    (tmp_path / "data/train/masks/photo_0_a.png").rename(tmp_path / "data/train/masks/photo_0.png")
    prepare(tmp_path)
    assert not (tmp_path / "out/votes_train.npy").exists()
    assert open_split(tmp_path / "out", "train").votes is None


def test_several_classes_and_what_is_missing(tmp_path):
    write(tmp_path, [(8,)])
    masks = tmp_path / "data/train/masks"
    (masks / "photo_0_a.png").rename(masks / "photo_0_nail_a.png")
    for name, radius in (("nail_b", 10), ("hair_a", 4)):
        save(masks / f"photo_0_{name}.png", disc(radius) * 255)
    with pytest.raises(ValueError, match=r"photo_0.png: no mask of hair by annotator b; add it \(it may be empty\)"):
        prepare(tmp_path, "--annotators", "majority", "--classes", "nail,hair")
    save(masks / "photo_0_hair_b.png", disc(6) * 255)
    prepare(tmp_path, "--annotators", "majority", "--classes", "nail,hair")
    drawn = source_annotators(tmp_path / "out", "train")(0)
    assert np.array_equal(np.moveaxis(drawn, -1, 0), [[disc(8), disc(10)], [disc(4), disc(6)]])
    with pytest.raises(SystemExit):
        prepare(tmp_path, "--annotators", "all")
    with pytest.raises(ValueError, match="a mask file for each class: --classes in place of --index_classes"):
        prepare(tmp_path, "--annotators", "majority", "--index_classes", "nail,hair")
    write(tmp_path, [(8,) * 9])
    with pytest.raises(ValueError, match="at most 8 are kept"):
        (masks / "photo_0_hair_a.png").unlink()
        prepare(tmp_path, "--annotators", "majority")


def test_the_layout_of_multiannot(tmp_path):
    """As in https://github.com/sfu-mial/IMAplusplus, output/metadata/IMAplusplus_seg_metadata.csv."""
    rows = []
    for n, each in enumerate([(("A04", 8), ("A06", 10), ("A04", 12)), (("A00", 9),)]):
        name = f"ISIC_{n:07}"
        save(tmp_path / f"data/images/{name}.JPG", picture(n))
        for k, (annotator, radius) in enumerate(each):
            rows.append([name, f"{name}.JPG", f"{name}_{annotator}_T1_S2_545d{k}.png", annotator, "T1", "S2", k, "0"])
            save(tmp_path / "data/masks" / rows[-1][2], disc(radius) * 255)
        rows.append([name, f"{name}.JPG", f"{name}_ST_ST_ST_ST.png", "ST", "ST", "ST", "ST", "0"])
        save(tmp_path / "data/masks" / rows[-1][2], disc(20) * 255)
    save(tmp_path / "data/masks/ISIC_0000009_A00_T1_S1_0.png", disc(3) * 255)  # in no table
    with open(tmp_path / "data/IMAplusplus_seg_metadata.csv", "w", newline="") as file:
        head = [
            "ISIC_id",
            "img_filename",
            "seg_filename",
            "annotator",
            "tool",
            "skill_level",
            "mskObjectID",
            "mask_md5",
        ]
        csv.writer(file).writerows([head, *rows])
    (tmp_path / "splits.csv").write_text("id,split\nISIC_0000000,train\nISIC_0000001,test\n")
    prepare(tmp_path, "--annotators", "majority", "--splits", str(tmp_path / "splits.csv"))
    split = open_split(tmp_path / "out", "train")
    assert split.annotators == [["A04", "A04.2", "A06"]]
    assert np.array_equal(source_masks(tmp_path / "out", "train")(0)[..., 0], disc(10))
    assert open_split(tmp_path / "out", "test").annotators == [["A00"]]
    assert (
        "annotators by IMAplusplus_seg_metadata.csv: 4 masks, 3 others left out" in read_meta(tmp_path / "out")["notes"]
    )
    (tmp_path / "data/IMAplusplus_seg_metadata.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no table in UTF-8 with columns ISIC_id, seg_filename, annotator"):
        prepare(tmp_path, "--annotators", "majority")


def test_annotators_of_labeling_tools(tmp_path):
    save(tmp_path / "data/train/images/photo.png", picture(0))
    for name, radius in (("anna", 20), ("bert", 30)):
        shape = {"label": "lesion", "shape_type": "rectangle", "points": [[5, 5], [radius, radius]]}
        path = tmp_path / f"data/train/annotations/{name}/photo.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"shapes": [shape], "imagePath": "photo.png"}))
    prepare(tmp_path, "--annotators", "majority")
    split = open_split(tmp_path / "out", "train")
    assert split.annotators == [["anna", "bert"]]
    assert [mask.sum() for mask in source_annotators(tmp_path / "out", "train")(0)] == [16**2, 26**2]
