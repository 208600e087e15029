"""From a trained network to masks: probabilities, their mean over poses, another size, the largest part.

What evaluate.py and predict.py share. A network gives logits at its own size; probabilities are resized to the size
that is wanted first and thresholded there, so that a mask's border is as smooth as the picture allows.
"""

import itertools

import cv2
import keras
import numpy as np

from compute import precision
from utils.errors import UserError


def predictor(network, tta=False, number_format="float32"):
    """A function from normalized images (B, H, W, channels) to probabilities (B, H, W, classes), float32 arrays.

    tta: average over the image mirrored along either axis, and, where it is square, over the transposed ones too.
    number_format: of the products, as the setting `precision` of the run.
    """
    network = folded(network)
    return _computed(network, _over_poses(network)[1] if tta else keras.ops.sigmoid(network.output), number_format)


def bare_and_mean(network, number_format="float32"):
    """As `predictor`, but the function gives two arrays for one pass: the bare probabilities, the mean over poses."""
    network = folded(network)
    return _computed(network, _over_poses(network), number_format)


def _computed(network, outputs, number_format):
    """A function from images to arrays of these symbolic outputs."""
    whole = keras.Model(network.input, outputs)

    def compute(images):
        with precision.rewriting(number_format):
            return whole.predict_on_batch(images)

    return compute


def folded(network):
    """The same function for inference, with other layers: batch norms that follow a convolution are within its kernel.

    TensorFlow then computes convolution, addition and ReLU as one; U-Net 16 takes a third less time in bfloat16.
    """
    norms = {}
    for norm in network.layers:
        if type(norm) is keras.layers.BatchNormalization and norm.axis in (-1, 3) and len(norm._inbound_nodes) == 1:
            conv = norm.input._keras_history.operation
            once = len(conv._inbound_nodes) == len(conv._outbound_nodes) == 1
            if type(conv) is keras.layers.Conv2D and conv.activation is keras.activations.linear and once:
                norms[conv.name] = norm
    left_out = {norm.name for norm in norms.values()}

    def other(layer):
        with_bias = layer.name in norms
        return keras.layers.Conv2D.from_config({**layer.get_config(), "use_bias": True}) if with_bias else layer

    def call(layer, x, *args, **kwargs):
        return x if layer.name in left_out else layer(x, *args, **kwargs)

    made = keras.models.clone_model(network, clone_function=other, call_function=call)
    for name, norm in norms.items():
        conv, zero = network.get_layer(name), np.zeros(norm.moving_mean.shape, np.float32)
        mean, variance = (keras.ops.convert_to_numpy(w) for w in (norm.moving_mean, norm.moving_variance))
        scale = (keras.ops.convert_to_numpy(norm.gamma) if norm.scale else 1) / np.sqrt(variance + norm.epsilon)
        shift = keras.ops.convert_to_numpy(norm.beta) if norm.center else zero
        bias = keras.ops.convert_to_numpy(conv.bias) if conv.use_bias else zero
        made.get_layer(name).set_weights(
            [keras.ops.convert_to_numpy(conv.kernel) * scale, (bias - mean) * scale + shift]
        )
    precision.keep_outputs(made)
    return made


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
    """UserError where the network and the prepared arrays differ in size or number of classes."""
    (height, width), found = network.input_shape[1:3], split.images.shape[1:3]
    if (height, width) != found:
        raise UserError(
            f"the network was made for images of {height} × {width}, those in {root} are {found[0]} × {found[1]};"
            f" prepare them anew: python dataset_isic18.py --size {height}x{width}"
        )
    if network.output_shape[-1] != len(split.classes):
        classes = ", ".join(split.classes)
        raise UserError(
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
