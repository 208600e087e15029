"""Prepared arrays -> tf.data: shuffle, batch, remove hair, augment whole batches, normalise.

A training batch is a pure function of (seed, step): the order of an epoch is a keyed permutation of the image numbers,
which may become draws that favor rare classes (imbalance.py), and every augmentation draw is keyed by the step. So a
run can go on from any step and meet the batches it would have met, nothing has to be filled or saved, and the arrays
stay on disk until a batch is read.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from augmentation import augment
from datasets import class_balance
from datasets.preparation.splits import held_out
from imaging import hair_removal
from models.jaal_net import edge_map
from utils.errors import UserError

MEAN = np.array([0.61788, 0.49051, 0.43048], "float32")  # of the ISIC 2018 training images, RGB in [0, 1]
STD = np.array([0.19839, 0.16931, 0.16544], "float32")
GAMMA = 1.6  # AS-Net
TILES = 4  # images of a mosaic


def normalize(images, kind):
    """What a network wants to see.

    Args:
        images: (B, H, W, 3), any dtype, 0 to 255.
        kind: unit (x / 255), gamma ((x / 255) ** 1.6, AS-Net), minmax (each image to [-1, 1]), minmax_edges (that, and
            its Canny edges as a fourth channel of {0, 1}, JAAL-Net) or standardize (x / 255 less the mean of ISIC
            2018, over its deviation, the attribute U-Nets).

    Returns:
        (B, H, W, 3) float32, for minmax_edges (B, H, W, 4).
    """
    images = tf.cast(images, tf.float32)
    if kind in ("minmax", "minmax_edges"):
        low = tf.reduce_min(images, axis=(1, 2, 3), keepdims=True)
        high = tf.reduce_max(images, axis=(1, 2, 3), keepdims=True)
        scaled = 2 * tf.math.divide_no_nan(images - low, high - low) - 1
        return scaled if kind == "minmax" else tf.concat([scaled, _edges(images)], axis=-1)
    if kind == "standardize":
        row = (1, 1, images.shape[2], 3)  # the factors of a whole row, as broadcasting three channels is slow
        return images * np.broadcast_to(1 / (255 * STD), row) - np.broadcast_to(MEAN / STD, row)
    if kind == "gamma":
        return tf.exp(GAMMA * tf.math.log(images / 255 + 1e-12))  # four times as fast as the power
    if kind != "unit":
        raise UserError(f"normalize is '{kind}', expected unit, gamma, minmax, minmax_edges or standardize")
    return images / 255


def _edges(images):
    """Canny edges (B, H, W, 1) float32 {0, 1} of images (B, H, W, 3), 0 to 255."""
    return tf.cast(_each(edge_map, tf.cast(tf.round(images), tf.uint8), 1), tf.float32)


def clean(images, settings):
    """uint8 images (B, H, W, 3) without dark hairs where `remove_hair` says so; done before anything else."""
    return _each(hair_removal.remove, images, 3) if settings.remove_hair else images


def _each(function, images, channels):
    """function of each image of a batch, by NumPy: uint8 (B, H, W, 3) -> uint8 (B, H, W, channels)."""
    result = tf.numpy_function(lambda batch: np.stack([function(image) for image in batch]), [images], tf.uint8)
    return tf.ensure_shape(result, (*images.shape[:3], channels))


class Rows:
    """Some rows of an array, read when they are asked for; indexed along the first axis alone."""

    def __init__(self, array, numbers):
        self.array, self.numbers = array, numbers
        self.shape, self.dtype = (len(numbers), *array.shape[1:]), array.dtype

    def __getitem__(self, rows):
        return self.array[self.numbers[rows]]

    def __len__(self):
        return len(self.numbers)


def subset(split, numbers):
    """The images of these numbers, an array, as a Split."""
    images = Rows(split.images, numbers)
    masks = None if split.masks is None else Rows(split.masks, numbers)
    ids = [split.ids[i] for i in numbers]
    return dataclasses.replace(split, images=images, masks=masks, ids=ids, sizes=split.sizes[numbers])


def divided(split, share, seed):
    """A split in two, drawn by the seed: (the rest, `share` of the images and at least one), both in their order.

    Near-copies stay on one side, and both are alike in lesion area. UserError: there are no two different images.
    """
    few = held_out(split, share, seed)
    return subset(split, np.flatnonzero(~few)), subset(split, np.flatnonzero(few))


def steps_per_epoch(split, settings):
    """Batches that cover a split once, the last one as small as it comes."""
    return math.ceil(len(split.ids) / settings.batch_size)


def training(split, settings, first_step=0):
    """Augmented batches of a split from `first_step` to the end of the last epoch.

    Args:
        split: datasets.prepared.Split with masks.
        settings: Settings with `normalize` resolved.
        first_step: batches to leave out, as when a run goes on.

    Returns:
        tf.data.Dataset of images (B, H, W, 3) float32, normalised, and masks (B, H, W, C) float32 {0, 1}.

    Raises:
        UserError: the split has no masks.
    """
    if split.masks is None:
        raise UserError("the training images have no masks: prepare the data with their ground truth")
    count, steps, draws = len(split.ids), steps_per_epoch(split, settings), _draws(split, settings)
    if settings.mosaic and any(length % 2 for length in split.images.shape[1:3]):
        raise UserError(f"mosaic halves images, those here are {split.images.shape[1:3]}: prepare an even --size")

    def batches(start, stop, tiles):
        def read(step):
            return step, *_gather(split, _order(count, settings, step, tiles, draws))

        def prepare(step, images, masks):
            images = clean(images, settings)
            if tiles > 1:
                images, masks = _halved(images), _halved(masks)  # (4 B, H/2, W/2, ·)
            images, masks = augment(images, masks, settings, tf.stack([tf.cast(settings.seed, tf.int64), step]))
            images = normalize(images, settings.normalize)
            return (images, masks) if tiles == 1 else (_four_in_one(images), _four_in_one(masks))

        return tf.data.Dataset.range(start, stop).map(read).map(prepare, num_parallel_calls=tf.data.AUTOTUNE)

    whole = mosaic_steps(split, settings)  # from here on
    data = batches(first_step, whole, TILES).concatenate(batches(max(first_step, whole), steps * settings.epochs, 1))
    return data.prefetch(tf.data.AUTOTUNE)


def mosaic_steps(split, settings):
    """The number of steps, the first ones, whose images are made of four: a whole number of epochs."""
    return round(settings.mosaic * settings.epochs) * steps_per_epoch(split, settings)


def _halved(x):
    """uint8 (B, H, W, C) -> (B, H/2, W/2, C) of the mean of each 2 x 2 pixels; half a mask's pixel is none."""
    return tf.cast(tf.round(tf.nn.avg_pool2d(tf.cast(x, tf.float32), 2, 2, "VALID")), tf.uint8)


def _four_in_one(x):
    """(4 B, H/2, W/2, C) -> (B, H, W, C), two by two."""
    h, w, c = x.shape[1:]
    x = tf.transpose(tf.reshape(x, (2, 2, -1, h, w, c)), (2, 0, 3, 1, 4, 5))  # (B, 2, H/2, 2, W/2, C)
    return tf.reshape(x, (-1, 2 * h, 2 * w, c))


def batch_ids(split, settings, step):
    """Names of the images of a training step."""
    tiles, step = TILES if step < mosaic_steps(split, settings) else 1, tf.constant(step, tf.int64)
    return [split.ids[i] for i in _order(len(split.ids), settings, step, tiles, _draws(split, settings)).numpy()]


def _draws(split, settings):
    return class_balance.Draws(split, settings.rare) if settings.rare else None


def _order(count, settings, step, tiles, draws):
    """Numbers (tiles * B,) of the images of a training step, int64: an order of all images for each tile and epoch, or
    draws by it."""
    batch = settings.batch_size
    steps = math.ceil(count / batch)
    epoch, place = step // steps, step % steps * batch
    place = tf.range(place, tf.minimum(place + batch, count))
    seeds = [tf.stack([tf.cast(settings.seed, tf.int64), tiles * epoch + tile]) for tile in range(tiles)]
    last = tf.cast(count - 1, tf.int64)
    orders = [tf.random.experimental.index_shuffle(place, seed, last) for seed in seeds]
    return tf.concat([draws(o, seed) for o, seed in zip(orders, seeds, strict=True)] if draws else orders, axis=0)


def evaluation(split, settings, batch_size=None):
    """Every image of a split once, in order, as it is.

    Returns:
        tf.data.Dataset of images (B, H, W, 3) float32, normalised, and, where the split has them, masks (B, H, W, C)
        float32 {0, 1}; the last batch as small as it comes.
    """
    batch = batch_size or settings.batch_size
    count = len(split.ids)

    def read(start):
        arrays = _gather(split, tf.range(start, tf.minimum(start + batch, count)))
        images = normalize(clean(arrays[0], settings), settings.normalize)
        return (images, tf.cast(arrays[1], tf.float32)) if len(arrays) > 1 else images

    return tf.data.Dataset.range(0, count, batch).map(read).prefetch(tf.data.AUTOTUNE)


def _gather(split, numbers):
    """Images (B, H, W, 3) and, where there are some, masks (B, H, W, C), uint8, of these numbers."""
    arrays = [split.images] if split.masks is None else [split.images, split.masks]
    rows = tf.numpy_function(lambda n: [a[n] for a in arrays], [numbers], [tf.uint8] * len(arrays))
    for row, array in zip(rows, arrays, strict=True):
        row.set_shape((None, *array.shape[1:]))
    return rows
