"""Skin tone by the individual typology angle (ITA), and how far a lesion's color is from that of the skin around it.

    skin, contrast = measure(image, mask)       # degrees
    name_of(skin)                               # "light"

ITA = arctan((L* - 50) / b*) in degrees (Chardon, Cretois and Hourseau, Int. J. Cosmet. Sci. 13, 1991): the lighter the
skin, the larger; the usual classes are those of Del Bino and Bernerd (Br. J. Dermatol. 169, 2013). It is made for
colorimeters and daylight: in a photograph lamp, exposure and white balance shift it, so it is a rough measure.
"""

import math

import cv2
import numpy as np

from imaging import cielab

CLASSES = {  # name: angle above which skin belongs to it, degrees
    "very light": 55.0,
    "light": 41.0,
    "intermediate": 28.0,
    "tan": 10.0,
    "brown": -30.0,
    "dark": -math.inf,
}
BLACK = 10  # L* up to which a pixel is none of the skin but what is outside the lens
MARGIN = 0.03  # of the longer side, around the lesion, which is left out
LEAST = 0.01  # of the image that skin and lesion must have


def angles(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ITA of each pixel in degrees, float32 (h, w), -90 to 90, and whether it is not black; image: uint8 RGB."""
    lab = cielab.from_rgb(image)
    yellow = np.maximum(lab[..., 2], 1e-3)  # bluish skin has no angle; ±90° is next to it
    return np.degrees(np.arctan((lab[..., 0] - 50) / yellow)), lab[..., 0] > BLACK


def measure(image: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """The median ITA of the skin around a lesion, and the distance of the lesion's angles from the skin's; degrees.

    image: uint8 (h, w, 3) RGB. mask: (h, w), above 0 inside. The distance is Wasserstein's of the two distributions: by
    how many degrees one has to be moved to be the other. NaN where too little is seen of skin or lesion.
    """
    found, visible = angles(image)
    side = max(1, round(MARGIN * max(mask.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * side + 1, 2 * side + 1))
    inside = np.asarray(mask) > 0
    outside = cv2.dilate(inside.astype(np.uint8), kernel) == 0
    skin = found[outside & visible]
    lesion = found[inside & visible]
    if min(len(skin), len(lesion)) < max(1, LEAST * mask.size):
        tone = float(np.median(skin)) if len(skin) >= max(1, LEAST * mask.size) else math.nan
        return tone, math.nan
    return float(np.median(skin)), _distance(skin, lesion)


def _distance(a, b):
    """Wasserstein's distance of two samples of angles, by steps of one degree."""
    edges = np.arange(-90, 91)
    rising = [np.cumsum(np.histogram(each, edges)[0]) / len(each) for each in (a, b)]
    return float(np.abs(rising[0] - rising[1]).sum())


def name_of(angle: float) -> str:
    """The class of an angle in degrees, of CLASSES."""
    return next(name for name, above in CLASSES.items() if angle > above)
