"""Kill a training at random moments, resume it each time, and compare its end with that of a run that was not killed.

    python tests/campaign.py [--kills 30] [--seed 1] [--minutes 10]          # make campaign; 3 minutes on two cores

A tiny U-Net is trained for 4 epochs of 5 steps, a checkpoint after each step. Half of the kills are in runs whose every
operation is deterministic, which have to end exactly alike, half in others, which have to end within 1e-6. A table at
the end says when each run was killed and from which checkpoint it went on. The exit status is 1 if a run failed or
ended otherwise. TensorFlow takes seconds to import, so this process imports once and forks one for each life of a run.
tests/training/test_kills.py holds the moments that have a name.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorboard.summary.v2  # noqa: F401, E402 (once, for all lives)
from discs import write_discs  # noqa: E402
from lives import argv, check_same  # noqa: E402

import train  # noqa: E402
from training import checkpoints  # noqa: E402

KINDS = {"deterministic": (["--deterministic"], 0.0), "other": ([], 1e-6)}  # flags, tolerance
LONGEST = 300  # seconds of one life


def live(arguments, seconds=LONGEST):
    """Train in a forked process and kill it after so many seconds; whether it came to its end before."""
    child = os.fork()
    if child == 0:
        train_and_exit(arguments)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done and status:
            raise SystemExit(f"a run failed:\n{Path('lives.log').read_text()[-3000:]}")
        if done:
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if seconds == LONGEST:
        raise SystemExit(f"a run did not end in {LONGEST} s")
    return False


def train_and_exit(arguments):
    """The forked process: what it prints goes to lives.log."""
    log = os.open("lives.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        train.main(arguments)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
    os._exit(0)


def kill_often(kind, kills, draw, deadline):
    """So many kills, in one run after the other; returns the lines of the table."""
    flags, tolerance = KINDS[kind]
    start = time.monotonic()
    live(argv("discs", "whole", *flags))
    whole = time.monotonic() - start  # seconds
    lines = []
    for number in range(kills):
        if len(lines) >= kills or time.monotonic() > deadline:
            break
        run = f"killed{number}"
        lines += kill_until_it_ends(kind, run, kills - len(lines), whole, draw, flags)
        check_same("whole", run, tolerance)
    return lines


def kill_until_it_ends(kind, run, most, whole, draw, flags):
    """Kill a run, at most so often, and resume it until it is finished."""
    lines = []
    arguments = argv("discs", run, "--save_every", "1", *flags)
    folder = Path("checkpoint", run)
    while True:
        resume = ["--resume"] if checkpoints.files(folder) else []
        seconds = draw.uniform(0.2, 0.9) * whole if len(lines) < most else LONGEST
        if live([*arguments, *resume], seconds):
            return lines
        there = checkpoints.files(folder)
        lines.append(f"{kind:13}  {run:9}  {seconds:6.2f} s  {there[-1].stem if there else 'no checkpoint'}")
        if there and checkpoints.load(folder)[0]["finished"]:  # killed after its last checkpoint
            return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="about so many in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10, help="begin no run after so many (default: %(default)s)")
    args = parser.parse_args()
    draw, start = random.Random(args.seed), time.monotonic()
    deadline = start + 60 * args.minutes
    lines = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            write_discs(Path("discs"))
            lines += kill_often(kind, args.kills // len(KINDS), draw, deadline)
    print("\n".join(["kind           run        killed    went on from", *lines]))
    print(f"{len(lines)} kills, every run ended like one that was not killed, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
