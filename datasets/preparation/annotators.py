"""Masks of several annotators: the files that are theirs, and the consensus of an image's masks.

Own data with `--annotators majority` have a mask file for each annotator, `<id>_a.png`, `<id>_b.png`; or the layout of
ISIC MultiAnnot++ (Abhishek et al., arXiv 2512.21472): files `<ISIC id>_<annotator>_<tool>_<skill>_<mask id>.png` and a
table `*seg_metadata.csv` beside the folders with the columns ISIC_id, seg_filename and annotator.

Prepared arrays hold the consensus, and beside it the masks of all annotators as bits of one uint8 array: bit k is the
mask of the image's annotator number k. They take as much as the masks, and `(bits >> k) & 1` draws one of them.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from datasets.preparation.archives import File
from utils.errors import UserError

MOST = 8  # annotators of one image: bits of a byte
ENDING = r"_([^_]+)"  # what a mask's name has behind for its annotator
MADE = ("ST", "MV")  # "annotators" of MultiAnnot++ that are consensus masks themselves: STAPLE, majority voting
COLUMNS = ("ISIC_id", "seg_filename", "annotator")


def annotator_of(mask: File) -> str:
    """The annotator in the name of a mask file."""
    return mask.stem.rpartition("_")[2]


def renamed(masks: Sequence[File], tables: Sequence[Path]) -> tuple[list[File], list[str]]:
    """(masks called <id>_<annotator> as the tables of MultiAnnot++ say, notes); without tables the masks as they are.

    Files that are in no table, and consensus masks, are left out. An annotator's second mask of an image counts as that
    of another annotator, A04.2. UserError: a table cannot be read.
    """
    if not tables:
        return list(masks), []
    rows = {row["seg_filename"]: row for path in tables for row in _read(path)}
    found = []
    seen: Counter[tuple[str, str]] = Counter()
    for mask in masks:
        row = rows.get(mask.path.name)
        if row is None or row["annotator"] in MADE:
            continue
        key = (row["ISIC_id"], row["annotator"])
        seen[key] += 1
        again = f".{seen[key]}" if seen[key] > 1 else ""
        found.append(replace(mask, name=f"{key[0]}_{key[1].replace('_', '')}{again}"))
    names = ", ".join(path.name for path in tables)
    return found, [f"annotators by {names}: {len(found)} masks, {len(masks) - len(found)} others left out"]


def _read(path):
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"))))
        return [{name: row[name] or "" for name in COLUMNS} for row in rows]
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no table in UTF-8 with columns {', '.join(COLUMNS)} ({error!r})") from None


# === Consensus ===


def majority(masks: np.ndarray) -> np.ndarray:
    """uint8 (H, W) of {0, 1}: what at least half of the masks, uint8 (annotators, H, W) of {0, 1}, hold.

    Of two annotators it is the union; MultiAnnot++ decides so too.
    """
    return (2 * masks.sum(axis=0, dtype=np.int32) >= len(masks)).astype(np.uint8)


def staple(masks: np.ndarray) -> np.ndarray:
    """As `majority`, by STAPLE (Warfield, Zou and Wells, IEEE Trans. Med. Imaging 23, 2004): where lesion is likelier
    than not, when each annotator counts by the sensitivity and specificity that fit all masks best.

    UserError: SimpleITK is missing.
    """
    try:
        import SimpleITK as sitk  # noqa: N813 (as its documentation calls it)
    except ModuleNotFoundError:
        raise UserError("--annotators staple needs SimpleITK, which is missing: pip install SimpleITK") from None
    if len(masks) == 1 or (masks == masks[0]).all():  # nothing to weigh, and nothing or all of it may be lesion
        return masks[0]
    likely = sitk.STAPLE([sitk.GetImageFromArray(mask) for mask in masks], 1.0)
    return (sitk.GetArrayFromImage(likely) > 0.5).astype(np.uint8)


CONSENSUS: MappingProxyType[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {"majority": majority, "staple": staple}
)


def bits(masks: np.ndarray) -> np.ndarray:
    """uint8 (H, W, classes) whose bit k is the mask of annotator k. masks: uint8 (annotators, H, W, classes)."""
    places = (1 << np.arange(len(masks), dtype=np.uint8))[:, None, None, None]
    return np.bitwise_or.reduce(masks * places, axis=0)


def from_bits(found: np.ndarray, count: int) -> np.ndarray:
    """The masks that `bits` packed: uint8 (count, H, W, classes) of {0, 1}."""
    return found[None] >> np.arange(count, dtype=np.uint8)[:, None, None, None] & np.uint8(1)
