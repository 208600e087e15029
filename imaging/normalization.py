"""How the pixels are normalized before a network sees them: the kinds of the setting `normalize`.

A new kind is a function here, float32 (B, H, W, 3), 0 to 255 -> float32 (B, H, W, channels), and its line in KINDS.
"""

import cv2
import numpy as np

from imaging.per_image import per_image
from utils.errors import UserError
from utils.lazy import lazily

with lazily():
    import tensorflow as tf

MEAN = np.array([0.61788, 0.49051, 0.43048], "float32")  # of the ISIC 2018 training images, RGB in [0, 1]
STD = np.array([0.19839, 0.16931, 0.16544], "float32")
GAMMA = 1.6  # AS-Net
CANNY = (10, 100)  # thresholds on the gradient of the 8-bit image


def unit(images):
    """x / 255."""
    return images / 255


def gamma(images):
    """(x / 255) ** 1.6, of AS-Net; four times as fast as the power itself."""
    return tf.exp(GAMMA * tf.math.log(images / 255 + 1e-12))


def minmax(images):
    """Each image to [-1, 1]; an image of one value to -1."""
    low = tf.reduce_min(images, axis=(1, 2, 3), keepdims=True)
    high = tf.reduce_max(images, axis=(1, 2, 3), keepdims=True)
    return 2 * tf.math.divide_no_nan(images - low, high - low) - 1


def minmax_edges(images):
    """`minmax`, and the image's Canny edges as a fourth channel of {0, 1}, of JAAL-Net: (B, H, W, 4)."""
    return with_edges(images, per_image(edge_map, tf.cast(tf.round(images), tf.uint8), 1))


def with_edges(images, edges):
    """`minmax` and edge maps, {0, 1} (B, H, W, 1), that were found before: (B, H, W, 4)."""
    return tf.concat([minmax(images), tf.cast(edges, tf.float32)], axis=-1)


def standardize(images):
    """x / 255 less the mean of ISIC 2018, over its standard deviation, of the attribute U-Nets."""
    row = (1, 1, images.shape[2], 3)  # the factors of a whole row, as broadcasting three channels is slow
    return images * np.broadcast_to(1 / (255 * STD), row) - np.broadcast_to(MEAN / STD, row)


def efficientnet_lite(images):
    """(x - 127) / 128, of EfficientNet-Lite's ImageNet weights."""
    return (images - 127) / 128


KINDS = {
    "unit": unit,
    "gamma": gamma,
    "minmax": minmax,
    "minmax_edges": minmax_edges,
    "standardize": standardize,
    "efficientnet_lite": efficientnet_lite,
}


def normalize(images, kind):
    """A network's input.

    Args:
        images: (B, H, W, 3), any dtype, 0 to 255.
        kind: a name of KINDS.

    Returns:
        (B, H, W, 3) float32, for minmax_edges (B, H, W, 4).

    Raises:
        UserError: there is no such kind.
    """
    if kind not in KINDS:
        raise UserError(f"normalize is '{kind}', expected one of {', '.join(KINDS)}")
    return KINDS[kind](tf.cast(images, tf.float32))


def edge_map(image):
    """Canny edges of an image: uint8 (H, W, 3) RGB or (H, W, 1) gray -> uint8 {0, 1} (H, W, 1)."""
    if image.dtype != np.uint8 or image.ndim != 3:
        raise UserError(f"edge_map: expected an image uint8 (H, W, C), got {image.dtype} {image.shape}")
    return (cv2.Canny(np.ascontiguousarray(image), *CANNY) > 0).astype(np.uint8)[..., None]
