"""From probabilities to masks: another size, and the clean-up of each mask to its largest connected component."""

import cv2
import numpy as np


def resize(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Probabilities (h, w, classes) at another size, (H, W), bilinearly: float32 (H, W, classes)."""
    height, width = size
    if probabilities.shape[:2] == (height, width):
        return probabilities
    resized = cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.reshape(height, width, -1)  # OpenCV drops a single class


def largest_components(masks: np.ndarray) -> np.ndarray:
    """Of each class's mask the largest connected component, holes filled: bool (H, W, classes) → the same."""
    return np.stack([largest_component(mask) for mask in np.moveaxis(masks, -1, 0)], axis=-1)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest connected component of a mask (eight neighbors), its holes filled: bool (H, W) → bool (H, W).

    Its outline is all that is needed, ten times as fast as to label the pixels of every component: an outline through B
    pixels that surrounds the area A has A + B / 2 + 1 pixels on it or inside (Pick's theorem).
    """
    outlines = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    result = np.zeros(mask.shape, np.uint8)
    if outlines:
        largest = max(outlines, key=lambda outline: cv2.contourArea(outline) + len(outline) / 2)
        cv2.drawContours(result, [largest], -1, 1, cv2.FILLED)
    return result > 0
