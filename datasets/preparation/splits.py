"""Seeded splits for data sets that have no official ones: folds with near-copies together, alike in lesion area."""

import csv
from pathlib import Path

import numpy as np

from datasets.preparation import near_duplicates
from utils.errors import UserError


def folds(areas, groups, count, seed):
    """The fold of each image, int (N,) of 0 to count - 1.

    areas: (N,) share of each picture that is lesion. groups: (N,) ints, the same for images that must stay together.
    count: number of folds. seed: decides what chance does.
    Groups are put in order of their mean area; each `count` neighbours go to as many folds, by chance.
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


def splits(fold, count, chosen):
    """split -> numbers of its images: fold `chosen` (from 1) is for test, the one after it val, the others train."""
    test, val = chosen - 1, chosen % count
    parts = {"train": (fold != test) & (fold != val), "val": fold == val, "test": fold == test}
    return {split: np.flatnonzero(part) for split, part in parts.items() if part.any()}


def held_out(split, share, seed):
    """bool (N,): `share` of the images of a split.Split with masks, at least one, to validate on.

    Near-copies stay together, and both parts are alike in lesion area: of groups next to each other in area, chance
    takes one. Every image is read once. UserError: all images are alike.
    """
    prints, areas = [], []
    for start in range(0, len(split.ids), 64):
        prints += [near_duplicates.fingerprint(image) for image in split.images[start : start + 64]]
        areas += [mask.mean() for mask in split.masks[start : start + 64]]
    group, order = _by_area(areas, near_duplicates.groups(np.array(prints)))
    if len(order) < 2:
        raise UserError(f"{len(group)} training images, all alike, cannot be divided: prepare a val split")
    count = min(max(1, round(share * len(order))), len(order) - 1)
    rng = np.random.default_rng(seed)
    return np.isin(group, [rng.choice(part) for part in np.array_split(order, count)])


def read_lesions(table, place):
    """image id -> lesion id from a declaration's lesion_table in the folder `place`; empty if it is not there.

    UserError: the file is no such table.
    """
    if table is None:
        return {}
    pattern, image, lesion = table
    for path in sorted(path for path in Path(place).glob(pattern) if path.is_file()):
        with open(path, newline="", encoding="utf-8") as file:
            tabs = "\t" in file.readline()
            file.seek(0)
            rows = csv.DictReader(file, delimiter="\t" if tabs else ",")
            try:
                return {row[image]: row[lesion] for row in rows}
            except (KeyError, UnicodeDecodeError, csv.Error) as error:
                raise UserError(f"{path} is no table with columns {image} and {lesion} ({error!r})") from None
    return {}


def numbered(names):
    """int (N,): the same number for the same name."""
    return np.unique(names, return_inverse=True)[1]
