"""Probabilities and masks: the mean over poses by hand, and the largest part."""

import cv2
import keras
import numpy as np
from scipy import ndimage

import model
from inference import probabilities


def test_mean_over_poses_does_not_depend_on_the_pose():
    for size, poses in (((6, 6), 8), ((4, 6), 4)):
        inputs = keras.Input((*size, 3))
        convolution = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer="random_normal")
        network = keras.Model(inputs, convolution(inputs))
        image = np.random.default_rng(0).random((1, *size, 3), np.float32)
        averaged, plain = probabilities.predictor(network, tta=True), probabilities.predictor(network)
        copies = [image, image[:, ::-1], image[:, :, ::-1], image[:, ::-1, ::-1]]
        back = [lambda y: y, lambda y: y[:, ::-1], lambda y: y[:, :, ::-1], lambda y: y[:, ::-1, ::-1]]
        if poses == 8:
            copies += [x.swapaxes(1, 2) for x in copies]
            back += [lambda y, b=b: b(y.swapaxes(1, 2)) for b in back]
        expected = np.mean([b(plain(x)) for x, b in zip(copies, back, strict=True)], axis=0)
        np.testing.assert_allclose(averaged(image), expected, atol=1e-5)
        np.testing.assert_allclose(averaged(image[:, ::-1]), expected[:, ::-1], atol=1e-5)
        assert np.abs(plain(image[:, ::-1]) - plain(image)[:, ::-1]).max() > 1e-3


def test_batch_norms_are_taken_into_convolutions():
    """Not one without its convolution, after an activation, or whose convolution something else looks at."""
    x = inputs = keras.Input((8, 8, 3))
    for options in ({}, {"use_bias": False, "strides": 2}, {"activation": "relu"}):
        x = keras.layers.Conv2D(4, 3, padding="same", bias_initializer="random_normal", **options)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(scale="strides" not in options)(x))
    seen = keras.layers.Conv2D(4, 1)(x)
    x = keras.layers.Add()([seen, keras.layers.BatchNormalization(center=False)(seen)])
    network = keras.Model(inputs, keras.layers.Conv2D(2, 1)(keras.layers.BatchNormalization()(x)))
    random = np.random.default_rng(0)
    for weight in network.weights:
        weight.assign(random.uniform(0.2, 1, weight.shape))
    before = [weight.numpy() for weight in network.weights]
    folded = probabilities.folded(network)
    left = [sum(isinstance(x, keras.layers.BatchNormalization) for x in n.layers) for n in (network, folded)]
    image = random.random((2, 8, 8, 3), np.float32)
    expected = network(image).numpy()
    assert left == [5, 3]
    np.testing.assert_allclose(folded(image), expected, rtol=1e-5)
    for weight, value in zip(network.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_bfloat16_gives_nearly_the_same_probabilities_of_32_bits():
    network = model.build("unet", (32, 32, 3), width=4, depth=2)
    image = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    exact, half = (probabilities.predictor(network, number_format=name)(image) for name in ("float32", "bfloat16"))
    assert half.dtype == np.float32 and 0 < np.abs(half - exact).max() < 0.02
    assert (half.view(np.uint32) & 0xFFFF).any()
    np.testing.assert_array_equal(probabilities.predictor(network)(image), exact)  # nothing stays behind


def test_largest_part_without_holes():
    mask = np.zeros((8, 10), bool)
    mask[1:6, 1:6] = True
    mask[3, 3] = False  # a hole
    mask[7, 8:] = True  # a smaller part
    expected = np.zeros((8, 10), bool)
    expected[1:6, 1:6] = True
    assert np.array_equal(probabilities.largest_part(mask), expected)
    assert not probabilities.largest_part(np.zeros((8, 10), bool)).any()
    assert probabilities.largest_part(np.ones((8, 10), bool)).all()


def test_largest_part_agrees_with_numbered_parts():
    generator = np.random.default_rng(0)
    for _ in range(60):
        mask = cv2.blur(generator.random((20, 25)), (3, 3)) > generator.uniform(0.45, 0.6)
        filled = ndimage.binary_fill_holes(mask)  # its background has four neighbours, as these parts have eight
        labels, count = ndimage.label(filled, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        found = probabilities.largest_part(mask)
        assert found.sum() == sizes.max(initial=0)
        assert not found.any() or np.array_equal(found, labels == labels[found][0])
