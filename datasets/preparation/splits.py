"""Splits that are not the official ones: those of a table (--splits FILE), or seeded folds where there are none.

A table is a CSV file with the columns id and split. Folds keep near-duplicates together and are alike in
lesion area, and are the same for arrays of any size.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.arrays import SPLITS
from datasets.preparation import load_pairs, near_duplicates
from datasets.preparation.find_pairs import Listing
from datasets.split import Split
from utils import errors
from utils.errors import UserError

FOLDS = 10  # of which one is for test and one for val: 80/10/10


@dataclass(frozen=True)
class Division:
    """How a data set without official splits is divided.

    seed: of all that is drawn. folds: their number, None for FOLDS. fold: the one to test on, from 1; the one after it
    is for validation.
    """

    seed: int = 0
    folds: int | None = None
    fold: int = 1

    @property
    def chosen(self) -> dict[str, int]:
        """The seed, and the folds if any were asked for."""
        if self.folds is None and self.fold == 1:
            return {"seed": self.seed}
        return {"seed": self.seed, "folds": self.folds or FOLDS, "fold": self.fold}


def by_table(listing: Listing, path: str | Path) -> None:
    """Put the pairs of a listing, whatever their splits, into those that a table names; others are left out.

    UserError: the file is no such table, or names images that are not there.
    """
    table = _read_table(path)
    pairs = {pair.id: pair for found in listing.pairs.values() for pair in found}
    if missing := [name for name in table if name not in pairs]:
        raise UserError(
            f"{path} names {len(missing)} of {len(table)} images that {listing.declaration.title} does not have, "
            f"{missing[0]} first: give all its folders or archives, or another table"
        )
    listing.pairs = {split: [pairs[name] for name in table if table[name] == split] for split in SPLITS}
    listing.pairs = {split: found for split, found in listing.pairs.items() if found}
    listing.problems = {"train": [text for texts in listing.problems.values() for text in texts]}
    listing.notes.append(f"splits of {path}; {len(pairs) - len(table)} images are in none of them")


def _read_table(path):
    """{id: split} from a table."""
    remedy = f"expected a CSV file in UTF-8 with the columns id and split, which is one of {', '.join(SPLITS)}"
    with errors.unreadable(path, remedy), open(path, newline="", encoding="utf-8-sig") as file:
        rows = [(row["id"], row["split"]) for row in csv.DictReader(file)]
    table = dict(rows)
    if len(table) < len(rows):
        twice = next(name for number, (name, _) in enumerate(rows) if name in dict(rows[:number]))
        raise UserError(f"{path}: {twice} is there twice; {remedy}")
    if wrong := [split for split in table.values() if split not in SPLITS]:
        raise UserError(f"{path}: there is no split '{wrong[0]}'; {remedy}")
    return table


def divide(listing: Listing, division: Division, on_error: str = "stop") -> None:
    """Divide the pairs of a listing into train, val and test, unless that is done officially.

    on_error: "stop" or "skip", see `prepare.prepare`.
    UserError: too few different images; with "stop" also a bad file.
    """
    if "all" not in listing.pairs:
        return
    # 1. what decides: lesion areas, near-duplicates, lesions
    pairs = []
    areas = []
    prints = []
    loads = load_pairs.load_all(listing.pairs["all"], load_pairs.REDUCED, on_error, listing.problems["all"], "compare")
    for pair, loaded in loads:
        pairs.append(pair)
        areas.append(loaded.area)
        prints.append(loaded.fingerprint)
    listing.pairs = {}
    listing.problems = {"train": listing.problems["all"]}
    if not pairs:
        return
    groups = near_duplicates.groups(
        np.array(prints), numbered([listing.lesions.get(pair.id, pair.id) for pair in pairs])
    )
    # 2. folds
    count = division.folds or FOLDS
    different = len(np.unique(groups))
    if different < 3 or division.fold > different:
        raise UserError(
            f"{listing.declaration.title}: {different} images that are not near-duplicates are too few for fold "
            f"{division.fold} of {count}; add some, or say yourself which are train, val and test (datasets/folder.py)"
        )
    count = min(count, different)
    divided = splits(folds(areas, groups, count, division.seed), count, division.fold)
    listing.pairs = {split: [pairs[number] for number in numbers] for split, numbers in divided.items()}
    listing.notes += _notes(listing, division, count, len(pairs) - different)


def _notes(listing, division, count, kept_together):
    kinds = "near-duplicates and images of one lesion" if listing.lesions else "near-duplicates"
    notes = [
        f"no official splits: divided by lesion area with seed {division.seed}, fold {division.fold} of {count} for "
        f"test, the next for val; kept together: {kept_together} {kinds}"
    ]
    if listing.declaration.lesion_table and not listing.lesions:
        table = listing.declaration.lesion_table[0].replace("*", ".csv")
        notes.append(f"images of one lesion may be in different splits: {table}, which names them, is not there")
    return notes


def folds(areas: Sequence[float], groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The fold of each image, int (N,) of 0 to count - 1.

    areas: (N,) fraction of each picture that is lesion. groups: int (N,), the same for images that must stay together.
    Groups are put in order of their mean area; each `count` neighbors go to as many folds, by chance.
    """
    group, order = _by_area(areas, groups)
    rng = np.random.default_rng(seed)
    fold = np.empty(len(order), int)
    for start in range(0, len(order), count):
        block = order[start : start + count]
        fold[block] = rng.permutation(count)[: len(block)]
    return fold[group]


def _by_area(areas, groups):
    """(group of each image, counted from 0; the groups in order of their mean area)."""
    _, group = np.unique(groups, return_inverse=True)
    return group, np.argsort(np.bincount(group, areas) / np.bincount(group), kind="stable")


def splits(fold: np.ndarray, count: int, chosen: int) -> dict[str, np.ndarray]:
    """split -> numbers of its images: fold `chosen` (from 1) is for test, the one after it val, the others train."""
    test = chosen - 1
    val = chosen % count
    parts = {"train": (fold != test) & (fold != val), "val": fold == val, "test": fold == test}
    return {split: np.flatnonzero(part) for split, part in parts.items() if part.any()}


def areas_and_groups(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """What decides how a split with masks is divided: of the source files, or else of the arrays, which are all read.

    Returns: (N,) fraction of each picture that is lesion; int (N,), the same for near-duplicates and copies.
    """
    areas = split.areas
    if areas is None:
        areas = np.array([split.masks[number].mean() for number in range(len(split.ids))])
    prints = split.prints
    if prints is None:
        prints = np.array([near_duplicates.fingerprint(split.images[number]) for number in range(len(split.ids))])
    copies = numbered(split.sources) if split.sources else None
    return areas, near_duplicates.groups(prints, copies)


def held_out(split: Split, fraction: float, seed: int) -> np.ndarray:
    """bool (N,): `fraction` of the images of a split with masks, at least one, to validate on.

    Near-duplicates stay together, an image and its copies too, and both parts are alike in lesion area: of groups next
    to each other in area, chance takes one. UserError: all images are alike.
    """
    group, order = _by_area(*areas_and_groups(split))
    if len(order) < 2:
        raise UserError(f"{len(group)} training images, all alike, cannot be divided: prepare a val split")
    count = min(max(1, round(fraction * len(order))), len(order) - 1)
    rng = np.random.default_rng(seed)
    return np.isin(group, [rng.choice(part) for part in np.array_split(order, count)])


def numbered(names: Sequence[str]) -> np.ndarray:
    """int (N,): the same number for the same name."""
    return np.unique(names, return_inverse=True)[1]
