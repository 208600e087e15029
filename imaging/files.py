"""Image files of any kind, as people have them: found by name, turned upright, brought to a size."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path, PurePath

import numpy as np

from imaging import decode
from imaging.headers import SUFFIXES
from utils.errors import UserError

LITTER = {"@eadir", "__macosx", "thumbs.db", "desktop.ini", "$recycle.bin"}  # of file browsers and storage systems


def is_litter(path: str | PurePath) -> bool:
    """Whether a path inside a folder or archive of data is no data: hidden, or made by a file browser."""
    return any(part.startswith(".") or part.lower() in LITTER for part in PurePath(path).parts)


def walk(folder: str | Path) -> list[Path]:
    """Every file below a folder that is no litter, in order. Links are followed, but into no folder twice."""
    files = []
    entered = set()
    for parent, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in entered:
            below.clear()
            continue
        entered.add(real)
        below[:] = [name for name in below if not is_litter(name)]
        files += [Path(parent, name) for name in names if not is_litter(name)]
    return sorted(path for path in files if path.is_file())


def find_images(patterns: Iterable[str | Path]) -> list[Path]:
    """Files named by paths, folders and glob patterns, in order, each once.

    FileNotFoundError: nothing there. UserError: two files of one name, whose masks would overwrite each other.
    """
    paths = []
    for pattern in patterns:
        found = _find(Path(pattern))
        if not found:
            raise FileNotFoundError(f"{pattern}: no image there; name images, folders of images or a 'pattern*.jpg'")
        paths += found
    names = {}
    for path in dict.fromkeys(paths):
        if names.setdefault(path.stem, path) != path:
            raise UserError(f"{names[path.stem]} and {path} would get masks of one name; predict them one by one")
    return list(names.values())


def _find(pattern):
    if pattern.is_dir():
        inside = (path for path in pattern.iterdir() if not is_litter(path.name))
        return sorted(path for path in inside if path.suffix.lower() in SUFFIXES)
    if pattern.exists():
        return [pattern]
    found = [Path(name) for name in sorted(glob.glob(str(pattern)))]
    return [path for path in found if not any(is_litter(part) for part in path.parts if part not in pattern.parts)]


def decode_upright(data: bytes, size: tuple[int, int] | None = None) -> tuple[np.ndarray, tuple[int, int]]:
    """Picture file to RGB, turned as its EXIF orientation says: uint8 (h, w, 3), and its full (height, width).

    With a `size` a JPEG is decoded at 1/8, 1/4 or 1/2 if both sides are then still at least the longer of (H, W).
    UserError: not a picture, or damaged.
    """
    wanted = (max(size), max(size)) if size else None
    return decode.decode_at_least(data, wanted)


def shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image at another size, (H, W): the mean of areas where it becomes smaller."""
    return decode.resize(image, size)
