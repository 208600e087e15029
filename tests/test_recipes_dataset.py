"""The recipe for a data set: one file in datasets/ and its name in datasets/registry.py, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from miniature import picture, save, square

from datasets.arrays import open_split, read_meta

pytestmark = pytest.mark.slow
HOME = Path(__file__).parents[1]
PACKAGES = ("datasets", "imaging", "utils")

# As CONTRIBUTING.md has it.
TOY = '''"""Toy moles: 20 photographs with mole masks; no official splits."""

from datasets.declaration import Declaration, Part

DATASET = Declaration(
    name="toy_moles",
    task=1,
    title="toy moles: mole boundary",
    counts={"all": 20},
    download="by hand",
    layouts=({"all": Part(images=("photographs",), masks=("outlines",))},),
    mask_suffixes={"mole": "_outline"},
    terms="CC0 1.0",
    citation="Nobody, Toy moles, 2025",
    homepage="https://example.org/toy_moles",
)
'''
LINE = '    "toy_moles",\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the program with the toy, and its photographs in raw/."""
    place = tmp_path_factory.mktemp("recipe")
    for package in PACKAGES:
        shutil.copytree(HOME / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "datasets" / "toy_moles.py").write_text(TOY)
    registry = place / "datasets" / "registry.py"
    text = registry.read_text()
    assert text.count('    "folder",\n') == 1
    registry.write_text(text.replace('    "folder",\n', LINE + '    "folder",\n'))
    for n in range(20):
        save(place / "raw" / "photographs" / f"mole {n}.jpg", picture(n))
        save(place / "raw" / "outlines" / f"mole {n}_outline.png", square(n))
    return place


def datasets(place, *arguments):
    """The output of `python -m datasets …` in the copy."""
    command = [sys.executable, "-m", "datasets", *map(str, arguments)]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_listed_and_in_the_help(place):
    row = next(line for line in datasets(place).splitlines() if line.startswith("toy_moles"))
    assert "20" in row and "by hand" in row and "CC0 1.0" in row and "toy moles: mole boundary" in row
    assert "toy_moles" in datasets(place, "--help")


def test_it_is_prepared(place):
    printed = datasets(place, "toy_moles", "--folders", "raw", "--root", "out", "--size", "24x32")
    assert "train: 16 pairs" in printed and "mole: quartiles of the area" in printed
    meta = read_meta(place / "out")
    assert (meta["dataset"], meta["counts"]) == ("toy_moles", {"train": 16, "val": 2, "test": 2})
    split = open_split(place / "out", "train")
    number = int(split.ids[0].split()[1])
    assert split.classes == ["mole"] and np.array_equal(split.masks[0, ..., 0], square(number)[::2, ::2] // 255)


def test_it_is_written_as_records(place):
    printed = datasets(place, "toy_moles", "--folders", "raw", "--root", "records", "--size", "24x32", "--records")
    assert "train.py --data tfds:records/toy_moles_segmentation@24x32" in printed
    split = open_split(f"tfds:{place}/records/toy_moles_segmentation@24x32", "train")
    assert len(split.ids) == 16 and split.images[:2].shape == (2, 24, 32, 3) and split.masks[0].any()
