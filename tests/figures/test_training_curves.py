"""Training curves: files, epochs without validation, messages."""

import cv2
import numpy as np
import pandas as pd
import pytest
from figure_files import has_color, write_log

from figures import training_curves
from imaging import palette


def test_curves_follow_the_log(tmp_path):
    write_log(tmp_path / "a" / "log.csv")
    training_curves.curves(tmp_path / "a" / "log.csv", tmp_path / "long.png", "run a")
    write_log(tmp_path / "b" / "log.csv", epochs=1)
    training_curves.curves(str(tmp_path / "b" / "log.csv"), tmp_path / "short.png")
    pictures = [cv2.imread(tmp_path / name) for name in ("long.png", "short.png")]
    assert all(has_color(tmp_path / name, palette.CLASSES[0]) for name in ("long.png", "short.png"))
    assert not np.array_equal(*pictures)


def test_curves_need_no_more_than_the_loss(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n1,0.5\n2,nan\n3,0.4\n")
    training_curves.curves(path, tmp_path / "curves.png")
    assert has_color(tmp_path / "curves.png", palette.CLASSES[0])


@pytest.mark.filterwarnings("error")
def test_the_first_step_of_a_warmup_has_no_rate(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss,learning_rate\n1,0.5,0.0\n")
    training_curves.curves(path, tmp_path / "curves.png")
    assert has_color(tmp_path / "curves.png", palette.CLASSES[0])


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
        training_curves.curves(path, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_epochs_without_validation_leave_no_gap(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    epochs = np.arange(40)
    log = pd.DataFrame({"epoch": epochs, "loss": 1.0, "val_jaccard": np.where(epochs % 2, epochs / 40, np.nan)})
    areas = []
    for name, rows in (("some", log), ("end", log.iloc[:2])):
        rows.to_csv("log.csv", index=False)
        training_curves.curves("log.csv", f"{name}.png")
        picture = cv2.cvtColor(cv2.imread(f"{name}.png"), cv2.COLOR_BGR2RGB).astype(int)
        color = [int(palette.CLASSES[1][i : i + 2], 16) for i in (1, 3, 5)]
        areas.append(np.count_nonzero(np.abs(picture - color).max(axis=-1) < 12))
    assert areas[0] > areas[1] + 500  # a line from end to end; in a single epoch a dot
