"""Work in forked processes: TensorFlow takes seconds to import, so the parent imports once and forks one for each life.

The parent must never run an operation of TensorFlow: its threads would be missing in the children.
"""

import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

LONGEST = 300  # seconds of one life
MEMORY = 4 << 30  # bytes that a life may take beside what is imported
PROCESSOR = 600  # seconds of processor time of a life


@dataclass(frozen=True)
class Outcome:
    """How a life ended. status: as a shell has it, negative for a signal. said: what it wrote to both streams."""

    status: int
    said: str
    seconds: float


def fork(work, log):
    """Start `work` in a child that writes to the file `log`; its process number."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _live(work, log)
    return child


def _live(work, log):
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (whatever the parent's are)
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    _limit()
    status = ended(work)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _limit():
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR))


def ended(work):
    """Do `work` as the interpreter would: prints what SystemExit or another exception says, returns the status."""
    try:
        work()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def run(work, log, seconds=LONGEST):
    """Do `work` in a child and wait for it, at most so many seconds, after which it is killed; an Outcome."""
    Path(log).write_text("")  # which the child may not live to make
    start = time.monotonic()
    child = fork(work, log)
    while time.monotonic() - start < seconds:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.002)
    else:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    said = Path(log).read_text(errors="backslashreplace")
    return Outcome(os.waitstatus_to_exitcode(status), said, time.monotonic() - start)


def must(work, log):
    """As `run`, of work that has to succeed. RuntimeError: it did not; says what it said."""
    outcome = run(work, log)
    if outcome.status:
        raise RuntimeError(f"status {outcome.status}: {outcome.said[-3000:]}")
    return outcome


def in_lanes(tasks, work, lanes, what):
    """`work(task)`, a list of dictionaries, of every task, so many at a time; all of them in a list, as they come.

    Each lane is a process that takes every so manieth task. what: the word at the bar. RuntimeError: a lane broke.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{lane}.jsonl") for lane in range(lanes)]
        left = [_lane(tasks[lane::lanes], work, file) for lane, file in enumerate(files)]
        broken = []
        with tqdm(total=len(tasks), desc=what, disable=None) as bar:
            while left:
                time.sleep(0.2)
                ended = [(child, status) for child, status in (os.waitpid(each, os.WNOHANG) for each in left) if child]
                left = [each for each in left if each not in dict(ended)]
                broken += [status for _, status in ended if status]
                bar.update(sum(len(_lines(file)) for file in files) - bar.n)
        if broken:
            raise RuntimeError(f"lanes of the campaign ended with {broken}")
        return [row for file in files for line in _lines(file) for row in json.loads(line)]


def _lines(file):
    return file.read_text().splitlines() if file.exists() else []


def _lane(tasks, work, file):
    child = os.fork()
    if child:
        return child
    try:
        with open(file, "w") as results:
            for task in tasks:
                results.write(json.dumps(work(task)) + "\n")
                results.flush()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
