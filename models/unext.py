"""UNeXt (Valanarasu and Patel, MICCAI 2022, arXiv 2203.04967): convolutions at high resolution, MLPs at low.

1,471,921 parameters with one class, as the public code has them (UNeXt-pytorch, class `UNext`): every weighted layer
of it takes part. Left out are only its softmax, which it never calls, and its dropout and stochastic depth, of rate 0.
"""

import keras
import numpy as np
from keras import ops

from models import layers
from utils.errors import UserError

WIDTHS = (16, 32, 128, 160, 256)  # of the table of results; section 2 names a wider one
CONV_STAGES = 3  # the other stages are tokenized MLPs
REACH = 2  # pixels, the farthest shift; one group of channels for each of -2 … 2
EPSILON = 1e-5  # of the layer norms
KERNEL = {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"}


# === Layers ===


@keras.saving.register_keras_serializable(package="lesion")
class ChannelShift(keras.layers.Layer):
    """Shift five groups of channels by -2, -1, 0, 1 and 2 pixels along `axis`: 1 (down) or 2 (to the right).

    (B, H, W, C) -> the same; zeros enter, what leaves is lost. A group has ceil(C/5) channels, the last what is left.
    """

    def __init__(self, axis, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, shape):
        span = 2 * REACH + 1
        channels = shape[3]
        group = -(-channels // span)
        kernel = np.zeros((span, channels), "float32")
        # a convolution with a one at offset -s moves by s: the group of the largest shift looks back farthest
        kernel[span - 1 - np.arange(channels) // group, np.arange(channels)] = 1
        self.kernel = np.expand_dims(kernel, (2 - self.axis, 3))  # (5, 1, C, 1) or (1, 5, C, 1)

    def call(self, x):
        # two to four times as fast on a CPU as padding and slicing, whose gradient is slow
        kernel = ops.convert_to_tensor(self.kernel, dtype=self.compute_dtype)
        return ops.depthwise_conv(x, kernel, padding="same")

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


# === Blocks ===


def layer_norm(x, name):
    """Layer normalization of each pixel: (B, H, W, C) -> the same."""
    return keras.layers.LayerNormalization(epsilon=EPSILON, name=name)(x)


def embed(x, filters, name):
    """Overlapping tokens: 3×3 convolution of stride 2, layer norm: (B, H, W, C) -> (B, H/2, W/2, filters)."""
    x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)  # on all sides, where "same" would leave out two
    start = keras.initializers.VarianceScaling(**KERNEL)
    x = keras.layers.Conv2D(filters, 3, strides=2, kernel_initializer=start, name=f"{name}_conv")(x)
    return layer_norm(x, f"{name}_norm")


def shifted_mlp(x, name):
    """x + Dense(shift across(GELU(3×3 depthwise(Dense(shift down(LN x)))))), then LN: (B, H, W, C) -> the same."""
    dense = {"units": x.shape[-1], "kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.02)}
    start = keras.initializers.VarianceScaling(**KERNEL)
    y = layer_norm(x, f"{name}_mlp_norm")
    y = ChannelShift(1, name=f"{name}_mlp_down")(y)
    y = keras.layers.Dense(**dense, name=f"{name}_mlp_dense1")(y)
    y = keras.layers.DepthwiseConv2D(3, padding="same", depthwise_initializer=start, name=f"{name}_mlp_depthwise")(y)
    y = keras.layers.Activation("gelu", name=f"{name}_mlp_gelu")(y)  # exact, by the error function
    y = ChannelShift(2, name=f"{name}_mlp_across")(y)
    y = keras.layers.Dense(**dense, name=f"{name}_mlp_dense2")(y)
    x = keras.layers.Add(name=f"{name}_mlp_add")([x, y])
    return layer_norm(x, f"{name}_out_norm")


def enlarge(x, filters, name, norm=True):
    """Convolution, batch normalization, bilinear enlargement, ReLU: (B, H, W, C) -> (B, 2H, 2W, filters)."""
    x = layers.conv_norm_relu(x, filters, name, bias=True, norm=norm, relu=False)
    x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_resize")(x)  # half-pixel centres
    return keras.layers.ReLU(name=f"{name}_relu")(x)


# === Functional model ===


def unext(input_shape, classes=1, widths=WIDTHS, name="unext"):
    """UNeXt: three convolutional and two tokenized MLP stages, a decoder in mirror image, skips that are added.

    Args:
        input_shape: (H, W, C); H and W multiples of 32, else UserError.
        classes: channels of the output.
        widths: channels of the five stages, else UserError.
        name: name of the model.

    Returns: keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes).
    """
    shape = layers.check_size(input_shape, 32, name)
    if len(widths) != len(WIDTHS):
        raise UserError(f"{name}: widths must be {len(WIDTHS)} numbers such as {WIDTHS}, got {widths}")
    inputs = x = keras.Input(shape, name="image")
    # 1. encoder: stage i at H/2^i, W/2^i, numbered from 1
    skips = []
    for stage, filters in enumerate(widths, start=1):
        part = f"encoder{stage}"
        if stage <= CONV_STAGES:
            x = layers.conv_norm_relu(x, filters, part, bias=True, relu=False)
            x = keras.layers.MaxPooling2D(2, name=f"{part}_pool")(x)  # (B, H/2^i, W/2^i, filters)
            x = keras.layers.ReLU(name=f"{part}_relu")(x)
        else:
            x = shifted_mlp(embed(x, filters, part), part)  # (B, H/2^i, W/2^i, filters)
        skips.append(x)
    # 2. decoder, from the bottom up
    x = skips.pop()
    for step, skip in enumerate(reversed(skips), start=1):
        part = f"decoder{step}"
        x = enlarge(x, skip.shape[-1], part)  # (B, H/16 … H/2, …, 160 … 16)
        x = keras.layers.Add(name=f"{part}_add")([x, skip])
        if step <= len(widths) - CONV_STAGES:
            x = shifted_mlp(x, part)
    x = enlarge(x, widths[0], f"decoder{len(widths)}", norm=False)  # (B, H, W, 16)
    return keras.Model(inputs, layers.logits(x, classes), name=name)
