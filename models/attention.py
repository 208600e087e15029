"""Attention, gating and reconstruction parts of JAAL-Net (doi 10.1088/1361-6560/acc630) and AdSTNet
(doi 10.3390/app15179259).

A part that Keras's own layers can express is a plain function on Keras tensors; only what holds a free scalar, a fixed
kernel or a weight that it reads twice is a `Layer`. Feature maps are (B, H, W, C) floats; `name` is the prefix of the
names of the layers that are made.
"""

import keras
from keras import ops

PACKAGE = "lesion"
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # the blur of the Laplacian pyramid, along one axis


# === Layers ===
@keras.saving.register_keras_serializable(package=PACKAGE)
class PositionAttention(keras.layers.Layer):
    """Every pixel attends to every other: x + γ·Σ_j softmax_j(q_i·k_j)·v_j (dual attention network, JAAL-Net's DA-Net).

    q and k are 1×1 convolutions to `reduction` times fewer channels, v to as many; all have a bias; γ starts at 0. The
    product is not scaled; the softmax is computed in float32. Memory grows with (H·W)².

    Args:
        reduction: int, divides the channels of q and k.
    """

    def __init__(self, reduction=2, **kwargs):
        super().__init__(**kwargs)
        self.reduction = reduction

    def build(self, input_shape):
        channels = input_shape[-1]
        widths = {"query": channels // self.reduction, "key": channels // self.reduction, "value": channels}
        for name, width in widths.items():
            layer = keras.layers.Conv2D(width, 1, name=name, dtype=self.dtype_policy)
            layer.build(input_shape)
            setattr(self, name, layer)
        self.gamma = self.add_weight(shape=(1,), initializer="zeros", name="gamma")

    def call(self, x):
        batch, height, width, channels = ops.shape(x)
        query, key, value = (
            ops.reshape(layer(x), (batch, height * width, layer.filters))  # (B, H·W, C/r) twice, (B, H·W, C)
            for layer in (self.query, self.key, self.value)
        )
        energy = ops.matmul(ops.cast(query, "float32"), ops.transpose(ops.cast(key, "float32"), (0, 2, 1)))
        weights = ops.cast(ops.softmax(energy, axis=-1), x.dtype)  # (B, H·W, H·W)
        attended = ops.reshape(ops.matmul(weights, value), (batch, height, width, channels))
        return x + ops.cast(self.gamma, x.dtype) * attended

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction}


@keras.saving.register_keras_serializable(package=PACKAGE)
class ChannelAttention(keras.layers.Layer):
    """Every channel attends to every other: x + γ·A·X, A = softmax(row maximum − E), E = X·Xᵀ over positions, γ from 0.

    The softmax favours channels that differ, as in the dual attention network. E sums over all pixels, so it is
    computed in float32 whatever the precision of x.
    """

    def build(self, input_shape):
        self.gamma = self.add_weight(shape=(1,), initializer="zeros", name="gamma")

    def call(self, x):
        batch, height, width, channels = ops.shape(x)
        flat = ops.reshape(ops.cast(x, "float32"), (batch, height * width, channels))  # (B, H·W, C)
        energy = ops.matmul(ops.transpose(flat, (0, 2, 1)), flat)  # (B, C, C)
        weights = ops.softmax(ops.max(energy, axis=-1, keepdims=True) - energy, axis=-1)
        attended = ops.cast(ops.matmul(flat, ops.transpose(weights, (0, 2, 1))), x.dtype)  # (B, H·W, C)
        return x + ops.cast(self.gamma, x.dtype) * ops.reshape(attended, (batch, height, width, channels))

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package=PACKAGE)
class SpatialReconstruction(keras.layers.Layer):
    """SRU, the spatial half of SCConv: tell informative from redundant pixels by group norm's scales, cross them over.

    r = σ(GN(x)·γ/Σγ); the informative part is x where r > 0.5 and r·x elsewhere, the redundant part 0 and r·x; the two
    halves of the channels of one part are added to the other halves of the other part.

    Args:
        groups: int, groups of the normalization; must divide the (even) number of channels.
        threshold: float, the gate's cut in (0, 1).
    """

    def __init__(self, groups=4, threshold=0.5, **kwargs):
        super().__init__(**kwargs)
        self.groups = groups
        self.threshold = threshold

    def build(self, input_shape):
        self.norm = keras.layers.GroupNormalization(self.groups, epsilon=1e-5, name="norm", dtype=self.dtype_policy)
        self.norm.build(input_shape)

    def call(self, x):
        scales = self.norm.gamma / ops.sum(self.norm.gamma)
        gate = ops.sigmoid(self.norm(x) * ops.cast(scales, x.dtype))
        rest = gate * x
        kept = gate > self.threshold
        informative, redundant = ops.where(kept, x, rest), ops.where(kept, ops.zeros_like(x), rest)
        informative_a, informative_b = ops.split(informative, 2, axis=-1)  # (B, H, W, C/2) each
        redundant_a, redundant_b = ops.split(redundant, 2, axis=-1)
        return ops.concatenate([informative_a + redundant_b, informative_b + redundant_a], axis=-1)  # (B, H, W, C)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "threshold": self.threshold}


@keras.saving.register_keras_serializable(package=PACKAGE)
class LaplacianResidual(keras.layers.Layer):
    """What one step of a Laplacian pyramid loses: x minus (blur, keep every second pixel, enlarge by zeros, 4·blur).

    The blur is the 5×5 binomial one with reflection that does not repeat the border. No weights. Needs H, W ≥ 5.
    """

    def blur(self, x, gain=1.0):
        channels = x.shape[-1]
        line = ops.convert_to_tensor(BINOMIAL, dtype=x.dtype)
        kernel = gain * ops.reshape(ops.outer(line, line), (5, 5, 1, 1))
        x = ops.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")  # (B, H+4, W+4, C)
        return ops.depthwise_conv(x, ops.tile(kernel, (1, 1, channels, 1)), padding="valid")  # (B, H, W, C)

    def call(self, x):
        batch, height, width, channels = ops.shape(x)
        small = self.blur(x)[:, ::2, ::2]  # (B, ⌈H/2⌉, ⌈W/2⌉, C)
        rows, columns = (height + 1) // 2, (width + 1) // 2
        spread = ops.reshape(small, (batch, rows, 1, columns, 1, channels))
        spread = ops.pad(spread, ((0, 0), (0, 0), (0, 1), (0, 0), (0, 1), (0, 0)))  # a zero after each pixel, each row
        enlarged = self.blur(ops.reshape(spread, (batch, 2 * rows, 2 * columns, channels)), gain=4.0)
        return x - enlarged[:, :height, :width]  # (B, H, W, C)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package=PACKAGE)
class GroupedConv2D(keras.layers.Conv2D):
    """Conv2D of several groups, each convolved by itself: Keras leaves groups to XLA, on CPUs ten times as slow."""

    def convolution_op(self, inputs, kernel):
        options = {"strides": self.strides, "padding": self.padding, "dilation_rate": self.dilation_rate}
        parts = zip(ops.split(inputs, self.groups, -1), ops.split(kernel, self.groups, -1), strict=True)
        return ops.concatenate([ops.conv(x, weights, **options) for x, weights in parts], axis=-1)


# === Functions on Keras tensors ===
def dilated_cbam(x, name, reduction=2, dilations=(6, 12, 18)):
    """Channel attention, then a spatial attention with dilated convolutions (JAAL-Net's decoder).

    y = x·σ(fc2 ReLU fc1 mean(x)); m = 7×7 convolution of (channel mean, channel maximum) of y;
    result y·σ(m + Σ over dilations of a 3×3 convolution of m). x: (B, H, W, C), the result has its shape.
    """
    channels = x.shape[-1]
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_channel_mean")(x)  # (B, 1, 1, C)
    gate = keras.layers.Conv2D(channels // reduction, 1, use_bias=False, activation="relu", name=f"{name}_fc1")(gate)
    gate = keras.layers.Conv2D(channels, 1, use_bias=False, activation="sigmoid", name=f"{name}_fc2")(gate)
    x = keras.layers.Multiply(name=f"{name}_channel")([x, gate])  # (B, H, W, C)
    summary = ops.concatenate([ops.mean(x, axis=-1, keepdims=True), ops.max(x, axis=-1, keepdims=True)], axis=-1)
    summary = keras.layers.Conv2D(1, 7, padding="same", use_bias=False, name=f"{name}_spatial")(summary)  # (B, H, W, 1)
    around = [
        keras.layers.Conv2D(1, 3, padding="same", dilation_rate=rate, name=f"{name}_dilated{rate}")(summary)
        for rate in dilations
    ]
    gate = keras.layers.Add(name=f"{name}_sum")([summary, *around])
    gate = keras.layers.Activation("sigmoid", name=f"{name}_gate")(gate)
    return keras.layers.Multiply(name=f"{name}_output")([x, gate])


def gated_contour(x, gate, filters, name):
    """Gated convolution of Gated-SCNN: C1(x·(1 + a)), a = σ(BN(C1(1)(ReLU(C1(C+1)(BN(concat(x, gate))))))).

    x: (B, H, W, C); gate: (B, H, W, 1), which tells the contour stream what the decoder sees. Gives (B, H, W, filters).
    """
    channels = x.shape[-1]
    a = keras.layers.Concatenate(name=f"{name}_concat")([x, gate])  # (B, H, W, C+1)
    a = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm1")(a)
    a = keras.layers.Conv2D(channels + 1, 1, activation="relu", name=f"{name}_conv1")(a)
    a = keras.layers.Conv2D(1, 1, name=f"{name}_conv2")(a)  # (B, H, W, 1)
    a = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm2")(a)
    a = keras.layers.Activation("sigmoid", name=f"{name}_attention")(a)
    return keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_output")(x + x * a)


def channel_reconstruction(x, name):
    """CRU, the channel half of SCConv: rich convolutions of half of the channels, the other half nearly as it is.

    x: (B, H, W, C) with C divisible by 8, the result has its shape.
    """
    channels = x.shape[-1]
    upper, lower = ops.split(x, 2, axis=-1)  # (B, H, W, C/2) each
    upper = keras.layers.Conv2D(channels // 4, 1, use_bias=False, name=f"{name}_squeeze1")(upper)  # (B, H, W, C/4)
    lower = keras.layers.Conv2D(channels // 4, 1, use_bias=False, name=f"{name}_squeeze2")(lower)
    grouped = GroupedConv2D(channels, 3, padding="same", groups=2, name=f"{name}_grouped")(upper)  # (B, H, W, C)
    pointwise = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_pointwise1")(upper)
    rest = keras.layers.Conv2D(channels - channels // 4, 1, use_bias=False, name=f"{name}_pointwise2")(lower)
    z = keras.layers.Concatenate(name=f"{name}_concat")([grouped + pointwise, rest, lower])  # (B, H, W, 2C)
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(z)  # (B, 1, 1, 2C)
    weights = keras.layers.Softmax(name=f"{name}_softmax")(weights)
    first, second = ops.split(z * weights, 2, axis=-1)
    return first + second  # (B, H, W, C)


def conv_glu(x, name, hidden=42):
    """Gated linear unit with a depthwise convolution: linear to (a, v), exact GELU(3×3 depthwise a)·v, linear back.

    x: (B, H, W, C), the result has its shape; a and v are `hidden` channels wide (AdSTNet: ⌊2·64/3⌋ = 42).
    """
    channels = x.shape[-1]
    x = keras.layers.Dense(2 * hidden, name=f"{name}_linear1")(x)  # (B, H, W, 2·hidden)
    a, value = ops.split(x, 2, axis=-1)
    a = keras.layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depthwise")(a)
    return keras.layers.Dense(channels, name=f"{name}_linear2")(ops.gelu(a, approximate=False) * value)  # (B, H, W, C)
