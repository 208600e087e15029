"""Size and shape of a mask: what predictions.csv says of it. Lengths and areas are in pixels of the image.

    shape.describe(mask, probabilities)      # {"area": 5031, "area_percent": 0.64, …}, the keys of COLUMNS

area, area_percent       pixels of the mask, and their fraction of the picture
left, top, box_width, box_height    the smallest upright box around all of it
components               parts that do not touch, not even at corners
perimeter                length of the outer outlines through the centers of their pixels: steps of 1 and √2, times
                         π(1 + √2)/8 = 0.948, without which lines of all directions are 5 % too long (Kulpa, Comput.
                         Graph. Image Process. 6, 1977)
asymmetry                0 (mirror-symmetric about both principal axes) to 1: fold the mask about each of the two axes
                         of its moments; the fraction of its area that then meets no other, the mean of both axes. After
                         Stoecker, Li and Moss (Comput. Med. Imaging Graph. 16, 1992), who fold about one
border_irregularity      perimeter² / (4π × area inside the outlines), the compactness index of Golston, Stoecker, Moss
                         and Dhillon (same volume): 1 for a disc, some 1.2 for a square, more for masks that are jagged,
                         elongated or scattered
mean_confidence          mean of the mask's pixels of the probabilities that are given, in predictions.csv calibrated

Where the mask is empty, or has no extent, what is undefined is None.
"""

import math

import cv2
import numpy as np

COLUMNS = ["area", "area_percent", "left", "top", "box_width", "box_height", "components", "perimeter"]
COLUMNS += ["asymmetry", "border_irregularity", "mean_confidence"]
STEPS = math.pi * (1 + math.sqrt(2)) / 8  # Kulpa's factor
FOLDED = 256  # pixels; larger masks are reduced to this before they are folded


def describe(mask, probabilities):
    """The COLUMNS of one mask, bool (H, W), with its probabilities, float32 (H, W)."""
    area = int(np.count_nonzero(mask))
    if area == 0:
        return dict.fromkeys(COLUMNS) | {"area": 0, "area_percent": 0.0, "components": 0, "perimeter": 0.0}
    pixels = mask.view(np.uint8)
    left, top, width, height = cv2.boundingRect(pixels)
    outlines, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    perimeter = STEPS * sum(cv2.arcLength(outline, True) for outline in outlines)
    inside = sum(cv2.contourArea(outline) for outline in outlines)
    return {
        "area": area,
        "area_percent": 100 * area / mask.size,
        "left": left,
        "top": top,
        "box_width": width,
        "box_height": height,
        "components": len(outlines),
        "perimeter": perimeter,
        "asymmetry": asymmetry(pixels[top : top + height, left : left + width]),
        "border_irregularity": perimeter**2 / (4 * math.pi * inside) if inside else None,
        "mean_confidence": cv2.mean(probabilities, pixels)[0],
    }


def asymmetry(mask):
    """Fraction of a mask's area, uint8 (H, W) of {0, 1}, that folding leaves alone, the mean of both principal axes."""
    scale = min(1, FOLDED / max(mask.shape))
    size = [max(1, round(side * scale)) for side in mask.shape[::-1]]
    mask = cv2.resize(mask * np.float32(1), size, interpolation=cv2.INTER_AREA)  # 0 to 1 at the border
    moments = cv2.moments(mask)
    area = moments["m00"]
    center = np.array([moments["m10"], moments["m01"]]) / area
    angle = math.atan2(2 * moments["mu11"], moments["mu20"] - moments["mu02"]) / 2  # of the long axis
    alone = 0
    for axis in (angle, angle + math.pi / 2):
        cosine, sine = math.cos(2 * axis), math.sin(2 * axis)
        mirror = np.array([[cosine, sine], [sine, -cosine]])  # about the axis through the origin
        matrix = np.column_stack([mirror, center - mirror @ center])
        mirrored = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)
        alone += 1 - np.minimum(mask, mirrored).sum() / area
    return float(alone / 2)
