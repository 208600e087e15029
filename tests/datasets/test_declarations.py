"""`python -m datasets` on miniatures with the odd folders, names and junk of the real data sets."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from miniature import SIZE, picture, save, square, zip_folders
from raw_folders import CASES, COUNT, folder, folder_without_splits, number

from datasets import __main__, arrays


@pytest.mark.parametrize("source", ["folders", "archives"])
@pytest.mark.parametrize(("make", "name", "counts"), CASES, ids=[case[0].__name__ for case in CASES])
def test_every_data_set(tmp_path, make, name, counts, source, capsys):
    make(tmp_path / "raw")
    place = tmp_path / "raw" if source == "folders" else zip_folders(tmp_path / "raw", tmp_path / "zips")
    arguments = [name, f"--{source}", str(place), "--root", str(tmp_path / "out"), "--size", "24x32"]
    __main__.main(arguments)
    assert arrays.read_meta(tmp_path / "out")["counts"] == counts
    for split in counts:
        data = arrays.open_split(tmp_path / "out", split)
        assert data.masks.shape == (counts[split], 24, 32, 1) and len(set(data.ids)) == counts[split]
        for image, mask, id in zip(data.images, data.masks, data.ids, strict=True):
            n = number(id)
            expected = cv2.resize(picture(n), (32, 24), interpolation=cv2.INTER_AREA)[..., ::-1]
            assert np.abs(image.astype(int) - expected).mean() < 3
            lesion = np.zeros((24, 32)) if "normal" in id else square(n)[::2, ::2] // 255
            assert (mask[..., 0] != lesion).mean() < 0.01  # the JPEG masks are not exact
    capsys.readouterr()
    __main__.main(arguments)
    assert "nothing changed" in capsys.readouterr().out


def test_seeded_splits_are_disjoint_repeatable_and_balanced_in_area(tmp_path):
    for n in range(100):
        mask = np.zeros(SIZE, np.uint8)
        mask[: 1 + (n * 37 % 100) * 47 // 100] = 255  # areas from 2 to 98 %, in no order
        save(tmp_path / "raw" / "images" / f"{n}.png", picture(n))
        save(tmp_path / "raw" / "masks" / f"{n}.png", mask)
    splits = {}
    for root, seed in (("a", 0), ("b", 0), ("c", 1)):
        arguments = ["folder", "--folders", str(tmp_path / "raw"), "--root", str(tmp_path / root), "--size", "24x32"]
        __main__.main([*arguments, "--seed", str(seed)])
        splits[root] = {split: arrays.open_split(tmp_path / root, split) for split in ("train", "val", "test")}
        ids = [id for data in splits[root].values() for id in data.ids]
        assert len(ids) == 100 == len(set(ids))
        assert [len(data.ids) for data in splits[root].values()] == [80, 10, 10]
        for data in splits[root].values():
            areas = np.sort(data.masks.mean((1, 2, 3)))
            even = (np.arange(len(areas)) + 0.5) / len(areas)
            assert np.abs(areas - even).max() < 0.09  # from small to large in each
    ids = {root: [data.ids for data in made.values()] for root, made in splits.items()}
    assert ids["a"] == ids["b"] != ids["c"]


def test_a_bad_file_in_a_divided_set(tmp_path):
    folder_without_splits(tmp_path / "raw")
    (tmp_path / "raw" / "masks" / "4.png").write_bytes(b"junk")
    (tmp_path / "raw" / "images" / "5.bmp").unlink()
    arguments = ["folder", "--folders", str(tmp_path / "raw"), "--root", str(tmp_path / "out"), "--size", "24x32"]
    with pytest.raises(ValueError, match=r"5.png: mask without image"):
        __main__.main(arguments)
    __main__.main([*arguments, "--on_error", "skip"])
    meta = arrays.read_meta(tmp_path / "out")
    assert sum(meta["counts"].values()) == COUNT - 2
    skipped = [message for part in meta["summary"].values() for message in part["skipped"]]
    assert len(skipped) == 2 and any("4.png: not an image" in message for message in skipped)


def test_phantoms_are_a_data_set_too(tmp_path):
    arguments = ["--count", "3", "--root", str(tmp_path), "--size", "24x32"]
    __main__.main(["synthetic", *arguments])
    meta = arrays.read_meta(tmp_path)
    assert meta["counts"] == {"train": 3, "val": 1, "test": 1} and meta["licence"] == "none needed"
    __main__.main(["synthetic_task2", *arguments])
    assert arrays.open_split(tmp_path, "train").masks.shape == (3, 24, 32, 5)


def test_nothing_left_of_a_divided_set(tmp_path):
    save(tmp_path / "raw" / "images" / "a.png", picture(1))
    save(tmp_path / "raw" / "masks" / "b.png", square(1))
    arguments = ["folder", "--folders", str(tmp_path / "raw"), "--root", str(tmp_path / "out"), "--on_error", "skip"]
    with pytest.raises(ValueError, match=r"no image is left, all were skipped: .*a.png: image without mask, no a.png"):
        __main__.main(arguments)


def test_own_test_images_need_no_masks_but_training_images_do(tmp_path):
    folder(tmp_path)
    arguments = ["folder", "--folders", str(tmp_path), "--root", str(tmp_path / "out")]
    for path in (tmp_path / "test" / "masks").iterdir():
        path.unlink()
    __main__.main(arguments)
    assert arrays.open_split(tmp_path / "out", "test").masks is None
    for path in (tmp_path / "train" / "masks").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="train/images is there, masks train/masks are not"):
        __main__.main(arguments)


def test_sets_that_cannot_be_downloaded_say_where_to_get_them(tmp_path):
    for name in ("ph2", "busi", "folder"):
        with pytest.raises(ValueError, match="to be had by hand only, from"):
            __main__.main([name, "--root", str(tmp_path), "--download"])
    with pytest.raises(FileNotFoundError, match=r"looked for PH2 Dataset images or PH2Dataset.*by hand from https"):
        __main__.main(["ph2", "--root", str(tmp_path)])


def test_list_and_declarations(capsys):
    __main__.main([])
    printed = capsys.readouterr().out
    for name, one in __main__.TABLE.items():
        assert f"\n{name} " in printed and one.terms in printed and one.title in printed
        names = {n for layout in one.layouts for part in layout.values() for n in (*part.images, *part.masks)}
        assert {archive.name.removesuffix(".zip") for archive in one.archives} <= names
        for archive in one.archives:
            assert archive.url.startswith("https://")
            assert archive.checksum is None or len(archive.checksum) in (len("sha256:") + 64, len("md5:") + 32)


def test_command_line():
    home = Path(__main__.__file__).parents[1]
    run = [sys.executable, "-m", "datasets"]
    listed = subprocess.run(run, cwd=home, capture_output=True, text=True)
    assert listed.returncode == 0 and "kvasir_seg" in listed.stdout
    missing = subprocess.run([*run, "ph2", "--folders", "nowhere"], cwd=home, capture_output=True, text=True)
    assert missing.returncode == 1 and missing.stderr.startswith("error: PH2") and missing.stderr.count("\n") == 1
