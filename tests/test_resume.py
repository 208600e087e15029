"""A run that is killed, stopped or damaged goes on as if it had not been, or says why it cannot.

The kills need processes of their own. TensorFlow takes seconds to import, so this file is also a script that imports
once and forks a process for each life of a run:

    python tests/test_resume.py DATA KILLS [--deterministic]        # in an empty folder
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import checkpoint

ROOT = Path(__file__).parents[1]
TINY = {
    **{"model": "unet", "options": {"width": 2, "depth": 1}, "loss": "bce + dice", "normalize": "unit"},
    **{"epochs": 4, "batch_size": 4, "learning_rate": 1e-2, "flip": True, "turn": True, "rotation": 20.0, "seed": 2},
    **{"ema": 0.9, "accumulate": 2, "clip": 1.0, "plateau": 1, "patience": 3, "monitor": "val_loss"},
}
TIMES = ["seconds", "images_per_second", "waiting"]  # columns of the log


def argv(data, run, *more):
    Path("tiny.yaml").write_text(yaml.safe_dump({**TINY, "data": str(data)}))
    return ["--config", "tiny.yaml", "--run", run, *more]


def check_same(one, two, tolerance):
    """Whether two runs ended alike: weights, optimiser, average, sums, counts, best value, log."""
    (state, arrays), (state2, arrays2) = (checkpoint.load(Path("checkpoint", run)) for run in (one, two))
    assert arrays.keys() == arrays2.keys() == {"network", "sums", "optimizer0", "average"}
    for group in arrays:
        assert len(arrays[group]) == len(arrays2[group])
        for a, b in zip(arrays[group], arrays2[group], strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=group)
    assert (state["step"], state["finished"]) == (state2["step"], state2["finished"])
    for a, b in zip(state["callbacks"], state2["callbacks"], strict=True):
        assert a == pytest.approx(b, abs=tolerance)
    logs = [pd.read_csv(f"output/{run}/log.csv").drop(columns=TIMES) for run in (one, two)]
    pd.testing.assert_frame_equal(*logs, rtol=0, atol=tolerance, check_exact=not tolerance)
    return state


# === The script ===


def life(arguments, seconds=None):
    """Train in a forked process; after so many seconds kill it. Returns whether it came to its end."""
    child = os.fork()
    if child == 0:
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
            if status:
                raise SystemExit(f"a run failed: {Path('lives.log').read_text()[-3000:]}")
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if seconds is None:
        raise SystemExit("a run did not end")
    return False


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
            there = checkpoint.files(Path("checkpoint", run))
            steps |= {there[-1].name} if there else set()
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


if __name__ == "__main__":
    main(*sys.argv[1:])
