"""The command line of pictures: each command on a tiny scored run."""

import json
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from figure_files import disk, has_color, write_log

import config
import runs
import visualize
from datasets.arrays import Writer
from imaging import mask_files, palette


def test_curves_of_two_runs_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_log(Path("output/a/log.csv"))
    write_log(Path("output/b/log.csv"), val_dice=0.5)
    visualize.main(["curves", "--run", "a", "b"])
    assert capsys.readouterr().out == "output/a/curves.png\n"
    assert all(has_color("output/a/curves.png", color) for color in palette.CLASSES[:2])
    with pytest.raises(SystemExit, match=r"error: output/c/log\.csv: no training log"):
        visualize.main(["curves", "--run", "c"])


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """A folder with prepared arrays and the scored run `r` of a network that finds what is dark."""
    monkeypatch.chdir(tmp_path)
    ids = ["007", "008", "009"]  # must not be read as numbers
    image = np.where(disk()[..., None], np.uint8((90, 60, 50)), np.uint8((220, 180, 160)))
    with Writer("data", {"dataset": "tiny", "task": 1}, (48, 64), ["lesion"]) as writer:
        for name in ids:
            writer.add("test", name, image, disk()[..., None].astype(np.uint8), (48, 64))
    for folder in ("output/r", "predictions/r"):
        Path(folder).mkdir(parents=True)
    Path("output/r/metrics.json").write_text(json.dumps({"data": "data", "split": "test"}))
    pd.DataFrame({"id": ids, "jaccard": [0.9, 0.2, 0.5]}).to_csv("output/r/per_image.csv", index=False)
    for name in ids:
        mask_files.write_masks("predictions/r", name, disk(x=24)[..., None], ["lesion"])
    inputs = keras.Input((48, 64, 3))
    gate = keras.layers.Activation("sigmoid", name="left_gate_sigmoid")(keras.layers.Conv2D(1, 1, name="maps")(inputs))
    head = keras.layers.Conv2D(1, 1, name="head", kernel_initializer="ones")
    folder = runs.BEST / "r"
    folder.mkdir(parents=True)
    network = keras.Model(inputs, head(gate))
    network.get_layer("maps").set_weights([np.full((1, 1, 3, 1), -10, "float32"), np.full(1, 15, "float32")])
    network.save(folder / "model.keras")
    config.save(config.Settings(run="r", data="data", normalize="unit"), folder / "settings.yaml")


def test_samples(scored, capsys):
    visualize.main(["samples", "--run", "r", "--order", "worst", "--count", "2", "--out", "two.png"])
    visualize.main(["samples", "--run", "r"])
    assert capsys.readouterr().out == "two.png\noutput/r/samples_worst.png\n"
    assert cv2.imread("output/r/samples_worst.png").shape[0] > 1.2 * cv2.imread("two.png").shape[0]


def test_samples_of_several_classes_show_where_there_is_something(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classes, mask = ["spot", "dot"], disk()[..., None] * np.uint8((1, 0))
    with Writer("data", {"dataset": "tiny", "task": 1}, (48, 64), classes) as writer:
        for name in ("empty", "good"):
            writer.add("test", name, np.full((48, 64, 3), 180, np.uint8), mask * (name == "good"), (48, 64))
            mask_files.write_masks("predictions/r", name, mask > 0 if name == "good" else mask < 0, classes)
    Path("output/r").mkdir(parents=True)
    Path("output/r/metrics.json").write_text(json.dumps({"data": "data", "split": "test"}))
    rows = {"id": ["empty", "empty", "good", "good"], "tp": [0, 0, 9, 0], "fp": [0, 0, 1, 0], "fn": 0, "jaccard": 1}
    pd.DataFrame(rows).to_csv("output/r/per_image.csv", index=False)
    rows, _, _ = visualize.chosen_rows(Path("output/r"), "best", 1)
    assert rows[0][0] == "best, Jaccard 0.900\ngood"


def test_errors_are_tinted(scored, capsys):
    visualize.main(["errors", "--run", "r", "--count", "1", "--order", "best"])
    assert capsys.readouterr().out == "output/r/errors_best.png\n"
    for color, grey in ((palette.FALSE_NEGATIVE, 68), (palette.FALSE_POSITIVE, 190)):  # of the lesion and of the skin
        assert has_color("output/r/errors_best.png", color)  # in the legend
        tint = [round(0.65 * int(color[i : i + 2], 16) + 0.35 * grey) for i in (1, 3, 5)]
        assert has_color("output/r/errors_best.png", "#{:02x}{:02x}{:02x}".format(*tint), 4)


def test_heat(scored, capsys):
    for command in (["gradcam"], ["gradcam", "--layers", "maps"], ["attention"]):
        visualize.main([*command, "--run", "r", "--count", "2", "--out", "heat.png"])
        picture = cv2.imread("heat.png").astype(int)
        assert (picture[..., 2] - picture[..., 0]).max() > 100  # some pixels are hot: red
        Path("heat.png").unlink()
    cv2.imwrite("own.png", np.full((90, 70, 3), 128, np.uint8))
    visualize.main(["gradcam", "own.png", "--run", "r"])
    assert capsys.readouterr().out == "heat.png\n" * 3 + "output/r/gradcam.png\n"
    with pytest.raises(SystemExit, match="error: r has no class 'nevus'; there are: lesion"):
        visualize.main(["gradcam", "own.png", "--run", "r", "--class", "nevus"])


def test_scores_of_other_images_are_refused(scored):
    pd.DataFrame({"id": ["x"], "jaccard": [1]}).to_csv("output/r/per_image.csv", index=False)
    with pytest.raises(SystemExit, match=r"not the images of output/r/per_image\.csv"):
        visualize.main(["samples", "--run", "r"])
    Path("output/r/metrics.json").unlink()
    with pytest.raises(SystemExit, match=r"not scored yet; python evaluate\.py --run r does it"):
        visualize.main(["errors", "--run", "r"])


@pytest.mark.parametrize("run", ["checkpoint_best/r", "checkpoint_best/r/", "checkpoint_best/r/model.keras"])
def test_a_run_is_found_by_its_path_too(scored, capsys, run):
    visualize.main(["samples", "--run", run, "--count", "1"])
    visualize.main(["gradcam", "--run", run, "--count", "1"])
    write_log(Path("output/r/log.csv"))
    visualize.main(["curves", "--run", run])
    expected = ["output/r/samples_worst.png", "output/r/gradcam_worst.png", "output/r/curves.png"]
    assert capsys.readouterr().out.split() == expected


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metrics.json", "{"),
        ("metrics.json", "[]"),
        ("metrics.json", "{}"),
        ("per_image.csv", ""),
        ("per_image.csv", "name\n1\n"),
        ("per_image.csv", 'id,jaccard\n"a'),
    ],
)
def test_edited_scores_are_named_in_one_line(scored, file, text):
    Path("output/r", file).write_text(text)
    with pytest.raises(SystemExit, match=f"error: output/r/{file} cannot be read .*; python evaluate") as caught:
        visualize.main(["samples", "--run", "r"])
    assert "\n" not in caught.value.code


def test_ids_are_text_whatever_they_are_called(tmp_path):
    (tmp_path / "per_image.csv").write_text("id,class,tp,jaccard\nNA,lesion,1,0.5\n001,lesion,2,\n1e5,lesion,3,0.25\n")
    scores = visualize.image_scores(tmp_path / "per_image.csv")
    assert list(scores.index) == ["NA", "001", "1e5"] and scores.isna().tolist() == [False, True, False]


def test_labels_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with Writer("data", {"dataset": "tiny", "task": 1}, (48, 64), ["lesion"]) as writer:
        for name in ("a", "b", "c"):
            mask = disk()[..., None].astype(np.uint8)
            writer.add("train", name, np.full((48, 64, 3), 180, np.uint8), mask, (48, 64))
    visualize.main(["labels", "--data", "data", "--count", "2"])
    visualize.main(["labels", "--data", "data", "--out", "three.png"])
    assert capsys.readouterr().out == "output/labels.png\nthree.png\n"
    assert cv2.imread("three.png").shape[0] > 1.2 * cv2.imread("output/labels.png").shape[0]
    assert has_color("three.png", palette.TRUTH)
