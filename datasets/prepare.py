"""From a data set's folders or archives to prepared arrays: list, check, decode on all cores, write, summarize."""

import contextlib
import hashlib
import os
import shutil
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from datasets import decode, prepared, source
from datasets.declaration import find_pairs

REVISION = 2  # of the preparation: raise it when the same files would give other arrays
MAX_THREADS = 16  # a thread may hold one image and its masks at full size, some 50 MB
SHOWN = 20  # of the skipped files in the summary of a split


def prepare(declaration, root, size, archives=None, on_error="stop", folders=None, seed=0):
    """Prepare a data set's arrays in `root` (see prepared.py), unless they are there already.

    declaration: the data set (declaration.Declaration). size: (H, W) of the arrays in pixels.
    archives: folder of the official zips. folders: where the official folders lie, if not in `root`.
    on_error: "stop" at the first bad file, or "skip" its pair and list it in the summary.
    seed: of the division into train, val and test where there is no official one.
    Returns (the contents of meta.json, True if arrays were written or False if they were up to date).
    FileNotFoundError: nothing to prepare. ValueError: a bad file. OSError: disk full. What was there before then stays.
    """
    root = Path(root)
    place = Path(archives or folders or root)
    pairs, problems, notes = _find(declaration, place, source.open_archive if archives else source.open_folder)
    if on_error == "stop" and any(problems.values()):
        raise ValueError(_first([message for found in problems.values() for message in found]))
    origin = _origin(declaration, place, archives)
    fingerprint = _fingerprint(pairs, (REVISION, origin, *size, on_error, problems, seed))
    with contextlib.suppress(FileNotFoundError, ValueError):
        meta = prepared.read_meta(root)
        if meta.get("fingerprint") == fingerprint:
            for split in meta["counts"]:  # they must still be there, and whole
                prepared.open_split(root, split)
            return meta, False

    _check_disk(root, pairs, size, len(declaration.classes))
    if "all" in pairs:
        pairs, problems = _divide(pairs["all"], seed), defaultdict(list, train=problems["all"])
        notes.append(f"no official splits: divided 80/10/10 by lesion area with seed {seed}")
    meta = {
        "dataset": declaration.name,
        "task": declaration.task,
        "licence": declaration.licence,
        "source": [origin],
        "fingerprint": fingerprint,
        "notes": notes,
        "summary": {},
    }
    with prepared.Writer(root, meta, size, declaration.classes) as writer, _one_thread_each():
        for split, found in pairs.items():
            meta["summary"][split] = _write_split(writer, split, found, problems[split], on_error)
        if not any(part["images"] for part in meta["summary"].values()):
            skipped = [message for part in meta["summary"].values() for message in part["skipped"]]
            raise ValueError(f"no image is left, all were skipped: {skipped[0]}")
    return prepared.read_meta(root), True


def _origin(declaration, place, archives):
    """What source_masks.py needs to find the files again."""
    kind = "archives" if archives else "folders"
    return {"dataset": declaration.name, "task": declaration.task, kind: str(place.resolve())}


def _find(declaration, place, open_files):
    try:
        pairs, problems, notes = find_pairs(declaration, lambda name: open_files(place, name))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"in '{place}': {error}") from None
    empty = [split for split, found in pairs.items() if not found and not problems[split]]
    if not pairs or len(empty) == len(pairs):
        layout = " or ".join(", ".join(n for p in layout.values() for n in p.images) for layout in declaration.layouts)
        nowhere = "" if place.is_dir() else " (no such folder)"
        fetch = "--download" if declaration.archives else f"by hand from {declaration.homepage}"
        raise FileNotFoundError(
            f"{declaration.title}: no images found in '{place}'{nowhere}; looked for {layout}. "
            f"Three ways to get them: {fetch}; --archives DIR with the official .zip files; "
            "or the official folders, unpacked, in --root or --folders DIR"
        )
    notes += [f"no {split} split: its folder holds no images" for split in empty]
    return {split: pairs[split] for split in pairs if split not in empty}, problems, notes


def _divide(pairs, seed):
    """Pairs by split, 80/10/10: of ten images next to each other in lesion area, eight are for training."""
    with _one_thread_each(), ThreadPoolExecutor(_threads()) as pool:
        areas = list(tqdm(pool.map(_area, pairs), "areas", len(pairs), unit="image", disable=None))
    order, rng = np.argsort(areas, kind="stable"), np.random.default_rng(seed)
    divided = {"train": [], "val": [], "test": []}
    for start in range(0, len(order), 10):
        splits = rng.permutation(["train"] * 8 + ["val", "test"])
        for place, split in zip(order[start : start + 10], splits, strict=False):
            divided[split].append(place)
    kept = {split: places for split, places in divided.items() if places or split == "train"}
    return {split: [pairs[place] for place in sorted(places)] for split, places in kept.items()}


def _area(pair):
    try:
        return load_masks(pair, (64, 64), None)[0].mean()
    except ValueError:  # reported when its turn comes to be written
        return 0.0


def _first(messages):
    more = len(messages) - 1
    return messages[0] + (f" (and {more} more such problems; --on-error skip leaves such files out)" if more else "")


def _fingerprint(pairs, settings):
    """Digest of all that decides the arrays: settings, and name, size and stamp of each file."""
    digest = hashlib.sha256(repr(settings).encode())
    for split, found in pairs.items():
        for pair in found:
            files = [pair.image, *(file for group in pair.masks or () for file in group)]
            digest.update(repr((split, pair.id, [(str(f.path), f.size, f.stamp) for f in files])).encode())
    return digest.hexdigest()


def _check_disk(root, pairs, size, classes):
    rows = sum(3 + (classes if found[0].masks else 0) for found in pairs.values() for _ in found)
    needed = rows * size[0] * size[1]
    place = next(parent for parent in (root, *root.resolve().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed * 1.01 + 1_000_000:  # some room for the index
        raise OSError(
            f"disk full: the arrays need {needed / 1e9:.2f} GB, '{root}' has {free / 1e9:.2f} GB free; "
            "free some space, choose another --root or a smaller --size"
        )


def _threads():
    return min(os.cpu_count() or 1, MAX_THREADS)


@contextlib.contextmanager
def _one_thread_each():
    """Each of our threads decodes a picture of its own: OpenCV's threads inside would only get in the way."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


# === One split ===


class _Loaded(NamedTuple):
    image: np.ndarray  # uint8 (H, W, 3)
    mask: np.ndarray | None  # uint8 (H, W, classes)
    source: tuple  # (height, width)
    anti_aliased: bool


def _load(pair, size):
    image, original = _read(pair.image, decode.image, size)
    if pair.masks is None:
        return _Loaded(image, None, original, False)
    mask, anti_aliased = load_masks(pair, size, original)
    return _Loaded(image, mask, original, anti_aliased)


def load_masks(pair, size, original):
    """(uint8 (H, W, classes) of {0, 1}, whether any was anti-aliased).

    size: (H, W) of the masks, None for their own. original: the size they must have in their files, None for any.
    """
    channels, anti_aliased = [], False
    for group in pair.masks:
        read = [_read(file, decode.mask, size, original) for file in group]
        channels.append(np.maximum.reduce([mask for mask, _ in read]))  # several files: their union
        anti_aliased |= any(flag for _, flag in read)
    return np.stack(channels, axis=-1), anti_aliased


def _read(file, function, *arguments):
    try:
        return function(file.read(), *arguments)
    except ValueError as error:
        raise ValueError(f"{file.label}: {error}") from None


def _write_split(writer, split, pairs, problems, on_error):
    """Decode and write one split; returns its summary."""
    images, skipped, areas, anti_aliased = 0, list(problems), [], 0
    for pair, result in tqdm(_in_order(pairs, writer.size), split, len(pairs), unit="image", disable=None):
        try:
            loaded = result.result()
        except ValueError as error:
            if on_error == "stop":
                raise
            skipped.append(str(error))
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


def _in_order(pairs, size):
    """(pair, future of its _Loaded) in order, decoded on all cores, never more than a few ahead of the reader."""
    workers = _threads()
    ahead = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for pair in pairs:
                ahead.append((pair, pool.submit(_load, pair, size)))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:  # after an error nobody waits for what is still to come
            pool.shutdown(cancel_futures=True)


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
    return lines
