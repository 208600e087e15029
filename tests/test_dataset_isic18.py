"""dataset_isic18.py from the command line's side, on miniatures of the official data."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from miniature import SIZE, image_path, mask_path, picture, save, square, write_isic2018, zip_folders

import dataset_isic18
from datasets import arrays as prepared_arrays
from datasets import isic2018
from datasets.preparation import download

SCRIPT = Path(dataset_isic18.__file__)
REAL = SCRIPT.parent / "../shared/data/isic2018_256"
COUNTS = {"train": 4, "val": 2, "test": 3}


def run(root, *arguments, size="24x32"):
    return dataset_isic18.main(["--root", str(root), "--size", size, *map(str, arguments)])


def arrays(root):
    return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


@pytest.fixture
def root(tmp_path):
    write_isic2018(tmp_path / "isic", COUNTS, tasks=(1, 2))
    return tmp_path / "isic"


# === What it writes ===


@pytest.mark.parametrize("source", ["folders", "archives"])
def test_task_1(root, tmp_path, source, capsys):
    arguments = [] if source == "folders" else ["--archives", zip_folders(root, tmp_path / "zips")]
    target = root if source == "folders" else tmp_path / "out"
    run(target, *arguments)
    number = 0
    for split, count in COUNTS.items():
        data = prepared_arrays.open_split(target, split)
        assert data.images.shape == (count, 24, 32, 3) and data.masks.shape == (count, 24, 32, 1)
        assert data.sizes.tolist() == [list(SIZE)] * count and data.classes == ["lesion"]
        for row in range(count):
            assert data.ids[row] == f"ISIC_{number:07d}"  # image, mask and id belong together
            expected = cv2.resize(picture(number), (32, 24), interpolation=cv2.INTER_AREA)[..., ::-1]
            assert np.abs(data.images[row].astype(int) - expected).mean() < 3
            assert np.array_equal(data.masks[row, ..., 0], square(number)[::2, ::2] // 255)
            number += 1
    meta = prepared_arrays.read_meta(target)
    assert (meta["dataset"], meta["task"], meta["size"], meta["counts"]) == ("isic2018", 1, [24, 32], COUNTS)
    printed = capsys.readouterr().out
    assert "train: 4 pairs" in printed and "lesion: quartiles of the area" in printed
    areas = [square(number).mean() / 2.55 for number in range(4)]
    quartiles = meta["summary"]["train"]["area_percent"]["lesion"]["quartiles"]
    assert quartiles == pytest.approx(np.percentile(areas, [0, 25, 50, 75, 100]), abs=0.01)


def test_task_2_has_the_attributes_in_order(root):
    run(root, "--task", 2)
    data = prepared_arrays.open_split(root, "train")
    assert data.classes == ["pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules"]
    for channel in range(5):
        assert np.array_equal(data.masks[1, ..., channel], square(1 + 2 * channel)[::2, ::2] // 255)


def test_default_size_and_source_are_those_of_as_net(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    root.rename("dataset_isic18")
    dataset_isic18.main([])
    assert prepared_arrays.open_split("dataset_isic18", "val").images.shape == (2, 192, 256, 3)


def test_a_second_call_writes_nothing_and_other_settings_replace_all(root, capsys):
    run(root)
    before = {path: path.stat().st_mtime_ns for path in root.glob("*.npy")}
    capsys.readouterr()
    run(root)
    assert "nothing changed" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in root.glob("*.npy")} == before
    (root / "mask_val.npy").unlink()
    run(root)  # what was deleted is made again
    assert prepared_arrays.open_split(root, "val").masks.shape == (2, 24, 32, 1)
    run(root, size="16x16")
    assert prepared_arrays.open_split(root, "train").images.shape == (4, 16, 16, 3)
    run(root, "--task", 2)
    assert prepared_arrays.open_split(root, "test").masks.shape == (3, 24, 32, 5)
    assert "nothing changed" not in capsys.readouterr().out


def test_a_changed_file_is_noticed(root, capsys):
    run(root)
    save(image_path(root, "ISIC_0000002"), np.zeros((*SIZE, 3), np.uint8))
    run(root)
    assert "nothing changed" not in capsys.readouterr().out
    assert prepared_arrays.open_split(root, "train").images[2].max() == 0


def test_splits_without_masks_or_not_there_at_all(root, capsys):
    shutil.rmtree(mask_path(root, "x", "test").parent)
    shutil.rmtree(image_path(root, "x", "val").parent)
    shutil.rmtree(mask_path(root, "x", "val").parent)
    run(root)
    printed = capsys.readouterr().out
    assert "no val split: ISIC2018_Task1-2_Validation_Input not found" in printed
    assert "test: 3 images without masks" in printed
    assert prepared_arrays.read_meta(root)["counts"] == {"train": 4, "test": 3}
    assert prepared_arrays.open_split(root, "test").masks is None
    assert not (root / "mask_test.npy").exists()


def test_phantoms_go_the_same_way(tmp_path, capsys):
    for _ in range(2):
        run(tmp_path / "made", "--synthetic", 6, "--seed", 3, size="32x48")
    assert prepared_arrays.read_meta(tmp_path / "made")["counts"] == {"train": 6, "val": 1, "test": 2}
    data = prepared_arrays.open_split(tmp_path / "made", "train")
    assert data.sizes[0].tolist() == [64, 96] and 0 < data.masks.mean() < 1
    assert "nothing changed" in capsys.readouterr().out


def test_download_then_prepare(root, tmp_path, monkeypatch):
    """fetch is tested in test_download.py; here: what is asked for, and that its folder is then read."""

    def fetch(archives, folder, mirror):
        assert sorted(archive.name for archive in archives) == sorted(f"{p.name}.zip" for p in root.glob("*Task1*"))
        assert mirror == "http://mirror"
        zip_folders(root, folder)

    monkeypatch.setattr(download, "fetch", fetch)
    run(tmp_path / "new", "--download", "--mirror", "http://mirror")
    assert prepared_arrays.read_meta(tmp_path / "new")["counts"] == COUNTS


def test_declared_archives_are_those_of_the_challenge():
    for task in (1, 2):
        declaration = isic2018.TASKS[task]
        names = {name for part in declaration.layouts[0].values() for name in (*part.images, *part.masks)}
        assert {archive.name for archive in declaration.archives} == {f"{name}.zip" for name in names}
    first = isic2018.TASKS[1].archives[0]
    assert first.url.endswith("/challenges/2018/ISIC2018_Task1-2_Training_Input.zip") and first.size == 11_165_358_566
    assert isic2018.TASKS[2].archives[-1].checksum is None


# === The command line itself ===


def command(*arguments, **options):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--root", "nowhere"], "error: ISIC 2018 Task 1: lesion boundary: no images found in 'nowhere'"),
        (["--size", "192"], "argument --size: '192': expected HEIGHTxWIDTH in pixels, such as 192x256"),
        (["--size", "4x4"], "from 8 to 8192"),
        (["--task", "3"], "argument --task: invalid choice"),
        (["--synthetic", "-1"], "'-1': expected a whole number of at least 1"),
        (["--archives", "nowhere", "--download"], "not allowed with argument"),
    ],
)
def test_errors_are_a_line_and_a_status(tmp_path, arguments, message):
    result = command(*arguments, cwd=tmp_path)
    assert result.returncode != 0 and message in result.stderr
    assert "Traceback" not in result.stderr and not list(tmp_path.iterdir())


def test_a_bad_file_is_one_line(root):
    image_path(root, "ISIC_0000001").write_bytes(b"")
    result = command("--root", root)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert "ISIC_0000001.jpg: an empty file; the file is cut off" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_call_leaves_no_half_array(root, how):
    run(root)
    before = arrays(root)
    write_isic2018(root, {"train": 400})
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--root", root, "--size", "512x512"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells let background jobs ignore it
    )
    while process.poll() is None and not list(root.glob(".writing*/data_train.npy")):
        time.sleep(0.002)
    process.send_signal(how)
    assert process.wait(30) != 0 and "Traceback" not in process.stderr.read()
    assert arrays(root) == before
    assert bool(list(root.glob(".writing*"))) == (how == signal.SIGKILL)
    run(root)  # and the next call does the work
    assert prepared_arrays.read_meta(root)["counts"]["train"] == 400 and not list(root.glob(".writing*"))


@pytest.mark.skipif(not REAL.is_dir(), reason="the cut-down official archives are not on this machine")
def test_real_archives(tmp_path):
    run(tmp_path, "--archives", REAL, size="32x32")
    assert prepared_arrays.read_meta(tmp_path)["counts"] == {"train": 2194, "val": 100, "test": 300}
    split = prepared_arrays.open_split(tmp_path, "train")
    assert split.ids[0] == "ISIC_0000000" and 0.15 < split.masks.mean() < 0.3
