"""Pairs of files (find_pairs.py) to prepared arrays: decode, check, write and summarize."""

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datasets import arrays
from datasets.declaration import Declaration
from datasets.preparation import contact_sheet, load_pairs, near_duplicates
from datasets.preparation.find_pairs import SHOWN, Listing, check, find_anywhere, fingerprint, join
from datasets.preparation.splits import Division, by_table, divide
from utils.errors import UserError
from utils.files import locked, remove_leftovers

CHECK = "check.jpg"  # in ROOT: some pairs, to be seen at a glance
REVISION = 5  # of the preparation: raise it when the same files would give other arrays


@dataclass(frozen=True)
class Options:
    """How pairs become arrays.

    on_error: "stop" at the first bad file, or "skip" its pair and list it in the summary.
    drop_leaks: leave training images out that are near-duplicates of val or test images.
    division: of data sets without official splits.
    splits: a table of the splits to be used instead, a CSV file with the columns id and split.
    """

    on_error: str = "stop"
    drop_leaks: bool = False
    division: Division = field(default_factory=Division)
    splits: str | Path | None = None


def prepare(
    declarations: Declaration | Sequence[Declaration],
    root: str | Path,
    size: tuple[int, int],
    *,
    archives: str | Path | None = None,
    folders: str | Path | None = None,
    options: Options = Options(),
) -> tuple[dict[str, Any], bool]:
    """Prepare the arrays of a data set, or of several together, in `root`, unless they are there already.

    declarations: one or several. size: (H, W) of the arrays in pixels.
    archives: folder of the official zips. folders: where the official folders lie, if not in `root`. Of several data
    sets each may lie there as folders or as zips.
    Returns (the contents of meta.json, True if arrays were written or False if they were up to date).
    FileNotFoundError: nothing to prepare. UserError: a bad file, or data sets that do not go together. OSError: disk
    full. What was there before then stays.
    """
    # 1. what there is
    root = Path(root)
    if isinstance(declarations, Declaration):
        declarations = [declarations]
    listings = _list(declarations, Path(archives or folders or root), archives is not None)
    if options.splits:
        by_table(listings[0], options.splits)
    if options.on_error == "stop":
        check(listings)
    if "folds" in options.division.chosen and not any("all" in one.pairs for one in listings):
        raise UserError(f"{declarations[0].title} has official splits: --folds is for data sets without")
    with locked(root, being_written(root)):
        return _prepared(root, listings, size, options)


def being_written(root: str | Path) -> str:
    """What to say where another process is at work in `root`."""
    return f"'{root}' is being written right now by another process: wait for it, or choose another --root"


def _prepared(root, listings, size, options):
    """Steps 2 and 3 of `prepare`, of which one process at a time is at work in `root`."""
    # 2. is it done?
    division = sorted(options.division.chosen.items())
    mark = fingerprint(listings, (REVISION, *size, options.on_error, options.drop_leaks, division))
    if meta := _up_to_date(root, mark):
        if not (root / CHECK).is_file():  # the process that wrote the arrays was killed before it had drawn that
            remove_leftovers(root)
            _draw(root, options.division.seed)
        return meta, False
    _check_disk(root, listings, size)
    # 3. divide, put together, write
    for one in listings:
        divide(one, options.division, options.on_error)
    pairs, notes = join(listings)
    meta = {
        "dataset": "+".join(one.declaration.name for one in listings),
        "task": listings[0].declaration.task,
        "licence": "; ".join(dict.fromkeys(one.declaration.terms for one in listings)),
        "source": [one.origin for one in listings],
        "fingerprint": mark,
        "notes": [note for one in listings for note in one.notes] + notes,
    }
    if options.splits:
        meta["splits"] = str(options.splits)
    problems = {split: [text for one in listings for text in one.problems.get(split, ())] for split in arrays.SPLITS}
    with arrays.Writer(root, meta, size, listings[0].declaration.classes) as writer:
        meta |= _write(writer, pairs, problems, options)
        if not any(part["images"] for part in meta["summary"].values()):
            skipped = [message for part in meta["summary"].values() for message in part["skipped"]]
            raise UserError(f"no image is left, all were skipped: {skipped[0]}")
    _draw(root, options.division.seed)
    return arrays.read_meta(root), True


def _list(declarations, source, archives):
    """A `Listing` of each. UserError: their classes differ."""
    for one in declarations[1:]:
        if one.classes != declarations[0].classes:
            both = " and ".join(f"{d.name} has {', '.join(d.classes)}" for d in (declarations[0], one))
            raise UserError(f"only data sets with the same classes go together; {both}")
    if len(declarations) > 1:
        return [find_anywhere(one, source) for one in declarations]
    return [Listing(declarations[0], source, archives)]


def _up_to_date(root, mark):
    """The contents of meta.json if arrays of this mark are there, and whole; else None."""
    with contextlib.suppress(FileNotFoundError, UserError):
        meta = arrays.read_meta(root)
        if meta.get("fingerprint") == mark:
            for split in meta["counts"]:
                arrays.open_split(root, split)
            return meta
    return None


def _check_disk(root, listings, size):
    """OSError where the arrays do not fit on the disk."""
    channels = 0  # of all images and masks
    for one in listings:
        for pairs in one.pairs.values():
            channels += sum(3 + (len(one.declaration.classes) if pair.masks else 0) for pair in pairs)
    needed = channels * size[0] * size[1]
    there = next(parent for parent in (root, *root.resolve().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < needed * 1.01 + 1_000_000:  # some room for the index
        raise OSError(
            f"disk full: the arrays need {needed / 1e9:.2f} GB, '{root}' has {free / 1e9:.2f} GB free; "
            "free some space, choose another --root or a smaller --size"
        )


# === Writing ===


def _write(writer, pairs, problems, options):
    """Decode and write all splits; returns what meta.json holds on them.

    The training images come last, when it is known what they must not be near-duplicates of.
    """
    duplicates = near_duplicates.AcrossSplits()
    summary = {}
    for split in ("test", "val", "train"):
        found = pairs.get(split, [])
        if found or problems[split]:
            duplicates.begin(split)
            summary[split] = _write_split(writer, split, found, problems[split], duplicates, options)
    summary = {split: summary[split] for split in arrays.SPLITS if split in summary}
    return {"summary": summary, "near_copies": duplicates.found, "leaks_dropped": options.drop_leaks}


def _write_split(writer, split, pairs, problems, duplicates, options):
    """Decode and write one split; returns its summary."""
    skipped = list(problems)
    areas = []
    images = turned = anti_aliased = 0
    for pair, loaded in load_pairs.load_all(pairs, writer.size, options.on_error, skipped, split):
        is_duplicate = duplicates.add(pair.id, loaded.fingerprint)
        if is_duplicate and options.drop_leaks and split == "train":
            continue
        some = {"area": loaded.area, "bits": loaded.fingerprint, "votes": loaded.votes, "annotators": pair.annotators}
        writer.add(split, pair.id, loaded.image, loaded.mask, loaded.source, **some)
        images += 1
        turned += loaded.turned
        if loaded.mask is not None:
            areas.append(loaded.mask.mean((0, 1)) * 100)  # (classes,) percent of the picture
            anti_aliased += loaded.anti_aliased
    summary = {"images": images, "turned": turned, "skipped": skipped}
    if areas:
        summary |= {"anti_aliased": anti_aliased, "area_percent": _areas(areas, writer.classes)}
    return summary


def _areas(areas, classes):
    """class -> images with an empty mask and quartiles of the area in percent of the picture, over the other images."""
    table = {}
    for name, column in zip(classes, np.array(areas).T, strict=True):
        filled = column[column > 0]
        quartiles = np.percentile(filled, [0, 25, 50, 75, 100]).round(2).tolist() if len(filled) else []
        table[name] = {"empty": int(len(column) - len(filled)), "quartiles": quartiles}
    return table


def _draw(root, seed):
    """Write ROOT/check.jpg: a contact sheet of pairs drawn from all splits with masks."""
    pairs = []  # (caption, split, number)
    for name in arrays.read_meta(root)["masks"]:
        split = arrays.open_split(root, name)
        pairs += [(f"{name} {identifier}", split, number) for number, identifier in enumerate(split.ids)]
    drawn = [pairs[number] for number in contact_sheet.chosen(len(pairs), seed)]
    if drawn:
        images = [split.images[number] for _, split, number in drawn]
        masks = [split.masks[number] for _, split, number in drawn]
        contact_sheet.write(root / CHECK, [caption for caption, _, _ in drawn], images, masks)


# === Summary ===


def describe(meta: dict[str, Any], root: str | Path) -> list[str]:
    """The summary of prepared arrays, as lines of text for people. meta: the contents of meta.json."""
    height, width = meta["size"]
    lines = [f"{meta['dataset']} task {meta['task']}, {height}x{width} (height x width) in {root}"]
    for split, part in meta["summary"].items():
        lines += _describe_split(split, part, root)
    lines += [f"  {note}" for note in meta["notes"]]
    if duplicates := meta["near_copies"]:
        shown = [f"{split} {name} of {other_split} {other}" for split, name, other_split, other in duplicates[:5]]
        more = f" and {len(duplicates) - 5} more, all listed in {root}/meta.json" if len(duplicates) > 5 else ""
        lines.append(f"  {len(duplicates)} near-duplicates across splits: {', '.join(shown)}{more}")
        left = "left out" if meta["leaks_dropped"] else "kept (--drop_leaks leaves them out)"
        lines.append(f"  those in train are {left}")
    return lines


def _describe_split(split, part, root):
    kind = "images without masks" if part["images"] and "area_percent" not in part else "pairs"
    line = f"  {split}: {part['images']} {kind}"
    if part.get("anti_aliased"):
        line += f", {part['anti_aliased']} with an anti-aliased mask (threshold 127)"
    if part.get("turned"):
        line += f", {part['turned']} turned upright as their EXIF orientation says"
    lines = [line]
    for name, area in part.get("area_percent", {}).items():
        if not area["quartiles"]:
            lines.append(f"    {name}: all {area['empty']} masks are empty")
            continue
        minimum, *quartiles, maximum = area["quartiles"]
        spread = " / ".join(f"{value:.1f}" for value in quartiles)
        lines.append(
            f"    {name}: quartiles of the area {spread} % of the image, "
            f"from {minimum:.1f} to {maximum:.1f}; {area['empty']} empty masks"
        )
    lines += [f"    skipped: {message}" for message in part["skipped"][:SHOWN]]
    if len(part["skipped"]) > SHOWN:
        lines.append(f"    skipped: {len(part['skipped']) - SHOWN} more, all listed in {root}/meta.json")
    return lines
