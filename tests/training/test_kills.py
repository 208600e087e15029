"""A run that is killed goes on as if it had not been, whatever it was doing.

What a killed process leaves is the disk as it was at that moment. So one run is trained to its end, and at each file
that it replaces its folders are copied, before the new file takes its place and after. Then copies are resumed.
`make campaign` kills processes at random moments.
"""

import contextlib
import dataclasses
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from lives import argv, check_same

import model
import runs
import train
from models.adstnet import AdSTNet
from models.jaal_net import JAALNet, da_net
from models.layers import conv_norm_relu, logits
from training import checkpoints, steps

pytestmark = pytest.mark.slow
FOLDERS = ("checkpoint", "checkpoint_best", "output")


@contextlib.contextmanager
def disk_copied(run, to):
    """Inside `with`, copy the folders of a run whenever it replaces a file: to/NUMBER FILE before and … after.

    NUMBER counts the replacements of the file of this name.
    """
    replace, counts = os.replace, {}

    def copy(moment):
        for folder in FOLDERS:
            if Path(folder, run).exists():
                shutil.copytree(Path(folder, run), Path(to, moment, folder, run))

    def copying(source, target):
        name = Path(target).name
        counts[name] = counts.get(name, 0) + 1
        copy(f"{counts[name]} {name} before")
        replace(source, target)
        copy(f"{counts[name]} {name} after")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", copying)
        yield


def go_on(moments, moment, run, arguments):
    """Put the copied folders here, and train on as a user would."""
    shutil.copytree(Path(moments, moment), ".", dirs_exist_ok=True)
    for left in Path().glob("*/*/.writing_*"):  # by this process, which has to be a dead one
        left.rename(left.with_name(left.name.replace(f"_{os.getpid()}_", "_99999999_")))
    resume = ["--resume"] if checkpoints.files(Path("checkpoint", run)) else []
    train.main([*arguments, *resume])


@pytest.fixture(scope="module")
def moments(discs, tmp_path_factory):
    """Folder of a whole run of 4 epochs of 5 steps, a checkpoint every third step; in `moments` the copies."""
    folder = tmp_path_factory.mktemp("whole")
    with contextlib.chdir(folder), disk_copied("run", "moments"):
        train.main(argv(discs, "run", "--save_every", "3", "--deterministic"))
    return folder


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("1 step_00000003.npz before", None),  # while the first checkpoint is written
        ("1 step_00000006.npz after", 6),  # within an epoch; the oldest checkpoint is not yet removed
        ("1 step_00000010.npz before", 9),  # at the end of an epoch, while its checkpoint is written
        ("3 log.csv after", 12),  # the log has an epoch that no checkpoint has
        ("1 model.keras before", 3),  # while the first best network is written
        ("2 run.json before", 9),  # between the best network and what is noted of it
    ],
)
def test_a_killed_run_ends_as_one_that_was_not(moments, moment, step, discs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = checkpoints.files(moments / "moments" / moment / "checkpoint" / "run")
    assert [path.name for path in there[-1:]] == ([f"step_{step:08}.npz"] if step else [])
    go_on(moments / "moments", moment, "run", argv(discs, "run", "--save_every", "3", "--deterministic"))
    for folder in FOLDERS:
        shutil.copytree(moments / folder / "run", Path(folder, "whole"))
    check_same("whole", "run", 0.0)
    assert not [path for folder in FOLDERS for path in Path(folder, "run").glob(".*")]  # no half file is left
    one, two = (model.load(Path("checkpoint_best", run, "model.keras")) for run in ("whole", "run"))
    for ours, theirs in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert runs.facts("checkpoint_best/whole") == runs.facts("checkpoint_best/run")


def test_a_run_killed_after_its_end_is_finished(moments, discs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="run 'run' is finished, 4 epochs"):
        go_on(moments / "moments", "1 step_00000020.npz after", "run", argv(discs, "run", "--deterministic"))


# === Networks with a training step of their own ===


def plain(channels, height, width):
    inputs = keras.Input((height, width, channels))
    return keras.Model(inputs, logits(conv_norm_relu(inputs, 4, "first"), 1), name="plain")


def tiny(input_shape, name):
    """AdSTNet or JAAL-Net over two convolutions, in place of the registry's builder."""
    size = input_shape[:2]
    if name == "adstnet":
        return AdSTNet(plain(3, *size))
    return JAALNet(plain(4, *size), da_net((*size, 3), 1, 4))


@pytest.mark.parametrize(("name", "groups"), [("adstnet", ["optimizer0"]), ("jaal_net", ["optimizer0", "optimizer1"])])
def test_every_optimizer_of_a_special_step_goes_on(name, groups, discs, tmp_path, monkeypatch):
    """Three epochs of five steps, killed after the first; the plateau lowers every rate."""
    monkeypatch.chdir(tmp_path)
    entry = model.REGISTRY[name]
    monkeypatch.setitem(model.REGISTRY, name, dataclasses.replace(entry, address=f"{__name__}:tiny"))
    constant = {"val_loss": 1.0, "val_dice": 0.0, "val_jaccard": 0.0}
    monkeypatch.setattr(steps.Loop, "validate", lambda *_: constant)
    flags = ["--model", name, "--options", "{}", "--loss", "bce", "--normalize", entry.normalization, "--epochs", "3"]
    flags += ["--accumulate", "1", "--ema", "0", "--learning_rate", "1e-3", "--patience", "0"]
    with disk_copied("run", "moments"):
        train.main(argv(discs, "run", *flags))
    for folder in FOLDERS:
        Path(folder, "run").rename(Path(folder, "whole"))
    go_on("moments", "1 step_00000005.npz after", "run", argv(discs, "run", *flags))
    _, arrays = check_same("whole", "run", 1e-6, ["network", "sums", *groups])
    for group in groups:
        assert (arrays[group][0], float(arrays[group][1])) == (15, pytest.approx(1e-3 / 4)), arrays[group][:2]
    best = model.load(Path("checkpoint_best/whole/model.keras"))  # the bare network
    assert type(best).__name__ == "Functional" and best.output_shape == (None, 32, 48, 1)
