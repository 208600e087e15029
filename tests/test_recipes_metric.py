"""The recipe of CONTRIBUTING.md for a new metric: a formula and a line in metrics.SCORES, and nothing else.

In a process of their own both are put in place before any other module is imported, as if they stood in metrics.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metrics
from datasets.arrays import Writer
from evaluation import report, report_formats, summary

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
METRIC = """
import metrics


def false_discovery(c):
    return c.fp, c.tp + c.fp


metrics.SCORES["false_discovery"] = metrics.Score(
    "False discovery rate (FP / predicted)", false_discovery, kinds=("per_image", "pooled"),
    main=("per_image", "class_mean"), empty=0.0, logged=True, higher_is_better=False,
)
"""
TINY = [
    *("--data", "data", "--model", "unet", "--options.width", "2", "--options.depth", "1", "--normalize", "unit"),
    *("--epochs", "2", "--batch_size", "2", "--precision", "float32", "--monitor", "val_false_discovery"),
]
STEPS = f"""
import shutil

import evaluate
import train

train.main([*{TINY!r}, "--run", "run1"])
evaluate.main(["--run", "run1", "--split", "val", "--at", "network"])
shutil.copytree("output/run1", "output/run2")
evaluate.main(["--compare", "run1", "run2"])
train.main(["--help"])
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A tiny run, trained, evaluated and compared with the new metric: its folder, and what was printed."""
    folder = tmp_path_factory.mktemp("metric")
    generator = np.random.default_rng(0)
    with Writer(folder / "data", {"dataset": "tiny", "task": 1}, (8, 8), ["lesion"]) as writer:
        for split in ("train", "val"):
            for number in range(4):
                mask = (generator.random((8, 8, 1)) < 0.5).astype(np.uint8)
                image = np.repeat(155 * mask + 50, 3, axis=-1).astype(np.uint8)
                writer.add(split, f"{split}_{number}", image, mask, (8, 8))
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{METRIC}{STEPS}"
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder, run.stdout


def test_it_is_a_column_of_the_log_and_a_choice_of_monitor(done):
    folder, printed = done
    log = pd.read_csv(folder / "output/run1/log.csv")
    assert list(log)[:4] == ["epoch", "loss", "dice", "false_discovery"]
    assert {"val_dice", "val_false_discovery", "val_jaccard"} <= set(log)
    assert log["val_false_discovery"].between(0, 1).all()
    assert "val_loss,val_dice,val_false_discovery,val_jaccard,epoch" in printed  # --help
    assert "val_false_discovery 0." in printed  # the lines of the epochs
    facts = json.loads((folder / "checkpoint_best/run1/run.json").read_text())
    assert facts["epoch"] == log.loc[log["val_false_discovery"].idxmin(), "epoch"]  # the lowest is the best


def test_it_is_in_the_files_of_an_evaluation(done):
    folder, _ = done
    result = json.loads((folder / "output/run1/val_network/metrics.json").read_text())
    rows = pd.read_csv(folder / "output/run1/val_network/per_image.csv")
    rates = (rows["fp"] / (rows["tp"] + rows["fp"])).fillna(0)
    assert rows["false_discovery"].tolist() == pytest.approx(rates.tolist(), abs=1e-6)
    assert result["per_image"]["false_discovery"] == pytest.approx(rates.mean(), abs=1e-6)
    low, high = result["intervals"]["per_image"]["false_discovery"]
    assert low <= result["per_image"]["false_discovery"] <= high
    total = rows[["tp", "fp"]].sum()
    assert result["pooled"]["false_discovery"] == pytest.approx(total["fp"] / total.sum())
    for name in ("report.html", "report.md", "performances.txt"):
        text = (folder / "output/run1/val_network" / name).read_text(encoding="utf-8")
        assert "False discovery rate (FP / predicted)" in text
    page = (folder / "output/run1/val_network/report.html").read_text(encoding="utf-8")
    assert "Mean False discovery rate" in page  # in the headline


def test_it_is_in_the_comparison_and_the_model_card(done):
    folder, printed = done
    result = json.loads((folder / "output/run1/val_network/metrics.json").read_text())
    compared = json.loads((folder / "output/compare_run1_run2/comparison.json").read_text())
    for run in ("run1", "run2"):
        found = compared["runs"][run]["false_discovery"]["score"]
        assert found == pytest.approx(result["per_image"]["false_discovery"])
    assert "run2, False discovery rate" in printed
    card = (folder / "checkpoint_best/run1/README.md").read_text(encoding="utf-8")
    assert "| False discovery rate |" in card


def test_of_several_classes_it_has_columns_and_a_macro_mean(monkeypatch):
    scope = {}
    monkeypatch.setattr(metrics, "SCORES", dict(metrics.SCORES))
    exec(METRIC, scope)
    counts = metrics.Counts(*np.random.default_rng(0).integers(1, 99, (4, 6, 2)))
    head = {"images": 6, "size": None, "at": "source", "threshold": None, "tta": False, "clean": False}
    result = head | summary.summarize(counts, None, ["globules", "streaks"])
    rates = counts.fp.sum(axis=0) / (counts.tp + counts.fp).sum(axis=0)
    assert result["class_mean"]["false_discovery"] == pytest.approx(rates.mean())
    low, high = result["intervals"]["class_mean"]["false_discovery"]
    assert low < rates.mean() < high
    assert summary.class_table(result)["false_discovery"].tolist()[:2] == pytest.approx(rates.tolist())
    assert report_formats.text("", report.text(result)).count("False discovery rate") == 3  # main, per image, pooled
