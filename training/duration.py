"""How many epochs fit into a time: the speed of a run on this machine, measured before it begins."""

import time

import keras
import numpy as np
from tqdm import tqdm

import config
import pipeline
from datasets.split import Split, subset
from training import steps
from utils.errors import UserError

STEPS = 20  # that are measured, at most
SECONDS = 10.0  # for them, about
EPOCH_END = 2.0  # seconds for the log, its figure, the best network and the checkpoint


def epochs_within(
    seconds: float, settings: config.Settings, splits: dict[str, Split], network: keras.Model, strategy
) -> int:
    """How many epochs of a run, with its validations, take no more than so many seconds; prints it.

    The network is trained for some steps: it is of no use after that.

    Args:
        seconds: that there are from now on.
        settings: of the run, resolved.
        splits: {"train": Split, "val": Split}.
        network, strategy: as training.steps.Loop takes them.

    Raises:
        UserError: not even one.
    """
    begin = time.perf_counter()
    loop = steps.Loop(network, settings, strategy)
    of_step, traced = _step(loop, splits["train"], settings)
    of_validation = _validation(loop, splits["val"], settings)
    epoch = of_step * pipeline.steps_per_epoch(splits["train"], settings) + EPOCH_END
    epoch += of_validation / settings.evaluate_every
    left = seconds - (time.perf_counter() - begin) - traced  # the run's own steps are traced anew
    epochs = int(left / epoch)
    if epochs < 1:
        raise UserError(f"an epoch takes {epoch:.0f} s here and {max(left, 0):.0f} s are left: give more --minutes")
    print(f"an epoch takes {epoch:.1f} s here: as with --epochs {epochs}", flush=True)
    return epochs


def _step(loop, split, settings):
    """Seconds of a step, and of what comes before the first one that is measured."""
    begin = time.perf_counter()
    count = pipeline.steps_per_epoch(split, settings)
    batches = iter(steps.batches(loop.network, split, settings).repeat())

    def run(index):
        images, labels = next(batches)
        np.asarray(loop.step(images, labels, index % count, count, 1.0))  # waits for the device

    warm = 1 + settings.accumulate  # steps with an update and without one are traced
    for index in range(warm):
        run(index)
    start = time.perf_counter()
    done = 0
    for index in tqdm(range(warm, warm + STEPS), unit="step", desc="speed", leave=False, disable=None):
        run(index)
        done += 1
        if done > 1 and time.perf_counter() - start > SECONDS:
            break
    return (time.perf_counter() - start) / done, start - begin


def _validation(loop, split, settings):
    """Seconds of a validation."""
    count = min(len(split.ids), STEPS * settings.batch_size)
    some = pipeline.evaluation(subset(split, np.arange(count)), settings)
    loop.validate(some.take(1))  # is traced
    start = time.perf_counter()
    loop.validate(some)
    return (time.perf_counter() - start) * len(split.ids) / count
