"""The masks of prepared images at their own size, from where they were prepared.

    masks = source_masks("dataset_isic18", "test")
    masks(0)      # uint8 (767, 1022, classes) of {0, 1}: the mask of images[0], as large as its file

meta.json remembers the folders or archives; masks are read by the rules of the preparation.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from datasets import arrays as prepared_arrays
from datasets import registry
from datasets.preparation.find_pairs import Listing, Pair
from datasets.preparation.load_pairs import load_annotators, load_masks
from datasets.split import FOLDS, RECORDS
from utils.errors import UserError


def source_masks(root: str | Path, split: str) -> Callable[[int], np.ndarray]:
    """A function from the number of an image in `split` to its mask, for any number of threads.

    root: prepared folder. The function takes an int and returns uint8 (height, width, classes) of {0, 1}, as large as
    the mask's file; of several annotators their consensus. What can be checked beforehand is raised here, what concerns
    one file by the function.
    UserError: the split has no masks; a file is damaged. FileNotFoundError: the originals are not there any more.
    """
    if str(root).startswith(RECORDS):
        from datasets import tfds_records

        return tfds_records.mask_reader(root, split)
    if str(root).startswith(FOLDS):
        from datasets import folds

        return folds.mask_reader(root, split, source_masks)
    return _reader(root, split, lambda pair: load_masks(pair, None)[0])  # (H0, W0, classes)


def source_annotators(root: str | Path, split: str) -> Callable[[int], np.ndarray]:
    """As `source_masks`, of a split with several annotators: uint8 (annotators, height, width, classes) of {0, 1}."""
    if str(root).startswith(FOLDS):
        from datasets import folds

        return folds.mask_reader(root, split, source_annotators)
    return _reader(root, split, lambda pair: load_annotators(pair, None, None))


def _reader(root, split, load):
    """A function from the number of an image to what `load` makes of its Pair; see `source_masks`."""
    meta = prepared_arrays.read_meta(root)
    arrays = prepared_arrays.open_split(root, split)
    if arrays.masks is None:
        raise UserError(f"the {split} split of '{root}' has no masks: prepare it with its ground truth")
    if "source" not in meta:
        raise FileNotFoundError(f"'{root}' does not say where its masks came from: prepare it from the originals")
    files: dict[str, Pair] = {}  # by id
    for one in meta["source"]:
        for pair in _pairs(one, None if meta.get("splits") else split, root):
            files.setdefault(pair.id, pair)
    if missing := [name for name in arrays.ids if name not in files]:
        sources = ", ".join(_source(one) for one in meta["source"])
        raise FileNotFoundError(
            f"{_remedy(root, sources)}: {len(missing)} masks are missing, that of {missing[0]} first"
        )

    def read(number):
        try:
            return load(files[arrays.ids[number]])
        except OSError as error:
            raise FileNotFoundError(f"{_remedy(root, error.filename)}: it cannot be read") from None

    return read


def _pairs(one, split, root):
    """The pairs with masks that a source has for a split; all of them if it has no official splits, or for None."""
    facts = {name: value for name, value in one.items() if name not in ("folders", "archives")}
    try:
        pairs = Listing(registry.declared(**facts), _source(one), "archives" in one).pairs
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{_remedy(root, _source(one))}: {error}") from None
    names = pairs if split is None else (split, "all")
    return [pair for name in names for pair in pairs.get(name, ()) if pair.masks]


def _source(one):
    return one.get("archives") or one["folders"]


def _remedy(root, source):
    return f"the masks of '{root}' at their own size come from {source}; bring it back, or prepare the data set anew"
