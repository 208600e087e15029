"""The command line of pictures: each command on a tiny scored run."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from test_drawing import disk
from test_figures import has_color, write_log

import drawing
import figures
import visualize
from datasets.prepared import Writer


def test_curves_of_two_runs_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_log(Path("output/a/log.csv"))
    write_log(Path("output/b/log.csv"), val_dice=0.5)
    visualize.main(["curves", "--run", "a", "b"])
    assert capsys.readouterr().out == "output/a/curves.png\n"
    assert all(has_color("output/a/curves.png", color) for color in figures.PALETTE[:2])
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
        drawing.write_masks("predictions/r", name, disk(x=20)[..., None], ["lesion"])
    visualize.main(["samples", "--run", "r", "--order", "worst", "--count", "2", "--out", "two.png"])
    visualize.main(["samples", "--run", "r"])
    assert capsys.readouterr().out == "two.png\noutput/r/samples_worst.png\n"
    assert cv2.imread("output/r/samples_worst.png").shape[0] > 1.2 * cv2.imread("two.png").shape[0]
    pd.DataFrame({"id": ["x"], "jaccard": [1]}).to_csv("output/r/per_image.csv", index=False)
    with pytest.raises(SystemExit, match=r"not the images of output/r/per_image\.csv"):
        visualize.main(["samples", "--run", "r"])
