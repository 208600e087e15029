"""Polygons: filled as pycocotools and LabelMe fill them, and outlines that give the mask back to the pixel."""

import cv2
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from PIL import Image, ImageDraw
from pycocotools import mask as reference

from imaging import polygons
from utils.errors import UserError

RING = np.array([[3.2, 4.7], [40.1, 2.5], [50.9, 30.0], [20.5, 33.3]])
SIZE = (36, 52)


def speckled(seed, threshold, sigma=2.0):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random(SIZE).astype(np.float32), (0, 0), sigma)
    return (noise > threshold).astype(np.uint8)


MASKS = [speckled(0, 0.5), speckled(1, 0.48), speckled(2, 0.5, 0.6), np.zeros(SIZE, np.uint8), np.ones(SIZE, np.uint8)]


def test_filled_as_the_tools_fill():
    second = RING[:, ::-1] / 2
    runs = reference.frPyObjects([RING.ravel().tolist(), second.ravel().tolist()], *SIZE)
    assert np.array_equal(polygons.coco([RING, second], SIZE), reference.decode(reference.merge(runs)))
    assert not polygons.coco([], SIZE).any()
    picture = Image.new("L", SIZE[::-1])
    ImageDraw.Draw(picture).polygon([tuple(p) for p in RING], outline=1, fill=1)  # labelme.utils.shape_to_mask
    assert np.array_equal(polygons.labelme("polygon", RING, SIZE), np.asarray(picture))
    box = polygons.labelme("rectangle", np.array([[20, 9], [5, 3]]), SIZE)
    assert box.sum() == 16 * 7 and box[3:10, 5:21].all()
    assert abs(polygons.labelme("circle", np.array([[25, 18], [25, 8]]), SIZE).sum() - np.pi * 10.5**2) < 12


@pytest.mark.parametrize("mask", MASKS)
def test_edges_of_pixels_hold_the_mask_with_its_holes(mask):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    points = np.column_stack([x.ravel(), y.ravel()])
    filled = np.zeros(SIZE, int)
    for polygon in polygons.pixel_edges(mask):
        for k, ring in enumerate(polygon):
            a, b = np.array(ring[:-1]), np.array(ring[1:])
            assert ring[0] == ring[-1] and len({tuple(p) for p in ring}) == len(ring) - 1  # closed, never meets itself
            assert ((a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]).sum() > 0) == (k == 0)  # RFC 7946
            filled += (-1 if k else 1) * Outline(ring).contains_points(points).reshape(SIZE)
    assert np.array_equal(filled, mask)


def test_a_pixel_with_a_hole_at_its_corner():
    mask = np.ones((4, 4), np.uint8)
    mask[1, 1] = mask[2, 2] = 0
    assert polygons.pixel_edges(mask) == [
        [
            [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]],
            [[1, 2], [2, 2], [2, 1], [1, 1], [1, 2]],
            [[2, 3], [3, 3], [3, 2], [2, 2], [2, 3]],
        ]
    ]


@pytest.mark.parametrize("mask", MASKS)
def test_centers_of_pixels(mask):
    filled = np.zeros(SIZE, int)
    for part, left, top, polygon in polygons.centers(mask):
        place = np.zeros(SIZE, np.uint8)
        place[top : top + part.shape[0], left : left + part.shape[1]] = part
        filled += place
        if polygon:
            assert np.array_equal(polygons.labelme("polygon", np.array(polygon), SIZE), place)
        else:
            holes = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[1]
            assert (holes[0, :, 3] >= 0).any() or part.sum() < 3 or min(part.shape) < 3
    assert np.array_equal(filled, mask)


@pytest.mark.parametrize(
    ("ring", "message"),
    [
        (np.zeros((2, 2)), "a polygon of 2 points"),
        (np.array([[0, 0], [1, np.inf], [2, 2]]), "far out of its image of 36x52"),
        (np.array([[0, 0], [1, 1e9], [2, 2]]), "far out of its image"),
        (np.tile([[0.0, 0.0], [200.0, 0.0]], (20_000, 1)), "longer than 2,000,000 pixels"),
        (np.zeros((100_001, 2)), "a polygon of 100001 points"),
    ],
)
def test_absurd_polygons_are_refused(ring, message):
    for fill in (lambda: polygons.coco([ring], SIZE), lambda: polygons.labelme("polygon", ring, SIZE)):
        with pytest.raises(UserError, match=message):
            fill()
    with pytest.raises(UserError, match="of the kind 'line', which is no area"):
        polygons.labelme("line", RING, SIZE)
