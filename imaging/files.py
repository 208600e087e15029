"""Image files of any kind, as people have them: found by name, turned upright, brought to a size."""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath

import numpy as np

from imaging import decode
from imaging.headers import SUFFIXES

LITTER = {"@eadir", "__macosx", "thumbs.db", "desktop.ini", "$recycle.bin"}  # of file browsers and storage systems


def is_litter(path: str | PurePath) -> bool:
    """Whether a path inside a folder or archive of data is no data: hidden, or made by a file browser."""
    return any(part.startswith(".") or part.lower() in LITTER for part in PurePath(path).parts)


def walk(folder: str | Path, skip: Callable[[Path], bool] | None = None) -> list[Path]:
    """Every file below a folder that is no litter, in order. Links are followed, but into no folder twice.

    skip: of a folder inside, whether to leave it out.
    """
    files = []
    entered = set()
    for parent, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in entered:
            below.clear()
            continue
        entered.add(real)
        below[:] = [name for name in below if not is_litter(name) and not (skip and skip(Path(parent, name)))]
        files += [Path(parent, name) for name in names if not is_litter(name)]
    return sorted(path for path in files if path.is_file())


def find_images(patterns: Iterable[str | Path], skip: Callable[[Path], bool] | None = None) -> dict[Path, str]:
    """Image files named by paths, folders (searched with all below) and glob patterns: {path: name}, each file once.

    The names are different: a file's own without its suffix, with the folders below the one that was given; and where
    two would be the same, with as many of the folders above as tell them apart.

    skip: of a folder inside, whether to leave it out. FileNotFoundError: nothing there.
    """
    names: dict[Path, str] = {}
    seen = set()
    for pattern in patterns:
        found = _find(Path(pattern), skip)
        if not found:
            raise FileNotFoundError(f"{pattern}: no image there; name images, folders of images or a 'pattern*.jpg'")
        for path, name in found.items():
            absolute = os.path.abspath(path)
            if absolute not in seen:
                seen.add(absolute)
                names[path] = name
    return _different(names)


def _find(pattern, skip):
    """{path: name} of the images of one pattern."""
    if pattern.is_dir():
        inside = [path for path in walk(pattern, skip) if path.suffix.lower() in SUFFIXES]
        return {path: path.relative_to(pattern).with_suffix("").as_posix() for path in inside}
    if pattern.exists():
        return {pattern: pattern.stem} if pattern.is_file() else {}  # reading from a pipe would wait for a writer
    found = [Path(name) for name in sorted(glob.glob(str(pattern)))]
    found = [path for path in found if not any(is_litter(part) for part in path.parts if part not in pattern.parts)]
    return {path: path.stem for path in found if path.is_file()}


def _different(names):
    """The same {path: name} with longer names in place of those that two paths have."""
    beside = Counter((path.parent, path.stem) for path in names)
    leaves = {path: path.name if beside[path.parent, path.stem] > 1 else path.stem for path in names}
    names = {path: PurePath(name).with_name(leaves[path]).as_posix() for path, name in names.items()}
    folders = {path: Path(os.path.abspath(path)).parts[1:-1] for path in names}
    for depth in range(1, max(map(len, folders.values()), default=0) + 1):
        count = Counter(names.values())
        for path, name in names.items():
            if count[name] > 1:
                names[path] = "/".join([*folders[path][-depth:], leaves[path]])
    return names


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
