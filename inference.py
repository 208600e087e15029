"""From a trained network to masks: probabilities, their mean over poses, another size, the largest part.

What evaluate.py and predict.py share. A network gives logits at its own size; probabilities are resized to the size
that is wanted first and thresholded there, so that a mask's border is as smooth as the picture allows.
"""

import itertools

import cv2
import keras
import numpy as np


def predictor(network, tta=False):
    """A function from normalized images (B, H, W, channels) to probabilities (B, H, W, classes), float32 arrays.

    tta: average over the image mirrored along either axis, and, where it is square, over the transposed ones too.
    """
    probabilities = _over_poses(network)[1] if tta else keras.ops.sigmoid(network.output)
    return keras.Model(network.input, probabilities).predict_on_batch


def bare_and_mean(network):
    """As `predictor`, but the function gives two arrays for one pass: the bare probabilities, the mean over poses."""
    return keras.Model(network.input, _over_poses(network)).predict_on_batch


def _over_poses(network):
    """[probabilities of the image as it is, their mean over its 8 poses (4 where it is not square)], symbolic."""
    square = network.input_shape[1] == network.input_shape[2]
    poses = itertools.product([(), 1, 2, (1, 2)], [False, True] if square else [False])
    maps = [_in_pose(network, *pose) for pose in poses]
    return [maps[0], sum(maps) / len(maps)]


def _in_pose(network, axes, transpose):
    """Probabilities of the image mirrored along `axes`, and transposed or not, put back into place."""
    image = keras.ops.flip(network.input, axes) if axes else network.input
    image = keras.ops.transpose(image, (0, 2, 1, 3)) if transpose else image
    result = keras.ops.sigmoid(network(image))
    result = keras.ops.transpose(result, (0, 2, 1, 3)) if transpose else result
    return keras.ops.flip(result, axes) if axes else result


def check_fit(network, split, root):
    """ValueError where the network and the prepared arrays differ in size or number of classes."""
    (height, width), found = network.input_shape[1:3], split.images.shape[1:3]
    if (height, width) != found:
        raise ValueError(
            f"the network was made for images of {height} × {width}, those in {root} are {found[0]} × {found[1]};"
            f" prepare them anew: python dataset_isic18.py --size {height}x{width}"
        )
    if network.output_shape[-1] != len(split.classes):
        classes = ", ".join(split.classes)
        raise ValueError(
            f"the network gives {network.output_shape[-1]} masks an image, {root} has {len(split.classes)} ({classes});"
            " name data of the same task with --data"
        )


def resize(probabilities, size):
    """Probabilities (h, w, classes) at another size, (H, W), bilinearly: float32 (H, W, classes)."""
    height, width = size
    if probabilities.shape[:2] == (height, width):
        return probabilities
    resized = cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.reshape(height, width, -1)  # OpenCV drops a single class


def largest_parts(masks):
    """The largest part of each class's mask, holes filled: bool (H, W, classes) -> bool (H, W, classes)."""
    return np.stack([largest_part(mask) for mask in np.moveaxis(masks, -1, 0)], axis=-1)


def largest_part(mask):
    """The largest part of a mask (eight neighbours), its holes filled: bool (H, W) -> bool (H, W).

    Its outline is all that is needed, ten times as fast as to number the pixels of every part: an outline through B
    pixels that surrounds the area A has A + B / 2 + 1 pixels on it or inside (Pick's theorem).
    """
    outlines = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    result = np.zeros(mask.shape, np.uint8)
    if outlines:
        largest = max(outlines, key=lambda outline: cv2.contourArea(outline) + len(outline) / 2)
        cv2.drawContours(result, [largest], -1, 1, cv2.FILLED)
    return result > 0
