"""Training in two phases, and validation every few epochs."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lives import Killed, argv, check_same, dies_after

import model
import runs
import train
from training import checkpoints, steps, trainer

PHASES = ["--freeze_epochs", "2", "--unfreeze_factor", "0.5", "--plateau", "0", "--evaluate_every", "3"]
PHASES += ["--encoder_rate", "0.3"]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_encoder_waits_and_a_resumed_run_is_the_same(discs, monkeypatch):
    """4 epochs of 5 steps, 3 updates: two with the encoder as it was, two with all."""
    given = [*PHASES, "--schedule", "cosine", "--optimizer", "adamw", "--weight_decay", "0.1", "--monitor", "epoch"]
    seen, save = [], trainer.Training.save

    def listens(self):
        seen.append({w.path: w.numpy() for w in self.network.weights})
        save(self)

    monkeypatch.setattr(trainer.Training, "save", listens)
    train.main(argv(discs, "whole", *given))
    monkeypatch.setattr(trainer.Training, "save", save)
    saved = model.load("checkpoint_best/whole/model.keras")
    encoder = {w.path for layer in model.encoder(saved, "unet", {}) for w in layer.weights}
    assert any("moving_variance" in path for path in encoder) and encoder < set(seen[0])
    for path in seen[0]:
        moved = [not np.array_equal(a[path], b[path]) for a, b in itertools.pairwise(seen)]
        assert moved == [path not in encoder, True, True]
    log = pd.read_csv("output/whole/log.csv")
    halves = [0.005 * (1 + np.cos(np.pi * k / 6)) for k in (2, 5)]  # after 3 and 6 of 6 updates
    np.testing.assert_allclose(log.learning_rate, [*halves, *(0.5 * rate for rate in halves)], rtol=1e-4)
    assert checkpoints.load(Path("checkpoint/whole"))[1]["optimizer0"][0] == 6  # updates of the second phase
    assert list(log.val_loss.isna()) == [True, True, False, False]  # every third epoch, and the last
    assert runs.facts("checkpoint_best/whole")["epoch"] == 4
    for saves, resume in ((5, []), (1, ["--resume"])):  # at the end of the first phase, within the second
        restored = dies_after(monkeypatch, saves)
        with pytest.raises(Killed):
            train.main(argv(discs, "died", *given, "--save_every", "3", *resume))
        restored()
    assert checkpoints.load(Path("checkpoint/died"))[0]["step"] == 12
    train.main(argv(discs, "died", *given, "--resume"))
    check_same("whole", "died", 1e-6)


def test_validation_every_other_epoch(discs, monkeypatch, drawn):
    losses = iter([0.9, 0.95, 0.97])
    monkeypatch.setattr(
        steps.Loop, "validate", lambda *_: {"val_loss": next(losses), "val_dice": 0.5, "val_jaccard": 0.4}
    )
    given = ["--evaluate_every", "2", "--plateau", "1", "--patience", "2", "--epochs", "9", "--ema", "0"]
    train.main(argv(discs, "seldom", *given))
    log = pd.read_csv("output/seldom/log.csv")
    np.testing.assert_array_equal(log.val_loss, [np.nan, 0.9, np.nan, 0.95, np.nan, 0.97])
    np.testing.assert_allclose(log.learning_rate, [0.01] * 4 + [0.005] * 2, rtol=1e-6)
    assert runs.facts("checkpoint_best/seldom")["epoch"] == 2
    assert Path("output/seldom/progress.png").is_file()
