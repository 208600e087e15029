"""An ensemble on disk is a run like any other; what cannot be one network is refused."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_run import ATTRIBUTES, bright, masks_of, save_data, save_run

import config
import runs
import train
from datasets.arrays import open_split
from datasets.split import digest
from evaluation import evaluate_run
from inference.predictor import load_predictor
from training import ensembles
from utils.errors import UserError


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_ensemble_is_a_run(capsys):
    """Of gray of 0.45 one member says 0.73, the other 0.02: the mean is below 0.5, that with itself above."""
    save_run("low", level=0.4, threshold=0.3)
    save_run("high", level=0.65)
    runs.note("checkpoint_best/low", classes=["lesion"], size=[4, 5], epoch=3, thresholds={"lesion": 0.1})
    train.main(["--runs", "low,checkpoint_best/high", "--run", "both"])
    assert "both: the mean of low, checkpoint_best/high, checkpoint_best/both/model.keras" in capsys.readouterr().out
    facts = runs.facts("checkpoint_best/both")
    assert facts == {"classes": ["lesion"], "size": [4, 5], "members": ["low", "high"], "parameters": 8}
    assert (runs.settings("checkpoint_best/both").run, runs.settings("checkpoint_best/both").threshold) == ("both", 0.3)
    card = Path("checkpoint_best/both/README.md").read_text(encoding="utf-8")
    assert "| mean probability of the runs | low, high |" in card
    gray = np.full((4, 5, 3), 115, np.uint8)
    each = [load_predictor(name)(gray)[1] for name in ("low", "high")]
    Path("checkpoint_best/both/model.keras").rename("alone.keras")  # has all it takes inside
    _, found = load_predictor("alone.keras")(gray)
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    assert found.min() == pytest.approx((1 / (1 + np.exp(-1.02)) + 1 / (1 + np.exp(3.98))) / 2, abs=1e-3)


def test_it_is_written_anew_but_not_over_a_trained_run():
    save_run("one")
    ensembles.write("both", ["one", "one"])
    runs.note("checkpoint_best/both", thresholds={"lesion": 0.2})
    ensembles.write("both", ["one", "one", "one"])
    assert runs.facts("checkpoint_best/both")["members"] == ["one"] * 3
    assert "thresholds" not in runs.facts("checkpoint_best/both")
    with pytest.raises(FileExistsError, match="run 'one' exists and is no ensemble: choose another name with --run"):
        ensembles.write("one", ["both", "one"])


def test_runs_that_differ_are_refused():
    save_run("unit")
    save_run("gamma", normalize="gamma")
    save_run("hairless", remove_hair=True)
    save_run("large", size=(8, 8))
    save_run("five", classes=5)
    save_run("mole")
    runs.note("checkpoint_best/mole", classes=["mole"])
    for other, words in (
        ("gamma", "normalize is unit and gamma"),
        ("hairless", "remove_hair is False and True"),
        ("large", r"input is \(4, 5, 3\) and \(8, 8, 3\)"),
        ("five", r"output is \(4, 5, 1\) and \(4, 5, 5\)"),
        ("mole", "classes is lesion and mole"),
    ):
        with pytest.raises(UserError, match=f"unit and {other} cannot be one network: {words}; .*--runs unit,{other}"):
            ensembles.write("both", ["unit", other])
    with pytest.raises(FileNotFoundError, match="no run 'nobody'"):
        ensembles.write("both", ["unit", "nobody"])
    with pytest.raises(SystemExit, match="name it with --run NAME"):
        train.main(["--runs", "unit,unit"])
    assert not Path("checkpoint_best/both").exists()


def test_an_ensemble_of_folds_is_scored_out_of_fold(capsys):
    """Two members that find brightness above 0.3 and 0.7: each image is scored by the one of its own fold."""
    images = np.concatenate([np.full((3, 4, 5, 3), 128, np.uint8), bright(5, 9, 13)])
    images[:3, :, :2] = np.random.default_rng(0).integers(0, 9, (3, 4, 2, 3))
    save_data(images, masks_of((0, 20), (0, 20), (0, 20), (0, 5), (0, 9), (0, 13)), split="train")
    for fold, level in ((1, 0.3), (2, 0.7)):
        save_run(f"x_fold{fold}", level=level, data=f"folds:{fold}/2:data")
    train.make_ensemble("x", ["x_fold1", "x_fold2"], "folds:2:data")
    older = (("x", None), ("x_fold1", None))
    for run, noted in (*older, ("x_fold1", "0123456789abcdef")):
        runs.note("checkpoint_best/x_fold1", **({"trained_on": noted} if noted else {}))
        with pytest.raises(UserError, match=r"run 'x_fold1' was trained on other images than folds:1/2:data has now"):
            evaluate_run.evaluate(run, at="network")
    for fold in (1, 2):
        learned = open_split(f"folds:{fold}/2:data", "train")
        runs.note(f"checkpoint_best/x_fold{fold}", trained_on=digest(learned))
    result = evaluate_run.evaluate("x", at="network")
    assert (result["out_of_fold"], result["images"], result["data"]) == (True, 6, "folds:2:data")
    with open("output/x/val_network/per_image.csv", newline="") as file:
        found = {row["id"]: float(row["jaccard"]) for row in csv.DictReader(file)}
    for fold in (1, 2):
        for name in open_split(f"folds:{fold}/2:data", "val").ids:
            of_gray = 0.6 if fold == 1 else 0.0  # three of five columns are
            assert found.pop(name) == (of_gray if int(name[-1]) < 3 else 1.0)
    words = "each by the member of the ensemble that was not trained on it"
    assert words in Path("output/x/val_network/report.md").read_text(encoding="utf-8")
    assert runs.facts("checkpoint_best/x")["thresholds"].keys() == {"lesion"}  # chosen out of fold
    for given in (
        {"run": "x", "data": "data"},
        {"ensemble": ("x_fold1", "x_fold2")},
        {"run": "x_fold1", "data": "data"},
    ):
        with pytest.raises(UserError, match=r"are among those that it has learned from; leave out --data"):
            evaluate_run.evaluate(**given, split="train", at="network")
    other = config.Settings(data="other")
    assert not evaluate_run.is_out_of_fold([runs.find("x")], other, "val")
    with pytest.raises(FileNotFoundError, match="no run 'x_fold2'"):
        shutil.rmtree("checkpoint_best/x_fold2")
        evaluate_run.evaluate("x", at="network")


def test_attributes_keep_their_names():
    save_run("five", classes=5)
    ensembles.write("twice", ["five", "five"])
    assert load_predictor("twice").classes == ATTRIBUTES
