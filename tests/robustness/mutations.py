"""Damaged inputs at every door: handled, or refused in a line that names the file; never a traceback, never a loss.

A door is a command that reads files of one kind. A case is a fresh copy of a whole input of which one file is damaged,
and the command called on it, in a process whose memory and time are limited. `same` are those that gave what the whole
input gives, `refused` those with a status of 1 or 2, `other` those that gave something else where nothing in the format
could tell: a JPEG has no checksum.
"""

import contextlib
import functools
import hashlib
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from lives import argv
from robustness import children, damage, inputs, judges

import augmentation
import config
import dataset_isic18
import evaluate
import model
import predict
import submission
import train
from datasets import __main__ as datasets_command
from datasets import arrays
from evaluation import model_card
from training import checkpoints
from utils import errors

SLOWEST = 60  # seconds of a case
MOST = 10_000  # cases of a whole campaign
TEXTS = (".csv", ".json", ".yaml")


@dataclass(frozen=True)
class Door:
    """A command and what is damaged of its input.

    write: writes a whole input into the working folder. files: patterns of those that are damaged. call: the command,
    which may return what it made. strict: whether the format of a file damaged so (path, names of changes, before,
    after) could tell. grows: patterns of files that the command changes even if it refuses.
    """

    name: str
    share: int  # of MOST cases
    write: Callable[[], None]
    files: tuple[str, ...]
    call: Callable[[], object]
    strict: Callable[..., bool] = lambda *_: False
    grows: tuple[str, ...] = ()
    batch: int = 20  # cases of a process
    start: Callable[[], None] = field(default=lambda: None)  # done once in each process


# === Calls ===


def in_one_line(work, *arguments):
    """As the script that does this work shows its errors."""
    with errors.in_one_line():
        return work(*arguments)


def digest(*paths):
    """A checksum of files."""
    return hashlib.sha256(b"".join(Path(path).read_bytes() for path in paths)).hexdigest()


def arrays_of(root):
    """Checksums of all that a prepared folder says."""
    found = []
    for name in arrays.read_meta(root)["counts"]:
        split = arrays.open_split(root, name)
        parts = (split.images.tobytes(), split.masks.tobytes(), repr((split.ids, split.sizes.tolist())).encode())
        found.append(hashlib.sha256(b"".join(parts)).hexdigest())
    return found


def prepare():
    in_one_line(datasets_command.main, ["folder", "--folders", "data", "--root", "out", *inputs.SMALL])
    return arrays_of("out")


def check():
    in_one_line(datasets_command.main, ["check", "data", "--out", "sheet.jpg", *inputs.SMALL])


def prepare_archives():
    in_one_line(dataset_isic18.main, ["--archives", "zips", "--root", "out", *inputs.SMALL])
    return arrays_of("out")


def prepare_lesions():
    in_one_line(datasets_command.main, ["ham10000", "--folders", "ham", "--root", "out", *inputs.SMALL])
    return arrays_of("out")


def prepare_again():
    """The same folder and size as before, into arrays of which one is damaged: what is damaged is replaced."""
    in_one_line(datasets_command.main, ["folder", "--folders", "former", "--root", "out", *inputs.SMALL])
    arrays_of("out")


def check_submission():
    submission.main(["--check", "theirs.zip", "--images", "images", "--task", "1"])


def read_config():
    settings, _ = in_one_line(config.parse, ["--config", "mine.yaml"])
    return repr(settings)


def import_config():
    config.main(["import", "study.yaml", "--out", "new.yaml"])
    return digest("new.yaml")


def write_card():
    with errors.in_one_line():
        model_card.write("checkpoint_best/tiny")


def augmented():
    augmentation.main(["--data", "discs", "--out", "more", "--copies", "1"])
    return arrays_of("more")


def predict_photos():
    predict.main(["photos", "--run", "tiny", "--out", "out"])
    return digest(*sorted(Path("out").glob("*.png")))


def predict_with():
    predict.main(["photos/photo1.png", "--run", "checkpoint_best/tiny/model.keras", "--out", "out"])
    return digest(*sorted(Path("out").glob("*.png")))


def loaded_once():
    """The predictor of the run is loaded once for all cases of a process: it is not what is damaged."""
    predict.load_predictor = functools.cache(predict.load_predictor)


def load_checkpoint():
    state, groups = in_one_line(checkpoints.load, Path("checkpoint/tiny"))
    values = [value.tobytes() for group in groups.values() for value in group]
    return hashlib.sha256(b"".join([json.dumps(state).encode(), *values])).hexdigest()


def resume():
    train.main(argv("discs", "tiny", "--epochs", "2", "--patience", "0", "--resume"))
    state, groups = checkpoints.load(Path("checkpoint/tiny"))
    return state["step"], [float(np.float32(value.sum()).round(3)) for value in groups["network"]]


def import_weights():
    arguments = ["--model", "da_net", "--input_shape", "32x32x3", "--option", "classes=3", "--out", "new/da.keras"]
    model.main(["import", "da.safetensors", *arguments])


def score_masks():
    evaluate.main(["--masks", "masks", "--truth", "truth", "--run", "theirs"])
    return digest("output/theirs/masks/per_image.csv")


def compare():
    evaluate.main(["--compare", "tiny", "other"])
    return digest("output/compare_tiny_other/comparison.csv")


def list_runs():
    evaluate.main(["--list"])


# === Which damage a format can tell ===


def checked(path, done, before, after):
    """PNG has checksums; what is cut is missed in any format."""
    return path.suffix == ".png" or (done == ["cut"] and len(after) < 0.9 * len(before))


def always(path, done, before, after):
    return True


def outside_comment(path, done, before, after):
    """A zip archive has checksums of all but the comment at its end."""
    end = before.rfind(b"PK\5\6")
    return before[:end] != after[:end]


# === Doors ===

RUN = "checkpoint_best/tiny"
OUT = ("out/*", "out/.lock")
DOORS = [
    Door("images: datasets folder", 2220, inputs.pictures, ("data/train/images/*",), prepare, checked),
    Door("images: datasets check", 800, inputs.pictures, ("data/train/images/*",), check),
    Door("images: predict", 400, inputs.run, ("photos/*",), predict_photos, checked, OUT, start=loaded_once),
    Door("masks: datasets folder", 1800, inputs.masks, ("data/train/masks/*",), prepare, checked),
    Door("masks: datasets check", 500, inputs.masks, ("data/train/masks/*",), check),
    Door("masks: evaluate --masks", 40, inputs.mask_files, ("masks/*", "truth/*"), score_masks, checked, batch=5),
    Door("archives: dataset_isic18", 1500, inputs.archives, ("zips/*.zip",), prepare_archives, always),
    Door("archives: submission --check", 850, inputs.submission_zip, ("theirs.zip",), check_submission),
    Door("YAML: train --config", 500, inputs.settings, ("mine.yaml",), read_config),
    Door("YAML: config import", 150, inputs.settings, ("study.yaml",), import_config),
    Door("YAML, JSON: model_card", 250, inputs.run, (f"{RUN}/settings.yaml", f"{RUN}/run.json"), write_card),
    Door(".keras: predict", 150, inputs.run, (f"{RUN}/model.keras",), predict_with, outside_comment, OUT, batch=10),
    Door(".npy: augmentation", 60, inputs.discs, ("discs/*.npy",), augmented, batch=10),
    Door("tables, JSON: augmentation", 60, inputs.discs, ("discs/*.csv", "discs/meta.json"), augmented, batch=10),
    Door(".npy, tables: datasets again", 150, inputs.pictures, ("out/*.npy", "out/*.csv", "out/meta.json"),
         prepare_again, grows=("out/*",)),
    Door("checkpoints: what train --resume reads", 300, inputs.unfinished, ("checkpoint/tiny/*.npz",), load_checkpoint,
         always),
    Door("checkpoints: train --resume", 20, inputs.unfinished, ("checkpoint/tiny/*.npz",), resume, always, batch=4),
    Door(".safetensors: model import", 80, inputs.torch_weights, ("da.safetensors",), import_weights, batch=10),
    Door("tables: datasets ham10000", 60, inputs.lesions, ("ham/*.csv",), prepare_lesions),
    Door("tables, JSON: predict again", 60, inputs.predicted, ("out/predictions.csv", "out/run.json"),
         predict_photos, grows=OUT, start=loaded_once),
    Door("tables, JSON: evaluate --compare", 20, inputs.evaluated, ("output/*/*/per_image.csv",
         "output/*/*/metrics.json"), compare, batch=5),
    Door("JSON: evaluate --list", 30, inputs.evaluated, ("output/*/*/metrics.json",), list_runs),
]  # fmt: skip


# === Cases ===


def campaign(count, seed, lanes, kept, only=""):
    """All doors, `count` cases in all; the lines of the table and the faults, both lists of texts.

    kept: folder for the inputs that showed faults. only: a word in the names of the doors that are tried.
    """
    with tempfile.TemporaryDirectory() as folder:
        doors = {door.name: door for door in DOORS if only in door.name}
        shares = {door.name: max(1, round(door.share * count / MOST)) for door in doors.values()}
        writers = {door.write.__name__: door.write for door in doors.values()}
        children.in_lanes(list(writers), lambda name: _write(writers[name], Path(folder, name)), lanes, "inputs")
        children.in_lanes(list(doors), lambda name: _expect(doors[name], folder), lanes, "whole inputs")
        tasks = [
            (name, range(first, min(first + doors[name].batch, share)))
            for name, share in shares.items()
            for first in range(0, share, doors[name].batch)
        ]
        random.Random(seed).shuffle(tasks)  # the lanes end at about the same time
        rows = children.in_lanes(
            tasks, lambda task: _batch(doors[task[0]], task[1], seed, folder, kept), lanes, "mutations"
        )
    return _table(rows, doors), [f"{row['door']}, case {row['case']}: {row['fault']}" for row in rows if row["fault"]]


def _write(writer, place):
    """Write a whole input into place/whole."""
    (place / "whole").mkdir(parents=True)

    def work():
        os.chdir(place / "whole")
        writer()

    children.must(work, place / "log")
    return []


def _expect(door, folder):
    """Note what the command makes of the whole input."""
    place, note = _places(door, folder)
    with tempfile.TemporaryDirectory(dir=folder) as here:
        shutil.copytree(place, here, dirs_exist_ok=True)

        def work():
            os.chdir(here)
            door.start()
            note.write_text(json.dumps(door.call()))

        children.must(work, Path(folder, f"{note.stem}.log"))
    return []


def _places(door, folder):
    """Where the whole input of a door is, and what its command makes of it."""
    name = re.sub(r"\W+", "_", door.name)
    return Path(folder, door.write.__name__, "whole"), Path(folder, f"{name}.json")


def _batch(door, numbers, seed, folder, kept):
    """Some cases in one process, and a new one where that dies; a row each."""
    left = list(numbers)
    rows = []
    while left:
        with tempfile.TemporaryDirectory(dir=folder) as here:
            results = Path(here, "results")
            results.touch()
            status = _watched(functools.partial(_cases, door, left, seed, folder, Path(here), kept), here, results)
            found = [json.loads(line) for line in results.read_text().splitlines()]
            rows += found
            left = left[len(found) :]
            if left:
                rows.append(_row(door, left[0], "died", [], f"status {status}: {_end(Path(here, 'log'))}", 0.0))
                left = left[1:]
    return rows


def _watched(work, here, results):
    """Do `work` in a child that adds to the file `results`, and kill it where it does not for too long; its status."""
    child = children.fork(work, Path(here, "log"))
    size, since = 0, time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if results.stat().st_size != size:
            size, since = results.stat().st_size, time.monotonic()
        if time.monotonic() - since > SLOWEST:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return f"none after {SLOWEST} s"
        time.sleep(0.005)


def _end(log):
    return log.read_text(errors="replace")[-300:].replace("\n", " | ") if log.exists() else ""


def _cases(door, numbers, seed, folder, here, kept):
    """The cases of a process, one after the other, each in a fresh copy."""
    os.chdir(here)
    place, note = _places(door, folder)
    expected = json.loads(note.read_text())
    log = os.open(here / "log", os.O_RDWR)
    door.start()
    for number in numbers:
        start = time.monotonic()
        shutil.copytree(place, here / "case")
        os.chdir(here / "case")
        draw = random.Random(f"{seed} {door.name} {number}")
        path = draw.choice(sorted(path for pattern in door.files for path in Path().glob(pattern)))
        before = path.read_bytes()
        data, done = damage.damaged(before, draw, path.suffix in TEXTS)
        path.write_bytes(data)
        verdict, fault = _judged(door, path, door.strict(path, done, before, data), expected, log)
        if fault:
            _keep(kept, door, number, path, here / "log")
        os.chdir(here)
        shutil.rmtree(here / "case")
        row = _row(
            door, number, verdict, done, fault and f"{path}, {' '.join(done)}: {fault}", time.monotonic() - start
        )
        with open(here / "results", "a") as results:
            results.write(json.dumps(row) + "\n")
        keras.backend.clear_session()


def _judged(door, path, strict, expected, log):
    """Call the command; the verdict and what is wrong or None."""
    files = judges.contents(".", door.grows)
    os.ftruncate(log, 0)
    os.lseek(log, 0, os.SEEK_SET)
    os.lseek(1, 0, os.SEEK_SET)
    value = []
    status = children.ended(lambda: value.append(door.call()))
    sys.stdout.flush()
    sys.stderr.flush()
    said = os.pread(log, 1 << 20, 0).decode(errors="backslashreplace")
    left = judges.half_written(".")
    if status:
        left = left or judges.lost(files, judges.contents(".", door.grows))
    names = (path.name, f"'{path.parent}'", f"{path.parent}/", path.stem)
    made = json.loads(json.dumps(value[0])) if value else None
    return judges.case((status, said, made), expected, strict, names, left)


def _keep(kept, door, number, path, log):
    folder = Path(kept, f"{door.name} {number}".replace(" ", "_").replace("/", "_"))
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        shutil.copyfile(path, folder / path.name)
        shutil.copyfile(log, folder / "said.txt")


def _row(door, case, verdict, done, fault, seconds):
    return {"door": door.name, "case": case, "verdict": verdict, "done": done, "fault": fault, "seconds": seconds}


def _table(rows, doors):
    """A line for each door."""
    form = "{:42}{:>7}{:>7}{:>9}{:>7}{:>7}{:>10}"
    lines = [form.format("door", "cases", "same", "refused", "other", "faults", "seconds")]
    for name in [*doors, "all"]:
        of = [row for row in rows if name in ("all", row["door"])]
        counts = Counter(row["verdict"] for row in of)
        faults = sum(bool(row["fault"]) for row in of)
        seconds = sum(row["seconds"] for row in of)
        cells = (len(of), counts["same"], counts["refused"], counts["other"], faults, f"{seconds:.0f}")
        lines.append(form.format(name, *cells))
    return lines
