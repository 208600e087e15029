"""Boundary distances: Hausdorff distance, average surface distance, boundary F1; by exact distance transforms.

    s = scores(truth, prediction)     # {"hausdorff95": (images, classes), …}

The outline of a mask is its pixels that touch, by an edge, a pixel outside it or the border of the image. Distances are
Euclidean, between pixel centers, in pixels; names ending in `_per_mille` are in thousandths of the image's diagonal, so
that images of different size compare.
"""

import math

import cv2
import numpy as np

from metrics import mask_pairs

TOLERANCE = 7.5  # per mille of the diagonal: the 0.75 % of Csurka et al., 2013


def scores(truth: np.ndarray, prediction: np.ndarray, tolerance: float = TOLERANCE) -> dict[str, np.ndarray]:
    """Boundary scores of each image and class.

    truth, prediction: masks of {0, 1} or bool, (N, H, W, C) or (N, H, W), of one shape; tolerance: per mille of the
    diagonal. Returns a dictionary of float64 arrays (N, C):

        hausdorff95                 the larger of the two directions' 95th percentiles of distances, pixels
        average_surface_distance    mean distance of the pixels of both outlines to the other outline, pixels
        boundary_f1                 F1 of outline pixels that lie within the tolerance of the other outline
        hausdorff95_per_mille, average_surface_distance_per_mille

    An empty mask has no outline: with one empty, distances are NaN and F1 is 0; with both, all are NaN.
    Raises UserError for other shapes or values.
    """
    diagonal = math.hypot(*truth.shape[1:3])
    reach = tolerance / 1000 * diagonal  # pixels
    rows = [
        [_of_one(*pair, reach) for pair in zip(true, predicted, strict=True)]
        for true, predicted in mask_pairs(truth, prediction)
    ]
    table = np.array(rows, np.float64)  # (N, C, 3)
    hausdorff, average, f1 = np.moveaxis(table, -1, 0)
    return {
        "hausdorff95": hausdorff,
        "average_surface_distance": average,
        "boundary_f1": f1,
        "hausdorff95_per_mille": hausdorff * 1000 / diagonal,
        "average_surface_distance_per_mille": average * 1000 / diagonal,
    }


def surface_distances(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances, in pixels, of the pixels of each outline to the nearest one of the other.

    true, predicted: bool (H, W), neither empty. Returns two float32 arrays: from the true outline, from the other.
    """
    both = (true | predicted).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(both)  # all that is needed, and often much smaller
    outlines = [_outline(mask)[y : y + height, x : x + width] for mask in (true, predicted)]
    far = [cv2.distanceTransform(1 - outline, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for outline in outlines]
    return far[1][outlines[0] > 0], far[0][outlines[1] > 0]


def _outline(mask):
    """The outline of a bool mask (H, W), as uint8 {0, 1}."""
    mask = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return mask - cv2.erode(mask, cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)


def _of_one(true, predicted, reach):
    """Hausdorff 95 %, average surface distance (pixels) and boundary F1 of one pair of masks (H, W)."""
    if not (true.any() or predicted.any()):
        return math.nan, math.nan, math.nan
    if not (true.any() and predicted.any()):
        return math.nan, math.nan, 0.0
    from_true, from_predicted = surface_distances(true, predicted)
    hausdorff = max(np.percentile(from_true, 95), np.percentile(from_predicted, 95))
    average = np.concatenate([from_true, from_predicted]).mean(dtype=np.float64)
    recall = (from_true <= reach).mean()
    precision = (from_predicted <= reach).mean()
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return hausdorff, average, f1
