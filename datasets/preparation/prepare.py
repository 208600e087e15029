"""Listed pairs (listing.py) to prepared arrays: decode, check, write and summarize."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets import arrays
from datasets.declaration import Declaration
from datasets.preparation import load_pairs
from datasets.preparation.find_pairs import SHOWN, Listed, anywhere, check, fingerprint, join
from datasets.preparation.near_duplicates import Watch
from utils.errors import UserError

REVISION = 2  # of the preparation: raise it when the same files would give other arrays


def prepare(declarations, root, size, archives=None, on_error="stop", folders=None, *, drop_leaks=False, **division):
    """Prepare the arrays of a data set, or of several together, in `root`, unless they are there already.

    declarations: a declaration.Declaration or a list of them. size: (H, W) of the arrays in pixels.
    archives: folder of the official zips. folders: where the official folders lie, if not in `root`. Of several data
    sets each may lie there as folders or as zips.
    on_error: "stop" at the first bad file, or "skip" its pair and list it in the summary.
    drop_leaks: leave training images out that are near-copies of val or test images (copies.py).
    division: seed, folds and fold of listing.Listed.divide, for sets without official splits.
    Returns (the contents of meta.json, True if arrays were written or False if they were up to date).
    FileNotFoundError: nothing to prepare. UserError: a bad file, or data sets that do not go together. OSError: disk
    full. What was there before then stays.
    """
    # 1. what there is
    root, place = Path(root), Path(archives or folders or root)
    declarations = [declarations] if isinstance(declarations, Declaration) else declarations
    _check_classes(declarations)
    several = len(declarations) > 1
    sets = [anywhere(one, place) if several else Listed(one, place, archives is not None) for one in declarations]
    if on_error == "stop":
        check(sets)
    if "folds" in division and not any("all" in one.pairs for one in sets):
        raise UserError(f"{declarations[0].title} has official splits: --folds is for data sets without")
    # 2. is it done?
    mark = fingerprint(sets, (REVISION, *size, on_error, drop_leaks, sorted(division.items())))
    if meta := _up_to_date(root, mark):
        return meta, False
    _check_disk(root, sets, size)
    # 3. divide, put together, write
    for one in sets:
        one.divide(size, on_error=on_error, **division)
    pairs, notes = join(sets)
    meta = {
        "dataset": "+".join(one.declaration.name for one in sets),
        "task": declarations[0].task,
        "licence": "; ".join(dict.fromkeys(one.licence for one in declarations)),
        "source": [one.origin for one in sets],
        "fingerprint": mark,
        "notes": [note for one in sets for note in one.notes] + notes,
    }
    problems = {split: [text for one in sets for text in one.problems.get(split, ())] for split in arrays.SPLITS}
    with arrays.Writer(root, meta, size, declarations[0].classes) as writer:
        meta |= _write(writer, pairs, problems, on_error, drop_leaks)
        if not any(part["images"] for part in meta["summary"].values()):
            skipped = [message for part in meta["summary"].values() for message in part["skipped"]]
            raise UserError(f"no image is left, all were skipped: {skipped[0]}")
    return arrays.read_meta(root), True


def _check_classes(declarations):
    for one in declarations[1:]:
        if one.classes != declarations[0].classes:
            both = " and ".join(f"{d.name} has {', '.join(d.classes)}" for d in (declarations[0], one))
            raise UserError(f"only data sets with the same classes go together; {both}")


def _up_to_date(root, mark):
    """The contents of meta.json if arrays of this mark are there, and whole; else None."""
    with contextlib.suppress(FileNotFoundError, UserError):
        meta = arrays.read_meta(root)
        if meta.get("fingerprint") == mark:
            for split in meta["counts"]:
                arrays.open_split(root, split)
            return meta
    return None


def _check_disk(root, sets, size):
    rows = 0
    for one in sets:
        rows += sum(3 + (len(one.declaration.classes) if p.masks else 0) for found in one.pairs.values() for p in found)
    needed = rows * size[0] * size[1]
    place = next(parent for parent in (root, *root.resolve().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed * 1.01 + 1_000_000:  # some room for the index
        raise OSError(
            f"disk full: the arrays need {needed / 1e9:.2f} GB, '{root}' has {free / 1e9:.2f} GB free; "
            "free some space, choose another --root or a smaller --size"
        )


# === Writing ===


def _write(writer, pairs, problems, on_error, drop_leaks):
    """Decode and write all splits; returns what meta.json says about them.

    The training images come last, when it is known what they must not be near-copies of.
    """
    watch, summary = Watch(), {}
    for split in ("test", "val", "train"):
        found = pairs.get(split, [])
        if found or problems[split]:
            drop = drop_leaks and split == "train"
            summary[split] = _write_split(writer, split, found, problems[split], on_error, watch, drop)
    summary = {split: summary[split] for split in arrays.SPLITS if split in summary}
    return {"summary": summary, "near_copies": watch.found, "leaks_dropped": drop_leaks}


def _write_split(writer, split, pairs, problems, on_error, watch, drop):
    images, skipped, areas, anti_aliased = 0, list(problems), [], 0
    watch.begin(split)
    results = load_pairs.in_order(lambda pair: load_pairs.load(pair, writer.size), pairs)
    for pair, result in tqdm(results, split, len(pairs), unit="image", disable=None):
        try:
            loaded = result.result()
        except UserError as error:
            if on_error == "stop":
                raise
            skipped.append(str(error))
            continue
        if watch.sees_copy(pair.id, loaded.fingerprint) and drop:
            continue
        writer.add(split, pair.id, loaded.image, loaded.mask, loaded.source)
        images += 1
        if loaded.mask is not None:
            areas.append(loaded.mask.mean((0, 1)) * 100)  # (classes,) percent of the picture
            anti_aliased += loaded.anti_aliased
    summary = {"images": images, "skipped": skipped}
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


# === Summary ===


def describe(meta, root):
    """The summary of prepared arrays, as lines of text for people."""
    height, width = meta["size"]
    lines = [f"{meta['dataset']} task {meta['task']}, {height}x{width} (height x width) in {root}"]
    for split, part in meta["summary"].items():
        kind = "images without masks" if part["images"] and "area_percent" not in part else "pairs"
        line = f"  {split}: {part['images']} {kind}"
        if part.get("anti_aliased"):
            line += f", {part['anti_aliased']} with an anti-aliased mask (threshold 127)"
        lines.append(line)
        for name, area in part.get("area_percent", {}).items():
            minimum, *quartiles, maximum = area["quartiles"] or [float("nan")] * 5
            spread = " / ".join(f"{value:.1f}" for value in quartiles)
            lines.append(
                f"    {name}: quartiles of the area {spread} % of the image, "
                f"from {minimum:.1f} to {maximum:.1f}; {area['empty']} empty masks"
            )
        lines += [f"    skipped: {message}" for message in part["skipped"][:SHOWN]]
        if len(part["skipped"]) > SHOWN:
            lines.append(f"    skipped: {len(part['skipped']) - SHOWN} more, all listed in {root}/meta.json")
    lines += [f"  {note}" for note in meta["notes"]]
    if copies := meta["near_copies"]:
        shown = ", ".join(f"{split} {id} of {other_split} {other}" for split, id, other_split, other in copies[:5])
        more = f" and {len(copies) - 5} more, all listed in {root}/meta.json" if len(copies) > 5 else ""
        lines.append(f"  {len(copies)} near-copies across splits: {shown}{more}")
        left = "left out" if meta["leaks_dropped"] else "kept (--drop-leaks leaves them out)"
        lines.append(f"  those in train are {left}")
    return lines
