"""All augmentations, each one function here, and `augment`, which applies those that are on to a batch.

A function and the decorator above it are everything there is of an augmentation: the name of its setting is that of the
function, the help text its docstring; default, range, kind and the strength at which `augmentation.py --preview` draws
it stand in the decorator. They are applied in the order of this file. The seed of each is made of its name and of the
step's seed, so that another augmentation changes none of its draws.

A function draws for each image of a batch, by its seed alone. What it takes and returns is that of its kind:

    geometry        f(images, strength, seed)          matrices (B, 3, 3) of imaging/geometry.py, or displacements of
                                                       the pixels (B, 2, H, W); neighbors in the order share one warp
    color           f(images, mean, strength, seed)    a transform of imaging/color.py, where mean (B, 3) is the mean
                                                       color so far; neighbors in the order share one pass
    image           f(images, strength, seed)          images; the masks stay
    image_and_mask  f(images, masks, strength, seed)   images and masks
    mix             f(images, strength, seed)          weights (B, H or 1, W or 1, 1) of the next image of the batch and
                                                       of its mask; for each image one of those that are on is drawn

Images are (B, H, W, 3) float32, 0 to 255, masks (B, H, W, C) float32 {0, 1}, a strength is the setting's value, a seed
int64 (2,).
"""

import dataclasses
import itertools
import math
import zlib
from typing import Any

from imaging import color, effects, geometry
from utils.lazy import lazily
from utils.settings import setting

with lazily():
    import tensorflow as tf

KINDS = ("geometry", "color", "image", "image_and_mask", "mix")
_entries = []  # (name, type, field) of each augmentation


def augmentation(kind, default, low=None, high=None, *, preview):
    """A decorator that makes a function an augmentation.

    Args:
        kind: one of KINDS.
        default: value of the setting that changes nothing: False, 0 or 0.0; its type is that of the setting.
        low, high: smallest and largest value of a number.
        preview: the value that `augmentation.py --preview` draws.
    """

    def register(function):
        if kind not in KINDS:
            raise ValueError(f"{function.__name__} is of kind {kind!r}, expected one of {', '.join(KINDS)}")
        text = function.__doc__[0].lower() + " ".join(function.__doc__[1:].split()).rstrip(".")
        field = setting(default, text, low, high, kind=kind, function=function, preview=preview)
        _entries.append((function.__name__, type(default), field))
        return function

    return register


def uniform(images, seed):
    """A draw (B,) from [-1, 1) for each image."""
    return tf.random.stateless_uniform([tf.shape(images)[0]], seed, -1.0, 1.0)


def chosen(images, fraction, seed):
    """Which images, bool (B,), make up about this fraction of all."""
    return tf.random.stateless_uniform([tf.shape(images)[0]], seed) < fraction


# === Geometry ===


@augmentation("geometry", False, preview=True)
def flip(images, on, seed):
    """Mirror left to right, half of the time."""
    return geometry.mirror(chosen(images, 0.5, seed))


@augmentation("geometry", 0.0, 0, 60, preview=30.0)
def shear(images, degrees, seed):
    """Slant by up to this many degrees either way."""
    return geometry.shear(uniform(images, seed) * math.radians(degrees))


@augmentation("geometry", False, preview=True)
def turn(images, on, seed):
    """Turn by a multiple of 90 degrees (180 where the image is not square)."""
    height, width = images.shape[1:3]
    quarters = 1 if height == width else 2
    number = tf.random.stateless_uniform([tf.shape(images)[0]], seed, 0, 4 // quarters, tf.int32)
    return geometry.rotate(tf.cast(number, tf.float32) * (quarters * math.pi / 2))


@augmentation("geometry", 0.0, 0, 180, preview=45.0)
def rotation(images, degrees, seed):
    """Rotate by up to this many degrees either way."""
    return geometry.rotate(uniform(images, seed) * math.radians(degrees))


@augmentation("geometry", 0.0, 0, 0.9, preview=0.4)
def zoom(images, strength, seed):
    """Scale by a factor between 1 - zoom and 1 + zoom."""
    return geometry.scale(1 + uniform(images, seed) * strength)


@augmentation("geometry", 0.0, 0, 0.5, preview=0.2)
def shift(images, fraction, seed):
    """Move by up to this fraction of the height and of the width."""
    height, width = images.shape[1:3]
    draws = tf.random.stateless_uniform([tf.shape(images)[0], 2], seed, -fraction, fraction)
    return geometry.shift(draws[:, 0] * width, draws[:, 1] * height)


@augmentation("geometry", 0.0, 0, 0.09, preview=0.09)
def elastic(images, fraction, seed):
    """Bend smoothly, each part of the image by up to this fraction of the shorter side."""
    return geometry.displacement(tf.shape(images)[0], *images.shape[1:3], fraction, seed)


# === What lies on the skin, and the light ===


@augmentation("image", 0, 0, 100, preview=20)
def hair(images, count, seed):
    """Draw up to this many dark hairs."""
    return effects.draw_hair(images, count, seed)


@augmentation("color", 0.0, 0, 1, preview=1.0)
def color_constancy(images, mean, fraction, seed):
    """Fraction of the images from which the color of the lamp is taken out (shades of gray)."""
    factors = tf.where(chosen(images, fraction, seed)[:, None], color.shades_of_gray(images), 1.0)
    return color.channels(factors)


@augmentation("color", 0.0, 0, 180, preview=25.0)
def hue(images, mean, degrees, seed):
    """Turn the hue by up to this many degrees either way."""
    return color.hue(uniform(images, seed) * math.radians(degrees))


@augmentation("color", 0.0, 0, 1, preview=0.8)
def saturation(images, mean, strength, seed):
    """Scale the distance from gray by a factor between 1 - saturation and 1 + saturation."""
    return color.saturation(1 + uniform(images, seed) * strength)


@augmentation("color", 0.0, 0, 1, preview=0.6)
def contrast(images, mean, strength, seed):
    """Scale the distance from the mean color by a factor between 1 - contrast and 1 + contrast."""
    return color.contrast(1 + uniform(images, seed) * strength, mean)


@augmentation("color", 0.0, 0, 1, preview=0.3)
def brightness(images, mean, fraction, seed):
    """Add up to this fraction of the value range, or take it away."""
    return color.brightness(uniform(images, seed) * 255 * fraction)


# === The camera ===


@augmentation("image", 0.0, 0, 20, preview=3.0)
def blur(images, deviation, seed):
    """Blur by a Gaussian whose standard deviation is up to this many pixels."""
    return effects.blur(images, deviation, seed)


@augmentation("image", 0, 0, 99, preview=98)
def jpeg(images, loss, seed):
    """Compress as a JPEG, its quality (0 to 100) lowered by up to this much."""
    return effects.jpeg(images, loss, seed)


# === Covering and mixing ===


@augmentation("image_and_mask", 0.0, 0, 1, preview=0.5)
def cutout(images, masks, fraction, seed):
    """Blacken a box of up to this fraction of the height and of the width; nothing of the mask is left there."""
    return effects.cut_out(images, masks, fraction, seed)


@augmentation("mix", 0.0, 0, 10, preview=1.0)
def mixup(images, alpha, seed):
    """Blend with the next image of the batch, masks too (they become soft), weights of Beta(mixup, mixup); 0: never."""
    return effects.blend(images, alpha, seed)


@augmentation("mix", 0.0, 0, 10, preview=1.0)
def cutmix(images, alpha, seed):
    """Paste a box of the next image of the batch, its mask too, areas of Beta(cutmix, cutmix); 0: never."""
    return effects.paste(images, alpha, seed)


# === All of them ===

Augmentations: Any = dataclasses.make_dataclass("Augmentations", _entries)
Augmentations.__doc__ = "The settings of all augmentations, what is drawn anew for every image and epoch."
FIELDS = dataclasses.fields(Augmentations)


def key(seed, name):
    """The seed, int64 (2,), of what is called `name` in the step whose seed is `seed`, int (2,)."""
    return tf.random.fold_in(tf.cast(seed, tf.int64), tf.constant(zlib.crc32(name.encode()), tf.int64))


def augment(images, masks, settings, seed, fill="REFLECT"):
    """Draw what is done to each image, and do the same to image and mask.

    Args:
        images: (B, H, W, 3), any dtype, 0 to 255.
        masks: (B, H, W, C), any dtype, {0, 1}.
        settings: Augmentations, or Settings, which are some.
        seed: int (2,), decides every draw.
        fill: REFLECT or NEAREST, what is put where the image ends.

    Returns:
        (B, H, W, 3) float32, 0 to 255, and (B, H, W, C) float32 {0, 1}, but [0, 1] with `mixup`.
    """
    images, masks = tf.cast(images, tf.float32), tf.cast(masks, tf.float32)
    on = [field for field in FIELDS if getattr(settings, field.name)]
    for kind, fields in itertools.groupby(on, key=lambda field: field.metadata["kind"]):
        calls = [(f.metadata["function"], getattr(settings, f.name), key(seed, f.name)) for f in fields]
        if kind == "geometry":
            images, masks = _warp(images, masks, calls, fill)
        elif kind == "color":
            images = _recolor(images, calls)
        elif kind == "image":
            for function, strength, its_seed in calls:
                images = function(images, strength, its_seed)
        elif kind == "image_and_mask":
            for function, strength, its_seed in calls:
                images, masks = function(images, masks, strength, its_seed)
        else:
            weights = [function(images, strength, its_seed) for function, strength, its_seed in calls]
            images, masks = effects.mix(images, masks, weights, key(seed, "mix"))
    return images, masks


def _warp(images, masks, calls, fill):
    """Apply geometric augmentations, each (function, strength, seed), by one interpolation."""
    matrices = geometry.identity(tf.shape(images)[0])
    displacements = None
    for function, strength, seed in calls:
        drawn = function(images, strength, seed)
        if drawn.shape.rank == 3:
            matrices = geometry.compose(drawn, matrices)
        else:
            displacements = drawn if displacements is None else displacements + drawn
    return geometry.warp(images, masks, matrices, displacements, fill)


def _recolor(images, calls):
    """Apply color augmentations, each (function, strength, seed), by one matrix product."""
    transform = color.identity(tf.shape(images)[0])
    mean = color.mean_color(images)
    for function, strength, seed in calls:
        drawn = function(images, color.change(mean, transform), strength, seed)
        transform = color.compose(drawn, transform)
    return color.recolor(images, transform)
