"""Mask files to masks of {0, 1}: values, modes, sizes."""

import cv2
import numpy as np
import pytest
from miniature import SIZE, picture, square
from picture_files import encode, pil_bytes

from imaging import masks


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0, 255), (0, 1)), ((0, 1), (0, 1)), ((0,), (0,)), ((255,), (1,)), ((1,), (1,)), ((3, 250), (0, 1))],
)
def test_mask_values(values, expected):
    gray = np.tile(np.array(values, np.uint8), (10, 4))
    mask, anti_aliased = masks.mask(encode(gray, ".png"), gray.shape, gray.shape)
    assert mask.dtype == np.uint8 and not anti_aliased
    assert mask.tolist() == np.tile(np.array(expected), (10, 4)).tolist()


def test_anti_aliased_mask_is_cut_at_127_and_told():
    gray = np.array([[0, 100, 127, 128, 200, 255]] * 3, np.uint8)
    mask, anti_aliased = masks.mask(encode(gray, ".png"), gray.shape, gray.shape)
    assert anti_aliased and mask[0].tolist() == [0, 0, 0, 1, 1, 1]
    jpeg = encode(square(9), ".jpg")  # as Kvasir-SEG has them
    mask, _ = masks.mask(jpeg, SIZE, SIZE)
    assert (mask != (square(9) > 0)).mean() < 0.01


def test_masks_of_other_modes_give_the_same():
    expected = (square(4) > 0).astype(np.uint8)
    variants = [
        pil_bytes(square(4), "1", "PNG"),
        pil_bytes(square(4), "1", "BMP"),
        pil_bytes(square(4), "P", "PNG"),
        pil_bytes(square(4), "LA", "PNG"),
        encode(np.dstack([square(4)] * 3), ".bmp"),
        encode(np.dstack([square(4)] * 3 + [np.full(SIZE, 255, np.uint8)]), ".png"),
        encode(square(4).astype(np.uint16) * 257, ".png"),
        encode((square(4) > 0).astype(np.uint16), ".png"),
    ]
    for data in variants:
        mask, anti_aliased = masks.mask(data, SIZE, SIZE)
        assert np.array_equal(mask, expected) and not anti_aliased


def test_masks_that_are_no_masks_are_refused():
    with pytest.raises(ValueError, match="a color mask; expected one gray channel"):
        masks.mask(encode(picture(1), ".png"), SIZE, SIZE)
    classes = np.tile(np.array([0, 1, 2], np.uint8), (10, 4))
    with pytest.raises(ValueError, match="mask values 0, 1, 2; expected two, 0 and 255 or 0 and 1"):
        masks.mask(encode(classes, ".png"), classes.shape, classes.shape)
    with pytest.raises(ValueError, match=r"the mask is 48x64 \(height x width\), its image 64x48"):
        masks.mask(encode(square(1), ".png"), (8, 8), (64, 48))


def test_mask_pixel_is_lesion_if_at_least_half_of_it_was():
    mask = np.zeros((4, 8), np.uint8)
    mask[0, 0] = 255  # 1 of 4 pixels
    mask[0:2, 2] = 255  # 2 of 4
    mask[2:4, 6:8] = 255  # 4 of 4
    small, _ = masks.mask(encode(mask, ".png"), (2, 4), (4, 8))
    assert small.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]
    large, _ = masks.mask(encode(mask, ".png"), (40, 80), (4, 8))
    assert set(np.unique(large)) == {0, 1} and abs(large.mean() - (mask > 0).mean()) < 0.06


@pytest.mark.parametrize("size", [(192, 256), (75, 100), (300, 500), (131, 77)])
def test_large_masks_are_reduced_as_small_ones(monkeypatch, size):
    rng = np.random.default_rng(4)
    blobs = cv2.resize(rng.integers(0, 256, (30, 40), np.uint8), (1003, 997), interpolation=cv2.INTER_CUBIC)
    data = encode((blobs > 127) * np.uint8(255), ".png")
    expected, _ = masks.mask(data, size, (997, 1003))
    monkeypatch.setattr(masks, "LARGE", 0)
    calls = []
    real = masks._area_means
    monkeypatch.setattr(masks, "_area_means", lambda *args: calls.append(1) or real(*args))
    assert np.array_equal(masks.mask(data, size, (997, 1003))[0], expected) and len(calls) == 1
