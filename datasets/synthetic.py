"""Synthetic ISIC 2018: phantoms (datasets/phantoms.py) in the official folders, for demo, tests and benchmarks.

    from datasets import synthetic
    synthetic.write("data/synthetic", {"train": 60, "val": 12, "test": 20}, size=(192, 256))
    image, lesion, attributes = synthetic.phantom(seed=7, height=192, width=256)
"""

import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from datasets.phantoms import ATTRIBUTES, check, phantom

VERSION = 1  # raise it when the same seed gives another picture: folders written before are then refused
SPLITS = {"train": ("Training", 0), "val": ("Validation", 5_000_000), "test": ("Test", 7_500_000)}  # folder, first id
JPEG_QUALITY = 92


def save(path, image, *options):
    """Encodes by the suffix and renames into place: a file is whole or absent."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(cv2.imencode(path.suffix, image, options)[1])
    os.replace(temporary, path)


def write_one(root, split, number, size, seed):
    """Writes image and masks of one phantom, unless all are there; the image comes last."""
    part, first = SPLITS[split]
    name, version = f"ISIC_{first + number:07d}", "_v3" if split == "train" else ""
    image = root / f"ISIC2018_Task1-2_{part}_Input" / f"{name}.jpg"
    masks = [root / f"ISIC2018_Task1_{part}_GroundTruth" / f"{name}_segmentation.png"]
    masks += [root / f"ISIC2018_Task2_{part}_GroundTruth{version}" / f"{name}_attribute_{a}.png" for a in ATTRIBUTES]
    if all(path.exists() for path in [*masks, image]):
        return
    drawn = phantom(seed * 10_000_000 + first + number, *size)
    for path, mask in zip(masks, [drawn.lesion, *np.moveaxis(drawn.attributes, -1, 0)], strict=True):
        save(path, mask * np.uint8(255), cv2.IMWRITE_PNG_COMPRESSION, 1)
    save(image, cv2.cvtColor(drawn.image, cv2.COLOR_RGB2BGR), cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)


def write(root, counts, size=(192, 256), seed=0):
    """Writes phantoms under the official ISIC 2018 folder and file names, on all cores.

    root: folder to write to; counts: images a split, like {"train": 60, "val": 12, "test": 20}; size: (H, W) in pixels.
    A call with the arguments of an earlier one writes only what is missing. ValueError for an unknown split, and when
    root holds ISIC folders that no such call has written: phantoms never mix with real images or other phantoms.
    """
    root, size = Path(root), [int(side) for side in size]
    if unknown := set(counts) - set(SPLITS):
        raise ValueError(f"unknown splits {sorted(unknown)}: expected some of {list(SPLITS)}")
    check(seed, *size)
    wanted = {"version": VERSION, "size": size, "seed": seed, "counts": dict(counts)}
    note = root / "synthetic.json"
    if note.exists() and json.loads(note.read_text()) != wanted:
        raise ValueError(f"{note} tells of other phantoms than {wanted}: delete {root} or choose another folder")
    if not note.exists() and any(root.glob("ISIC2018_*")):
        raise ValueError(f"{root} holds ISIC folders without synthetic.json, not phantoms: choose another folder")
    for part, _ in (SPLITS[split] for split in counts):
        version = "_v3" if part == "Training" else ""
        for kind in ("1-2_{}_Input", "1_{}_GroundTruth", "2_{}_GroundTruth" + version):
            (root / f"ISIC2018_Task{kind.format(part)}").mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(wanted))
    jobs = ((root, split, number, size, seed) for split, count in counts.items() for number in range(1, count + 1))
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool, tqdm(total=sum(counts.values()), desc="phantoms", unit="image") as bar:
        while chunk := list(itertools.islice(jobs, 16 * workers)):  # chunks: the queue does not grow with the counts
            for _ in pool.map(write_one, *zip(*chunk, strict=True)):
                bar.update()
