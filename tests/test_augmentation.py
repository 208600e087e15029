import json

import cv2
import numpy as np
import pandas as pd
import pytest

import augmentation
import train
from datasets.arrays import Writer, open_split
from datasets.preparation.splits import held_out


def test_fourfold_folder(discs, tmp_path):
    augmentation.main(["--data", str(discs), "--out", str(tmp_path / "four"), "--seed", "5"])
    augmentation.main(["--data", str(discs), "--out", str(tmp_path / "again"), "--seed", "5"])
    before, after = open_split(discs, "train"), open_split(tmp_path / "four", "train")
    assert len(after.ids) == 80 and after.ids[:5] == ["train_00", "train_00_1", "train_00_2", "train_00_3", "train_01"]
    assert np.array_equal(after.images[::4], before.images)
    assert not np.array_equal(after.masks[1::4], before.masks)
    assert set(np.unique(after.masks)) == {0, 1}
    assert np.array_equal(after.images, open_split(tmp_path / "again", "train").images)
    dark = after.images[..., 0] < 150  # the discs are dark: each copy's mask must lie on its own disc
    both = (dark & (after.masks[..., 0] > 0)).sum() / (dark | (after.masks[..., 0] > 0)).sum()
    assert both > 0.95
    for split in ("val", "test"):
        assert np.array_equal(open_split(tmp_path / "four", split).images, open_split(discs, split).images)
    assert json.loads((tmp_path / "four" / "meta.json").read_text())["counts"] == {"train": 80, "val": 6, "test": 5}
    assert len(pd.read_csv(tmp_path / "four" / "index_train.csv")) == 80
    assert not [path for path in (tmp_path / "four").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("index", ["as written", "of a version before"])
def test_an_image_and_its_copies_validate_together(tmp_path, index):
    rng = np.random.default_rng(0)
    with Writer(tmp_path / "data", {"dataset": "x", "task": 1}, (32, 48), ["lesion"]) as writer:
        for n in range(12):
            image = cv2.resize(rng.integers(0, 256, (4, 6, 3), np.uint8), (48, 32))
            mask = np.zeros((32, 48, 1), np.uint8)
            mask[4 : 10 + n, 5:40] = 1
            writer.add("train", f"a{n}", image, mask, (32, 48))
    augmentation.main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "four")])
    augmentation.main(["--data", str(tmp_path / "four"), "--out", str(tmp_path / "eight"), "--copies", "1"])
    for root, copies in (("four", 4), ("eight", 8)):
        table = tmp_path / root / "index_train.csv"
        if index == "of a version before":
            if root == "eight":  # nobody can know of copies of copies there
                break
            table.write_text("".join(line.rpartition(",")[0] + "\n" for line in table.read_text().splitlines()))
        split = open_split(tmp_path / root, "train")
        assert len(set(split.ids)) == len(split.ids) and split.ids[:2] == ["a0", "a0_1" if root == "four" else "a0__1"]
        assert split.sources == [f"a{n // copies}" for n in range(12 * copies)]
        held = held_out(split, 0.25, seed=0).reshape(12, copies)
        assert held.any() and (held.all(axis=1) == held.any(axis=1)).all()
    assert open_split(tmp_path / "data", "train").sources is None


def test_fourfold_refusals(discs, tmp_path):
    for argv, words in (
        (["--data", str(tmp_path / "none")], "none"),
        (["--data", str(discs), "--out", str(discs)], "name another folder"),
    ):
        with pytest.raises(SystemExit) as error:
            augmentation.main(argv)
        assert words in str(error.value)


def test_preview(discs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    augmentation.main(["--preview", "--data", str(discs), "--out", "sheet.png"])
    sheet = cv2.imread("sheet.png")
    assert sheet.shape[0] > 1000 and len(np.unique(sheet.reshape(-1, 3), axis=0)) > 1000
    assert augmentation.examples(tmp_path)[0].shape == (4, 192, 256, 3)  # a phantom, where there is no folder


def test_mixup_is_refused_where_masks_must_be_hard(discs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for chosen in (["--model", "unet", "--loss", "dice + lovasz"], ["--model", "jaal_net", "--loss", "bce"]):
        with pytest.raises(SystemExit, match=r"masks of \{0, 1\}, and mixup makes soft ones: use cutmix"):
            train.main(["--data", str(discs), "--mixup", "0.4", *chosen])
