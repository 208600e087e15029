"""Probabilities and masks: the mean over poses by hand, and the largest part."""

import cv2
import keras
import numpy as np
from scipy import ndimage

import inference


def test_mean_over_poses_does_not_depend_on_the_pose():
    for size, poses in (((6, 6), 8), ((4, 6), 4)):
        inputs = keras.Input((*size, 3))
        convolution = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer="random_normal")
        network = keras.Model(inputs, convolution(inputs))
        image = np.random.default_rng(0).random((1, *size, 3), np.float32)
        averaged, plain = inference.predictor(network, tta=True), inference.predictor(network)
        copies = [image, image[:, ::-1], image[:, :, ::-1], image[:, ::-1, ::-1]]
        back = [lambda y: y, lambda y: y[:, ::-1], lambda y: y[:, :, ::-1], lambda y: y[:, ::-1, ::-1]]
        if poses == 8:
            copies += [x.swapaxes(1, 2) for x in copies]
            back += [lambda y, b=b: b(y.swapaxes(1, 2)) for b in back]
        expected = np.mean([b(plain(x)) for x, b in zip(copies, back, strict=True)], axis=0)
        np.testing.assert_allclose(averaged(image), expected, atol=1e-5)
        np.testing.assert_allclose(averaged(image[:, ::-1]), expected[:, ::-1], atol=1e-5)
        assert np.abs(plain(image[:, ::-1]) - plain(image)[:, ::-1]).max() > 1e-3


def test_largest_part_without_holes():
    mask = np.zeros((8, 10), bool)
    mask[1:6, 1:6] = True
    mask[3, 3] = False  # a hole
    mask[7, 8:] = True  # a smaller part
    expected = np.zeros((8, 10), bool)
    expected[1:6, 1:6] = True
    assert np.array_equal(inference.largest_part(mask), expected)
    assert not inference.largest_part(np.zeros((8, 10), bool)).any()
    assert inference.largest_part(np.ones((8, 10), bool)).all()


def test_largest_part_agrees_with_numbered_parts():
    generator = np.random.default_rng(0)
    for _ in range(60):
        mask = cv2.blur(generator.random((20, 25)), (3, 3)) > generator.uniform(0.45, 0.6)
        filled = ndimage.binary_fill_holes(mask)  # its background has four neighbours, as these parts have eight
        labels, count = ndimage.label(filled, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        found = inference.largest_part(mask)
        assert found.sum() == sizes.max(initial=0)
        assert not found.any() or np.array_equal(found, labels == labels[found][0])
