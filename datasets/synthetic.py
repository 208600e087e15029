"""Synthetic ISIC 2018: phantoms (datasets/phantoms.py) in the official folders, for demo, tests and benchmarks.

from datasets import synthetic
synthetic.write("data/synthetic", {"train": 60, "val": 12, "test": 20}, size=(192, 256))
image, lesion, attributes = synthetic.phantom(seed=7, height=192, width=256)
"""

import dataclasses
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from datasets import isic2018
from datasets.isic2018 import ATTRIBUTES
from datasets.phantoms import check, phantom
from utils.errors import UserError
from utils.files import replacing
from utils.threads import in_order

VERSION = 1  # raise it when the same seed gives another picture: folders written before are then refused
SPLITS = {"train": ("Training", 0), "val": ("Validation", 5_000_000), "test": ("Test", 7_500_000)}  # folder, first id
JPEG_QUALITY = 92
TASKS = {
    task: dataclasses.replace(
        official,
        name="synthetic",
        title=f"phantoms drawn by the program, as {official.title}",
        counts={},
        download="drawn",
        terms="none needed",
        citation="",
        homepage="datasets/synthetic.py, which draws them",
        archives=(),
    )
    for task, official in isic2018.TASKS.items()
}
DATASET = TASKS[1]  # TASKS[2] is that of synthetic_task2.py


def save(path, data):
    """Write bytes by atomic file replacement."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def folders(root, split):
    """The official folders of a split: images, lesion masks, attribute masks."""
    part = SPLITS[split][0]
    version = "_v3" if split == "train" else ""
    names = f"Task1-2_{part}_Input", f"Task1_{part}_GroundTruth", f"Task2_{part}_GroundTruth{version}"
    return [root / f"ISIC2018_{name}" for name in names]


def write_one(root, split, number, size, seed):
    """Writes image and masks of one phantom, unless all are there."""
    number += SPLITS[split][1]
    name = f"ISIC_{number:07d}"
    inputs, lesions, attributes = folders(root, split)
    image = inputs / f"{name}.jpg"
    masks = [lesions / f"{name}_segmentation.png", *(attributes / f"{name}_attribute_{a}.png" for a in ATTRIBUTES)]
    if all(path.exists() for path in [image, *masks]):
        return
    drawn = phantom(seed * 10_000_000 + number, *size)
    for path, mask in zip(masks, [drawn.lesion, *np.moveaxis(drawn.attributes, -1, 0)], strict=True):
        save(path, cv2.imencode(".png", mask * np.uint8(255), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])
    picture = cv2.cvtColor(drawn.image, cv2.COLOR_RGB2BGR)
    save(image, cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])


def write(root, counts, size=(192, 256), seed=0):
    """Writes phantoms under the official ISIC 2018 folder and file names, on all cores.

    root: folder to write to; counts: images a split, like {"train": 60, "val": 12, "test": 20}; size: (H, W) in pixels.
    A call with the arguments of an earlier one writes only what is missing. UserError for an unknown split, and when
    root holds ISIC folders that no such call has written: phantoms never mix with real images or other phantoms.
    """
    root = Path(root)
    size = [int(side) for side in size]
    if unknown := set(counts) - set(SPLITS):
        raise UserError(f"unknown splits {sorted(unknown)}: expected some of {list(SPLITS)}")
    check(seed, *size)
    wanted = {"version": VERSION, "size": size, "seed": seed, "counts": dict(counts)}
    note = root / "synthetic.json"
    if note.exists() and json.loads(note.read_text()) != wanted:
        raise UserError(f"{note} describes other phantoms than {wanted}: delete {root} or choose another folder")
    if not note.exists() and any(root.glob("ISIC2018_*")):
        raise UserError(f"{root} holds ISIC folders without synthetic.json, not phantoms: choose another folder")
    root.mkdir(parents=True, exist_ok=True)
    save(note, json.dumps(wanted).encode())
    for folder in itertools.chain.from_iterable(folders(root, split) for split in counts):
        folder.mkdir(exist_ok=True)
    jobs = ((split, number) for split, count in counts.items() for number in range(1, count + 1))
    written = in_order(lambda job: write_one(root, *job, size, seed), jobs)
    for _ in tqdm(written, total=sum(counts.values()), desc="phantoms", unit="image"):
        pass
