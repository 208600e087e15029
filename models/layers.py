"""Parts that the networks share: blocks as functions on tensors, and layers where Keras has none for a computation.

Tensors are (B, H, W, C) in the compute dtype. Blocks take a `name`, the prefix of their layers' names, by which
`models/originals.py` finds the weights of the original networks.
"""

import keras
import numpy as np
from keras import ops

from utils.errors import UserError

NORM = {"momentum": 0.9, "epsilon": 1e-5}  # batch normalization as in PyTorch, its momentum in Keras's sense


# === Layers ===


@keras.saving.register_keras_serializable(package="lesion")
class AlignedResize(keras.layers.Layer):
    """Bilinear interpolation to `size` (height, width) with aligned corners: the corner pixels keep their values.

    (B, H, W, C) -> (B, *size, C). Keras interpolates with half-pixel centres only; here each axis is one product
    with a small interpolation matrix.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = tuple(int(n) for n in size)

    def build(self, shape):
        self.rows = aligned_matrix(shape[1], self.size[0])  # (size[0], H)
        self.columns = aligned_matrix(shape[2], self.size[1])  # (size[1], W)

    def call(self, x):
        rows = ops.convert_to_tensor(self.rows, dtype=self.compute_dtype)
        columns = ops.convert_to_tensor(self.columns, dtype=self.compute_dtype)
        height, width, channels = x.shape[1:]
        # products of matrices, without the transposed copies of an einsum: 2.5 times as fast on a CPU
        x = ops.matmul(rows, ops.reshape(x, (-1, height, width * channels)))  # (B, size[0], W·C)
        x = ops.matmul(columns, ops.reshape(x, (-1, width, channels)))  # (B·size[0], size[1], C)
        return ops.reshape(x, (-1, *self.size, channels))

    def compute_output_shape(self, shape):
        return (shape[0], *self.size, shape[3])

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="lesion")
class LayerScale(keras.layers.Layer):
    """One trainable factor a channel, starting at `value`: (..., C) -> (..., C)."""

    def __init__(self, value=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.value = value

    def build(self, shape):
        start = keras.initializers.Constant(self.value)
        self.gamma = self.add_weight(name="gamma", shape=(shape[-1],), initializer=start)

    def call(self, x):
        return x * self.gamma

    def get_config(self):
        return {**super().get_config(), "value": self.value}


@keras.saving.register_keras_serializable(package="lesion")
class Synergy(keras.layers.Layer):
    """α·a + β·b of two tensors of one shape; α = β = 0.5, two free scalars if `adaptive` (AS-Net)."""

    def __init__(self, adaptive=False, **kwargs):
        super().__init__(**kwargs)
        self.adaptive = adaptive

    def build(self, shapes):
        half = keras.initializers.Constant(0.5)
        if self.adaptive:
            self.alpha = self.add_weight(name="alpha", shape=(), initializer=half)
            self.beta = self.add_weight(name="beta", shape=(), initializer=half)
        else:
            self.alpha = self.beta = 0.5

    def call(self, tensors):
        a, b = tensors
        return self.alpha * a + self.beta * b

    def compute_output_shape(self, shapes):
        return shapes[0]

    def get_config(self):
        return {**super().get_config(), "adaptive": self.adaptive}


def aligned_matrix(source, target):
    """The float32 matrix (target, source) of linear interpolation with aligned corners along one axis."""
    position = np.linspace(0, source - 1, target)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(source))).astype("float32")


# === Blocks ===


def check_size(input_shape, divisor, network):
    """Return (height, width, channels) as ints; UserError unless height and width are multiples of `divisor`."""
    if len(input_shape) != 3 or any(n is None or int(n) < 1 for n in input_shape):
        raise UserError(f"{network}: input_shape must be (height, width, channels), all known; got {input_shape}")
    height, width, channels = (int(n) for n in input_shape)
    for axis, n in (("height", height), ("width", width)):
        if n % divisor:
            below, above = n // divisor * divisor, n // divisor * divisor + divisor
            fits = f"{below} or {above}" if below else f"{above}"
            raise UserError(f"{network}: {axis} must be a multiple of {divisor}, got {n}; the next that fit: {fits}")
    return height, width, channels


def conv_norm_relu(x, filters, name, index="", bias=False, norm=True, relu=True):
    """3×3 convolution, batch normalization, ReLU, the last two if asked for: (B, H, W, C) -> (B, H, W, filters)."""
    options = {"use_bias": bias, "kernel_initializer": "he_normal"}
    x = keras.layers.Conv2D(filters, 3, padding="same", **options, name=f"{name}_conv{index}")(x)
    if norm:
        x = keras.layers.BatchNormalization(**NORM, name=f"{name}_norm{index}")(x)
    return keras.layers.ReLU(name=f"{name}_relu{index}")(x) if relu else x


def double_conv(x, filters, name, middle=None, bias=False, norm=True):
    """Two times convolution, batch normalization, ReLU: (B, H, W, C) -> (B, H, W, filters), `middle` in between."""
    x = conv_norm_relu(x, middle or filters, name, 1, bias, norm)
    return conv_norm_relu(x, filters, name, 2, bias, norm)


def residual_block(x, filters, name, middle=None):
    """C3 BN ReLU C3 BN plus the input (by a 1×1 convolution where widths differ), ReLU: -> (B, H, W, filters)."""
    shortcut = x
    x = conv_norm_relu(x, middle or filters, name, 1)
    x = conv_norm_relu(x, filters, name, 2, relu=False)
    if shortcut.shape[-1] != filters:
        shortcut = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_shortcut")(shortcut)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, shortcut]))


def enlarge(x, filters, name, how, bias=False, norm=True):
    """Twofold enlargement: (B, H, W, C) -> (B, 2H, 2W, filters), where "bilinear" keeps C.

    how: "transpose", a 2×2 transposed convolution; "bilinear" with aligned corners, no weights; "nearest",
    followed by convolution, batch normalization and ReLU.
    """
    if how == "transpose":
        return keras.layers.Conv2DTranspose(filters, 2, strides=2, name=f"{name}_conv")(x)
    if how == "bilinear":
        return AlignedResize((2 * x.shape[1], 2 * x.shape[2]), name=f"{name}_resize")(x)
    if how == "nearest":
        x = keras.layers.UpSampling2D(2, name=f"{name}_nearest")(x)
        return conv_norm_relu(x, filters, name, bias=bias, norm=norm)
    raise UserError(f"upsample must be 'transpose', 'bilinear' or 'nearest', got {how!r}")


def attention_gate(skip, deep, name):
    """Additive attention on a skip: skip · σ(BN C1(1) ReLU(BN C1 deep + BN C1 skip)), both (B, H, W, any)."""
    inner = min(deep.shape[-1], skip.shape[-1]) // 2

    def project(x, filters, part):
        x = keras.layers.Conv2D(filters, 1, name=f"{name}_{part}_conv")(x)
        return keras.layers.BatchNormalization(**NORM, name=f"{name}_{part}_norm")(x)

    total = keras.layers.Add(name=f"{name}_add")([project(deep, inner, "deep"), project(skip, inner, "skip")])
    total = keras.layers.ReLU(name=f"{name}_relu")(total)  # (B, H, W, inner)
    weight = keras.layers.Activation("sigmoid", name=f"{name}_sigmoid")(project(total, 1, "map"))  # (B, H, W, 1)
    return keras.layers.Multiply(name=f"{name}_multiply")([skip, weight])


def concat(skip, deep, name):
    """concat(skip, deep): both (B, H, W, any) -> (B, H, W, sum of both)."""
    return keras.layers.Concatenate(name=f"{name}_concat")([skip, deep])


def gated_concat(skip, deep, name):
    """concat(gated skip, deep): both (B, H, W, any) -> (B, H, W, sum of both)."""
    return keras.layers.Concatenate(name=f"{name}_concat")([attention_gate(skip, deep, f"{name}_gate"), deep])


def logits(x, classes):
    """1×1 convolution to float32 logits (B, H, W, classes), in float32 under any dtype policy."""
    return keras.layers.Conv2D(classes, 1, dtype="float32", name="head")(x)
