"""Files: atomic replacement, so that who reads one meets the old content or the new, never a part; reading; names."""

import contextlib
import itertools
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import filelock
import psutil

from utils import errors
from utils.errors import UserError

WRITING = ".writing_"  # what the name of a temporary file or folder begins with
_token = secrets.token_hex(4)  # of this process: the system gives the number of a dead process to another
_numbers = itertools.count()


# === Writing ===


def temporary_beside(path: str | Path) -> Path:
    """A new name in the folder of `path`, of the same suffix, which no other process or thread uses."""
    path = Path(path)
    return path.with_name(f"{_mine()}{next(_numbers)}{path.suffix}")


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, of the same suffix, to write to inside `with`.

    What was written takes the place of `path` when the block ends; after an error it is removed and `path` is as it
    was. The folder is made when it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        with errors.naming(path):
            yield temporary
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(folder: str | Path, message: str, wait: float = 0) -> Iterator[None]:
    """Hold a folder, which is made when it is missing, against other processes.

    FileExistsError(message): another one has it, even after `wait` seconds. The lock, a file `.lock` in it, is the
    operating system's and ends with the process.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=wait)
    except filelock.Timeout:
        raise FileExistsError(message) from None
    try:
        yield
    finally:
        lock.release()


def write_comment(file: str | Path, content: dict) -> None:
    """Put an object into a zip archive, such as a `.keras` file, as its comment in JSON.

    UserError: it takes more than the 65,535 bytes that a comment can have.
    """
    comment = json.dumps(content, separators=(",", ":")).encode()
    if len(comment) > zipfile.ZIP_MAX_COMMENT:
        raise UserError(f"{file}: settings and facts take {len(comment):,} bytes, a zip archive's comment has 65,535")
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = comment


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files and folders in `folder` whose process is no more."""
    for path in Path(folder).glob(f"{WRITING}*"):
        if _is_being_written(path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _mine():
    return f"{WRITING}{os.getpid()}_{_token}_"


def _is_being_written(name):
    process = name.removeprefix(WRITING).partition("_")[0]
    if process == str(os.getpid()):
        return name.startswith(_mine())
    return process.isdecimal() and psutil.pid_exists(int(process))


# === Reading ===


def read_json(path, remedy):
    """The object in a JSON file, a dictionary.

    FileNotFoundError: there is none. UserError: it is no JSON object; the message names the file and the `remedy`.
    """
    with errors.unreadable(path, remedy):
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"expected an object of names and values, found {type(content).__name__}")
    return content


def readable(path: str | Path) -> str:
    r"""A path as text that can be written in UTF-8: bytes of a name that are none become `\\xe4`."""
    return Path(path).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def require_file_names(names, source):
    """UserError unless files may be called like these names of images or classes, which the file `source` holds.

    A name with "/", "\\", ".." or NUL, or that begins with ".", would lead out of the folder that is written to.
    """
    for name in names:
        parts = ("/", "\\", "..", "\0")
        if not isinstance(name, str) or not name or name.startswith(".") or any(part in name for part in parts):
            raise UserError(f"{source}: {name!r} cannot name an image or a class, files could not be called so")
