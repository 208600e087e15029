"""The model card: what it says with all facts, and with none."""

import shutil

import pytest
from discs import write_discs

import config
import runs
from evaluation import model_card
from runs import BEST

SCORES = {"jaccard": 0.82, "thresholded_jaccard": 0.78, "dice": 0.89}
RESULT = {
    "images": 300, "at": "source", "threshold": 0.5, "tta": True, "clean": False,
    "per_image": SCORES, "pooled": {"jaccard": None},
    "intervals": {"per_image": {"jaccard": [0.801, 0.8371], "dice": [None, None]}, "pooled": {}},
}  # fmt: skip


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    """A run in whose folder there is nothing but settings."""
    monkeypatch.chdir(tmp_path)
    settings = config.Settings(run="r", model="unet", data="data", normalize="gamma", tta=True, rotation=45, flip=True)
    config.save(settings, BEST / "r" / "settings.yaml")
    return BEST / "r"


def table(text):
    """Cells of all the card's tables by their first one."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return {row[0]: row[1:] for row in rows}


def test_with_all_facts(run):
    runs.note(run, classes=["lesion"], size=[128, 160], parameters=2162129, epoch=7, scores={"val_dice": 0.9})
    runs.note(run, images={"train": 2194, "val": 100}, versions={"keras": "3.12"}, thresholds={"lesion": 0.45})
    runs.note(
        run,
        init="other.keras",
        data={"dataset": "isic2018", "task": 1, "licence": "CC BY-NC 4.0"},
        results={"test": RESULT},
    )
    assert model_card.write(run) == run / "README.md"
    text = (run / "README.md").read_text(encoding="utf-8")
    cells = table(text)
    assert cells["test (300)"] == [
        "source size", "0.5", "tta", "0.820 (0.801 to 0.837)", "0.780", "0.890", "undefined",
    ]  # fmt: skip
    assert "ISIC 2018 Task 1" in cells["set"][0] and "Codella" in cells["to be cited"][0]
    assert (cells["terms"], cells["images"]) == (["CC BY-NC 4.0"], ["2,194 train, 100 val"])
    assert (cells["rotation"], cells["flip"], cells["loss"]) == (["45"], ["yes"], ["wbce(weight=2.5)"])
    assert cells["initial weights from"] == ["other.keras"]
    assert cells["epoch that was kept"] == ["7, by val_loss"] and "zoom" not in cells  # as by default
    for part in (
        "`unet` of 2,162,129 parameters", "128 × 160 pixels", "best on the validation images: lesion 0.45",
        "mirrored and turned", "dice 0.9000", "**Not a medical device.**", "light skin", "keras 3.12",
    ):  # fmt: skip
        assert part in text


def test_several_data_sets(run):
    runs.note(run, data={"dataset": "isic2018+ham10000", "task": 1, "licence": "CC BY-NC 4.0"})
    text = model_card.write(run).read_text(encoding="utf-8")
    assert text.count("| set |") == 2 and "Tschandl" in text and "**Not a medical device.**" in text


def test_with_settings_alone(run):
    text = model_card.write(run).read_text(encoding="utf-8")
    assert "Not evaluated yet: `python evaluate.py --run r --split test`" in text
    assert "Not known: run.json does not say." in text and "Not a medical device" in text
    assert "light skin" not in text and "None" not in text


def test_data_of_an_older_run_come_from_its_arrays(run, tmp_path):
    shutil.copytree(write_discs(tmp_path / "discs", counts={"train": 3}), "data")
    text = model_card.write(run).read_text(encoding="utf-8")
    assert table(text)["set"] == ["discs"] and table(text)["images"] == ["3 train"] and "32 × 48 pixels" in text


def test_the_command(capsys, run):
    (run / "model.keras").touch()
    for argv in (["--run", "r"], ["r"]):  # the second as before there was --run
        (run / "README.md").unlink(missing_ok=True)
        model_card.main(argv)
        assert capsys.readouterr().out == "checkpoint_best/r/README.md\n" and (run / "README.md").is_file()
    with pytest.raises(SystemExit, match="error: no run 'gone'"):
        model_card.main(["--run", "gone"])
