"""A run from its first step, or that of a checkpoint, to its last: epochs, looks at the loss, checkpoints, stopping."""

import contextlib
import dataclasses
import signal
import threading
import time
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
from training.logger import Average, Recorder
from utils.errors import UserError
from utils.memory import peak_memory

CHECK = 10  # steps between two looks at the loss
COUNTS = ("wait", "best", "cooldown_counter")  # what Keras's callbacks remember


class Stopped(Exception):
    """The run was asked to stop, and has."""


def score_columns():
    """The columns of the log that hold scores of the validation images."""
    return [f"val_{name}" for name in metrics.logged()]


def callbacks(settings):
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

    def __init__(self, settings, launch, splits, network, strategy, saved=None):
        """network: compiled, its optimisers built. saved: what checkpoint.load gave, to go on from there."""
        self.settings, self.launch, self.splits, self.network = settings, launch, splits, network
        self.folder = Path("checkpoint", settings.run)
        self.steps = pipeline.steps_per_epoch(splits["train"], settings)  # an epoch
        self.loop = steps.build(network, settings, strategy)
        if launch.save_every and not self.loop.within_epochs:
            raise UserError("--save_every needs Keras's TensorFlow backend")
        self.average = Average(network, settings.ema) if settings.ema else None
        self.callbacks = callbacks(settings)
        self.validation = pipeline.evaluation(splits["val"], settings)
        self.recorder = Recorder(settings, launch, network, self.loop.judged, splits)
        self.data = checkpoints.fingerprint(splits)
        self.step, self.seconds, self.waited, self.asked_to_stop = 0, 0.0, 0.0, False
        self.alone = len(devices.addresses()[0]) < 2  # else all workers have to look at the same step
        network.stop_training = False
        for callback in self.callbacks:
            callback.set_model(network)
            callback.on_train_begin()
        if saved:
            checkpoints.check(saved[0], settings, self.data)
            self.restore(*saved)

    # --- checkpoints

    def variables(self):
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

    def restore(self, state, values):
        """Take the state of a checkpoint."""
        for group, variables in self.variables().items():
            checkpoints.assign(variables, values.get(group, []), group)
        for callback, counts in zip(self.callbacks, state["callbacks"], strict=True):
            for name, count in counts.items():
                setattr(callback, name, count)
        self.step, self.seconds, self.waited = state["step"], state["seconds"], state["waited"]
        self.recorder.rows = state["rows"]

    def finished(self):
        return self.step == self.steps * self.settings.epochs or (
            self.network.stop_training and self.step % self.steps == 0
        )

    # --- steps

    def run(self):
        """Train to the end, or until asked to stop: Stopped."""
        data = pipeline.training(self.splits["train"], self.settings, self.step)
        if labels := getattr(self.network, "labels", None):
            data = data.map(lambda images, masks: (images, labels(masks)), num_parallel_calls=tf.data.AUTOTUNE)
            data = data.prefetch(tf.data.AUTOTUNE)
        batches = iter(data)
        while not self.finished():
            self.epoch(batches)

    def epoch(self, batches):
        """The steps of an epoch, or those left of it, its validation, records and checkpoint."""
        number, begin = divmod(self.step, self.steps)
        images, size, every = len(self.splits["train"].ids), self.settings.batch_size, self.launch.save_every
        if self.settings.freeze_epochs:
            self.loop.phase(number, begin, self.steps)
        if begin == 0:
            self.loop.reset()
            self.seconds = self.waited = 0.0
        group, losses, stop = size * self.settings.accumulate, [], False
        bar = {"unit": "image", "total": images, "initial": begin * size, "leave": False, "dynamic_ncols": True}
        bar |= {"desc": f"epoch {number + 1}/{self.settings.epochs}", "disable": None if devices.is_first() else True}
        with tqdm(**bar) as progress:
            for place in range(begin, self.steps):
                start = time.perf_counter()
                batch = next(batches)
                self.waited += time.perf_counter() - start
                whole = min(images - place * size // group * group, group)  # images of this update
                count = min(images - place * size, size)
                losses.append(self.loop.step(*batch, place, self.steps, count / whole, self.asked_to_stop))
                self.step += 1
                if self.average:
                    self.average.update(self.step)
                due, inside = every and self.step % every == 0, place + 1 < self.steps
                if len(losses) == CHECK or due or not inside or (self.alone and self.asked_to_stop):
                    stop, losses = self.look(losses, progress), []
                self.seconds += time.perf_counter() - start
                progress.update(count)
                if inside and self.loop.within_epochs and (stop or due):
                    self.save()
                    if stop:
                        raise self.stopped()
        self.close(number)
        if stop and not self.finished():
            raise self.stopped()

    def stopped(self):
        """What to say when the run was asked to stop."""
        epoch, step = divmod(self.step, self.steps)
        where = f"{epoch} epochs" + (f" and {step} of {self.steps} steps" if step else "")
        return Stopped(f"stopped and saved after {where}: go on with the same command and --resume")

    def look(self, losses, progress):
        """Read the losses since the last look: UserError where one is not finite; whether to stop."""
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

    def close(self, number):
        """The end of an epoch: validation when it is due, records, checkpoint."""
        start, last = time.perf_counter(), number + 1 == self.settings.epochs
        row = {"epoch": number + 1, **self.loop.results()}
        if self.average:
            self.average.swap()
        if due := last or (number + 1) % self.settings.evaluate_every == 0:
            row |= self.loop.validate(self.validation)
        row["learning_rate"] = optimizers.last_rate(self.network.optimizer)
        row["seconds"] = self.seconds + time.perf_counter() - start
        row["images_per_second"] = len(self.splits["train"].ids) / self.seconds
        row["waiting"] = self.waited / self.seconds  # share of the time, for data
        self.recorder.write(row)
        if self.average:
            self.average.swap()
        for callback in self.callbacks if due else ():
            callback.on_epoch_end(number, dict(row))
        if self.settings.plateau:  # Keras lowers the rate of one optimiser
            for other in self.loop.optimizers[1:]:
                other.learning_rate = float(self.loop.optimizers[0].learning_rate)
        self.save()
        left = round(row["seconds"] * (self.settings.epochs - row["epoch"]))
        if devices.is_first():
            names = [name for name in ("loss", "val_loss", *score_columns()) if name in row]
            scores = ", ".join(f"{name} {row[name]:.4f}" for name in names)
            end = f"{row['images_per_second']:.1f} images/s, {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
            print(f"epoch {row['epoch']}/{self.settings.epochs}: {scores}; {end}", flush=True)

    def summary(self, seconds):
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
            f"next: python evaluate.py --run {self.settings.run} --split test"
        )


@contextlib.contextmanager
def stopping(training):
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
