"""A run that is killed, stopped or damaged goes on as if it had not been, or says why it cannot.

The kills need processes of their own. TensorFlow takes seconds to import, so this file is also a script that imports
once and forks a process for each life of a run:

    python tests/test_resume.py DATA KILLS [--deterministic]        # in an empty folder
    python tests/test_resume.py DATA special                        # networks with a training step of their own
"""

import contextlib
import dataclasses
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from discs import write_discs

import model
from config import Settings
from training import checkpoints, trainer
from training import steps as training_steps

ROOT = Path(__file__).parents[2]
TINY = {
    **{"model": "unet", "options": {"width": 2, "depth": 1}, "loss": "bce + dice", "normalize": "unit"},
    **{"epochs": 4, "batch_size": 4, "learning_rate": 1e-2, "flip": True, "turn": True, "rotation": 20.0, "seed": 2},
    **{"ema": 0.9, "accumulate": 2, "clip": 1.0, "plateau": 1, "patience": 3, "monitor": "val_loss"},
    **{"precision": "float32"},
}
TIMES = ["seconds", "images_per_second", "waiting"]  # columns of the log


def argv(data, run, *more):
    Path("tiny.yaml").write_text(yaml.safe_dump({**TINY, "data": str(data)}))
    return ["--config", "tiny.yaml", "--run", run, *more]


def check_same(one, two, tolerance, groups=("network", "sums", "optimizer0", "average")):
    """Whether two runs ended alike: weights, optimiser, average, sums, counts, best value, log."""
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


# === The script ===


def life(arguments, seconds=None, steps=None):
    """Train in a forked process; after so many seconds or steps kill it. Returns whether it came to its end."""
    child = os.fork()
    if child == 0:
        if steps is not None:
            dies_at_step(steps)
        os.dup2(os.open("lives.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.dup2(1, 2)
        import train

        try:
            train.main(arguments)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + (seconds if seconds is not None else 120)
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if steps is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                return False
            if status:
                raise SystemExit(f"a run failed: {Path('lives.log').read_text()[-3000:]}")
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if seconds is None:
        raise SystemExit("a run did not end")
    return False


def dies_at_step(count):
    """Have this process kill itself before the training step of this number."""
    step, numbers = training_steps.Loop.step, itertools.count()

    def dying(self, *batch, **options):
        if next(numbers) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *batch, **options)

    training_steps.Loop.step = dying


def special(data):
    """AdSTNet and JAAL-Net: killed in the second of three epochs of five steps; the plateau lowers every rate."""
    from tests.training import test_special_steps

    def tiny(input_shape, name):
        plain, size = test_special_steps.plain, input_shape[:2]
        if name == "adstnet":
            return test_special_steps.AdSTNet(plain(3, *size))
        return test_special_steps.JAALNet(plain(4, *size), test_special_steps.da_net(input_shape, 1, 4))

    training_steps.Loop.validate = lambda *_: {"val_loss": 1.0, "val_dice": 0.0, "val_jaccard": 0.0}
    for name, optimizers in (("adstnet", ["optimizer0"]), ("jaal_net", ["optimizer0", "optimizer1"])):
        model.REGISTRY[name] = dataclasses.replace(model.REGISTRY[name], builder=tiny)
        kind = model.REGISTRY[name].normalization
        flags = ["--model", name, "--options", "{}", "--loss", "bce", "--normalize", kind]
        flags += ["--epochs", "3", "--accumulate", "1", "--ema", "0", "--learning_rate", "1e-3", "--patience", "0"]
        whole, died = (argv(data, f"{name}_{run}", *flags) for run in ("whole", "died"))
        assert life(whole)
        assert not life(died, steps=7)
        assert life([*died, "--resume"])
        _, arrays = check_same(f"{name}_whole", f"{name}_died", 1e-6, ["network", "sums", *optimizers])
        for group in optimizers:
            assert (arrays[group][0], float(arrays[group][1])) == (15, pytest.approx(1e-3 / 4)), arrays[group][:2]
    print("special: the same")


def main(data, kills, *flags):
    import tensorboard.summary.v2  # noqa: F401 (once, for all lives, as the next)

    import train  # noqa: F401

    random.seed(1)
    tolerance = 0.0 if "--deterministic" in flags else 1e-6
    start = time.monotonic()
    life(argv(data, "whole", *flags))
    whole, killed, steps, runs = time.monotonic() - start, 0, set(), 0
    while killed < int(kills):
        runs += 1
        run, resume = f"killed{runs}", []
        while not life(argv(data, run, "--save_every", "1", *flags, *resume), seconds=random.uniform(0.2, 0.9) * whole):
            killed += 1
            there = checkpoints.files(Path("checkpoint", run))
            steps |= {there[-1].name} if there else set()
            if there and checkpoints.load(Path("checkpoint", run))[0]["finished"]:  # killed after its last save
                break
            resume = ["--resume"] if there else []
            if killed == int(kills):
                life(argv(data, run, "--save_every", "1", *flags, *resume))
                break
        check_same("whole", run, tolerance)
    print(f"{killed} kills in {runs} runs, resumed from {len(steps)} steps, {time.monotonic() - start:.0f} s")


# === The tests ===


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_thirty_kills(discs):
    lives = []
    for folder, flags in (("exact", ["--deterministic"]), ("close", [])):
        Path(folder).mkdir()
        command = [sys.executable, __file__, str(discs), "15", *flags]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        lives.append(subprocess.Popen(command, cwd=folder, env=environment, **pipes))
    for one in lives:
        told = one.communicate()[0]
        assert one.returncode == 0, told[-3000:]
        assert "15 kills in" in told


@pytest.mark.slow
def test_special_steps_are_killed_and_go_on(discs):
    """Weights and both optimisers; what is kept is the bare network."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, str(discs), "special"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "special: the same" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    for name in ("adstnet", "jaal_net"):
        best = model.load(Path(f"checkpoint_best/{name}_whole/model.keras"))
        assert type(best).__name__ == "Functional" and best.output_shape == (None, 32, 48, 1)


class Killed(BaseException):
    pass


def dies_after(monkeypatch, saves):
    """Make the next run die after so many checkpoints."""
    left, save = iter(range(saves - 1, -1, -1)), trainer.Training.save

    def dying(self):
        save(self)
        if not next(left):
            raise Killed

    monkeypatch.setattr(trainer.Training, "save", dying)
    return lambda: monkeypatch.setattr(trainer.Training, "save", save)


def test_what_cannot_go_on_is_refused(discs, monkeypatch, capsys):
    import train

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
    left = folder / ".writing_step_00000004.npz"
    left.touch()
    code = "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
    command = [sys.executable, "-c", code, str(folder / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(FileExistsError, match="run 'run' is being trained right now"), checkpoints.locked(folder):
            pass
        assert left.exists()  # perhaps of the process that holds the lock
        other.kill()
    with checkpoints.locked(folder):
        assert not left.exists()
    with checkpoints.locked(folder):  # free again
        pass


def test_asked_to_stop_a_run_saves_and_goes_on(discs, monkeypatch, capsys):
    import train

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


if __name__ == "__main__":
    special(sys.argv[1]) if sys.argv[2] == "special" else main(*sys.argv[1:])
