"""Image files of any kind, as people have them: found by name, turned upright, brought to a size."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path, PurePath

import cv2
import numpy as np

from imaging import decode
from utils.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")  # of the formats that decode.py reads
CHECKED = (b"\xff\xd8", b"\x89PNG", b"BM")  # formats of which `decode` can tell whether the file is whole
LITTER = {"@eadir", "__macosx", "thumbs.db", "desktop.ini", "$recycle.bin"}  # of file browsers and storage systems


def is_litter(path: str | PurePath) -> bool:
    """Whether a path inside a folder or archive of data is no data: hidden, or made by a file browser."""
    return any(part.startswith(".") or part.lower() in LITTER for part in PurePath(path).parts)


def walk(folder: str | Path) -> list[Path]:
    """Every file below a folder that is no litter, in order. Links are followed, but into no folder twice."""
    files, entered = [], set()
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

    With a `size` a JPEG is decoded at 1/8, 1/4 or 1/2 if that is still at least (H, W), as when data sets are prepared.
    UserError: not a picture, or damaged.
    """
    flag, full = cv2.IMREAD_COLOR, None
    if data.startswith(CHECKED):
        full = decode.header_size(data)
    if size and data.startswith(b"\xff\xd8"):
        flag, reduced = decode.reduction(full, (max(size), max(size)))  # it may lie on its side
        if (reduced[0] == reduced[1]) != (full[0] == full[1]):
            flag = cv2.IMREAD_COLOR  # a square does not tell whether it does
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    if bgr is None:
        raise UserError("not a picture that can be decoded")
    image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # (h, w, 3)
    if flag == cv2.IMREAD_COLOR:
        return image, image.shape[:2]
    return image, full if image.shape[:2] == reduced else full[::-1]


def shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image at another size, (H, W): the mean of areas where it becomes smaller."""
    smaller = image.shape[0] >= size[0] and image.shape[1] >= size[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
