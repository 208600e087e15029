"""A run from its first step, or that of a checkpoint, to its last: epochs, checks of the loss, checkpoints, stops."""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

import config
import metrics
import pipeline
from compute import devices
from training import checkpoints, optimizers, steps
from training.logger import Recorder
from training.weight_average import Average
from utils.errors import UserError
from utils.memory import peak_memory

CHECK = 10  # steps between two checks of the loss
COUNTS = ("wait", "best", "cooldown_counter")  # what Keras's callbacks remember


class Stopped(Exception):
    """The run was asked to stop, and has."""


def score_columns():
    """The columns of the log that hold scores of the validation images."""
    return [f"val_{name}" for name in metrics.logged()]


def callbacks(settings) -> list[keras.callbacks.Callback]:
    """Keras's early stopping and plateau, as the settings want them."""
    name = "val_loss" if settings.monitor == "epoch" else settings.monitor
    watch = {"monitor": name, "mode": "max" if metrics.monitors()[name] else "min"}
    made = []
    if settings.patience:
        made.append(keras.callbacks.EarlyStopping(patience=settings.patience, **watch))
    if settings.plateau:
        factor = settings.plateau_factor
        made.append(
            keras.callbacks.ReduceLROnPlateau(factor=factor, patience=settings.plateau, min_delta=0, verbose=0, **watch)
        )
    return made


class Training:
    """A run from its first step, or that of a checkpoint, to its last."""

    def __init__(self, settings, launch, splits: dict, network: keras.Model, strategy, saved=None):
        """network: as training.steps.Loop takes it. saved: what checkpoints.load gave, to go on from there."""
        self.settings = settings
        self.launch = launch
        self.splits = splits
        self.network = network
        self.folder = Path("checkpoint", settings.run)
        self.steps = pipeline.steps_per_epoch(splits["train"], settings)  # an epoch
        self.loop = steps.Loop(network, settings, strategy)
        self.average = Average(network, settings.ema) if settings.ema else None
        self.callbacks = callbacks(settings)
        self.validation = pipeline.evaluation(splits["val"], settings)
        self.recorder = Recorder(settings, launch, network, self.loop.deployed, splits)
        self.data = checkpoints.fingerprint(splits)
        self.step = 0
        self.seconds = 0.0
        self.waited = 0.0
        self.asked_to_stop = False
        self.alone = len(devices.addresses()[0]) < 2  # else all workers have to stop at the same step
        network.stop_training = False
        for callback in self.callbacks:
            callback.set_model(network)
            callback.on_train_begin()
        if saved:
            checkpoints.check(saved[0], settings, self.data)
            self.restore(*saved)

    # --- checkpoints

    def variables(self) -> dict[str, list]:
        """{group: variables} of all that changes in training."""
        groups = {"network": self.network.variables, "sums": self.loop.state()}
        groups |= {f"optimizer{i}": one.variables for i, one in enumerate(self.loop.optimizers)}
        return groups | ({"average": self.average.variables} if self.average else {})

    def save(self):
        """Write a checkpoint."""
        variables = {group: checkpoints.read(found) for group, found in self.variables().items()}
        if not devices.is_first():
            return
        counts = [{n: float(getattr(c, n)) for n in COUNTS if getattr(c, n, None) is not None} for c in self.callbacks]
        state = {"step": self.step, "seconds": self.seconds, "waited": self.waited, "finished": self.finished()}
        state |= {"rows": self.recorder.rows, "callbacks": counts, "data": self.data}
        state |= {"settings": dataclasses.asdict(self.settings)}
        config.save(self.settings, self.folder / "settings.yaml")
        checkpoints.save(self.folder, self.step, state, variables)

    def restore(self, state: dict, values: dict[str, list[np.ndarray]]):
        """Take the state of a checkpoint."""
        for group, variables in self.variables().items():
            checkpoints.assign(variables, values.get(group, []), group)
        for callback, counts in zip(self.callbacks, state["callbacks"], strict=True):
            for name, count in counts.items():
                setattr(callback, name, count)
        self.step = state["step"]
        self.seconds = state["seconds"]
        self.waited = state["waited"]
        self.recorder.rows = state["rows"]

    def finished(self) -> bool:
        return self.step == self.steps * self.settings.epochs or (
            self.network.stop_training and self.step % self.steps == 0
        )

    # --- steps

    def run(self):
        """Train to the end, or until asked to stop: Stopped."""
        batches = iter(steps.batches(self.network, self.splits["train"], self.settings, self.step))
        while not self.finished():
            self.epoch(batches)

    def epoch(self, batches: Iterator):
        """The steps of an epoch, or those left of it, its validation, records and checkpoint."""
        number, begin = divmod(self.step, self.steps)
        if self.settings.freeze_epochs:
            self.loop.phase(number, begin, self.steps)
        if begin == 0:
            self.loop.reset()
            self.seconds = 0.0
            self.waited = 0.0
        with tqdm(
            desc=f"epoch {number + 1}/{self.settings.epochs}",
            total=len(self.splits["train"].ids),
            initial=begin * self.settings.batch_size,
            unit="image",
            leave=False,
            dynamic_ncols=True,
            disable=None if devices.is_first() else True,  # None: where there is no terminal
        ) as progress:
            stop = self.run_steps(batches, begin, progress)
        self.end_epoch(number)
        if stop and not self.finished():
            raise self.stopped()

    def run_steps(self, batches: Iterator, begin: int, progress: tqdm) -> bool:
        """The steps of an epoch from number `begin` on; whether the run was asked to stop in the last of them."""
        losses = []
        stop = False
        for index in range(begin, self.steps):
            start = time.perf_counter()
            losses.append(self.run_step(batches, index))
            due = self.launch.save_every and self.step % self.launch.save_every == 0
            inside = index + 1 < self.steps
            if len(losses) == CHECK or due or not inside or (self.alone and self.asked_to_stop):
                stop = self.check_losses(losses, progress)
                losses = []
            self.seconds += time.perf_counter() - start
            progress.update(self.images_from(index, self.settings.batch_size))
            if inside and (stop or due):
                self.save()
            if inside and stop:
                raise self.stopped()
        return stop

    def run_step(self, batches: Iterator, index: int):
        """Step number `index` of an epoch; what training.steps.Loop.step gives."""
        start = time.perf_counter()
        images, labels = next(batches)
        self.waited += time.perf_counter() - start
        group = self.settings.accumulate
        of_update = self.images_from(index // group * group, self.settings.batch_size * group)
        fraction = self.images_from(index, self.settings.batch_size) / of_update
        values = self.loop.step(images, labels, index, self.steps, fraction, self.asked_to_stop)
        self.step += 1
        if self.average:
            self.average.update(self.step)
        return values

    def images_from(self, index: int, most: int) -> int:
        """How many images of an epoch are left before step number `index`, up to `most`."""
        return min(len(self.splits["train"].ids) - index * self.settings.batch_size, most)

    def stopped(self):
        """What to say when the run was asked to stop."""
        epoch, step = divmod(self.step, self.steps)
        where = f"{epoch} epochs" + (f" and {step} of {self.steps} steps" if step else "")
        return Stopped(f"stopped and saved after {where}: go on with the same command and --resume")

    def check_losses(self, losses: list, progress) -> bool:
        """Fetch the losses since the last check: UserError where one is not finite; whether to stop."""
        values = np.array([np.asarray(one) for one in losses])  # (steps, 2)
        bad = np.flatnonzero(~np.isfinite(values[:, 0]))
        if bad.size:
            step = self.step - len(values) + int(bad[0])
            names = ", ".join(pipeline.batch_ids(self.splits["train"], self.settings, step))
            last = checkpoints.files(self.folder)
            raise UserError(
                f"epoch {step // self.steps + 1}, step {step % self.steps + 1} of {self.steps}: the loss is "
                f"{values[bad[0], 0]}; its images: {names}; last good checkpoint: {last[-1] if last else 'none'}. "
                "Lower --learning_rate or limit the gradients (--clip 1) in another --run"
            )
        progress.set_postfix(loss=f"{values[-1, 0]:.4f}", refresh=False)
        return values[-1, 1] > 0

    def end_epoch(self, number: int):
        """The end of an epoch: validation when it is due, records, checkpoint."""
        start = time.perf_counter()
        due = number + 1 == self.settings.epochs or (number + 1) % self.settings.evaluate_every == 0
        row = {"epoch": number + 1, **self.loop.results()}
        if self.average:
            self.average.swap()
        if due:
            row |= self.loop.validate(self.validation)
        row["learning_rate"] = optimizers.last_rate(self.network.optimizer.rule)
        row["seconds"] = self.seconds + time.perf_counter() - start
        row["images_per_second"] = len(self.splits["train"].ids) / self.seconds
        row["waiting"] = self.waited / self.seconds  # fraction of the time, for data
        self.recorder.write(row)
        if self.average:
            self.average.swap()
        if due:
            self.call_back(number, row)
        self.save()
        if devices.is_first():
            self.print_row(row)

    def call_back(self, number: int, row: dict):
        """Let the plateau lower the rate, of all optimizers, and early stopping end the run."""
        for callback in self.callbacks:
            callback.on_epoch_end(number, dict(row))
        if self.settings.plateau:  # Keras lowers the rate of one optimizer
            for other in self.loop.optimizers[1:]:
                other.learning_rate = float(self.loop.optimizers[0].learning_rate)

    def print_row(self, row: dict):
        """The line of an epoch on the screen."""
        left = round(row["seconds"] * (self.settings.epochs - row["epoch"]))  # seconds
        names = [name for name in ("loss", "val_loss", *score_columns()) if name in row]
        scores = ", ".join(f"{name} {row[name]:.4f}" for name in names)
        end = f"{row['images_per_second']:.1f} images/s, {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
        print(f"epoch {row['epoch']}/{self.settings.epochs}: {scores}; {end}", flush=True)

    def summary(self, seconds: float) -> str:
        """The last line."""
        best = self.recorder.best()
        scores = ", ".join(f"{name} {best[name]:.4f}" for name in ("val_loss", *score_columns()))
        speed = pd.Series([row["images_per_second"] for row in self.recorder.rows]).median()
        memory = f"{peak_memory() / 2**30:.1f} GiB"
        for gpu in tf.config.list_logical_devices("GPU"):
            peak = tf.config.experimental.get_memory_info(gpu.name.removeprefix("/device:"))["peak"]
            memory += f", {gpu.name.removeprefix('/device:')} {peak / 2**30:.1f} GiB"
        return (
            f"best epoch {best['epoch']}: {scores}; {seconds:.0f} s, {speed:.1f} images/s, peak memory {memory}\n"
            f"next: python evaluate.py --run {self.settings.run}, which chooses thresholds; then with --split test"
        )


@contextlib.contextmanager
def stopping(training: Training):
    """Ctrl-C and SIGTERM ask the training to stop when it can save; a second one stops it at once."""

    def ask(number, frame):
        if training.asked_to_stop:
            raise KeyboardInterrupt
        training.asked_to_stop = True

    main_thread = threading.current_thread() is threading.main_thread()
    before = {n: signal.signal(n, ask) for n in (signal.SIGINT, signal.SIGTERM)} if main_thread else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
