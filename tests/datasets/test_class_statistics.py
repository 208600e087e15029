"""How much of a data set each class is, by hand and against plain sums."""

import numpy as np

from datasets import class_statistics


def test_pixels_of_each_mask_equal_plain_sums():
    masks = np.random.default_rng(0).integers(0, 2, (class_statistics.CHUNK + 5, 6, 7, 3), np.uint8)
    found = class_statistics.class_pixels(masks)
    assert found.dtype == np.int64 and (found == masks.sum(axis=(1, 2))).all()
    assert class_statistics.class_pixels(masks[:0]).shape == (0, 3)
    assert class_statistics.class_pixels(np.ones((1, 300, 5, 1), np.uint8)).item() == 1500  # more than a byte holds


def test_shares_of_images_and_of_pixels():
    masks = np.zeros((4, 2, 5, 3), np.uint8)
    masks[0, 0, :, 0] = 1  # 5 of 10 pixels
    masks[1, :, :, 0] = masks[1, 0, 0, 1] = 1
    found = class_statistics.class_statistics(masks)
    assert (found.images, found.any) == (4, 2)
    assert found.having.tolist() == [2, 1, 0] and found.pixels.tolist() == [15 / 40, 1 / 40, 0]
