"""Prepared arrays -> tf.data: shuffle, batch, remove hair, augment whole batches, normalize.

A training batch is a pure function of (seed, step): the order of an epoch is a keyed permutation of the image numbers,
which may become draws that favor rare classes (datasets/class_balance.py), and every augmentation draw is keyed by the
step. So a run can go on from any step and meet the batches it would have met, nothing has to be filled or saved, and
the arrays stay on disk until a batch is read.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from config import Settings
from datasets import class_balance
from datasets.split import Split
from imaging import hair_removal
from imaging.augmentations import augment, key
from imaging.normalization import normalize
from imaging.per_image import per_image
from utils.errors import UserError


def clean(images, settings: Settings):
    """uint8 images (B, H, W, 3) without dark hairs where `remove_hair` says so; done before anything else."""
    return per_image(hair_removal.remove, images, 3) if settings.remove_hair else images


def steps_per_epoch(split: Split, settings: Settings) -> int:
    """Batches that cover a split once, the last one as small as it comes."""
    return math.ceil(len(split.ids) / settings.batch_size)


def training(split: Split, settings: Settings, first_step: int = 0) -> tf.data.Dataset:
    """Augmented batches of a split from `first_step` to the end of the last epoch.

    Args:
        split: with masks.
        settings: with `normalize` resolved.
        first_step: batches to leave out, as when a run goes on.

    Returns:
        tf.data.Dataset of images (B, H, W, 3) float32, normalized, and masks (B, H, W, C) float32 {0, 1}.

    Raises:
        UserError: the split has no masks, or none of several annotators of which to draw.
    """
    if split.masks is None:
        raise UserError("the training images have no masks: prepare the data with their ground truth")
    draws = _draws(split, settings)

    def read(step):
        numbers = _order(len(split.ids), settings, step, draws)
        if settings.annotator == "drawn":
            return step, *_drawn(split, numbers, settings, step)
        return step, *_gather(split, numbers)

    def prepare(step, images, masks):
        seed = tf.stack([tf.cast(settings.seed, tf.int64), step])
        images, masks = augment(clean(images, settings), masks, settings, seed)
        return normalize(images, settings.normalize), masks

    if settings.annotator == "drawn" and not split.annotators:
        raise UserError("annotator drawn: the training images have no masks of several annotators (docs/annotators.md)")
    steps = tf.data.Dataset.range(first_step, steps_per_epoch(split, settings) * settings.epochs)
    return steps.map(read).map(prepare, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def batch_ids(split: Split, settings: Settings, step: int) -> list[str]:
    """Names of the images of a training step."""
    numbers = _order(len(split.ids), settings, tf.constant(step, tf.int64), _draws(split, settings))
    return [split.ids[i] for i in numbers.numpy()]


def _draws(split, settings):
    return class_balance.Draws(split, settings.rare) if settings.rare else None


def _order(count, settings, step, draws):
    """Numbers (B,) of the images of a training step, int64: of an order of all images, or draws by it."""
    steps = math.ceil(count / settings.batch_size)
    epoch = step // steps
    start = step % steps * settings.batch_size
    positions = tf.range(start, tf.minimum(start + settings.batch_size, count))
    seed = tf.stack([tf.cast(settings.seed, tf.int64), epoch])
    order = tf.random.experimental.index_shuffle(positions, seed, tf.cast(count - 1, tf.int64))
    return draws(order, seed) if draws else order


def evaluation(split: Split, settings: Settings, batch_size: int | None = None) -> tf.data.Dataset:
    """Every image of a split once, in order, as it is.

    Args:
        split: with or without masks.
        settings: with `normalize` resolved.
        batch_size: None: that of the settings.

    Returns:
        tf.data.Dataset of images (B, H, W, 3) float32, normalized, and, where the split has them, masks (B, H, W, C)
        float32 {0, 1}; the last batch as small as it comes.
    """
    batch = batch_size or settings.batch_size
    count = len(split.ids)

    def read(start):
        arrays = _gather(split, tf.range(start, tf.minimum(start + batch, count)))
        images = normalize(clean(arrays[0], settings), settings.normalize)
        return (images, tf.cast(arrays[1], tf.float32)) if len(arrays) > 1 else images

    return tf.data.Dataset.range(0, count, batch).map(read).prefetch(tf.data.AUTOTUNE)


def _drawn(split, numbers, settings, step):
    """Images (B, H, W, 3) and for each the mask of one of its annotators (B, H, W, C), drawn by seed and step."""
    images, votes = _gather(dataclasses.replace(split, masks=split.votes), numbers)
    counts = tf.gather(tf.constant([len(names) for names in split.annotators]), numbers)  # (B,)
    seed = key(tf.stack([tf.cast(settings.seed, tf.int64), step]), "annotator")
    chance = tf.random.stateless_uniform(tf.shape(numbers), seed)  # [0, 1)
    chosen = tf.cast(tf.cast(counts, tf.float32) * chance, tf.uint8)[:, None, None, None]
    return images, tf.bitwise.bitwise_and(tf.bitwise.right_shift(votes, chosen), np.uint8(1))


def _gather(split, numbers):
    """Images (B, H, W, 3) and, where there are some, masks (B, H, W, C), uint8, of these numbers."""
    arrays = [split.images] if split.masks is None else [split.images, split.masks]
    rows = tf.numpy_function(lambda n: [a[n] for a in arrays], [numbers], [tf.uint8] * len(arrays))
    for row, array in zip(rows, arrays, strict=True):
        row.set_shape((None, *array.shape[1:]))
    return rows
