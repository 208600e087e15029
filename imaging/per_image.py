"""NumPy functions of one image, such as OpenCV's, applied to each image of a TensorFlow batch."""

import numpy as np

from utils.lazy import lazily

with lazily():
    import tensorflow as tf


def per_image(function, images, channels):
    """A function of each image: uint8 (B, H, W, 3) -> uint8 (B, H, W, channels)."""
    result = tf.numpy_function(lambda batch: np.stack([function(image) for image in batch]), [images], tf.uint8)
    return tf.ensure_shape(result, (*images.shape[:3], channels))
