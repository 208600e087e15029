"""Everything a run needs to go on as if it had never died, in one file a checkpoint.

    checkpoint/RUN/step_00001380.npz   after so many steps: arrays (weights, optimizers, average, sums of the epoch)
                                       and the rest as JSON (settings, data, log, counts of the callbacks)

The file is a zip archive with a CRC-32 of each part, which is checked when it is read. It is written beside its place
and renamed; the one before it is kept. A lock of the operating system, which ends with the process, keeps two processes
from the same run.
"""

import contextlib
import dataclasses
import hashlib
import json
import struct
import zipfile
import zlib
from pathlib import Path

import filelock
import keras
import numpy as np

import runs
from utils.errors import UserError
from utils.files import remove_leftovers, replacing

KEPT = 2  # checkpoints
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, UserError, KeyError, EOFError, OSError, NotImplementedError,
          RuntimeError)  # fmt: skip


class Finished(UserError):
    """The run has been trained to its end."""


@contextlib.contextmanager
def locked(folder: Path, first: bool = True):
    """Hold the run of this folder; FileExistsError where another process does. Of several workers only the first."""
    if not first:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise FileExistsError(f"run '{folder.name}' is being trained right now: choose another --run") from None
    try:
        for part in (folder, runs.BEST / folder.name, Path("output", folder.name)):
            remove_leftovers(part)
        yield
    finally:
        lock.release()


def files(folder: Path) -> list[Path]:
    """The checkpoints of a run, the newest last."""
    return sorted(Path(folder).glob("step_*.npz"))


def save(folder: Path, step: int, state: dict, variables: dict[str, list[np.ndarray]]):
    """Write a checkpoint and remove the oldest.

    Args:
        folder: checkpoint/RUN. step: steps done.
        state: what json can hold.
        variables: {group: arrays}.
    """
    arrays = {f"{group}/{i:05}": array for group, values in variables.items() for i, array in enumerate(values)}
    with replacing(Path(folder, f"step_{step:08}.npz")) as path:
        np.savez(path, state=np.frombuffer(json.dumps(state).encode(), np.uint8), **arrays)
    for old in files(folder)[:-KEPT]:
        old.unlink()


def load(folder: Path, which: str = "last") -> tuple[dict, dict[str, list[np.ndarray]]]:
    """Read a checkpoint: (state, {group: arrays}).

    which: last, or previous: the one before, after which the last one is removed.

    Raises:
        FileNotFoundError, UserError: there is none, or it is damaged.
    """
    there = files(folder)
    if len(there) < (2 if which == "previous" else 1):
        what = "no checkpoint before the last" if there else "nothing to resume"
        raise FileNotFoundError(f"{what} in '{folder}': start the run without --resume")
    path = there[-2 if which == "previous" else -1]
    try:
        state, variables = _read(path)
    except DAMAGE as error:
        remedy = "go on from the one before with --resume previous" if path != there[0] else "start another --run"
        raise UserError(f"{path} is damaged ({error}): {remedy}") from None
    if which == "previous":
        there[-1].unlink()
    return state, variables


def _read(path):
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():  # NumPy does not read far enough to compare the CRC
            raise zipfile.BadZipFile(f"bad CRC-32 of {bad}")
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    state = json.loads(arrays.pop("state").tobytes())
    variables = {}
    for name, array in arrays.items():
        variables.setdefault(name.split("/")[0], []).append(array)
    return state, variables


def check(state: dict, settings, data: str):
    """UserError unless a checkpoint was made with these settings by these data (`fingerprint`); Finished at the end."""
    before = state["settings"]
    now = dataclasses.asdict(settings)
    for name in now:
        if name in before and before[name] != now[name]:
            raise UserError(
                f"run '{settings.run}' was trained with {name} {before[name]}, now it is {now[name]}: resume with the "
                "same settings, or start another --run"
            )
    if state["data"] != data:
        raise UserError(
            f"'{settings.data}' does not hold the images that run '{settings.run}' was trained on: resume with them "
            "or start another --run"
        )
    if state["finished"]:
        raise Finished(f"run '{settings.run}' is finished, {len(state['rows'])} epochs: start another --run")


def read(variables: list) -> list[np.ndarray]:
    """The values of Keras or TensorFlow variables."""
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def assign(variables: list, values: list[np.ndarray], what: str):
    """Give variables their values; UserError where they do not belong to them."""
    if [tuple(v.shape) for v in variables] != [v.shape for v in values]:
        raise UserError(f"the checkpoint's {what} are not those of the network: it was made by another version")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def fingerprint(splits: dict, few: int = 16) -> str:
    """A hash of names and sizes of all images, and of the pixels of a few, of {name: Split}."""
    digest = hashlib.sha256()
    for name, split in splits.items():
        digest.update(json.dumps([name, split.ids, split.classes, list(split.images.shape)]).encode())
        rows = np.unique(np.linspace(0, len(split.ids) - 1, few).astype(int))
        digest.update(split.images[rows].tobytes() + split.masks[rows].tobytes())
    return digest.hexdigest()
