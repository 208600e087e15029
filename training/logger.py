"""What a run keeps and tells: the average of its weights, the log and its figure, TensorBoard, the best network."""

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
from figures import training_curves
from utils.files import replacing

SAMPLES = 4  # images in TensorBoard
TIDY = 5  # epochs after which memory is looked through


class Average:
    """A moving average of all weights, the running statistics of batch norms included, in place while validating.

    Keras's own average leaves the statistics out, and weights that do not belong to them are of no use for epochs.
    """

    EVERY = 8  # steps

    def __init__(self, network, momentum):
        self.network, self.momentum = network, momentum
        values = [
            keras.ops.convert_to_numpy(w) for w in network.weights
        ]  # a Variable made of a variable would share it
        self.variables = [keras.Variable(value, dtype=value.dtype.name, trainable=False) for value in values]

    def update(self, steps):
        """Take in the weights after so many steps of the run."""
        if steps % self.EVERY == 0:
            updates = steps / self.EVERY
            keep = min(self.momentum**self.EVERY, updates / (updates + 10))  # a short memory at first
            for average, weight in zip(self.variables, self.network.weights, strict=True):
                average.assign(keep * average + (1 - keep) * weight)

    def swap(self):
        """Exchange the network's weights and their average."""
        for average, weight in zip(self.variables, self.network.weights, strict=True):
            value = np.array(keras.ops.convert_to_numpy(weight))
            weight.assign(average.value)
            average.assign(value)


class Recorder:
    """After each epoch: the log, its figure, TensorBoard, the best network, in this order and each at once.

    The checkpoint comes after them and is the only truth of how far a run is: whatever a run that dies has written
    after its last checkpoint is written again, the same, when it goes on.
    """

    def __init__(self, settings, launch, network, judged, splits, rows=()):
        self.settings, self.launch, self.splits, self.rows = settings, launch, splits, list(rows)
        self.network, self.judged = network, judged
        self.output = Path("output", settings.run)
        self.best_folder = runs.BEST / settings.run
        if devices.is_first():
            self.output.mkdir(parents=True, exist_ok=True)
            self.board = tf.summary.create_file_writer(str(self.output / "tensorboard"))

    def write(self, row):
        """Take in the row of an epoch; the average of the weights is in place where there is one."""
        self.rows.append(row)
        if not devices.is_first():
            return
        log = self.output / "log.csv"
        with replacing(log) as path:
            pd.DataFrame(self.rows).to_csv(path, index=False)
        training_curves.curves(log, self.output / "progress.png", runs.title(self.settings))
        self._write_board(row)
        if self.best() is row:
            self._write_best(row)
        if row["epoch"] % TIDY == 0:
            gc.collect()  # figures and networks hold themselves in rings, which Python looks for too late

    def best(self):
        """The row of the best epoch that was validated so far, the earliest of equals; None before the first."""
        name = self.settings.monitor
        sign = 1 if metrics.monitors()[name] else -1
        rows = [row for row in self.rows if "val_loss" in row]
        return max(rows, key=lambda row: -math.inf if math.isnan(row[name]) else sign * row[name], default=None)

    def _write_best(self, row):
        settings, folder = self.settings, self.best_folder
        bare = keras.Model(self.judged.input, self.judged.output, name=self.judged.name)  # no loss, no optimiser
        facts = self._facts(row)
        config.save(settings, folder / "settings.yaml")
        with replacing(folder / "model.keras") as path:
            bare.save(path)
            runs.seal(path, settings, **facts)
        if self.judged is not self.network:
            with replacing(folder / "training.keras") as path:
                self.network.save(path, include_optimizer=False)
        (folder / "run.json").unlink(missing_ok=True)  # what evaluate.py noted of an earlier epoch
        runs.note(folder, **facts)

    def _facts(self, row):
        images, meta = self.splits["train"], read_meta(self.settings.data)
        begun = {"init": self.launch.init} if self.launch.init else {}
        return begun | {
            "classes": list(images.classes),
            "size": list(images.images.shape[1:3]),
            "model": self.settings.model,
            "parameters": self.judged.count_params(),
            "epoch": row["epoch"],
            "scores": {name: value for name, value in row.items() if name.startswith("val_")},
            "images": {name: len(split.ids) for name, split in self.splits.items()},
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
        with self.board.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
            if every and row["epoch"] % every == 0:
                tf.summary.image("image, truth, prediction", self._samples(), max_outputs=SAMPLES)
        self.board.flush()

    def _samples(self):
        """The first validation images, their masks and predictions, side by side: uint8 (n, H, 3 W, 3)."""
        split = pipeline.subset(self.splits["val"], np.arange(min(SAMPLES, len(self.splits["val"].ids))))
        images, _ = next(iter(pipeline.evaluation(split, self.settings, SAMPLES)))
        logits = keras.ops.convert_to_numpy(self.judged(images.numpy(), training=False))
        maps = [split.masks[:] > 0, logits >= math.log(self.settings.threshold / (1 - self.settings.threshold))]
        gray = [255 * m.any(axis=-1, keepdims=True).repeat(3, axis=-1).astype("uint8") for m in maps]  # (n, H, W, 3)
        return np.concatenate([split.images[:], *gray], axis=2)
