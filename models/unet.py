"""U-Net (Ronneberger et al. 2015) in the forms that the sources use.

`unet` covers three published networks by its options (presets in `model.py`): the backbone of AdSTNet
(doi 10.3390/app15179259; `unet16`), the ISIC 2018 attribute U-Net and the HAM10000 U-Net.
"""

from functools import partial

import keras

from models import layers

# === Functional model ===


def unet(
    input_shape, classes=1, width=64, depth=4, norm=True, bias=None, upsample="transpose", skip_first=True, name="unet"
):
    """U-Net with two convolutions a level.

    Args:
        input_shape: (H, W, C); H and W multiples of 2**depth, else UserError.
        classes: channels of the output.
        width: channels of the first level, doubled from level to level.
        depth: number of twofold reductions.
        norm: batch normalization after every 3×3 convolution.
        bias: biases in the 3×3 convolutions; None means where no batch normalization follows.
        upsample: "transpose", "bilinear" (aligned corners, halves the width at the bottom) or "nearest" + convolution.
        skip_first: concatenate (skip, enlarged); False: (enlarged, skip).
        name: name of the model.

    Returns: keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes).
    """
    bias = not norm if bias is None else bias
    block = partial(layers.double_conv, bias=bias, norm=norm)
    grow = partial(layers.enlarge, how=upsample, bias=bias, norm=norm)

    def merge(skip, x, name):
        pair = [skip, x] if skip_first else [x, skip]
        return keras.layers.Concatenate(name=f"{name}_concat")(pair)

    return u_shape(input_shape, classes, width, depth, upsample, block, block, block, grow, merge, name)


def u_shape(input_shape, classes, width, depth, upsample, first, encode, decode, grow, merge, name):
    """A U-Net of `u_levels`, from image to logits."""
    shape = layers.check_size(input_shape, 2**depth, name)
    inputs = keras.Input(shape, name="image")
    x = u_levels(inputs, width, depth, upsample, first, encode, decode, grow, merge)
    return keras.Model(inputs, layers.logits(x, classes), name=name)


def u_levels(x, width, depth, upsample, first, encode, decode, grow, merge):
    """The skeleton of the U-Nets, (B, H, W, C) -> (B, H, W, width): `first`, `encode` and `decode` are blocks
    (x, filters, name[, middle]), `grow` enlarges twofold (x, filters, name), `merge` joins (skip, enlarged, name)."""
    widths = [width * 2**level for level in range(depth)]
    halving = 2 if upsample == "bilinear" else 1  # without weights the enlargement cannot halve the channels
    # 1. encoder: level i at H/2^i, W/2^i
    skips = []
    for level, filters in enumerate(widths):
        x = (encode if level else first)(x, filters, f"encoder{level}")  # (B, H/2^i, W/2^i, width·2^i)
        skips.append(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool{level}")(x)
    x = encode(x, width * 2**depth // halving, f"encoder{depth}")
    # 2. decoder, numbered from the bottom up
    for step, level in enumerate(reversed(range(depth)), start=1):
        x = grow(x, widths[level], f"up{step}")  # (B, H/2^i, W/2^i, width·2^i)
        x = merge(skips[level], x, f"decoder{step}")
        filters = widths[level] // halving if level else widths[0]
        x = decode(x, filters, f"decoder{step}", middle=widths[level])
    return x
