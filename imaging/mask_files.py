"""Masks as PNG files, and masks, errors and heat drawn on images: arrays in, arrays or files out.

Images are uint8 (H, W, 3) RGB. Files are written under a temporary name that is then renamed: a viewer never meets half
a picture.
"""

from pathlib import Path

import cv2
import numpy as np

from utils.files import replacing

MISSED, ADDED = "#0072B2", "#D55E00"  # blue and orange, told apart by every eye: false negative and false positive

# === Files ===


def mask_name(identifier, classes, k):
    """File name of the predicted mask of class number k: the ISIC convention, so that official tools find it.

    `<id>_segmentation.png` for a single class, `<id>_attribute_<class>.png` for the five ISIC attributes, else
    `<id>_<class>.png`.
    """
    if len(classes) == 1:
        return f"{identifier}_segmentation.png"
    middle = "attribute_" if "pigment_network" in classes else ""
    return f"{identifier}_{middle}{classes[k]}.png"


def png(pixels):
    """uint8 `pixels`, (H, W) or (H, W, 3) RGB, as the bytes of a PNG file."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", pixels)[1].tobytes()


def write_png(path, pixels):
    """Write uint8 `pixels`, (H, W) or (H, W, 3) RGB, atomically. OSError if the disk refuses."""
    data = png(pixels)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_masks(folder, identifier, masks, classes):
    """Write the masks of one image, bool (H, W, classes), as PNG files of 0 and 255, one a class."""
    for k in range(len(classes)):
        write_png(Path(folder) / mask_name(identifier, classes, k), masks[..., k] * np.uint8(255))


def read_masks(folder, identifier, classes, size=None):
    """Predicted masks of one image, bool (H, W, classes), brought to `size` (H, W) if one is given.

    FileNotFoundError names the file that is missing.
    """
    masks = []
    for k in range(len(classes)):
        path = Path(folder) / mask_name(identifier, classes, k)
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.exists() else None
        if mask is None:
            raise FileNotFoundError(f"{path}: no readable mask; python evaluate.py --run {Path(folder).name} writes it")
        masks.append((mask if size is None else cv2.resize(mask, size[::-1], interpolation=cv2.INTER_AREA)) > 127)
    return np.stack(masks, axis=-1)  # (H, W, classes)


# === On images ===


def overlay(image, mask, color=(0, 255, 0), strength=0.7):
    """Tint the masked pixels: image + strength × color, clipped (the HAM10000 project's way).

    image: uint8 (H, W, 3) RGB; mask: (H, W), true or above 0 where tinted; color: RGB 0..255. Returns uint8 (H, W, 3).
    """
    tint = np.round(strength * np.asarray(color, np.float32)).astype(np.uint8)  # (3,)
    return cv2.add(image, (np.asarray(mask) > 0)[..., None] * tint)  # saturating, (H, W, 3)


def contour_overlay(image, mask, color=(0, 255, 0), thickness=None):
    """Draw the outline of `mask` (H, W) on a copy of a uint8 (H, W, 3) RGB image.

    color: RGB 0..255; thickness: pixels, by default 1/200 of the longer side.
    """
    thickness = thickness or max(1, round(max(image.shape[:2]) / 200))
    outlines, _ = cv2.findContours((np.asarray(mask) > 0).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.ascontiguousarray(image).copy(), outlines, -1, color, thickness)


def errors(image, truth, prediction):
    """Where a mask is wrong, on the image in grey: missed pixels tinted blue, wrongly added ones orange.

    image: uint8 (H, W, 3) RGB; truth, prediction: (H, W) bool. Returns uint8 (H, W, 3).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    picture = np.repeat(grey[..., None], 3, axis=-1)  # (H, W, 3)
    for wrong, color in ((truth & ~prediction, MISSED), (prediction & ~truth, ADDED)):
        tint = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
        picture[wrong] = picture[wrong] * 0.35 + tint * 0.65
    return picture
