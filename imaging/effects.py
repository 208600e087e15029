"""What augmentation adds to a picture or mixes: drawn hairs, blur, JPEG, covered boxes, MixUp and CutMix.

Each function takes a batch of images (B, H, W, 3) float32, 0 to 255, and a seed, int (2,), which alone decides every
draw. Masks are (B, H, W, C) float32.
"""

import math

from utils.lazy import lazily

with lazily():
    import tensorflow as tf


HAIR = (48.0, 34.0, 28.0)  # RGB of a dark brown hair


# === Hair ===


def draw_hair(images, count, seed):
    """Draw 0 to `count` dark hairs on each image: bent, tapering, most in one direction, as hair lies on skin."""
    layer, tint = strands(tf.shape(images)[0], *images.shape[1:3], count, seed)
    return images + layer * (tint - images)


def strands(batch, height, width, count, seed):
    """Opacity (B, H, W, 1), 0 to 1, of drawn hairs and their color (B, 1, 1, 3), 0 to 255."""
    direction_seed, path_seed, spread_seed = tf.unstack(tf.random.split(seed, 3))
    unit = 2 * min(height, width)  # everything is drawn at twice the size, then reduced, which softens the edges
    number, direction, dark, opacity = tf.unstack(
        tf.random.stateless_uniform([batch, 1, 4], direction_seed), axis=2
    )  # (B, 1)
    y, x, length, thick, bend = tf.unstack(tf.random.stateless_uniform([batch, count, 5], path_seed), axis=2)  # (B, K)
    turn = 2 * math.pi * direction + 0.5 * tf.random.stateless_normal([batch, count], spread_seed)
    bend = (bend - 0.5) * 1.6  # radians over the whole length

    # 1. The path: an arc, here to second order, which is a parabola.
    t = tf.linspace(0.0, 1.0, round(1.3 * unit))  # (T,), steps below a pixel
    length = unit * (0.3 + 0.9 * length)[..., None]
    along = length * t  # (B, K, T)
    aside = length * bend[..., None] * tf.square(t) / 2  # (B, K, T)
    cos, sin = tf.cos(turn)[..., None], tf.sin(turn)[..., None]
    # 2. Across the path: as many parallel lines as the hair is wide, closing in on its tip.
    breadth = max(2, round(0.01 * unit))  # pixels of the double size
    half = (0.25 + 0.75 * thick[..., None]) * (breadth - 1) / 2 * (1 - tf.square(t))  # (B, K, T)
    aside = aside[..., None] + half[..., None] * tf.linspace(-1.0, 1.0, breadth)  # (B, K, T, breadth)
    along = along[..., None]
    x = x[..., None, None] * 2.6 * width - 0.3 * width + cos[..., None] * along - sin[..., None] * aside
    y = y[..., None, None] * 2.6 * height - 0.3 * height + sin[..., None] * along + cos[..., None] * aside
    # 3. Fill in the pixels that the points fall on; a negative number drops a point.
    x, y = tf.cast(tf.floor(x), tf.int32), tf.cast(tf.floor(y), tf.int32)
    drawn = (tf.range(count, dtype=tf.float32) < number * (count + 1))[..., None, None]  # (B, K, 1, 1)
    inside = drawn & (x >= 0) & (x < 2 * width) & (y >= 0) & (y < 2 * height)
    image = tf.range(batch)[:, None, None, None]
    pixel = tf.where(inside, (image * 2 * height + y) * 2 * width + x, -1)
    ones = tf.ones(tf.size(pixel))
    layer = tf.math.unsorted_segment_sum(ones, tf.reshape(pixel, [-1]), batch * 4 * height * width)
    layer = tf.reshape(tf.minimum(layer, 1.0), [batch, 2 * height, 2 * width, 1])
    layer = tf.ensure_shape(tf.nn.avg_pool2d(layer, 2, 2, "VALID"), [None, height, width, 1])
    dark = (0.4 + 1.5 * dark)[..., None, None] * tf.constant(HAIR)  # (B, 1, 1, 3)
    return layer * (0.7 + 0.25 * opacity)[..., None, None], dark


# === Camera ===


def blur(images, deviation, seed):
    """Blur each image by a Gaussian whose deviation is drawn from 0 to `deviation` pixels.

    The Gaussian of each image is one matrix down and one across: two products, whatever its width.
    """
    batch, height, width = tf.shape(images)[0], *images.shape[1:3]
    drawn = deviation * tf.random.stateless_uniform([batch, 1, 1], seed)
    down, across = (_gaussian(drawn, side) for side in (height, width))  # (B, H, H), (B, W, W)
    images = tf.matmul(down, tf.reshape(images, [batch, height, width * 3]))
    images = tf.reshape(images, [batch, height, width, 3])
    return tf.ensure_shape(tf.einsum("bij,bhjc->bhic", across, images), [None, height, width, 3])


def _gaussian(deviation, side):
    """Blurring matrices (B, side, side) for deviations (B, 1, 1); weights beyond the border go to the others."""
    positions = tf.range(side, dtype=tf.float32)
    squares = tf.square(positions[:, None] - positions)
    return tf.nn.softmax(-squares / (2 * tf.square(deviation) + 1e-3))  # rows sum to 1


def jpeg(images, loss, seed):
    """Compress each image as a JPEG of quality 100 less a whole number from 0 to `loss`, and decode it again."""
    qualities = 100 - tf.random.stateless_uniform([tf.shape(images)[0]], seed, 0, loss + 1, tf.int32)
    pixels = tf.cast(tf.round(images), tf.uint8)

    def compress(pair):
        return tf.io.decode_jpeg(tf.raw_ops.EncodeJpegVariableQuality(images=pair[0], quality=pair[1]), channels=3)

    pixels = tf.map_fn(compress, (pixels, qualities), fn_output_signature=tf.uint8)
    return tf.cast(tf.ensure_shape(pixels, [None, *images.shape[1:]]), tf.float32)


# === Covering and mixing ===


def cut_out(images, masks, fraction, seed):
    """Blacken a box of up to `fraction` of the height and of the width; nothing of the mask is left in it."""
    draws = tf.random.stateless_uniform([tf.shape(images)[0], 4], seed)
    sides = fraction * draws[:, :2]
    middles = sides / 2 + (1 - sides) * draws[:, 2:]  # the box lies inside
    outside = 1 - _box(middles, sides, *images.shape[1:3])
    return images * outside, masks * outside


def blend(images, alpha, seed):
    """MixUp (Zhang et al., 2018): weights (B, 1, 1, 1) of the next image of the batch, of Beta(alpha, alpha).

    The masks become soft targets in [0, 1]. An image keeps at least one half of itself, so its own mask is where the
    target is above one half, which is what the metrics of training compare with.
    """
    weights = _beta(tf.shape(images)[0], alpha, seed)
    return tf.minimum(weights, 1 - weights)[:, None, None, None]


def paste(images, alpha, seed):
    """CutMix (Yun et al., 2019): weights (B, H, W, 1) of the next image of the batch, 1 in a box and 0 elsewhere.

    The area of the box, as a fraction of the image, is of Beta(alpha, alpha), less what lies beyond the border.
    """
    area_seed, middle_seed = tf.unstack(tf.random.split(seed, 2))
    batch = tf.shape(images)[0]
    sides = tf.repeat(tf.sqrt(_beta(batch, alpha, area_seed))[:, None], 2, axis=1)  # (B, 2)
    return _box(tf.random.stateless_uniform([batch, 2], middle_seed), sides, *images.shape[1:3])


def mix(images, masks, weights, seed):
    """Mix each image and mask with the next one of the batch.

    Args:
        weights: list of weights of the next one, (B, H or 1, W or 1, 1) in [0, 1]; for each image one of them is drawn.
    """
    chosen = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed, 0, len(weights), tf.int32)
    weight = sum(tf.cast(chosen == number, tf.float32) * one for number, one in enumerate(weights))
    return tuple(x + weight * (tf.roll(x, -1, axis=0) - x) for x in (images, masks))


def _beta(batch, alpha, seed):
    """Draws (B,) of Beta(alpha, alpha), by two of a gamma distribution."""
    pair = tf.random.stateless_gamma([2, batch], seed, alpha)
    return tf.math.divide_no_nan(pair[0], pair[0] + pair[1])


def _box(middles, sides, height, width):
    """1 inside a box, 0 elsewhere, (B, H, W, 1); middles and sides (B, 2) are fractions of height and width."""
    start, end = middles - sides / 2, middles + sides / 2  # (B, 2)
    inside = []
    for axis, side in enumerate((height, width)):
        positions = (tf.range(side, dtype=tf.float32) + 0.5) / side
        inside.append((positions >= start[:, axis, None]) & (positions < end[:, axis, None]))  # (B, side)
    rows, columns = inside
    return tf.cast(rows[:, :, None, None] & columns[:, None, :, None], tf.float32)
