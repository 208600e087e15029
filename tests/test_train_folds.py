"""python train.py --folds: a run a fold, one of them all, scores out of fold, and going on after a stop."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from discs import write_discs
from lives import Killed, dies_after

import runs
import train
from training import checkpoints

pytestmark = pytest.mark.slow
TINY = {
    **{"model": "unet", "options": {"width": 2, "depth": 1}, "loss": "bce", "normalize": "unit", "run": "f"},
    **{"epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "precision": "float32", "data": "discs"},
}


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Where two folds were trained, the second of which was killed after its first epoch and went on."""
    folder = tmp_path_factory.mktemp("folds")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_discs("discs", size=(16, 16), counts={"train": 9, "val": 3, "test": 2})
        Path("tiny.yaml").write_text(yaml.safe_dump(TINY))
        restored = dies_after(patch, 3)
        with pytest.raises(Killed):
            train.main(["--config", "tiny.yaml", "--folds", "2"])
        restored()
        with pytest.raises(SystemExit, match="run 'f_fold1' exists: go on with --resume"):
            train.main(["--config", "tiny.yaml", "--folds", "2"])
        train.main(["--config", "tiny.yaml", "--folds", "2", "--resume"])
        yield folder


def test_each_fold_is_a_run_that_ends(folder):
    held_out = []
    for fold in (1, 2):
        state = checkpoints.load(folder / f"checkpoint/f_fold{fold}")[0]
        assert state["finished"] and len(state["rows"]) == 2
        best = folder / f"checkpoint_best/f_fold{fold}"
        assert runs.settings(best).data == f"folds:{fold}/2:discs"
        held_out.append(runs.facts(best)["images"]["val"])
    assert sum(held_out) == 12


def test_the_ensemble_is_scored_out_of_fold(folder):
    best = folder / "checkpoint_best/f"
    assert runs.facts(best)["members"] == ["f_fold1", "f_fold2"]
    assert (runs.settings(best).data, runs.settings(best).run) == ("folds:2:discs", "f")
    assert "trust" not in runs.facts(best)  # its single members are surer than their mean
    assert "thresholds" in runs.facts(best) and (best / "README.md").is_file()
    result = json.loads((folder / "output/f/val_network/metrics.json").read_text())
    assert result["out_of_fold"] and result["intervals"]["per_image"]["jaccard"]
    with open(folder / "output/f/val_network/per_image.csv", newline="") as file:
        names = {row["id"] for row in csv.DictReader(file)}
    assert len(names) == 12 and {"train_00", "val_02"} < names


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--folds", "1"], "--folds 1: expected 2 or more"),
        (["--folds", "13", "--run", "g"], "12 images that are no near-duplicates are too few for 13 folds"),
        (["--folds", "2", "--run", "f_fold1"], "run 'f_fold1' exists and is no ensemble"),
        (["--folds", "2", "--resume", "previous"], "--resume previous goes back in one run"),
        (["--folds", "2", "--workers", "a:1,b:1"], "--folds trains on one machine"),
        (["--folds", "2", "--resume", "--epochs", "3"], "was trained with epochs 2, now it is 3"),
    ],
)
def test_folds_that_cannot_be_trained(given, words):
    with pytest.raises(SystemExit) as error:
        train.main(["--config", "tiny.yaml", *given])
    assert words in str(error.value)
