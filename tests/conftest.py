"""Shared by all tests: two logical CPU devices, to test MirroredStrategy without a GPU, and a tiny data set."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np
import pytest
import tensorflow as tf

from compute import precision
from datasets.arrays import Writer

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

TINY = {"train": 20, "val": 6, "test": 5}


def disc(random, height, width):
    """A dark disc on light skin and its mask: something a tiny network learns in a few steps."""
    y, x = random.uniform(0.3, 0.7, 2) * (height, width)
    radius = random.uniform(0.15, 0.3) * min(height, width)
    rows, columns = np.mgrid[:height, :width]
    mask = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).astype("uint8")
    image = np.where(mask[..., None], (90, 60, 50), (220, 180, 160)) + random.normal(0, 8, (height, width, 3))
    return image.clip(0, 255).astype("uint8"), mask[..., None]


def write_discs(root, size=(32, 48), counts=TINY, seed=0):
    """Write a prepared folder of discs and return its path."""
    random = np.random.default_rng(seed)
    with Writer(root, {"dataset": "discs", "task": 1}, size=size, classes=["lesion"]) as writer:
        for split, count in counts.items():
            for number in range(count):
                writer.add(split, f"{split}_{number:02}", *disc(random, *size), original_size=size)
    return root


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    """The default precision is float32, whatever the CPU knows, and so is what a test leaves behind."""
    monkeypatch.setattr(precision, "CPUINFO", Path("none"))
    yield
    precision.use("float32")


@pytest.fixture(scope="session")
def discs(tmp_path_factory):
    """Prepared folder of 20, 6 and 5 images of 32 x 48; not to be written to."""
    return write_discs(tmp_path_factory.mktemp("data") / "discs")
