"""A U-Net that is given the texture around each pixel, which a small one from random weights hardly learns to see.

Pigment networks, globules and milia-like cysts differ from the skin around them more by their grain than by their
color. The measure of it is classical: the energies of band-pass filters (K. I. Laws, Textured Image Segmentation,
1980), here of differences of Gaussians. The network is ours, of none of the five systems.
"""

from functools import partial

import keras
import numpy as np
from keras import ops

from models import layers
from models.unet import u_levels
from utils.errors import UserError

DEVIATIONS = (0.7, 1.0, 1.4, 2.0)  # of the Gaussians, in pixels
RADIUS = 6  # of the filters, in pixels: three of the largest deviations
REDUCTION = 4  # of the result, and of the image that the second set of filters sees
FLOOR = 0.02  # added to an energy before its logarithm: what noise and JPEG leave of standardized pixels


# === Layers ===


@keras.saving.register_keras_serializable(package="lesion")
class TextureEnergy(keras.layers.Layer):
    """Colors and the logarithms of 16 texture energies: (B, H, W, C) -> (B, H/4, W/4, C + 16).

    The lightness, the mean of the channels, goes through four band-pass filters half an octave apart, and so does its
    reduction to a quarter. What is above 0 and what below is averaged around each place, bright grain and dark grain
    apart. No weights.

    Raises: UserError where H or W is no multiple of 4 or below 28.
    """

    def build(self, shape):
        if any(n % REDUCTION or n // REDUCTION <= RADIUS for n in shape[1:3]):
            given = f"{shape[1]} x {shape[2]}"
            raise UserError(f"texture wants height and width in multiples of 4 from 28 on, got {given}")
        self.filters = band_filters()

    def energies(self, light, window, step):
        """(B, H, W, 1) -> (B, H/step, W/step, 8)."""
        light = ops.pad(light, ((0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0)), mode="reflect")
        bands = ops.conv(light, ops.convert_to_tensor(self.filters, dtype=light.dtype), padding="valid")
        grain = ops.concatenate([ops.relu(bands), ops.relu(-bands)], axis=-1)
        return ops.log(ops.average_pool(grain, window, step, "same") + FLOOR)

    def call(self, x):
        light = ops.mean(x, axis=-1, keepdims=True)
        fine = self.energies(light, 2 * REDUCTION, REDUCTION)
        coarse = self.energies(ops.average_pool(light, REDUCTION, REDUCTION), 3, 1)
        return ops.concatenate([ops.average_pool(x, REDUCTION, REDUCTION), fine, coarse], axis=-1)

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] // REDUCTION, shape[2] // REDUCTION, shape[3] + 4 * len(DEVIATIONS))


def band_filters():
    """Differences of neighbouring Gaussians, the first from a point, each of norm 1: float32 (13, 13, 1, 4)."""
    square = np.arange(-RADIUS, RADIUS + 1) ** 2
    square = square[:, None] + square
    smooth = [(square == 0).astype(float)]
    smooth += [gauss / gauss.sum() for gauss in (np.exp(-square / (2 * s * s)) for s in DEVIATIONS)]
    bands = -np.diff(smooth, axis=0)  # (4, 13, 13)
    bands /= np.linalg.norm(bands, axis=(1, 2), keepdims=True)
    return np.moveaxis(bands, 0, -1)[:, :, None].astype("float32")


# === Functional model ===


def texture_unet(input_shape, classes=1, width=32, depth=3, name="texture_unet"):
    """U-Net on colors and texture energies at a quarter of the image's size.

    Args:
        input_shape: (H, W, C); H and W multiples of 4 · 2**depth, else UserError.
        classes: channels of the output.
        width: channels of the first level, doubled from level to level.
        depth: number of twofold reductions within the U-Net.
        name: name of the model.

    Returns: keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes).
    """
    shape = layers.check_size(input_shape, REDUCTION * 2**depth, name)
    inputs = keras.Input(shape, name="image")
    x = TextureEnergy(name="texture")(inputs)  # (B, H/4, W/4, C + 16)
    x = keras.layers.BatchNormalization(**layers.NORM, name="texture_norm")(x)
    block = layers.residual_block
    grow = partial(layers.enlarge, how="transpose")
    x = u_levels(x, width, depth, "transpose", block, block, block, grow, layers.concat)
    x = layers.logits(x, classes)
    x = keras.layers.UpSampling2D(REDUCTION, interpolation="bilinear", dtype="float32", name="enlarged")(x)
    return keras.Model(inputs, x, name=name)
