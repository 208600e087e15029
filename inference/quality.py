"""How good a mask is likely to be: an estimate of its Jaccard from what prediction has at hand.

    values = features(maps, 0.5)           # of one class; a number for each name in NAMES
    estimate(model, values)                # Jaccard, 0 to 1

maps are probabilities at the network's size: of the image as it is and, with test-time augmentation, the mean over its
copies. The model is linear in the features, fitted on validation images by evaluation/mask_quality.py and kept with the
run as plain numbers (docs/trust.md):

disagreement       1 - Jaccard (Σ min / Σ max) of the two maps; without test-time augmentation there is none
vagueness          1 - Jaccard (Σ min / Σ max) of the probabilities and the mask made of them
threshold_effect   1 - Jaccard of the masks at half the threshold's way to 0 and to 1
outline_entropy    mean entropy, in bits, of the pixels within two of the mask's outline; 1 without a mask
log_area           log10 of the mask's fraction of the image
components         log2 of the number of connected components
border             fraction of the image's border that the mask covers
"""

from collections.abc import Sequence

import cv2
import numpy as np

NAMES = ("disagreement", "vagueness", "threshold_effect", "outline_entropy", "log_area", "components", "border")
BASELINES = ("mean_confidence", "area")  # what could be had without a model: mean probability of the mask's pixels
RING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
MOST = 3.0  # of a standardized feature
LEAST = 1e-6  # of a probability whose logarithm is taken


def features(maps: Sequence[np.ndarray], threshold: float) -> np.ndarray:
    """The values of NAMES and then of BASELINES of one class's mask, float64; disagreement is NaN of one map.

    maps: one or two arrays, float32 (h, w); the last one is what masks are made of, as they are before any clean-up.
    """
    bare, last = maps[0], maps[-1]
    mask = last >= np.float32(threshold)
    pixels = int(np.count_nonzero(mask))
    ring = _ring(mask)
    edge = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    count = cv2.connectedComponents(mask.astype(np.uint8))[0] - 1  # the background is one
    values = {
        "disagreement": 1 - _soft_jaccard(bare, last) if len(maps) > 1 else np.nan,
        "vagueness": 1 - _soft_jaccard(last, mask.astype(np.float32)),
        "threshold_effect": 1 - _soft_jaccard(*(_at(last, level) for level in (threshold / 2, (1 + threshold) / 2))),
        "outline_entropy": float(_entropy(last[ring]).mean()) if ring.any() else 1.0,
        "log_area": np.log10(max(pixels, 1) / mask.size),
        "components": np.log2(max(count, 1)),
        "border": edge.mean(),
        "mean_confidence": float(last[mask].mean()) if pixels else 0.0,
        "area": pixels / mask.size,
    }
    return np.array([values[name] for name in (*NAMES, *BASELINES)])


def _at(probabilities, threshold):
    return (probabilities >= threshold).astype(np.float32)


def _soft_jaccard(a, b):
    """Σ min / Σ max of two maps, 1 where both are 0."""
    union = float(np.maximum(a, b).sum())
    return float(np.minimum(a, b).sum()) / union if union else 1.0


def _ring(mask):
    """The pixels within two of a mask's outline, bool (h, w)."""
    pixels = mask.astype(np.uint8)
    return cv2.dilate(pixels, RING) > cv2.erode(pixels, RING)


def _entropy(probabilities):
    p = np.clip(probabilities, LEAST, 1 - LEAST)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def standardized(values: np.ndarray, means: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Features (..., names) less their means, in their scales, held within MOST: one alone decides nothing."""
    return np.clip((values - means) / scales, -MOST, MOST)


def estimate(model: dict, values: np.ndarray) -> np.ndarray:
    """The Jaccard that a model expects, 0 to 1, (...), of values (..., features) as `features` gives them.

    model: {"names", "means", "scales", "weights", "intercept"}, the features that it takes and a number for each.
    """
    taken = values[..., [(*NAMES, *BASELINES).index(name) for name in model["names"]]]
    standard = standardized(taken, np.array(model["means"]), np.array(model["scales"]))
    return np.clip(standard @ np.array(model["weights"]) + model["intercept"], 0, 1)
