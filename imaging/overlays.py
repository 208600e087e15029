"""Masks and their errors drawn on images: arrays in, arrays out.

Images are uint8 (H, W, 3) RGB and stay as they are; colors are "#RRGGBB".
"""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

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


def caption(image: np.ndarray, lines: list[str], letters: float | None = None) -> np.ndarray:
    """The image with lines of text, white on a darkened band along its lower edge; none wider than the image.

    image: uint8 (H, W, 3) RGB. letters: their size in pixels, by default 1/40 of the longer side, at least 9. Returns
    uint8 (H, W, 3); the image itself where there is no line.
    """
    if not lines:
        return image
    image = np.ascontiguousarray(image).copy()
    height, width = image.shape[:2]
    letters = letters or max(9, max(height, width) / 40)
    widest = max(ImageFont.load_default(letters).getlength(line) for line in lines)
    letters = max(1, min(letters, letters * 0.94 * width / max(widest, 1)))
    step = round(1.4 * letters)  # pixels between lines
    band = min(height, step * len(lines) + step // 2)
    strip = Image.fromarray(image[height - band :] // 3)
    draw = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        at = (round(0.03 * width), step // 4 + number * step)
        draw.text(at, line, "white", ImageFont.load_default(letters))
    image[height - band :] = np.asarray(strip)
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
