"""Runs that die and go on: what to train, how to die, and whether two runs ended alike."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from training import checkpoints, trainer

TINY = {
    **{"model": "unet", "options": {"width": 2, "depth": 1}, "loss": "bce + dice", "normalize": "unit"},
    **{"epochs": 4, "batch_size": 4, "learning_rate": 1e-2, "flip": True, "turn": True, "rotation": 20.0, "seed": 2},
    **{"ema": 0.9, "accumulate": 2, "clip": 1.0, "plateau": 1, "patience": 3, "monitor": "val_loss"},
    **{"precision": "float32"},
}
TIMES = ["seconds", "images_per_second", "waiting"]  # columns of the log


def argv(data, run, *more):
    """The command line of a tiny run; writes its settings to tiny.yaml."""
    Path("tiny.yaml").write_text(yaml.safe_dump({**TINY, "data": str(data)}))
    return ["--config", "tiny.yaml", "--run", run, *more]


def check_same(one, two, tolerance, groups=("network", "sums", "optimizer0", "average")):
    """Whether two checkpoint folders ended alike: weights, optimizer, average, sums, counts, best value, log."""
    (state, arrays), (state2, arrays2) = (checkpoints.load(Path("checkpoint", run)) for run in (one, two))
    assert arrays.keys() == arrays2.keys() == set(groups)
    for group in arrays:
        assert len(arrays[group]) == len(arrays2[group])
        for a, b in zip(arrays[group], arrays2[group], strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=group)
    assert (state["step"], state["finished"]) == (state2["step"], state2["finished"])
    for a, b in zip(state["callbacks"], state2["callbacks"], strict=True):
        assert a == pytest.approx(b, abs=tolerance)
    logs = [pd.read_csv(f"output/{run}/log.csv").drop(columns=TIMES) for run in (one, two)]
    pd.testing.assert_frame_equal(*logs, rtol=0, atol=tolerance, check_exact=not tolerance)
    return state, arrays


class Killed(BaseException):
    """Nobody catches it."""


def dies_after(monkeypatch, saves):
    """Make the next run die after so many checkpoints; returns what ends that."""
    left, save = iter(range(saves - 1, -1, -1)), trainer.Training.save

    def dying(self):
        save(self)
        if not next(left):
            raise Killed

    monkeypatch.setattr(trainer.Training, "save", dying)
    return lambda: monkeypatch.setattr(trainer.Training, "save", save)
