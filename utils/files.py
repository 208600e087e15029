"""Files that are whole or not there."""

import contextlib
import json
import os
from pathlib import Path

from utils import errors
from utils.errors import UserError


@contextlib.contextmanager
def replacing(path):
    """A temporary path beside `path`, of the same suffix, to write to inside `with`.

    What was written takes the place of `path` when the block ends; after an error it is removed and `path` is as it
    was. The folder is made when it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".writing_{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_json(path, remedy):
    """The object in a JSON file, a dictionary.

    FileNotFoundError: there is none. UserError: it is no JSON object; the message names the file and the `remedy`.
    """
    with errors.unreadable(path, remedy):
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"expected an object of names and values, found {type(content).__name__}")
    return content


def require_file_names(names, source):
    """UserError unless files may be called like these names of images or classes, which the file `source` holds.

    A name with "/", "\\", ".." or NUL, or that begins with ".", would lead out of the folder that is written to.
    """
    for name in names:
        parts = ("/", "\\", "..", "\0")
        if not isinstance(name, str) or not name or name.startswith(".") or any(part in name for part in parts):
            raise UserError(f"{source}: {name!r} cannot name an image or a class, files could not be called so")
