"""Boundary scores: squares worked out by hand, SciPy's distances, and the rules for empty masks."""

import math

import numpy as np
import pytest
from scipy import ndimage

from evaluation import surface_distances


def square(top, left, side, shape=(40, 60)):
    mask = np.zeros(shape, np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def blobs(seed, shape=(50, 70)):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4)
    return (noise > 0.02).astype(np.uint8)


def outline(mask):
    return mask.astype(bool) & ~ndimage.binary_erosion(mask)


def test_equal_masks_have_no_distance():
    masks = np.stack([square(5, 5, 9), blobs(0, (40, 60))])
    found = surface_distances.scores(masks, masks)
    assert found["hausdorff95"].tolist() == found["average_surface_distance"].tolist() == [[0.0], [0.0]]
    assert found["boundary_f1"].tolist() == [[1.0], [1.0]]


def test_single_pixels_and_shifted_squares_by_hand():
    found = surface_distances.scores(square(10, 10, 1)[None], square(13, 14, 1)[None])
    assert [found[name].item() for name in ("hausdorff95", "average_surface_distance", "boundary_f1")] == [5, 5, 0]
    diagonal = math.hypot(40, 60)
    assert found["hausdorff95_per_mille"].item() == pytest.approx(5000 / diagonal)
    assert found["average_surface_distance_per_mille"].item() == pytest.approx(5000 / diagonal)
    # Squares of 3 pixels, one apart: of each outline's 8 pixels, 5 lie on the other and 3 are a pixel away, but for the
    # middle of the overlap's edge, which is inside the other square and a pixel away from its outline.
    found = surface_distances.scores(square(10, 10, 3)[None], square(10, 11, 3)[None], tolerance=0)
    assert found["hausdorff95"].item() == 1
    assert found["average_surface_distance"].item() == pytest.approx(4 / 8)
    assert found["boundary_f1"].item() == pytest.approx(4 / 8)
    assert (
        surface_distances.scores(square(10, 10, 3)[None], square(10, 11, 3)[None], tolerance=14)["boundary_f1"].item()
        == 1
    )


@pytest.mark.parametrize("seed", range(4))
def test_distances_agree_with_scipy(seed):
    true, predicted = blobs(seed), blobs(seed + 100) | square(0, 0, 8, (50, 70))  # some of it at the image's border
    edges = outline(true), outline(predicted)
    expected = [ndimage.distance_transform_edt(~b)[a] for a, b in (edges, edges[::-1])]
    found = surface_distances.surface_distances(true == 1, predicted == 1)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    row = surface_distances.scores(true[None], predicted[None], tolerance=20)
    assert row["hausdorff95"].item() == pytest.approx(max(np.percentile(d, 95) for d in expected), abs=1e-4)
    assert row["average_surface_distance"].item() == pytest.approx(np.concatenate(expected).mean(), abs=1e-4)
    recall, precision = ((d <= 0.02 * math.hypot(50, 70)).mean() for d in expected)
    assert row["boundary_f1"].item() == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-6)


def test_classes_are_scored_apart():
    truth = np.stack([square(5, 5, 9), square(20, 20, 9)], axis=-1)[None]
    prediction = np.stack([square(5, 5, 9), square(20, 24, 9)], axis=-1)[None]
    found = surface_distances.scores(truth, prediction)
    assert found["hausdorff95"].shape == (1, 2)
    assert found["hausdorff95"].tolist() == [[0.0, 4.0]]


def test_empty_masks():
    nothing, something = np.zeros((1, 40, 60), bool), square(5, 5, 9)[None] == 1
    for truth, prediction, f1 in ((nothing, something, 0.0), (something, nothing, 0.0), (nothing, nothing, math.nan)):
        found = surface_distances.scores(truth, prediction)
        assert all(np.isnan(found[name]).all() for name in found if name != "boundary_f1")
        assert found["boundary_f1"].item() == pytest.approx(f1, nan_ok=True)


def test_bad_masks_are_refused():
    with pytest.raises(ValueError, match="must have one shape"):
        surface_distances.scores(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))
    with pytest.raises(ValueError, match="truth must hold 0 and 1 only"):
        surface_distances.scores(np.full((1, 4, 4), 255, np.uint8), np.zeros((1, 4, 4), np.uint8))
