"""Every step where things are hard: no room, no right to write, nobody who listens, another locale, another process.

Each case is a step of the chain preparation, training, evaluation, prediction, submission in one circumstance. It
passes where the step does its work all the same, or says in one line what is wrong and loses nothing; where it was
refused, the same step without the circumstance then gives what it gives elsewhere.
"""

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lives import argv
from robustness import children, inputs, judges, kills

import augmentation
import evaluate
import predict
import submission
from datasets import __main__ as datasets_command
from datasets.arrays import Writer

ROOT = Path(__file__).resolve().parents[2]
DAY = 24 * 3600  # seconds
NOISE = ("*.yaml", "output/*/tensorboard/*", "output/new/log.csv", "checkpoint*/new/*")  # hold names and times

TRAINING = ["--epochs", "1", "--patience", "0", "--deterministic"]
STEPS = {  # name: (script or module, arguments)
    "preparation": (["-m", "datasets"], ["folder", "--folders", "raw", "--root", "out", "--size", "32x48"]),
    "training": (["train.py"], ["--config", "tiny.yaml", "--run", "new", *TRAINING]),
    "evaluation": (["evaluate.py"], ["--run", "tiny", "--split", "val", "--at", "network"]),
    "prediction": (["predict.py"], ["photos", "--run", "tiny", "--out", "masks", "--overlays"]),
    "submission": (["submission.py"], ["--run", "tiny", "--data", "data", "--threshold", "0.5", "--out", "masks.zip"]),
    "augmentation": (["augmentation.py"], ["--data", "discs", "--out", "more"]),
}
MAINS = {
    "preparation": datasets_command.main,
    "training": lambda arguments: kills.begin_or_go_on("new", arguments),
    "evaluation": evaluate.main,
    "prediction": predict.main,
    "submission": submission.main,
    "augmentation": augmentation.main,
}


def write():
    """The input of every step."""
    inputs.raw_discs(8)
    inputs.run()
    argv("discs", "new")
    with Writer("data", {"dataset": "discs", "task": 1}, (32, 48), ["lesion"]) as writer:
        for number, (image, mask) in enumerate(inputs.discs_of(4, (32, 48))):
            writer.add("test", f"ISIC_{number:07}", image, mask, (96, 144))


def call(step):
    """The step in this process, as its script does it."""
    from utils import errors

    with errors.in_one_line():
        MAINS[step](STEPS[step][1])


def in_child(place, step, log):
    """The step in the folder `place`; an Outcome."""

    def work():
        os.chdir(place)
        call(step)

    return children.run(work, log)


def in_shell(place, step, log, begin="", end="", **environment):
    """The step in a fresh interpreter, as a line of a shell; an Outcome. environment: None takes a variable away."""
    script, arguments = STEPS[step]
    script = script if script[0] == "-m" else [str(ROOT / script[0])]
    line = " ".join([begin, f"'{sys.executable}'", *(f"'{word}'" for word in [*script, *arguments]), end])
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    variables = {name: value for name, value in variables.items() if value is not None}
    start = time.monotonic()
    with open(log, "w") as file:
        shell = ["bash", "-c", f"set -o pipefail; {line}"]
        status = subprocess.run(shell, cwd=place, env=variables, stdout=file, stderr=file, timeout=children.LONGEST)
    return children.Outcome(status.returncode, Path(log).read_text(errors="replace"), time.monotonic() - start)


# === Circumstances: function (step, folder of the whole input, folder to work in) -> fault or None ===


def ascii_locale(step, start, here):
    """Another language of the system, whose encoding is ASCII."""
    return _works(step, start, here, LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING=None, PYTHONCOERCECLOCALE="0")


def no_home(step, start, here):
    """No HOME."""
    return _works(step, start, here, HOME=None)


def closed_output(step, start, here):
    """Standard output is closed."""
    return _works(step, start, here, end=">&-")


def reader_gone(step, start, here):
    """Standard output is a pipe whose reader reads nothing: the work may end there, in order."""
    outcome = _in_shell(step, start, here, end="| true")
    if "Traceback" in outcome.said or "Exception ignored" in outcome.said:
        return outcome.said.strip().splitlines()[-1][:200]
    return judges.half_written(here / "work") if outcome.status else _compared(step, start, here)


def _in_shell(step, start, here, **options):
    shutil.copytree(start, here / "work")
    return in_shell(here / "work", step, here / "log", **options)


def _works(step, start, here, **options):
    outcome = _in_shell(step, start, here, **options)
    if outcome.status or "Traceback" in outcome.said:
        return f"status {outcome.status}: {outcome.said.strip()[-300:]}"
    return _compared(step, start, here)


def _compared(step, start, here, work=None):
    """What differs from the step done elsewhere; a text or None."""
    work = work or here / "work"
    fault = judges.differences(start.parent / step, work, NOISE) or judges.half_written(work)
    if step == "training" and not fault:
        folders = (start.parent / step, work)
        best = [kills.weights_checksum(folder / "checkpoint_best/new/model.keras") for folder in folders]
        fault = None if best[0] == best[1] else "other weights"
    return fault and f"otherwise than elsewhere: {fault}"


def spaces(step, start, here):
    """A folder with spaces and letters beyond ASCII in its name."""
    return _elsewhere(step, start, here / "my own data (né à Zürich)")


def long_path(step, start, here):
    """A path of more than 200 letters."""
    return _elsewhere(step, start, here / "/".join(["long" * 25] * 2) / "x")


def _elsewhere(step, start, work):
    shutil.copytree(start, work)
    here = work.parent
    outcome = in_child(work, step, here / "log")
    if outcome.status:
        return f"status {outcome.status}: {outcome.said.strip()[-300:]}"
    return _compared(step, start, here, work)


def clock_back(step, start, here):
    """All that there is was written tomorrow, as if the clock had gone back since."""
    shutil.copytree(start, here / "work")
    for path in (here / "work").rglob("*"):
        os.utime(path, (time.time() + DAY,) * 2)
    return _elsewhere_is(step, start, here)


def _elsewhere_is(step, start, here):
    outcome = in_child(here / "work", step, here / "log")
    if outcome.status:
        return f"status {outcome.status}: {outcome.said.strip()[-300:]}"
    leave_out = ("masks/*.csv", "masks/run.json") if step == "prediction" else ()  # which note the times of files
    fault = judges.differences(start.parent / step, here / "work", (*NOISE, *leave_out))
    return fault and f"otherwise than elsewhere: {fault}"


def two_at_once(step, start, here):
    """Two processes do the same at once: both succeed, or one is refused in a line, and the result is that of one."""
    shutil.copytree(start, here / "work")

    def work():
        os.chdir(here / "work")
        call(step)

    pids = [children.fork(work, here / f"log{number}") for number in range(2)]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    for number, status in enumerate(statuses):
        said = (here / f"log{number}").read_text(errors="replace")
        if status and (fault := judges.words(status, said, ("work", "out", "new", "tiny", "masks", "more"))):
            return fault
    if all(statuses):
        return "both were refused"
    return _compared(step, start, here)


def read_only(step, start, here):
    """A folder in which nothing can be written."""
    with _small_disk(here / "work", start) as mounted:
        if not mounted:
            return "skipped: a file system can be mounted by root alone"
        subprocess.run(["mount", "-o", "remount,ro", here / "work"], check=True)
        return _refused(step, start, here, "Read-only file system")


def full_disk(step, start, here):
    """A disk that is full after so many bytes, for several numbers of bytes; then room, and the same command again."""
    for room in (0, 4, 40, 400):  # KiB
        with _small_disk(here / "work", start) as mounted:
            if not mounted:
                return "skipped: a file system can be mounted by root alone"
            free = shutil.disk_usage(here / "work").free - room * 1024
            (here / "work/filling").write_bytes(bytes(max(0, free)))
            fault = _refused(step, start, here, "disk full|No space left", room > 0)
            if fault:
                return f"{room} KiB: {fault}"
            (here / "work/filling").unlink()
            outcome = in_child(here / "work", step, here / "log")
            if outcome.status:
                return f"{room} KiB, then room: status {outcome.status}: {outcome.said.strip()[-300:]}"
            if fault := _compared(step, start, here):
                return f"{room} KiB, then room: {fault}"
    return None


@contextlib.contextmanager
def _small_disk(place, start):
    """Inside `with`, a file system of 64 MiB with the whole input at `place`; gives whether it can be had."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place]
    if subprocess.run(command, capture_output=True).returncode:
        yield False
        return
    try:
        shutil.copytree(start, place, dirs_exist_ok=True)
        yield True
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        place.rmdir()


def _refused(step, start, here, text, may_work=False):
    """Do the step, which has to be refused with a text that matches; what is wrong or None."""
    before = judges.contents(here / "work")
    outcome = in_child(here / "work", step, here / "log")
    if not outcome.status:
        return None if may_work else "status 0, though nothing can be written"
    if "Traceback" in outcome.said or outcome.status < 0:
        return f"status {outcome.status}: {outcome.said.strip().splitlines()[-1][:300]}"
    if not re.search(text, "\n".join(judges.message(outcome.said))):
        return f"says something else: {outcome.said.strip()[-300:]}"
    return judges.lost(before, judges.contents(here / "work")) or judges.half_written(here / "work")


ALL = {
    "ASCII locale": ascii_locale,
    "no HOME": no_home,
    "closed standard output": closed_output,
    "output to a pipe that nobody reads": reader_gone,
    "path with spaces": spaces,
    "path of 200 letters": long_path,
    "clock gone back": clock_back,
    "two processes at once": two_at_once,
    "read-only folder": read_only,
    "full disk": full_disk,
}


def campaign(count, seed, lanes, kept, only=""):
    """All steps in all circumstances; the lines of the table and the faults, both lists of texts.

    count, seed: not used. only: a word in the names of the circumstances that are tried.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder, "start")
        start.mkdir()
        children.must(functools.partial(_write, start), Path(folder, "log"))
        children.in_lanes(list(STEPS), lambda step: _done(step, start), lanes, "steps")
        tasks = [(name, step) for name in ALL if only in name for step in STEPS]
        rows = children.in_lanes(tasks, lambda task: _case(*task, start), lanes, "circumstances")
    return _table(rows), [f"{row['name']}, {row['step']}: {row['fault']}" for row in rows if row["is_fault"]]


def _write(start):
    os.chdir(start)
    write()


def _done(step, start):
    """What a step gives where nothing is hard."""
    shutil.copytree(start, start.parent / step)
    outcome = in_child(start.parent / step, step, start.parent / f"{step}.log")
    if outcome.status:
        raise RuntimeError(f"{step}: {outcome.said[-3000:]}")
    return []


def _case(name, step, start):
    with tempfile.TemporaryDirectory(dir=start.parent) as here:
        fault = ALL[name](step, start, Path(here))
    skipped = bool(fault) and fault.startswith("skipped")
    return [{"name": name, "step": step, "fault": fault, "is_fault": bool(fault) and not skipped}]


def _table(rows):
    """A line for each circumstance."""
    form = "{:36}" + "{:>14}" * len(STEPS)
    lines = [form.format("circumstance", *STEPS)]
    found = {(row["name"], row["step"]): row for row in rows}
    for name in dict.fromkeys(row["name"] for row in rows):
        words = []
        for step in STEPS:
            row = found[name, step]
            words.append("FAULT" if row["is_fault"] else "skipped" if row["fault"] else "passed")
        lines.append(form.format(name, *words))
    return lines
