"""Figures: overlays by value, files, what is drawn where, messages, and no pyplot anywhere."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import visualize
from datasets.prepared import Writer

ROOT = Path(__file__).parents[1]
ATTRIBUTES = ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")


def disk(height=48, width=64, x=30, radius=14):
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(columns - x, rows - height // 2) < radius


def write_log(path, epochs=30, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    epoch = np.arange(1, epochs + 1)
    names = ("loss", "val_loss", "dice", "val_dice", "jaccard", "val_jaccard", "learning_rate")
    pd.DataFrame({"epoch": epoch, **dict.fromkeys(names, 1 / epoch), **columns}).to_csv(path, index=False)


def test_overlay_adds_seven_tenths_of_green_and_clips():
    image = np.full((2, 2, 3), (200, 100, 50), np.uint8)
    result = visualize.overlay(image, np.array([[1, 0], [0, 0]]))
    assert result[0, 0].tolist() == [200, 255, 50]  # 100 + 178.5 is above 255
    assert result[1, 1].tolist() == [200, 100, 50] and image[0, 0].tolist() == [200, 100, 50]
    dark = visualize.overlay(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), bool), color=(255, 0, 100), strength=0.5)
    assert dark[0, 0].tolist() == [128, 0, 50]


def test_contour_overlay_colors_the_rim_alone():
    image, mask = np.zeros((48, 64, 3), np.uint8), disk()
    result = visualize.contour_overlay(image, mask, color=(255, 0, 0), thickness=1)
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0
    changed = (result == (255, 0, 0)).all(axis=-1)
    assert changed.sum() > 50 and not changed[~mask].any() and not changed[inside].any() and image.sum() == 0
    assert np.array_equal(visualize.contour_overlay(image, np.zeros((48, 64))), image)


@pytest.mark.parametrize(
    ("classes", "k", "name"),
    [
        (["lesion"], 0, "ISIC_7_segmentation.png"),
        (ATTRIBUTES, 3, "ISIC_7_attribute_milia_like_cyst.png"),
        (["nevus", "scale"], 1, "ISIC_7_scale.png"),
    ],
)
def test_mask_names(classes, k, name):
    assert visualize.mask_name("ISIC_7", classes, k) == name


def test_masks_come_back_as_written(tmp_path):
    masks = np.random.default_rng(0).integers(0, 2, (9, 7, 5)).astype(bool)
    visualize.write_masks(tmp_path, "ISIC_7", masks, ATTRIBUTES)
    assert np.array_equal(visualize.read_masks(tmp_path, "ISIC_7", ATTRIBUTES), masks)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"ISIC_7_attribute_{c}.png" for c in ATTRIBUTES)
    assert set(np.unique(cv2.imread(tmp_path / "ISIC_7_attribute_streaks.png", -1))) == {0, 255}
    with pytest.raises(FileNotFoundError, match=r"ISIC_8_attribute_pigment_network\.png.*python evaluate\.py --run"):
        visualize.read_masks(tmp_path, "ISIC_8", ATTRIBUTES)


def test_write_png_keeps_red_red(tmp_path):
    visualize.write_png(tmp_path / "red.png", np.full((4, 4, 3), (255, 0, 0), np.uint8))
    assert cv2.imread(tmp_path / "red.png")[0, 0].tolist() == [0, 0, 255]  # OpenCV reads blue, green, red


def test_score_curves(tmp_path):
    x = np.linspace(0, 1, 50)
    visualize.roc(dict.fromkeys(ATTRIBUTES, (x, x ** 0.1, 0.9)), tmp_path / "sub" / "ROC.png")
    visualize.precision_recall({"lesion": (x, 1 - x, 0.5, 0.2)}, tmp_path / "PR.png")
    visualize.roc({}, tmp_path / "none.png")  # no class has a curve
    for name in ("sub/ROC.png", "PR.png", "none.png"):
        assert cv2.imread(tmp_path / name).std() > 5
    assert not list(tmp_path.rglob("*.tmp"))


def has_color(path, code, tolerance=12):
    """Whether a pixel of about the color #RRGGBB is in the picture."""
    picture = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB).astype(int)
    wanted = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(picture - wanted).max(axis=-1) <= tolerance).any())


def test_sample_sheet_draws_what_is_there(tmp_path):
    image = np.full((48, 64, 3), 180, np.uint8)
    full, empty = np.ones((48, 64, 1), bool), np.zeros((48, 64, 1), bool)
    visualize.sample_sheet([("both", image, disk()[..., None], full)], tmp_path / "both.png")
    short = cv2.imread(tmp_path / "both.png").shape
    visualize.sample_sheet([("a", image, empty, empty), ("b", image, empty, empty)], tmp_path / "none.png", title="t")
    assert cv2.imread(tmp_path / "none.png").shape[0] > 1.5 * short[0]
    with pytest.raises(ValueError, match=r"empty\.png: no images to draw"):
        visualize.sample_sheet([], tmp_path / "empty.png")


def test_sample_sheet_colors_the_classes(tmp_path):
    image, masks = np.full((48, 64, 3), 180, np.uint8), np.zeros((48, 64, 5), bool)
    masks[..., 1] = disk()
    visualize.sample_sheet([("a", image, masks, masks)], tmp_path / "five.png", classes=ATTRIBUTES)
    visualize.sample_sheet([("a", image, masks[..., 1:2], masks[..., :1])], tmp_path / "one.png")
    assert has_color(tmp_path / "five.png", visualize.PALETTE[1])
    assert not has_color(tmp_path / "one.png", visualize.PALETTE[1])
    assert has_color(tmp_path / "one.png", visualize.TRUTH_COLOR)


def test_pick():
    scores = [0.5, 0.9, 0.1, 0.7, 0.9]
    assert visualize.pick(scores, "best", 2).tolist() == [1, 4]
    assert visualize.pick(scores, "worst", 2).tolist() == [2, 0]
    assert visualize.pick(scores, "median").tolist() == [3]
    assert len(visualize.pick(scores, "worst", 20)) == 5
    with pytest.raises(ValueError, match="unknown order 'middle'; there are best, median, worst"):
        visualize.pick(scores, "middle")


def test_curves_follow_the_log(tmp_path):
    write_log(tmp_path / "a" / "log.csv")
    visualize.curves(tmp_path / "a" / "log.csv", tmp_path / "long.png", "run a")
    write_log(tmp_path / "b" / "log.csv", epochs=1)
    visualize.curves(str(tmp_path / "b" / "log.csv"), tmp_path / "short.png")
    pictures = [cv2.imread(tmp_path / name) for name in ("long.png", "short.png")]
    assert all(picture.std() > 5 for picture in pictures)
    assert pictures[0].shape != pictures[1].shape or (pictures[0] != pictures[1]).any()


def test_curves_need_no_more_than_the_loss(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n1,0.5\n2,nan\n3,0.4\n")
    visualize.curves(path, tmp_path / "curves.png")
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
        visualize.curves(path, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_curves_of_two_runs_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_log(Path("output/a/log.csv"))
    write_log(Path("output/b/log.csv"), val_dice=0.5)
    visualize.main(["curves", "--run", "a", "b"])
    assert capsys.readouterr().out == "output/a/curves.png\n"
    assert all(has_color("output/a/curves.png", color) for color in visualize.PALETTE[:2])
    with pytest.raises(SystemExit, match=r"error: output/c/log\.csv: no training log"):
        visualize.main(["curves", "--run", "c"])


def test_samples_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ids = ["007", "008", "009"]  # must not be read as numbers
    with Writer("data", {"dataset": "tiny", "task": 1}, (48, 64), ["lesion"]) as writer:
        for name in ids:
            writer.add("test", name, np.full((48, 64, 3), 180, np.uint8), disk()[..., None].astype(np.uint8), (48, 64))
    with pytest.raises(SystemExit, match=r"the run is not scored yet; python evaluate\.py --run r does it"):
        visualize.main(["samples", "--run", "r"])
    for folder in ("output/r", "predictions/r"):
        Path(folder).mkdir(parents=True)
    Path("output/r/metrics.json").write_text(json.dumps({"data": "data", "split": "test"}))
    pd.DataFrame({"id": ids, "jaccard": [0.9, 0.2, 0.5]}).to_csv("output/r/per_image.csv", index=False)
    for name in ids:
        visualize.write_masks("predictions/r", name, disk(x=20)[..., None], ["lesion"])
    visualize.main(["samples", "--run", "r", "--order", "worst", "--count", "2", "--out", "two.png"])
    visualize.main(["samples", "--run", "r"])
    assert capsys.readouterr().out == "two.png\noutput/r/samples_worst.png\n"
    assert cv2.imread("output/r/samples_worst.png").shape[0] > 1.2 * cv2.imread("two.png").shape[0]
    pd.DataFrame({"id": ["x"], "jaccard": [1]}).to_csv("output/r/per_image.csv", index=False)
    with pytest.raises(SystemExit, match=r"not the images of output/r/per_image\.csv"):
        visualize.main(["samples", "--run", "r"])


def test_neither_pyplot_nor_tensorflow_is_loaded():
    code = "import sys, visualize; print([m for m in ('matplotlib.pyplot', 'tensorflow', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
