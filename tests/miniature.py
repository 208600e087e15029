"""Miniatures of official data sets for the tests: a few small pictures under the official names."""

import zipfile

import cv2
import numpy as np

from datasets.isic2018 import ATTRIBUTES

SIZE = (48, 64)  # height, width in pixels
PARTS = {"train": "Training", "val": "Validation", "test": "Test"}


def picture(seed, size=SIZE):
    """uint8 (H, W, 3) BGR, smooth, so that JPEG and resizing hardly change it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 220, (3, 4, 3), np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR)


def square(seed, size=SIZE):
    """uint8 (H, W) mask {0, 255} with one rectangle whose area grows with the seed."""
    mask = np.zeros(size, np.uint8)
    mask[8 : 16 + 2 * (seed % 12), 8:40] = 255
    return mask


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def image_path(root, id, split="train"):
    return root / f"ISIC2018_Task1-2_{PARTS[split]}_Input" / f"{id}.jpg"


def mask_path(root, id, split="train"):
    return root / f"ISIC2018_Task1_{PARTS[split]}_GroundTruth" / f"{id}_segmentation.png"


def attribute_path(root, id, attribute, split="train"):
    version = "_v3" if split == "train" else ""
    return root / f"ISIC2018_Task2_{PARTS[split]}_GroundTruth{version}" / f"{id}_attribute_{attribute}.png"


def write_isic2018(root, counts, tasks=(1,)):
    """Official folders with counts[split] pairs; returns the ids by split."""
    ids, number = {}, 0
    for split, count in counts.items():
        ids[split] = []
        for _ in range(count):
            id = f"ISIC_{number:07d}"
            ids[split].append(id)
            save(image_path(root, id, split), picture(number))
            if 1 in tasks:
                save(mask_path(root, id, split), square(number))
            if 2 in tasks:
                for channel, attribute in enumerate(ATTRIBUTES):
                    save(attribute_path(root, id, attribute, split), square(number + 2 * channel))
            number += 1
    return ids


def zip_folders(root, to, prefix=""):
    """Each folder in `root` as TO/FOLDER.zip, as the official archives are."""
    to.mkdir(parents=True, exist_ok=True)
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        with zipfile.ZipFile(to / f"{folder.name}.zip", "w") as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, prefix + path.relative_to(root).as_posix())
    return to
