"""A run that is stopped or damaged goes on as if it had not been, or says why it cannot."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from discs import write_discs
from lives import Killed, argv, check_same, dies_after

import train
from config import Settings
from training import checkpoints
from training import steps as training_steps


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_what_cannot_go_on_is_refused(discs, monkeypatch, capsys):
    def refused(*more, run="died", data=discs):
        with pytest.raises(SystemExit) as error:
            train.main(argv(data, run, *more))
        return str(error.value)

    assert "nothing to resume" in refused("--resume")
    restored = dies_after(monkeypatch, 3)
    with pytest.raises(Killed):
        train.main(argv(discs, "died", "--save_every", "2"))
    restored()
    first, second = checkpoints.files("checkpoint/died")
    assert (first.name, second.name) == ("step_00000004.npz", "step_00000005.npz")

    # 1. other settings, other data, another process, no --resume
    assert "was trained with learning_rate 0.01, now it is 0.1" in refused("--resume", "--learning_rate", "0.1")
    other = write_discs(Path("other"), seed=5)
    again = yaml.safe_load(Path("checkpoint/died/settings.yaml").read_text())["data"]
    shutil.copytree(again, "moved")
    state = checkpoints.load("checkpoint/died")[0]
    assert state["data"] == checkpoints.fingerprint(train.open_data(Settings(data="moved")))
    assert state["data"] != checkpoints.fingerprint(train.open_data(Settings(data=str(other))))
    with pytest.raises(ValueError, match="does not hold the images"):
        checkpoints.check(state, Settings(**state["settings"]), "another hash")
    with checkpoints.locked(Path("checkpoint/died")):
        assert "is being trained right now" in refused("--resume")
    assert "exists: go on with --resume" in refused()

    # 2. every damage is noticed, or does not matter
    whole, data = checkpoints.load("checkpoint/died"), bytearray(second.read_bytes())
    draw = random.Random(0)
    for _ in range(60):
        place = draw.randrange(len(data))
        second.write_bytes(data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :])
        with contextlib.suppress(ValueError):
            state, arrays = checkpoints.load("checkpoint/died")
            assert state == whole[0]
            for group in whole[1]:
                assert all(np.array_equal(a, b) for a, b in zip(arrays[group], whole[1][group], strict=True))
    second.write_bytes(data[: len(data) // 2])
    assert "is damaged" in (message := refused("--resume")) and "--resume previous" in message

    # 3. the one before a damaged one, to the end
    train.main(argv(discs, "whole"))
    train.main(argv(discs, "died", "--resume", "previous"))
    check_same("whole", "died", 1e-6)
    assert "is finished, 4 epochs" in refused("--resume")


def test_the_lock_ends_with_its_process_and_leftovers_go_under_it():
    folder = Path("checkpoint/run")
    folder.mkdir(parents=True)
    left = folder / ".writing_99999999_0.npz"
    left.touch()
    code = "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
    command = [sys.executable, "-c", code, str(folder / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(FileExistsError, match="run 'run' is being trained right now"), checkpoints.locked(folder):
            pass
        assert left.exists()
        other.kill()
    with checkpoints.locked(folder):
        assert not left.exists()
    with checkpoints.locked(folder):  # free again
        pass


def test_asked_to_stop_a_run_saves_and_goes_on(discs, monkeypatch, capsys):
    step = training_steps.Loop.step

    def interrupted(self, images, labels, place, *rest):
        if place == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, images, labels, place, *rest)

    monkeypatch.setattr(training_steps.Loop, "step", interrupted)
    with pytest.raises(SystemExit) as stop:
        train.main(argv(discs, "stopped"))
    assert stop.value.code == 130
    assert "go on with the same command and --resume" in capsys.readouterr().out
    assert checkpoints.load("checkpoint/stopped")[0]["step"] % 5 != 0
    monkeypatch.setattr(training_steps.Loop, "step", step)
    train.main(argv(discs, "stopped", "--resume"))
    train.main(argv(discs, "whole"))
    check_same("whole", "stopped", 1e-6)
