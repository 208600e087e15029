"""Figures: files, what is drawn where, messages, and no pyplot anywhere."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from figures import style
from imaging import palette
from tests.imaging.test_mask_files import ATTRIBUTES, disk

ROOT = Path(__file__).parents[2]


def write_log(path, epochs=30, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    epoch = np.arange(1, epochs + 1)
    names = ("loss", "val_loss", "dice", "val_dice", "jaccard", "val_jaccard", "learning_rate")
    pd.DataFrame({"epoch": epoch, **dict.fromkeys(names, 1 / epoch), **columns}).to_csv(path, index=False)


def test_score_curves(tmp_path):
    x = np.linspace(0, 1, 50)
    style.roc(dict.fromkeys(ATTRIBUTES, (x, x**0.1, 0.9)), tmp_path / "sub" / "ROC.png")
    style.precision_recall({"lesion": (x, 1 - x, 0.5, 0.2)}, tmp_path / "PR.png")
    style.roc({}, tmp_path / "none.png")  # no class has a curve
    for name in ("sub/ROC.png", "PR.png", "none.png"):
        assert cv2.imread(tmp_path / name).std() > 5
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["PR.png", "ROC.png", "none.png"]


def has_color(path, code, tolerance=12):
    """Whether a pixel of about the color #RRGGBB is in the picture."""
    picture = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB).astype(int)
    wanted = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(picture - wanted).max(axis=-1) <= tolerance).any())


def test_sample_sheet_draws_what_is_there(tmp_path):
    image = np.full((48, 64, 3), 180, np.uint8)
    full, empty = np.ones((48, 64, 1), bool), np.zeros((48, 64, 1), bool)
    style.sample_sheet([("both", image, disk()[..., None], full)], tmp_path / "both.png")
    short = cv2.imread(tmp_path / "both.png").shape
    style.sample_sheet([("a", image, empty, empty), ("b", image, empty, empty)], tmp_path / "none.png", title="t")
    assert cv2.imread(tmp_path / "none.png").shape[0] > 1.5 * short[0]
    with pytest.raises(ValueError, match=r"empty\.png: no images to draw"):
        style.sample_sheet([], tmp_path / "empty.png")


def test_sample_sheet_colors_the_classes(tmp_path):
    image, masks = np.full((48, 64, 3), 180, np.uint8), np.zeros((48, 64, 5), bool)
    masks[..., 1] = disk()
    style.sample_sheet([("a", image, masks, masks)], tmp_path / "five.png", classes=ATTRIBUTES)
    style.sample_sheet([("a", image, masks[..., 1:2], masks[..., :1])], tmp_path / "one.png")
    assert has_color(tmp_path / "five.png", palette.CLASSES[1])
    assert not has_color(tmp_path / "one.png", palette.CLASSES[1])
    assert has_color(tmp_path / "one.png", palette.TRUTH)


def test_pick():
    scores = [0.5, 0.9, 0.1, 0.7, 0.9]
    assert style.pick(scores, "best", 2).tolist() == [1, 4]
    assert style.pick(scores, "worst", 2).tolist() == [2, 0]
    assert style.pick(scores, "median").tolist() == [3]
    assert len(style.pick(scores, "worst", 20)) == 5
    scores = [np.nan, 0.2, np.nan, 0.8, 0.5]
    assert [style.pick(scores, order).item() for order in style.ORDERS] == [3, 4, 1]
    with pytest.raises(ValueError, match="unknown order 'middle'; there are best, median, worst"):
        style.pick(scores, "middle")


def test_curves_follow_the_log(tmp_path):
    write_log(tmp_path / "a" / "log.csv")
    style.curves(tmp_path / "a" / "log.csv", tmp_path / "long.png", "run a")
    write_log(tmp_path / "b" / "log.csv", epochs=1)
    style.curves(str(tmp_path / "b" / "log.csv"), tmp_path / "short.png")
    pictures = [cv2.imread(tmp_path / name) for name in ("long.png", "short.png")]
    assert all(picture.std() > 5 for picture in pictures)
    assert pictures[0].shape != pictures[1].shape or (pictures[0] != pictures[1]).any()


def test_curves_need_no_more_than_the_loss(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n1,0.5\n2,nan\n3,0.4\n")
    style.curves(path, tmp_path / "curves.png")
    assert cv2.imread(tmp_path / "curves.png").std() > 5


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (None, FileNotFoundError, "no training log; python train.py --run"),
        ("", ValueError, "not a CSV log"),
        ("epoch,loss\n", ValueError, "expected a column named epoch and a row"),
        ("step,loss\n1,2\n", ValueError, "found columns step, loss"),
    ],
)
def test_bad_logs(tmp_path, text, kind, message):
    path = tmp_path / "log.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(kind, match=message):
        style.curves(path, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_neither_pyplot_nor_tensorflow_is_loaded():
    code = "import sys, visualize; print([m for m in ('matplotlib.pyplot', 'tensorflow', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
