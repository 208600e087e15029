"""The clean-up of masks: the largest connected component, against hand-made masks and numbered components."""

import cv2
import numpy as np
from scipy import ndimage

from inference.postprocess import largest_component


def test_the_largest_component_without_holes():
    mask = np.zeros((8, 10), bool)
    mask[1:6, 1:6] = True
    mask[3, 3] = False  # a hole
    mask[7, 8:] = True  # a smaller component
    expected = np.zeros((8, 10), bool)
    expected[1:6, 1:6] = True
    assert np.array_equal(largest_component(mask), expected)
    assert not largest_component(np.zeros((8, 10), bool)).any()
    assert largest_component(np.ones((8, 10), bool)).all()


def test_the_largest_component_agrees_with_numbered_ones():
    generator = np.random.default_rng(0)
    for _ in range(60):
        mask = cv2.blur(generator.random((20, 25)), (3, 3)) > generator.uniform(0.45, 0.6)
        filled = ndimage.binary_fill_holes(mask)  # its background has four neighbours, as these components have eight
        labels, count = ndimage.label(filled, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        found = largest_component(mask)
        assert found.sum() == sizes.max(initial=0)
        assert not found.any() or np.array_equal(found, labels == labels[found][0])
