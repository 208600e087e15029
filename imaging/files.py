"""Image files of any kind, as people have them: found by name, turned upright, brought to a size."""

import glob
from pathlib import Path

import cv2
import numpy as np

from imaging import decode
from utils.errors import UserError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}  # looked for in folders; named files may be any
CHECKED = (b"\xff\xd8", b"\x89PNG", b"BM")  # formats of which `decode` can tell whether the file is whole


def find_images(patterns):
    """Files named by paths, folders and glob patterns, in order, each once.

    FileNotFoundError: nothing there. UserError: two files of one name, whose masks would overwrite each other.
    """
    paths = []
    for pattern in patterns:
        if Path(pattern).is_dir():
            found = sorted(path for path in Path(pattern).iterdir() if path.suffix.lower() in SUFFIXES)
        else:
            found = [Path(pattern)] if Path(pattern).exists() else [Path(name) for name in sorted(glob.glob(pattern))]
        if not found:
            raise FileNotFoundError(f"{pattern}: no image there; name images, folders of images or a 'pattern*.jpg'")
        paths += found
    names = {}
    for path in dict.fromkeys(paths):
        if names.setdefault(path.stem, path) != path:
            raise UserError(f"{names[path.stem]} and {path} would get masks of one name; predict them one by one")
    return list(names.values())


def decode_upright(data, size=None):
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


def shrink(image, size):
    """An image at another size, (H, W): the mean of areas where it becomes smaller."""
    smaller = image.shape[0] >= size[0] and image.shape[1] >= size[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
