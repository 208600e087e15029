"""Figures of classes: what is drawn where, and the commands that draw them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from figure_files import ATTRIBUTES, disk, has_color, write_log
from tiny_run import SIZE, masks_of, save_data, save_run

import config
import runs
import visualize
from datasets import class_statistics
from datasets.arrays import Writer
from figures import classes, training_curves
from imaging import palette


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_distribution_of_each_split(capsys):
    random = np.random.default_rng(0)
    with Writer("data", {"dataset": "tiny", "task": 2}, SIZE, ATTRIBUTES) as writer:
        for split, count in (("train", 4), ("val", 2), ("test", 1)):
            for number in range(count):
                mask = (random.random((*SIZE, 5)) < 0.3).astype(np.uint8)
                mask[..., 2:] = 0
                mask *= number > 0  # the first one of each split is empty
                image = np.zeros((*SIZE, 3), np.uint8)
                writer.add(split, f"{split}{number}", image, None if split == "test" else mask, SIZE)
    visualize.main(["distribution", "--data", "data"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == ["output/distribution.png"] and len(lines) == 1 + 2 * 6 + 1  # no masks, no lines
    train = np.load("data/mask_train.npy")
    assert lines[1] == ["train", "pigment_network", "3", "75.00%", f"{train[..., 0].mean():.2%}"]
    assert lines[6] == ["train", "any", "3", "75.00%"] and lines[12] == ["val", "any", "1", "50.00%"]
    drawn = [has_color("output/distribution.png", color) for color in palette.CLASSES[:5]]
    assert all(drawn)  # all in the legend
    with pytest.raises(SystemExit, match=r"error: gone/meta\.json not found"):
        visualize.main(["distribution", "--data", "gone"])


def test_a_split_of_empty_masks_has_no_slices():
    some = class_statistics.ClassStatistics(4, np.array([1, 2]), 3, np.array([0.1, 0.2]))
    none = class_statistics.ClassStatistics(4, np.array([0, 0]), 0, np.array([0.0, 0.0]))
    classes.distribution({"train": some, "val": none}, ["a", "b"], "two.png", "t")
    classes.distribution({"train": some}, ["a", "b"], "one.png", "t")
    assert cv2.imread("two.png").shape[0] > 1.5 * cv2.imread("one.png").shape[0]


def test_prediction_shows_each_class_in_its_color():
    image, masks = np.full((48, 64, 3), 128, np.uint8), np.zeros((48, 64, 2), bool)
    masks[..., 1] = disk()
    notes = ["one", "two\nlines"]
    classes.prediction(image, masks, masks, masks * 0.5, ["a_b", "c"], notes, "both.png", "t")
    classes.prediction(image, None, masks, masks * 0.5, ["a_b", "c"], notes, "found.png", "t")
    tint = np.array([int(palette.CLASSES[1][i : i + 2], 16) for i in (1, 3, 5)]) * 0.6 + 128 * 0.4
    pixels = [cv2.cvtColor(cv2.imread(name), cv2.COLOR_BGR2RGB) for name in ("both.png", "found.png")]
    areas = [np.count_nonzero(np.abs(picture - tint).max(axis=-1) < 3) for picture in pixels]
    assert areas[0] == pytest.approx(2 * areas[1], rel=0.1) and areas[1] > 1000  # truth and prediction, or one alone


def test_predict_from_the_command_line(capsys):
    save_run("five", classes=5)
    images = np.zeros((3, *SIZE, 3), np.uint8)
    images[1, :2, :, 0] = 255  # the first and the fourth class find these ten pixels
    masks = np.repeat(masks_of((0, 0), (5, 15), (0, 0)), 5, axis=-1)
    masks[..., 1:4] = 0
    save_data(images, masks, split="val", classes=ATTRIBUTES)
    visualize.main(["predict", "--run", "five", "--split", "val", "--index", "1"])
    output = capsys.readouterr().out.splitlines()
    assert output[0] == "pigment_network: Jaccard 0.333, Dice 0.500, largest 1.00, threshold 0.5"
    assert output[1] == "negative_network: not there, none predicted, largest 0.00, threshold 0.5"
    assert output[3] == "milia_like_cyst: not there, 50.0 % predicted, largest 1.00, threshold 0.5"
    assert output[4].startswith("globules: Jaccard 0.000") and output[5] == "output/five/predict_ISIC_0000001.png"
    runs.note(runs.BEST / "five", thresholds=dict.fromkeys(ATTRIBUTES, 0.25))
    visualize.main(["predict", "--run", "five", "--id", "ISIC_0000001", "--threshold", "best", "--out", "b.png"])
    assert "threshold 0.25" in capsys.readouterr().out and has_color("b.png", palette.CLASSES[0])
    for arguments, message in (
        (["--index", "3"], "--index 3: val of data has the images 0 to 2"),
        (["--id", "ISIC_7"], r"no image ISIC_7 in val of data; index_val\.csv has all"),
        (["--split", "test"], "'data' has no split 'test'"),
    ):
        with pytest.raises(SystemExit, match=f"error: {message}"):
            visualize.main(["predict", "--run", "five", *arguments])


def test_curves_tell_the_settings():
    for run, epochs in (("a", 3), ("b", 5)):
        write_log(Path("output", run, "log.csv"), epochs=3)
        settings = config.Settings(run=run, data="d", model="unet", options={"width": 8}, epochs=epochs, clean=True)
        config.save(settings, runs.BEST / run / "settings.yaml")
    assert runs.titles(["a"]).startswith("a\nmodel unet, options width 8, loss wbce(weight=2.5), optimizer ")
    assert "clean" not in runs.titles(["a"]) and "epochs 3" in runs.titles(["a"])
    assert runs.titles(["a", "b"]) == "a, b\na: epochs 3\nb: epochs 5"
    assert runs.titles(["gone"]) == "gone"
    visualize.main(["curves", "--run", "a"])
    tall = cv2.imread("output/a/curves.png")
    training_curves.curves("output/a/log.csv", "plain.png", "a")
    assert tall.shape == cv2.imread("plain.png").shape and (tall != cv2.imread("plain.png")).any()
