import math

import numpy as np
import tensorflow as tf

from imaging import color

RED = tf.constant([[[[200.0, 100, 100]]]])
PAIR = tf.constant([[[[100.0, 100, 100], [200, 200, 200]]]])


def test_brightness_by_hand():
    bright = color.recolor(PAIR, color.brightness(tf.constant([25.5])))
    np.testing.assert_allclose(bright, PAIR + 25.5, atol=0.05)
    white = color.recolor(PAIR, color.brightness(tf.constant([100.0])))
    np.testing.assert_allclose(white[0, 0, 1], [255] * 3)  # and not above


def test_contrast_by_hand():
    flat = color.recolor(PAIR, color.contrast(tf.constant([0.5]), color.mean_color(PAIR)))
    np.testing.assert_allclose(flat[0, 0], [[125] * 3, [175] * 3], atol=0.1)


def test_saturation_and_hue_keep_the_luma():
    gray = color.recolor(RED, color.saturation(tf.constant([0.0])))
    np.testing.assert_allclose(gray[0, 0, 0], [129.9] * 3, atol=0.2)
    turned = color.recolor(RED, color.hue(tf.constant([math.radians(120)]))).numpy()[0, 0, 0]
    assert turned.argmax() != 0
    np.testing.assert_allclose(color.YIQ[0] @ turned, 129.9, atol=0.2)


def test_composed_transforms_are_one_after_the_other():
    images = tf.random.stateless_uniform((4, 6, 8, 3), (1, 2), 60.0, 160.0)
    first = color.brightness(tf.constant([10.0, -20.0, 5.0, 0.0]))
    second = color.hue(tf.constant([0.1, 0.2, -0.3, 0.0]))
    apart = color.recolor(color.recolor(images, first), second)
    np.testing.assert_allclose(color.recolor(images, color.compose(second, first)), apart, atol=1e-2)
    mean = color.change(color.mean_color(images), color.compose(second, first))
    np.testing.assert_allclose(mean, color.mean_color(apart), atol=1e-2)


def test_shades_of_gray_takes_out_the_lamp():
    scene = np.random.default_rng(0).uniform(20, 200, (2, 64, 64, 1)).repeat(3, -1).astype("float32")
    tinted = scene * np.float32([1.2, 1.0, 0.7])
    white = color.recolor(tinted, color.channels(color.shades_of_gray(tinted)))
    np.testing.assert_allclose(white[..., 0], white[..., 1], rtol=1e-3)
    np.testing.assert_allclose(white[..., 2], white[..., 1], rtol=1e-3)
