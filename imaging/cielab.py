"""CIELAB of sRGB images.

OpenCV's own COLOR_RGB2LAB looks colors up in a table of 33 steps a channel and is up to 0.4 off; from linear light it
computes.
"""

import cv2
import numpy as np

_VALUES = np.arange(256) / 255
LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4).astype(np.float32)


def from_rgb(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) sRGB → L* (0 to 100), a*, b* under D65, float32 (H, W, 3)."""
    return cv2.cvtColor(LINEAR[image], cv2.COLOR_LRGB2LAB)
