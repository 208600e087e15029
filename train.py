"""Step 2: train a network of the registry on prepared arrays.

    python train.py                                        # AS-Net as published, on dataset_isic18
    python train.py --config configs/isic18_cpu.yaml       # a U-Net that two CPU cores can train in 20 minutes
    python train.py --config configs/isic18_cpu.yaml --run mine --epochs 10 --learning_rate 1e-3
    python train.py --config configs/isic18_cpu.yaml --resume           # go on; --resume previous: one checkpoint back
    python train.py --config mine.yaml --init isic18_cpu                # begin with the weights of another run
    python train.py --config mine.yaml --freeze_epochs 5   # the encoder waits 5 epochs, then all learns more slowly
    python train.py --config mine.yaml --folds 5           # five runs, each validated on another fold, and one of them
    python train.py --runs a,b --run both                  # one network of trained runs, of their mean probability
    python train.py --config mine.yaml --minutes 25        # as many epochs as fit, by the speed of the first steps
    python train.py --config mine.yaml --devices 0,1                    # two GPUs; all there are by default
    python train.py --config mine.yaml --workers a:2222,b:2222 --worker 0   # and --worker 1 on machine b
    python train.py --help                                 # every setting

Writes, for the run NAME (default: the configuration file's name, else the network's):

    checkpoint/NAME/step_00001380.npz  after each epoch (--save_every N: and N steps), the last two: to go on from
    checkpoint_best/NAME/model.keras   the network of the best epoch (setting `monitor`), to evaluate and deploy
    …/settings.yaml, run.json, README.md   its settings, facts and card; training.keras: what else training needs
    output/NAME/log.csv, progress.png  losses, Dice and Jaccard, learning rate and speed of each epoch: Dice and
                                       Jaccard are means over images, of several classes means over these
    output/NAME/tensorboard/           the same for TensorBoard, with sample predictions every --samples_every epochs

--folds N writes that of each fold, NAME_fold1 …, and checkpoint_best/NAME/ of all: one network like any other, whose
scores on val are out of fold (output/NAME/val/): each image's by the run that was not trained on it. --resume goes on
with the fold that was stopped.

A run that was killed, even while it wrote, goes on with --resume as if nothing had been: with --deterministic to the
bit. Ctrl-C and SIGTERM save first. Where the data have no val split, a `validation_fraction` of the training images is
one.

AS-Net on ISIC 2018 at 192 x 256 wants a GPU; the U-Net of width 16 at 128 x 128 trains on 60 images a second on two
CPU cores that know bfloat16.
"""

from __future__ import annotations  # keras.Model is not loaded to be named

import dataclasses
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import config
import model
import runs
from datasets.arrays import open_split, read_meta
from utils import errors
from utils.errors import UserError
from utils.lazy import keys, lazily
from utils.startup import start_kernels, start_tensorflow

with lazily():  # after the command line has been read
    import keras
    import tensorflow as tf

    import loss
    import pipeline
    from compute import devices, precision, updates
    from datasets import class_balance, folds
    from evaluation import evaluate_run, model_card
    from models import cost, training_step
    from training import checkpoints, duration, ensembles, initial_weights, optimizers, score_metrics, trainer

# === Set-up ===


def compiled(settings: config.Settings, split, pretrained: bool = True) -> keras.Model:
    """The network of the settings for the images and classes of a split, compiled, its optimizers built.

    pretrained: whether pretrained weights of the encoder are wanted, as they are but for a run that goes on.
    """
    options = network_options(settings, len(split.classes), pretrained)
    network = model.build(settings.model, input_shape=split.images.shape[1:], **options)
    if settings.mixup and isinstance(network, training_step.TrainingModel):
        raise UserError(f"{settings.model} learns from masks of {{0, 1}}, and mixup makes soft ones: use cutmix")
    shape = training_step.deployed(network).output_shape
    if shape[1:] != split.masks.shape[1:]:
        raise UserError(
            f"{settings.model} gives maps of {shape[1:]}, the masks are {split.masks.shape[1:]}: "
            f"choose other data or other --options (the masks' classes: {', '.join(split.classes)})"
        )
    if settings.initializer != "none":
        spared = model.pretrained_layers(network, settings.model, options)
        initial_weights.initialize(network, settings.initializer, settings.seed, spared)
    an_epoch = math.ceil(pipeline.steps_per_epoch(split, settings) / settings.accumulate)  # updates
    optimizer = optimizers.build(settings, an_epoch)
    if keras.config.dtype_policy().name == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    network.compile(
        optimizer=updates.GlobalBatchOptimizer(optimizer, settings.accumulate, update_factors(network, settings)),
        loss=loss.from_spec(settings.loss, settings.class_weights),  # type: ignore[arg-type]  # no longer "balanced"
        weighted_metrics=score_metrics.build(len(split.classes), settings.threshold),
        auto_scale_loss=False,
        jit_compile=False,
    )
    if not network.optimizer.built:
        network.optimizer.build(network.trainable_variables)
    return network


def update_factors(network: keras.Model, settings: config.Settings) -> dict[str, float]:
    """{path of a weight: what its updates are multiplied by}: the encoder's by the setting `encoder_rate`."""
    if settings.encoder_rate == 1:
        return {}
    encoder = model.encoder(network, settings.model, settings.options)
    return {weight.path: settings.encoder_rate for layer in encoder for weight in layer.trainable_weights}


def network_options(settings: config.Settings, classes: int, pretrained: bool) -> dict:
    """The options of the network: those of the settings, the number of classes and the pretrained weights."""
    options = dict(settings.options)
    known = model.REGISTRY[settings.model].defaults()
    if "classes" in known:
        options.setdefault("classes", classes)
    if settings.weights is not None:
        options["weights"] = settings.weights
    if not pretrained and "weights" in known:
        options["weights"] = "none"
    return options


def open_data(settings):
    """The Splits to train and to validate on; UserError where they have no masks."""
    splits = {}
    for name in ("train", "val"):
        splits[name] = open_split(settings.data, name)
        if splits[name].masks is None:
            raise UserError(f"{settings.data}: the {name} split has no masks: prepare it with its ground truth")
    return splits


def with_validation(settings: config.Settings) -> config.Settings:
    """The settings with an address of data that have a val split: where there is none, a drawn one (datasets/folds.py).

    Raises:
        FileNotFoundError, UserError: no data, or no images with masks to draw from.
    """
    counts = read_meta(settings.data)["counts"]
    if "val" in counts or "train" not in counts:
        return settings
    data = folds.drawn(settings.data, settings.validation_fraction, settings.seed)
    if devices.is_first():
        parts = read_meta(data)["counts"]
        print(
            f"{settings.data} has no val split: {parts['val']} of its {counts['train']} training images validate "
            f"(validation_fraction {settings.validation_fraction:g})",
            flush=True,
        )
    return dataclasses.replace(settings, data=data)


# === Folds and ensembles ===


def train_folds(settings: config.Settings, launch: config.Launch) -> None:
    """Train a run for each fold, RUN_fold1 …, make RUN of them all, and score it out of fold.

    With launch.resume the folds go on where they stopped. launch.minutes are shared by all.
    """
    check_folds(settings, launch)
    each = dataclasses.replace(launch, folds=0, minutes=launch.minutes / launch.folds)
    members = []
    for fold in range(1, launch.folds + 1):
        data = folds.address(settings.data, launch.folds, fold)
        one = dataclasses.replace(settings, run=f"{settings.run}_fold{fold}", data=data)
        members.append(one.run)
        begun = checkpoints.files(Path("checkpoint", one.run))
        resume = launch.resume if begun else None
        try:
            train(one, dataclasses.replace(each, resume=resume))
        except checkpoints.Finished:
            print(f"{one.run}: finished", flush=True)
        keras.backend.clear_session()
    make_ensemble(settings.run, members, folds.address(settings.data, launch.folds))
    try:
        evaluate_run.evaluate(settings.run, "val")
    except FileNotFoundError as problem:
        print(f"{problem}: scored at the network's size", flush=True)
        evaluate_run.evaluate(settings.run, "val", at="network")


def check_folds(settings: config.Settings, launch: config.Launch):
    """UserError, FileExistsError where folds cannot be trained so."""
    if launch.folds < 2:
        raise UserError(f"--folds {launch.folds}: expected 2 or more")
    if launch.resume == "previous":
        raise UserError("--resume previous goes back in one run: give that fold's --run and --data folds:2/5:DATA")
    if launch.workers or devices.addresses()[0]:
        raise UserError("--folds trains on one machine; on several one by one: --data folds:1/5:DATA, then --runs")
    folds.sizes(folds.address(settings.data, launch.folds))  # whether there are so many
    ensembles.require_free(settings.run)


def make_ensemble(name: str, members: list[str], data: str | None = None) -> None:
    """Write a run of several as one network, with its model card."""
    folder = ensembles.write(name, members, data)
    model_card.write(folder)
    print(f"{name}: the mean of {', '.join(members)}, {runs.network_file(folder)}", flush=True)


# === The run ===


def train(settings: config.Settings, launch: config.Launch | None = None) -> list[dict]:
    """Train as the settings say; returns the log as a list of rows, one per epoch. The settings stay as they are.

    Raises:
        FileNotFoundError, UserError, FileExistsError: data, settings or checkpoints that do not fit.
        devices.WorkerLost: another worker is gone. Stopped: by Ctrl-C or SIGTERM, all saved.
    """
    # 1. data
    start = time.perf_counter()
    launch = launch or config.Launch()
    check(settings, launch)
    settings = with_validation(settings)
    splits = open_data(settings)
    folder = Path("checkpoint", settings.run)
    if not launch.resume and checkpoints.files(folder):
        raise FileExistsError(f"run '{settings.run}' exists: go on with --resume, or choose another name with --run")

    # 2. devices and network
    strategy = devices.strategy(launch)
    if launch.deterministic:
        tf.config.experimental.enable_op_determinism()
    start_kernels()
    with checkpoints.locked(folder, devices.is_first()), strategy.scope(), devices.watching():
        saved = checkpoints.load(folder, launch.resume) if launch.resume else None
        settings = resolved(settings, splits["train"], saved)
        if launch.minutes:
            settings = with_epochs(settings, start + 60 * launch.minutes, splits, strategy, saved)
        precision.use(settings.precision)
        keras.utils.set_random_seed(settings.seed)
        network = compiled(settings, splits["train"], pretrained=not saved)
        if launch.init:
            initial_weights.take_over(network, launch.init)
        training = trainer.Training(settings, launch, splits, network, strategy, saved)
        if devices.is_first():
            height, width = splits["train"].images.shape[1:3]
            print(
                f"{settings.run}: {settings.model}, {cost.parameters(network):,} trainable parameters, "
                f"{len(splits['train'].ids)} images of {height} x {width}, {training.steps} steps an epoch, "
                f"{strategy.num_replicas_in_sync} devices",
                flush=True,
            )

        # 3. training
        with trainer.stopping(training):
            training.run()

    # 4. summary
    if devices.is_first():
        model_card.write(training.recorder.best_folder)
        print(training.summary(time.perf_counter() - start))
    return training.recorder.rows


def check(settings: config.Settings, launch: config.Launch):
    """UserError where a run cannot begin so, whatever its data."""
    if keras.backend.backend() != "tensorflow":
        backend = keras.backend.backend()
        raise UserError(f"training needs Keras's TensorFlow backend, not {backend}: set KERAS_BACKEND=tensorflow")
    if settings.model not in model.REGISTRY:
        raise UserError(f"no network named '{settings.model}'; there are: {', '.join(model.names())}")
    if launch.init and launch.resume:
        raise UserError("--init begins a run and --resume goes on with one: give one of them")


def resolved(settings: config.Settings, images, saved=None) -> config.Settings:
    """The settings with what they leave to the network, the training images (a Split) and this machine.

    saved: the checkpoint to go on from, or None.
    """
    changes: dict[str, Any] = {"normalize": settings.normalize or model.REGISTRY[settings.model].normalization}
    if settings.class_weights == "balanced":
        changes["class_weights"] = class_balance.class_weights(images)
    number_format = settings.precision
    if saved and number_format == "auto":  # what it was on the machine where the run began
        number_format = saved[0]["settings"]["precision"]
    changes["precision"] = precision.resolve(number_format)
    return dataclasses.replace(settings, **changes)


def with_epochs(settings: config.Settings, end: float, splits: dict, strategy, saved=None) -> config.Settings:
    """The settings with as many epochs as end in time; of a run that goes on with those that it began with.

    end: when, of time.perf_counter(). saved: the checkpoint to go on from, or None.
    """
    if saved:
        return dataclasses.replace(settings, epochs=saved[0]["settings"]["epochs"])
    if len(devices.addresses()[0]) > 1:
        raise UserError("--minutes measures the speed of one machine: give --epochs where there are several workers")
    start = time.perf_counter()
    precision.use(settings.precision)
    network = compiled(settings, splits["train"])
    left = end - 2 * time.perf_counter() + start  # what has been built is built again
    epochs = duration.epochs_within(left, settings, splits, network, strategy)
    keras.backend.clear_session()  # so that the layers get the names that they would have had
    return dataclasses.replace(settings, epochs=epochs)


@errors.in_one_line()
def main(argv=None):
    epilog = f"networks (--model): {', '.join(model.names())}. Losses (--loss): {', '.join(keys('loss', 'LOSSES'))}."
    settings, launch = config.parse(argv, epilog)
    start_tensorflow()
    try:
        if launch.runs:
            make_ensemble(settings.run, launch.runs.split(","))
        elif launch.folds:
            train_folds(settings, launch)
        else:
            train(settings, launch)
    except devices.WorkerLost as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # TensorFlow would wait for the worker that is gone
    except trainer.Stopped as stop:
        print(stop)
        sys.exit(130)


if __name__ == "__main__":
    main()
