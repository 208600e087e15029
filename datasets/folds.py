"""Train and val of prepared data together, divided anew: an address that may stand for a prepared folder.

    folds:2/5:dataset_isic18     val is the second of five folds, train the other four
    folds:5:dataset_isic18       train and val are both all images, one fold after the other
    folds:0.1@7:dataset_mine     val is a tenth of the images, drawn by seed 7: what train.py takes where there is none

test is that of the data. Near-duplicates and copies are in one part, and the parts are alike in lesion area. Folds are
the same whatever the seed of a run and the size of the arrays, where these are of one preparation: so a run may begin
with the weights of the same fold at another size.
"""

import functools
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datasets import arrays
from datasets.preparation import splits
from datasets.split import FOLDS, RECORDS, Joined, Split, subset
from utils.errors import UserError

PARTS = ("train", "val")  # that are divided


class Address(NamedTuple):
    """What an address says: the fold to validate on, 0 for all of them, the number of folds, the data.

    fraction, seed: of the images to validate on in place of folds; fraction is None where there are folds.
    """

    fold: int
    count: int
    data: str
    fraction: float | None = None
    seed: int = 0


def address(data: str, count: int, fold: int = 0) -> str:
    """The address of a fold, or with 0 of all of them."""
    return f"{FOLDS}{fold}/{count}:{data}" if fold else f"{FOLDS}{count}:{data}"


def drawn(data: str, fraction: float, seed: int) -> str:
    """The address of a fraction of the images that is drawn by a seed."""
    return f"{FOLDS}{fraction:g}@{seed}:{data}"


def parsed(text: str | Path) -> Address:
    """The parts of an address. UserError: it is none."""
    match = re.fullmatch(rf"{FOLDS}(0\.\d+)@(-?\d+):(?!{FOLDS})(.+)", str(text))
    if match:
        return Address(1, 2, match[3], float(match[1]), int(match[2]))
    match = re.fullmatch(rf"{FOLDS}(?:([1-9]\d*)/)?([1-9]\d*):(?!{FOLDS})(.+)", str(text))
    if match:
        where = Address(int(match[1] or 0), int(match[2]), match[3])
        if where.fold <= where.count > 1:
            return where
    raise UserError(f"'{text}': expected folds:COUNT:DATA or folds:FOLD/COUNT:DATA, such as folds:2/5:dataset_isic18")


def plain(text: str | Path) -> str:
    """The data that an address divides; any other address as it is."""
    return parsed(text).data if str(text).startswith(FOLDS) else str(text)


def in_words(text: str | Path, name: str) -> str:
    """What a split of an address holds, for people: 'val of dataset_mine, fold 2 of 5 to validate on'."""
    words = f"{name} of {plain(text)}"
    if name not in PARTS or not str(text).startswith(FOLDS):
        return words
    where = parsed(text)
    if where.fraction is not None:
        return f"{words}, {where.fraction:g} of it drawn by seed {where.seed} to validate on"
    if where.fold:
        return f"{words}, fold {where.fold} of {where.count} to validate on"
    return f"{words}, {where.count} folds"


def is_all(text: str | Path) -> bool:
    """Whether an address is that of all folds together."""
    return str(text).startswith(FOLDS) and not parsed(text).fold


def read_meta(text: str | Path) -> dict[str, Any]:
    """As arrays.read_meta, with the numbers of images of the folds."""
    where = parsed(text)
    meta = arrays.read_meta(where.data)
    counts = {name: len(_numbers(where, name)) for name in PARTS}
    return {**meta, "counts": counts | {name: n for name, n in meta["counts"].items() if name not in PARTS}}


def open_fold(text: str | Path, name: str) -> Split:
    """As arrays.open_split. UserError: there are fewer different images than folds, or images without masks."""
    where = parsed(text)
    if name not in PARTS:
        return arrays.open_split(where.data, name)
    return subset(_joined(where.data), _numbers(where, name))


def sizes(text: str | Path) -> list[int]:
    """How many images each fold has."""
    where = parsed(text)
    return np.bincount(_fold_of_each(where), minlength=where.count).tolist()


def mask_reader(text: str | Path, name: str, reader: Callable) -> Callable[[int], np.ndarray]:
    """As source_masks.source_masks or source_annotators. reader: that function, for the data that are divided."""
    where = parsed(text)
    if name not in PARTS:
        return reader(where.data, name)
    readers = [reader(where.data, part) for part in _parts(where.data)]
    first = np.cumsum([0, *(len(arrays.open_split(where.data, part).ids) for part in _parts(where.data))])
    numbers = _numbers(where, name)

    def read(number):
        part = np.searchsorted(first, numbers[number], side="right") - 1
        return readers[part](int(numbers[number] - first[part]))

    return read


def _parts(data):
    """The names of the splits that are divided."""
    return [name for name in PARTS if name in arrays.read_meta(data)["counts"]]


def _joined(data):
    """The Splits that are divided, as one."""
    parts = [arrays.open_split(data, name) for name in _parts(data)]
    for name, part in zip(_parts(data), parts, strict=True):
        if part.masks is None:
            raise UserError(f"{data}: the {name} split has no masks: prepare it with its ground truth")
    by_several = all(one.annotators for one in parts)
    of_sources = any(one.sources for one in parts)
    return Split(
        images=Joined([one.images for one in parts]),
        masks=Joined([one.masks for one in parts]),
        ids=_chained(one.ids for one in parts),
        sizes=np.concatenate([one.sizes for one in parts]),
        classes=parts[0].classes,
        sources=_chained(one.sources or one.ids for one in parts) if of_sources else None,
        votes=Joined([one.votes for one in parts]) if by_several else None,
        annotators=_chained(one.annotators for one in parts) if by_several else None,
        areas=_stacked([one.areas for one in parts]),
        prints=_stacked([one.prints for one in parts]),
    )


def _chained(lists):
    return list(itertools.chain.from_iterable(lists))


def _stacked(parts):
    """Arrays one after the other, or None where any is missing."""
    return None if any(part is None for part in parts) else np.concatenate(parts)


def _numbers(where, name):
    """int (N,): which of the joined images a split of an address has."""
    fold = _fold_of_each(where)  # of a drawn fraction, 0 for it and 1 for the rest
    if not where.fold:
        return np.argsort(fold, kind="stable")
    inside = fold == where.fold - 1
    return np.flatnonzero(inside if name == "val" else ~inside)


def _fold_of_each(where):
    """int (N,): the fold of each of the joined images, from 0."""
    meta = Path(where.data, "meta.json")
    changed = 0 if where.data.startswith(RECORDS) or not meta.is_file() else meta.stat().st_mtime_ns
    return _divided(where, changed)


@functools.lru_cache(maxsize=4)
def _divided(where, changed):
    """`_fold_of_each`, anew when the data have `changed`."""
    data = where.data
    count = where.count
    if where.fraction is not None:
        return np.where(splits.held_out(_joined(data), where.fraction, where.seed), 0, 1)
    areas, groups = splits.areas_and_groups(_joined(data))
    different = len(np.unique(groups))
    if different < count:
        raise UserError(f"{data}: {different} images that are no near-duplicates are too few for {count} folds")
    return splits.folds(areas, groups, count, seed=0)
