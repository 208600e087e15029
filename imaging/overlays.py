"""Masks and their errors drawn on images: arrays in, arrays out.

Images are uint8 (H, W, 3) RGB and stay as they are; colors are "#RRGGBB".
"""

import cv2
import numpy as np

from imaging import palette

TINT = 0.65  # of an error's color, the rest is the image in gray


def tint(image: np.ndarray, mask: np.ndarray, color: str = palette.PREDICTION, strength: float = 0.7) -> np.ndarray:
    """The image with strength × color added to the masked pixels, clipped (the HAM10000 project's way).

    image: uint8 (H, W, 3) RGB. mask: (H, W), true or above 0 where tinted. strength: 0 to 1. Returns uint8 (H, W, 3).
    """
    added = np.round(strength * np.array(palette.rgb(color), np.float32)).astype(np.uint8)  # (3,)
    return cv2.add(image, (np.asarray(mask) > 0)[..., None] * added)  # saturating, (H, W, 3)


def outline(
    image: np.ndarray, mask: np.ndarray, color: str = palette.PREDICTION, thickness: int | None = None
) -> np.ndarray:
    """The image with the outline of a mask drawn on its own outermost pixels.

    image: uint8 (H, W, 3) RGB. mask: (H, W), true or above 0 inside. thickness: in pixels, by default 1/200 of the
    longer side. Returns uint8 (H, W, 3).
    """
    thickness = thickness or max(1, round(max(image.shape[:2]) / 200))
    outlines, _ = cv2.findContours((np.asarray(mask) > 0).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.ascontiguousarray(image).copy(), outlines, -1, palette.rgb(color), thickness)


def caption(image: np.ndarray, lines: list[str], scale: float | None = None) -> np.ndarray:
    """The image with lines of text (ASCII), white on a darkened band along its lower edge; none wider than the image.

    image: uint8 (H, W, 3) RGB. scale: of OpenCV's letters, by default 1/1200 of the longer side. Returns uint8 (H, W,
    3); the image itself where there is no line.
    """
    if not lines:
        return image
    image = np.ascontiguousarray(image).copy()
    height, width = image.shape[:2]
    font = cv2.FONT_HERSHEY_SIMPLEX
    widest = max(cv2.getTextSize(line, font, 1.0, 1)[0][0] for line in lines)
    scale = min(scale or max(0.3, max(height, width) / 1200), 0.94 * width / widest)
    thickness = max(1, round(scale))
    step = round(1.6 * cv2.getTextSize("Jg", font, scale, thickness)[0][1]) + 1  # pixels between lines
    band = min(height, step * len(lines) + step // 2)
    image[height - band :] //= 3
    for number, line in enumerate(reversed(lines)):
        at = (round(0.03 * width), height - step // 2 - number * step)
        cv2.putText(image, line, at, font, scale, (255, 255, 255), thickness, cv2.LINE_AA)
    return image


def errors(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Where a mask is wrong, on the image in gray: false negatives tinted blue, false positives orange.

    image: uint8 (H, W, 3) RGB. truth, prediction: bool (H, W). Returns uint8 (H, W, 3).
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    picture = np.repeat(gray[..., None], 3, axis=-1)  # (H, W, 3)
    false_negative, false_positive = truth & ~prediction, prediction & ~truth
    for wrong, color in ((false_negative, palette.FALSE_NEGATIVE), (false_positive, palette.FALSE_POSITIVE)):
        picture[wrong] = picture[wrong] * (1 - TINT) + np.array(palette.rgb(color)) * TINT
    return picture


def confusion(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Where two masks differ, without their image: a color each for true and false positives and negatives.

    truth, prediction: bool (H, W). Returns uint8 (H, W, 3).
    """
    names = (palette.TRUE_NEGATIVE, palette.FALSE_NEGATIVE, palette.FALSE_POSITIVE, palette.TRUE_POSITIVE)
    colors = np.array([palette.rgb(name) for name in names], np.uint8)  # (4, 3)
    return colors[np.asarray(truth, np.uint8) + 2 * np.asarray(prediction, np.uint8)]  # (H, W, 3)
