"""Every block of commands of README and docs runs, on small pictures that are drawn, in order, in a scratch folder.

All run in this process, so that TensorFlow is imported once, and trainings are made small: SMALL is put behind each.
The README comes first: other pages go on with its run, isic18_cpu. The tutorial runs as its notebook.
"""

import importlib
import json
import re
import shlex
import shutil
from pathlib import Path

import miniature
import pytest
import tiny_run
from doc_pages import PAGES, ROOT, blocks, commands, read
from matplotlib.figure import Figure
from project_copy import copy_project

import config
import runs

SMALL = ["--model", "unet", "--options", '{"width": 2, "depth": 1}', "--epochs", "1", "--batch_size", "4"]
SMALL += ["--normalize", "unit", "--precision", "float32", "--samples_every", "0", "--no_turn", "--no_tta"]
for setting in ("rotation", "zoom", "shift", "brightness", "contrast", "saturation", "hue"):
    SMALL += [f"--{setting}", "0"]
TO_RUN = [page for page in PAGES if page not in ("README.md", "docs/tutorial.md")]
pytestmark = pytest.mark.usefixtures("graphs_as_traced")


def run_block(page, block):
    """Run a block of a page in the working folder."""
    if block.language == "python":
        exec(compile(block.text, page, "exec"), {"__name__": page})
        return
    lines = [line for line in block.text.splitlines() if line.split("#")[0].strip()]
    assert lines == commands(block.text), f"{page}: only lines that begin with python are run"
    for line in lines:
        run_command(page, shlex.split(line, comments=True)[1:])


def run_command(page, words):
    """Run `python …` in this process."""
    if words[0] == "-c":
        exec(words[1], {})
        return
    name, arguments = (words[1], words[2:]) if words[0] == "-m" else (words[0].removesuffix(".py"), words[1:])
    if name == "datasets":
        name = "datasets.__main__"
    if name == "train":
        arguments += SMALL
    try:
        importlib.import_module(name).main(arguments)
    except SystemExit as end:
        if end.code:
            pytest.fail(f"{page}: python {shlex.join(words)}: {end.code}")


def run_page(page):
    for block in blocks(page):
        if block.language in ("sh", "python") and not block.not_run:
            run_block(page, block)


# === The scratch folder ===


def write_pictures(folder):
    """What the pages take for granted: archives in DIR, photographs, own data of one class and of two."""
    official = folder / "official"
    miniature.write_isic2018(official, {"train": 8, "val": 4, "test": 4}, tasks=(1, 2))
    miniature.zip_folders(official, folder / "DIR")
    shutil.copytree(official / "ISIC2018_Task1_Test_GroundTruth", folder / "dataset_isic18_test_masks")
    for name in ("photo.jpg", "photos/a.jpg", "photos/b.jpg"):
        miniature.save(folder / name, miniature.picture(len(name)))
    for number in range(12):
        part = "test" if number < 2 else "train"
        mask = miniature.square(number)
        for data in ("data", "index", "files"):
            miniature.save(folder / data / part / "images" / f"{number}.jpg", miniature.picture(number))
        miniature.save(folder / "data" / part / "masks" / f"{number}.png", mask)
        miniature.save(folder / "index" / part / "masks" / f"{number}.png", mask // 255 * (1 + number % 2))
        for name in ("nail", "hair"):
            miniature.save(folder / "files" / part / "masks" / f"{number}_{name}.png", mask)


def write_shipped(folder):
    """A tiny network in the place of the one that comes with the program."""
    folder.mkdir()
    file = folder / runs.PRETRAINED["pretrained"]
    tiny_run.network((16, 16)).save(file)
    runs.seal(file, config.Settings(run="lesion", normalize="unit"), classes=["lesion"], size=[16, 16])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder in which the commands of the README have been run."""
    folder = tmp_path_factory.mktemp("docs")
    write_pictures(folder)
    write_shipped(folder / "pretrained")
    (folder / "configs").symlink_to(ROOT / "configs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Figure, "savefig", lambda figure, path, **_: Path(path).touch())  # tests/figures looks at them
        patch.setattr(runs, "SHIPPED", folder / "pretrained")
        run_page("README.md")
        yield folder


# === Tests ===


def test_the_readme(scratch):
    for file in (
        *("predictions/pretrained_images/photo_segmentation.png", "predictions/pretrained_images/photo_overlay.png"),
        *("dataset_isic18/meta.json", "checkpoint_best/isic18_cpu/model.keras", "output/isic18_cpu/test/report.html"),
        *("predictions/isic18_cpu_images/predictions.csv", "output/isic18_cpu/submission_test.zip"),
    ):
        assert (scratch / file).is_file(), file


@pytest.mark.parametrize("page", TO_RUN)
def test_the_page(page, scratch):
    run_page(page)


@pytest.mark.parametrize(
    ("page", "files"),
    [
        (
            "docs/own_data.md",
            [
                "check.jpg",
                "output/mine/val/metrics.json",
                "output/mine/test/metrics.json",
                "predictions/mine_images/predictions.csv",
            ],
        ),
        ("docs/classes.md", ["output/two/val/classes.csv", "dataset_two_files/meta.json"]),
        ("docs/data.md", ["dataset_isic18_64x96_augmented/meta.json", "output/augmentation.png", "cleaned/a.png"]),
        ("docs/program.md", ["masks_of_file/photo_segmentation.png", "released/lesion.keras", "released/lesion.md"]),
        ("docs/recipe.md", ["output/isic18_cpu/curves.png"]),
        ("docs/submit.md", ["output/theirs/masks/report.html"]),
        ("docs/export.md", ["output/isic18_cpu/isic18_cpu.onnx"]),
    ],
)
def test_the_page_has_written(page, files, scratch):
    assert page in TO_RUN
    assert not [file for file in files if not (scratch / file).is_file()]


def test_tables_have_the_columns_of_the_page_of_files(scratch):
    page = read("docs/reference/files.md")
    for name, file in {
        "index_train.csv": "dataset_isic18/index_train.csv",
        "log.csv": "output/isic18_cpu/log.csv",
        "per_image.csv": "output/isic18_cpu/test/per_image.csv",
        "thresholds.csv": "output/isic18_cpu/test/thresholds.csv",
        "predictions.csv": "predictions/isic18_cpu_images/predictions.csv",
    }.items():
        part = re.search(rf"^`{name}`.*?:\n\n(\| column .*?)\n\n", page, re.MULTILINE | re.DOTALL)[1]
        said = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in part.splitlines()))
        columns = (scratch / file).read_text().splitlines()[0].split(",")
        assert [column for column in said if column in columns] == columns, name
        maybe = {"source", "hausdorff95", "boundary_f1", "average_surface_distance", "hausdorff95_per_mille",
                 "average_surface_distance_per_mille"}  # fmt: skip
        maybe |= {"predicted_jaccard", "unusual"} if name == "per_image.csv" else set()  # few validation images
        assert {*said} - {*columns} <= maybe


def test_metrics_have_the_keys_of_the_page_of_files(scratch):
    rows = read("docs/reference/files.md").split("`metrics.json`:\n")[1].split("##")[0]
    keys = json.loads((scratch / "output/isic18_cpu/test/metrics.json").read_text())
    said = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in rows.splitlines() if row.startswith("|")))
    assert {*keys} <= {*said}


@pytest.mark.slow
def test_the_notebook_of_the_tutorial(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="pip install -r requirements-dev.txt")
    nbclient = pytest.importorskip("nbclient", reason="pip install -r requirements-dev.txt")
    pytest.importorskip("ipykernel", reason="pip install -r requirements-dev.txt")
    copy_project(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "docs").mkdir()
    text = (ROOT / "docs/tutorial.ipynb").read_text(encoding="utf-8").replace("--synthetic 160", "--synthetic 10")
    small = shlex.join(SMALL)
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        cell.source = re.sub(r"^%run train.py .*", lambda found: f"{found[0]} {small}", cell.source, flags=re.MULTILINE)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path / "docs")}}).execute()
    for file in ("output/tutorial/report.html", "masks/predictions.csv", "output/tutorial/submission_test.zip"):
        assert (tmp_path / file).is_file(), file
