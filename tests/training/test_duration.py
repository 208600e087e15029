"""Epochs by time: what fits, and that the run is the one that so many epochs would be."""

import dataclasses

import pytest
import tensorflow as tf
from lives import Killed, argv, check_same, dies_after

import config
import runs
import train
from datasets.arrays import open_split
from training import duration
from training import steps as training_steps
from utils.errors import UserError


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def tiny(discs):
    """Settings, splits and network of a run of 5 steps an epoch."""
    settings = config.Settings(
        model="unet", options={"width": 2, "depth": 1}, normalize="unit", loss="bce", batch_size=4, data=str(discs)
    )
    splits = {name: open_split(discs, name) for name in ("train", "val")}
    return settings, splits, train.compiled(settings, splits["train"])


def test_what_fits_is_counted_in_whole_epochs(tiny, monkeypatch, capsys):
    monkeypatch.setattr(duration, "_step", lambda *_: (0.5, 3.0))  # seconds of a step, and until the first
    monkeypatch.setattr(duration, "_validation", lambda *_: 4.0)
    given = (*tiny, tf.distribute.get_strategy())
    assert duration.epochs_within(100.0, *given) == int((100 - 3) / (5 * 0.5 + 4 + duration.EPOCH_END))
    assert capsys.readouterr().out == "an epoch takes 8.5 s here: as with --epochs 11\n"
    with pytest.raises(UserError, match=r"an epoch takes 8 s here and 7 s are left: give more --minutes"):
        duration.epochs_within(10.5, *given)


def test_speed_is_measured_over_more_steps_than_the_run_may_have(tiny):
    settings, splits, network = tiny
    loop = training_steps.Loop(network, dataclasses.replace(settings, epochs=1), tf.distribute.get_strategy())
    of_step, traced = duration._step(loop, splits["train"], loop.settings)
    assert 0 < of_step < traced
    assert duration._validation(loop, splits["val"], loop.settings) > 0


@pytest.mark.slow
def test_the_run_is_as_if_its_epochs_had_been_typed_and_resume_keeps_them(discs, monkeypatch):
    given = ["--plateau", "0", "--schedule", "cosine"]
    monkeypatch.setattr(duration, "STEPS", 2)
    fitting = duration.epochs_within
    monkeypatch.setattr(duration, "epochs_within", lambda *all_: min(2, fitting(*all_)))
    restored = dies_after(monkeypatch, 1)
    with pytest.raises(Killed):
        train.main(argv(discs, "timed", *given, "--minutes", "5"))
    restored()
    monkeypatch.setattr(duration, "epochs_within", None)  # is not called again
    train.main(argv(discs, "timed", *given, "--minutes", "5", "--resume"))
    train.main(argv(discs, "typed", *given, "--epochs", "2"))
    check_same("timed", "typed", 0)
    assert runs.settings("checkpoint_best/timed").epochs == 2


def test_several_machines_are_refused(discs, monkeypatch):
    monkeypatch.setattr(train.devices, "addresses", lambda: (["a:1", "b:1"], 0))
    with pytest.raises(UserError, match="--minutes measures the speed of one machine"):
        train.with_epochs(config.Settings(data=str(discs)), 0.0, {}, None)
