"""Masks as PNG files, 0 and 255, named as the ISIC challenge names them; written by atomic file replacement."""

from pathlib import Path

import cv2
import numpy as np

from imaging import masks as decoded_masks
from utils.errors import UserError
from utils.files import replacing


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
        try:
            mask = decoded_masks.mask(path.read_bytes(), None, None)[0] * np.uint8(255)
        except (FileNotFoundError, UserError) as error:
            raise FileNotFoundError(f"{path}: no readable mask ({error}); python evaluate.py writes it") from None
        masks.append((mask if size is None else cv2.resize(mask, size[::-1], interpolation=cv2.INTER_AREA)) > 127)
    return np.stack(masks, axis=-1)  # (H, W, classes)
