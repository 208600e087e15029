"""The folder that predict.py writes to: names of its files, their table, what an earlier call left, and its owner.

A folder holds the predictions of one run, made in one way (run.json), by one process at a time. An image is done when
all its files are there and its rows in the table are of this very file: of its size in bytes and time of change.
"""

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from imaging import mask_files, mask_shape, masks
from inference.predictor import Predictor
from utils import errors
from utils.errors import UserError
from utils.files import read_json, readable, replacing

COLUMNS = ["image", "class", "height", "width", *mask_shape.COLUMNS, "mask", "file_bytes", "file_modified"]
COLUMNS += ["predicted_jaccard", "unusual"]
MASK = COLUMNS.index("mask")
VERSION = slice(MASK + 1, MASK + 3)
FORMER = (MASK, MASK + 3)  # columns of tables of former versions, which lack those after them
KINDS = ("mask", "overlay", "probability")
LONGEST = 255  # bytes of a file's name, on all usual file systems
OWN = ("checkpoint", "checkpoint_best", "output", "predictions")  # folders that our programs write to
REMEDY = "choose another --out, or delete the folder"


# === Names ===


def is_own(folder: Path, out: Path) -> bool:
    """Whether a folder was made by our programs, `out` among them: what lies in it is no image to be predicted."""
    if (folder / "predictions.csv").is_file():
        return True
    folder = folder.resolve()
    return folder == out.resolve() or (folder.parent == Path.cwd() and folder.name in OWN)


def require_apart(paths: Iterable[Path], out: Path) -> None:
    """UserError where images lie in the folder that is written to: masks would be taken for images, or replace some."""
    place = out.resolve()
    for path in paths:
        if path.parent.resolve() == place:
            raise UserError(f"--out {out} is the folder of {readable(path)}: choose another one, such as {out}/masks")


def file_names(name: str, classes: list[str]) -> dict[str, list[str]]:
    """Files that one image may get, by kind, one a class: {"mask": […], "overlay": […], "probability": […]}.

    Of several classes there is one overlay more, of all together.

    name: of the image, as imaging.files.find_images gives it. What is too long for a file is cut, and told apart by a
    hash.
    """
    folder, _, stem = name.rpartition("/")
    longest = max(len(os.fsencode(each)) for kind in KINDS for each in _endings(classes, kind))
    encoded = os.fsencode(stem)
    if len(encoded) + longest > LONGEST:
        digest = hashlib.sha256(encoded).hexdigest()[:8]
        stem = encoded[: LONGEST - longest - 9].decode("utf-8", "ignore") + "_" + digest
    begin = f"{folder}/{stem}" if folder else stem
    return {kind: [begin + ending for ending in _endings(classes, kind)] for kind in KINDS}


def _endings(classes, kind):
    """How the names of the files of one kind end, one a class."""
    masks = [mask_files.mask_name("", classes, k) for k in range(len(classes))]
    if kind == "mask":
        return masks
    if len(classes) == 1:
        return [f"_{kind}.png"]
    of_all = ["_overlay.png"] if kind == "overlay" else []
    return [f"{mask.removesuffix('.png')}_{kind}.png" for mask in masks] + of_all


def version(path: Path) -> list[str]:
    """Size in bytes and time of change of a file, as the table notes them."""
    status = path.stat()
    return [str(status.st_size), str(status.st_mtime_ns)]


def _of_whole_images(rows, count):
    """The rows of images that have one for each of `count` classes."""
    found = Counter(row[0] for row in rows)
    return [row for row in rows if found[row[0]] == count]


def _check_others(rows, names, out):
    """UserError where a file of the images in `names` would take the place of a mask in rows of others."""
    masks = {readable(mask): path for path, files in names.items() for mask in files["mask"]}
    for row in rows:
        if row[MASK] in masks:
            raise UserError(
                f"{out}/ holds the mask of {row[0]}, that of {readable(masks[row[MASK]])} would take its place;"
                " choose another --out"
            )


def _files(out, names, kinds):
    """The paths of the files of these kinds that an image may get; names: {kind: names}."""
    return [out / name for kind in kinds for name in names[kind]]


def _is_written(path):
    """Whether a PNG file is there to its end."""
    try:
        with open(path, "rb") as file:
            file.seek(-8, os.SEEK_END)
            return file.read(4) == b"IEND"
    except OSError:
        return False


# === Who writes ===


def claim(out: Path, predictor: Predictor) -> None:
    """Note in run.json what makes the predictions of a folder. UserError: they come from something else."""
    note = out / "run.json"
    mine = {
        "run": predictor.name,
        "thresholds": dict(zip(predictor.classes, predictor.thresholds, strict=True)),
        "saved": predictor.file.stat().st_mtime_ns,
        "tta": predictor.settings.tta,
        "clean": predictor.settings.clean,
    }
    if predictor.trust.fingerprint:
        mine["trust"] = predictor.trust.fingerprint
    theirs = read_json(note, REMEDY) if note.exists() else mine
    if theirs != mine:
        hidden = ("saved", "trust")
        other = [f"{name} {value}" for name, value in theirs.items() if name not in hidden and value != mine.get(name)]
        again = theirs.get("saved") == mine["saved"]
        earlier = "made before the run was evaluated last" if again else "of an earlier training"
        made = f"made with {', '.join(other)}" if other else earlier
        raise UserError(f"{out}/ holds predictions {made}; {REMEDY}")
    with replacing(note) as path:
        path.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")


# === The table ===


class Table:
    """predictions.csv, which grows by the rows of an image at a time; `done` are the images that need no more work.

    names: {image: {kind: files it may get}}, see `file_names`. kinds: of files that are wanted now. Rows of an image
    that is not done are taken out and, where it has changed, its files too. UserError: the folder holds masks of other
    images of the same names, or the table cannot be read.
    """

    def __init__(self, out: Path, names: dict[Path, dict[str, list[str]]], classes: list[str], kinds: Iterable[str]):
        self._path = out / "predictions.csv"
        self._file = None
        text = self._read()
        rows = _of_whole_images(_rows(text, self._path), len(classes))
        images = {readable(path.resolve()): path for path in names}
        pairs = [(row, images.get(readable(Path(row[0]).resolve()))) for row in rows]  # None: not of these images
        _check_others([row for row, image in pairs if image is None], names, out)
        current = {image for row, image in pairs if image is not None and row[VERSION] == version(image)}
        self.done = {image for image in current if all(map(_is_written, _files(out, names[image], kinds)))}
        for image in names.keys() - current:
            for file in _files(out, names[image], KINDS):
                file.unlink(missing_ok=True)
        kept = [row for row, image in pairs if image is None or image in self.done]
        if text is not None and text != _text([COLUMNS, *kept]):
            self._write([COLUMNS, *kept])

    def _read(self):
        if not self._path.exists():
            return None
        with errors.unreadable(self._path, REMEDY):
            return self._path.read_bytes().decode("utf-8")

    def _write(self, rows):
        with replacing(self._path) as temporary:
            temporary.write_bytes(_text(rows).encode("utf-8"))

    def add(self, rows):
        """Append the rows of an image."""
        if self._file is None:
            if not self._path.exists():
                self._write([COLUMNS])
            self._file = open(self._path, "a", newline="", encoding="utf-8")  # noqa: SIM115 (closed by close)
        with errors.naming(self._path):
            self._file.write(_text(rows))
            self._file.flush()

    def close(self):
        if self._file is not None:
            self._file.close()


def _rows(text, path):
    """The rows of a table, without its head, that are complete: a last line that does not end is not."""
    if text is None:
        return []
    with errors.unreadable(path, REMEDY):
        rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))[1:]
        if any("\0" in cell for row in rows for cell in row):
            raise ValueError("a null byte, which no path can have")
    kept = [row for row in rows if len(row) in (*FORMER, len(COLUMNS))]
    return [row + [""] * (len(COLUMNS) - len(row)) for row in kept]


def _text(rows):
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def read_mask(path: Path) -> np.ndarray:
    """A predicted mask, uint8 {0, 1} (H, W). UserError names a file that is damaged."""
    try:
        return masks.mask(path.read_bytes(), None, None)[0]
    except UserError as problem:
        raise UserError(f"{path}: {problem}; {REMEDY}") from None
