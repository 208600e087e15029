"""Color transforms of batches: a matrix and an offset for each image, and the one pass over the pixels with them.

Each transform is (matrix (B, 3, 3), offset (B, 3)) float32: a color c, RGB 0 to 255, becomes matrix c + offset.
Transforms are put together by `compose`.
"""

import math

import numpy as np

from utils.lazy import lazily

with lazily():
    import tensorflow as tf

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], "float32")


def identity(count):
    """Transforms of so many images that change nothing."""
    return tf.eye(3, batch_shape=[count]), tf.zeros((count, 3))


def brightness(amounts):
    """Add amounts (B,), of values 0 to 255, to all channels."""
    count = tf.shape(amounts)[0]
    return tf.eye(3, batch_shape=[count]), tf.repeat(amounts[:, None], 3, axis=1)


def contrast(factors, mean):
    """Multiply the distance from the mean color (B, 3) by factors (B,)."""
    return tf.eye(3) * factors[:, None, None], (1 - factors)[:, None] * mean


def saturation(factors):
    """Multiply the distance from gray by factors (B,)."""
    return _chroma(tf.zeros_like(factors), factors)


def hue(angles):
    """Turn the hue by angles (B,), in radians."""
    return _chroma(angles, tf.ones_like(angles))


def _chroma(angles, factors):
    """Turn and scale the two components of YIQ that are not the luma."""
    cos, sin = tf.cos(angles) * factors, tf.sin(angles) * factors
    zero, one = tf.zeros_like(cos), tf.ones_like(cos)
    inner = tf.reshape(tf.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], axis=1), (-1, 3, 3))
    return np.linalg.inv(YIQ) @ inner @ YIQ, tf.zeros((tf.shape(cos)[0], 3))


def channels(factors):
    """Multiply red, green and blue by factors (B, 3)."""
    return tf.linalg.diag(factors), tf.zeros_like(factors)


def shades_of_gray(images):
    """Factors (B, 3) of red, green and blue that make the lamp white (Finlayson and Trezzi, 2004, Minkowski norm 6).

    The lamp's color is taken to be (mean of v^6)^(1/6) of each channel, here over every fourth pixel of large images.
    """
    step = 4 if min(images.shape[1:3]) >= 64 else 1
    cubes = tf.pow(images[:, ::step, ::step] / 255, 3)
    lamp = tf.reduce_mean(tf.square(cubes), axis=(1, 2)) ** (1 / 6)  # (B, 3)
    return tf.math.divide_no_nan(tf.norm(lamp, axis=1, keepdims=True) / math.sqrt(3), lamp)


def compose(second, first):
    """The transform that is `first`, then `second`."""
    matrix, offset = first
    return second[0] @ matrix, change(offset, second)


def change(colors, transform):
    """Colors (B, 3) after a transform."""
    matrix, offset = transform
    return tf.linalg.matvec(matrix, colors) + offset


def mean_color(images):
    """The mean color (B, 3) of images (B, H, W, 3)."""
    height, width = images.shape[1:3]
    flat = tf.reshape(images, (-1, height * width, 3))  # (B, H * W, 3)
    return tf.matmul(tf.ones((1, height * width)) / (height * width), flat)[:, 0]


def recolor(images, transform):
    """Images (B, H, W, 3) float32, 0 to 255, after a transform, cut at 0 and 255."""
    matrix, offset = transform
    height, width = images.shape[1:3]
    flat = tf.matmul(tf.reshape(images, (-1, height * width, 3)), matrix, transpose_b=True)  # (B, H * W, 3)
    rows = tf.reshape(flat, (-1, height, width * 3)) + tf.tile(offset, (1, width))[:, None]  # adding whole rows is fast
    return tf.reshape(tf.clip_by_value(rows, 0.0, 255.0), tf.shape(images))
