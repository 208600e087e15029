"""What a run keeps after each epoch: the log and its figure, TensorBoard, the best network."""

import contextlib
import gc
import math
import platform
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

import config
import metrics
import pipeline
import runs
from compute import devices
from datasets.arrays import read_meta
from datasets.split import digest, subset
from figures import training_curves
from utils.files import replacing

SAMPLES = 4  # images in TensorBoard
COLLECT = 5  # epochs between two collections of garbage


class Recorder:
    """After each epoch: the log, its figure, TensorBoard, the best network, in this order and each at once.

    The checkpoint comes after them and is the only truth of how far a run is: whatever a run that dies has written
    after its last checkpoint is written again, the same, when it goes on.
    """

    def __init__(self, settings, launch, network: keras.Model, deployed: keras.Model, splits: dict):
        """network: what is trained. deployed: what is kept of it. splits: {"train": Split, "val": Split}."""
        self.settings = settings
        self.launch = launch
        self.splits = splits
        self.rows = []
        self.network = network
        self.deployed = deployed
        self.output = Path("output", settings.run)
        self.best_folder = runs.BEST / settings.run
        if devices.is_first():
            self.output.mkdir(parents=True, exist_ok=True)
            with self._writing_board():
                self.board = tf.summary.create_file_writer(str(self.output / "tensorboard"))

    def write(self, row: dict):
        """Take in the row of an epoch; the average of the weights is in place where there is one."""
        self.rows.append(row)
        if not devices.is_first():
            return
        log = self.output / "log.csv"
        with replacing(log) as path:
            pd.DataFrame(self.rows).to_csv(path, index=False)
        self.draw(log)
        self._write_board(row)
        if self.best() is row:
            self._write_best(row)
        if row["epoch"] % COLLECT == 0:
            gc.collect()  # figures and networks hold themselves in cycles, which Python finds too late

    def draw(self, log: Path):
        """Draw the curves of the log so far."""
        training_curves.curves(log, self.output / "progress.png", runs.title(self.settings))

    def best(self):
        """The row of the best epoch that was validated so far, the earliest of equals; None before the first."""
        name = self.settings.monitor
        sign = 1 if metrics.monitors()[name] else -1
        rows = [row for row in self.rows if "val_loss" in row]
        return max(rows, key=lambda row: -math.inf if math.isnan(row[name]) else sign * row[name], default=None)

    def _write_best(self, row):
        settings = self.settings
        folder = self.best_folder
        bare = keras.Model(self.deployed.input, self.deployed.output, name=self.deployed.name)  # no loss, no optimizer
        facts = self._facts(row)
        config.save(settings, folder / "settings.yaml")
        with replacing(folder / "model.keras") as path:
            bare.save(path)
            runs.seal(path, settings, **facts)
        if self.deployed is not self.network:
            with replacing(folder / "training.keras") as path:
                self.network.save(path, include_optimizer=False)
        else:
            (folder / "training.keras").unlink(missing_ok=True)  # of an earlier run of this name, trained with a head
        (folder / "run.json").unlink(missing_ok=True)  # what evaluate.py noted of an earlier epoch
        runs.note(folder, **facts)

    def _facts(self, row):
        images = self.splits["train"]
        meta = read_meta(self.settings.data)
        begun = {"init": self.launch.init} if self.launch.init else {}
        return begun | {
            "classes": list(images.classes),
            "size": list(images.images.shape[1:3]),
            "model": self.settings.model,
            "parameters": self.deployed.count_params(),
            "epoch": row["epoch"],
            "scores": {name: value for name, value in row.items() if name.startswith("val_")},
            "images": {name: len(split.ids) for name, split in self.splits.items()},
            "trained_on": digest(images),
            "data": {name: meta[name] for name in ("dataset", "task", "licence") if name in meta},
            "versions": {
                "python": platform.python_version(),
                "keras": keras.__version__,
                "tensorflow": tf.__version__,
                "numpy": np.__version__,
            },
        }

    def _write_board(self, row):
        every = self.launch.samples_every
        with self._writing_board(), self.board.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
            if every and row["epoch"] % every == 0:
                tf.summary.image("image, truth, prediction", self._samples(), max_outputs=SAMPLES)
            self.board.flush()

    @contextlib.contextmanager
    def _writing_board(self):
        """What TensorFlow cannot write, as on a full disk, is the OSError that it is in Python."""
        try:
            yield
        except tf.errors.OpError as problem:
            text = " ".join(problem.message.split())
            raise OSError(f"{self.output}/tensorboard cannot be written ({text}): disk full?") from None

    def _samples(self):
        """The first validation images, their masks and predictions, side by side: uint8 (n, H, 3 W, 3)."""
        split = subset(self.splits["val"], np.arange(min(SAMPLES, len(self.splits["val"].ids))))
        images, _ = next(iter(pipeline.evaluation(split, self.settings, SAMPLES)))
        logits = keras.ops.convert_to_numpy(self.deployed(images.numpy(), training=False))
        maps = [split.masks[:] > 0, logits >= math.log(self.settings.threshold / (1 - self.settings.threshold))]
        gray = [255 * m.any(axis=-1, keepdims=True).repeat(3, axis=-1).astype("uint8") for m in maps]  # (n, H, W, 3)
        return np.concatenate([split.images[:], *gray], axis=2)
