"""Mask files of any tool against true ones: pairs by id, counts, and pictures of where they differ.

    pairs = find_pairs("their_masks", "truth", task=1)      # [(id, mask files, truth files), …]
    scored = score(pairs)

A file is `<id>_segmentation.png`, or `<id>.png`, for a lesion (task 1) and `<id>_attribute_<name>.png` for each of the
five attributes (task 2), JPEG and BMP likewise. A pixel counts above 127; files of 0 and 1 are masks too.
"""

import re
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.isic2018 import ATTRIBUTES, CLASSES
from evaluation import score_split
from imaging import masks as decoded_masks
from imaging.files import is_litter
from imaging.headers import SUFFIXES
from utils.errors import UserError
from utils.threads import in_order

NAMES = {1: r"(?P<id>.+?)(_segmentation)?", 2: rf"(?P<id>.+)_attribute_(?P<name>{'|'.join(ATTRIBUTES)})"}
SHOWN = 3  # names in a message


def find_pairs(masks, truth, task):
    """The files of each true mask's image: [(id, mask paths, truth paths), …], a path a class; ordered by id.

    FileNotFoundError: no such folder, or no mask files in it. UserError: masks are missing, or two are of one id.
    """
    found = _by_id(masks, task)
    true = _by_id(truth, task)
    classes = CLASSES[task]
    wanted = [(image, name) for image in true for name in classes]
    for folder, files in ((truth, true), (masks, found)):
        missing = [f"{image} ({name})" for image, name in wanted if name not in files.get(image, ())]
        if missing:
            raise UserError(f"{folder}: {len(missing)} masks are missing: {_some(missing)}; every true mask needs one")
    if more := sorted(found.keys() - true.keys()):
        print(f"{len(more)} masks without truth are left out: {_some(more)}")
    pairs = []
    for image in sorted(true):
        pairs.append((image, [found[image][name] for name in classes], [true[image][name] for name in classes]))
    return pairs


def _by_id(folder, task):
    """{id: {class: path}} of the mask files in a folder."""
    files = {}
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; name the folder of the mask files")
    inside = (path for path in Path(folder).iterdir() if not is_litter(path.name))
    for path in sorted(path for path in inside if path.suffix.lower() in SUFFIXES):
        match = re.fullmatch(NAMES[task], path.stem, re.IGNORECASE)
        if match:
            group = files.setdefault(match["id"], {})
            name = match["name"].lower() if task == 2 else "lesion"
            if group.setdefault(name, path) != path:
                raise UserError(f"{group[name]} and {path} are masks of one id; remove one")
    if not files:
        form = "<id>_segmentation.png" if task == 1 else "<id>_attribute_<name>.png"
        raise FileNotFoundError(f"{folder}: no masks there; expected files named {form} (task {task})")
    return files


def _some(names):
    more = ["…"] if len(names) > SHOWN else []
    return ", ".join([*names[:SHOWN], *more])


def read(paths: list[Path]) -> np.ndarray:
    """The masks of one image, a file a class: uint8 {0, 1} (H, W, classes). UserError names a file that is no mask."""
    channels = []
    for path in paths:
        try:
            channels.append(decoded_masks.mask(path.read_bytes(), None, None)[0])
        except UserError as problem:
            raise UserError(f"{path}: {problem}") from None
    if len({channel.shape for channel in channels}) > 1:
        raise UserError(f"{paths[0]} and the others of its image are not of one size; make them anew")
    return np.stack(channels, axis=-1)


def score(pairs, options: score_split.Options) -> score_split.Scored:
    """Count all pairs, `find_pairs`' list, in threads: score_split.Scored of masks alone, variant "bare".

    UserError: a file is no mask, or has another size than its truth.
    """

    def work(pair):
        _, found, true = pair
        mask = read(found)
        truth = read(true)
        if mask.shape != truth.shape:
            sizes = [" × ".join(map(str, each.shape[:2])) for each in (mask, truth)]
            raise UserError(f"{found[0]} is {sizes[0]}, its truth {true[0]} {sizes[1]}; bring the mask to that size")
        return score_split.measure(truth, {"bare": mask}, options)

    rows = in_order(work, pairs)
    return score_split.gather(list(tqdm(rows, total=len(pairs), unit="image", desc="score", disable=None)))
