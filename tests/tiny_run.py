"""Runs and prepared folders so small that scores can be worked out by hand: bright pixels are what is found."""

import copy

import keras
import numpy as np

import config
import runs
from datasets.arrays import Writer
from datasets.phantoms import phantom
from evaluation import training_images
from imaging import image_statistics
from inference.trust import Trust

SIZE = (4, 5)  # 20 pixels an image
ATTRIBUTES = ["pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules"]


def network(size=SIZE, classes=1, level=0.5):
    """Logits 20 (x - level) of the channels of a `unit` image, in turn: bright pixels are predicted."""
    inputs = keras.Input((*size, 3))
    layer = keras.layers.Conv2D(classes, 1)
    outputs = layer(inputs)
    kernel = np.zeros((1, 1, 3, classes), "float32")
    for k in range(classes):
        kernel[0, 0, k % 3, k] = 20
    layer.set_weights([kernel, np.full(classes, -20 * level, "float32")])
    return keras.Model(inputs, outputs)


def save_run(run, size=SIZE, classes=1, level=0.5, **settings):
    folder = runs.BEST / run
    folder.mkdir(parents=True)
    network(size, classes, level).save(folder / "model.keras")
    chosen = {"run": run, "data": "data", "normalize": "unit", "batch_size": 2, **settings}
    config.save(config.Settings(**chosen), folder / "settings.yaml")


def trusting(predictor):
    """The predictor with a temperature of 2, a model of quality, and the limits of phantoms."""
    result = copy.copy(predictor)
    model = {"names": ["vagueness", "log_area"], "means": [0, 0], "scales": [1, 1], "weights": [-0.5, 0.1]}
    model |= {"intercept": 0.9, "threshold": predictor.thresholds[0], "clean": predictor.settings.clean, "least": 0.3}
    images = [phantom(seed=seed, height=48, width=64).image for seed in range(100)]
    limits = training_images.of_statistics(np.array([image_statistics.describe(image) for image in images]))
    count = len(predictor.classes)
    result.trust = Trust([2.0] * count, [model] * count, limits | {"areas": [0.01, 0.9]})
    return result


def save_data(images, masks, split="test", root="data", classes=("lesion",)):
    """images: (N, H, W, 3) uint8; masks: (N, H, W, classes) or None. The ids are ISIC_0000000, ISIC_0000001, …"""
    with Writer(root, {"dataset": "tiny", "task": 1}, images.shape[1:3], classes) as writer:
        for i, image in enumerate(images):
            writer.add(split, f"ISIC_{i:07}", image, None if masks is None else masks[i], (40, 50))


def bright(*areas):
    """Images (N, 4, 5, 3) whose first pixels, so many as told, are white."""
    images = np.zeros((len(areas), 20, 3), np.uint8)
    for image, area in zip(images, areas, strict=True):
        image[:area] = 255
    return images.reshape(-1, *SIZE, 3)


def masks_of(*spans):
    """Masks (N, 4, 5, 1) that hold the pixels from start to stop."""
    masks = np.zeros((len(spans), 20), np.uint8)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[start:stop] = 1
    return masks.reshape(-1, *SIZE, 1)
