"""Discs on skin: images that a tiny network learns in a few steps, and prepared folders of them."""

import numpy as np

from datasets.arrays import Writer

COUNTS = {"train": 20, "val": 6, "test": 5}


def disc(random, height, width):
    """A dark disc on light skin and its mask: something a tiny network learns in a few steps."""
    y, x = random.uniform(0.3, 0.7, 2) * (height, width)
    radius = random.uniform(0.15, 0.3) * min(height, width)
    rows, columns = np.mgrid[:height, :width]
    mask = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).astype("uint8")
    image = np.where(mask[..., None], (90, 60, 50), (220, 180, 160)) + random.normal(0, 8, (height, width, 3))
    return image.clip(0, 255).astype("uint8"), mask[..., None]


def write_discs(root, size=(32, 48), counts=COUNTS, seed=0):
    """Write a prepared folder of discs and return its path."""
    random = np.random.default_rng(seed)
    with Writer(root, {"dataset": "discs", "task": 1}, size=size, classes=["lesion"]) as writer:
        for split, count in counts.items():
            for number in range(count):
                writer.add(split, f"{split}_{number:02}", *disc(random, *size), original_size=size)
    return root
