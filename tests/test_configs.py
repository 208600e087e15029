"""Every YAML of configs/ for two steps: its own network, small, on tiny data."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

import config
import model
import pipeline
import train
from datasets.isic2018 import ATTRIBUTES
from datasets.split import Split
from models.training_step import TrainingModel
from training import steps as training_steps

FILES = sorted(Path(__file__).parents[1].glob("configs/*.yaml"))
SMALL = {
    "attributes_convnext_unet": ["--weights", "none", "--options.width", "4", "--options.blocks", "[1, 1, 1, 1]"],
    "as_net": ["--weights", "none"],
    "efficientnet_unet": ["--weights", "none", "--options.widths", "[4, 4, 4, 4]"],
    "unext": [],
    "jaal_net": ["--options.width", "4", "--options.discriminator_width", "4"],
}


def images(classes):
    """A Split of four random images of 32 x 32."""
    random = np.random.default_rng(0)
    pixels, masks = random.integers(0, 256, (4, 32, 32, 3), "uint8"), random.integers(0, 2, (4, 32, 32, len(classes)))
    return Split(pixels, masks.astype("uint8"), list("abcd"), np.full((4, 2), 32), classes)


@pytest.fixture
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_two_steps(file, eagerly):
    name = yaml.safe_load(file.read_text())["model"]
    small = SMALL.get(name, ["--options.width", "4", "--options.depth", "2"])
    settings, _ = config.parse(["--config", str(file), *small, "--batch_size", "2", "--epochs", "1"])
    settings = dataclasses.replace(settings, normalize=settings.normalize or model.REGISTRY[name].normalization)
    data = images(ATTRIBUTES if file.stem.startswith("attributes") else ["lesion"])
    keras.utils.set_random_seed(0)
    network = train.compiled(settings, data)
    steps = training_steps.Loop(network, settings, tf.distribute.get_strategy())
    before = [v.numpy() for v in network.trainable_variables]
    labels = network.labels if isinstance(network, TrainingModel) else lambda masks: masks
    for place, (pixels, masks) in enumerate(pipeline.training(data, settings)):
        values = steps.step(pixels, labels(masks), place, 2, 1.0)
    assert np.isfinite(values).all() and int(network.optimizer.iterations) == 2
    moved = [not np.array_equal(v, old) for v, old in zip(network.trainable_variables, before, strict=True)]
    assert np.mean(moved) > 0.8
