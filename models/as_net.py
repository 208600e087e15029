"""AS-Net, the Attention Synergy Network (doi 10.1016/j.eswa.2022.117112): VGG16 and two parallel attention decoders."""

import keras

from models import layers
from models.pretrained import pretrained

TAPS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")  # 64, 128, 256, 512, 512
WIDTHS = (256, 128, 64, 32)  # channels of the four decoder steps


# === Blocks ===


def conv(filters, size, name, activation="relu"):
    """Convolution with He-normal kernel, "same" padding."""
    return keras.layers.Conv2D(
        filters, size, padding="same", activation=activation, kernel_initializer="he_normal", name=name
    )


def branches(x, filters, name):
    """The two inputs of either attention: three 3×3 convolutions, and one 1×1, each (B, H, W, filters)."""
    deep = x
    for i in (1, 2, 3):
        deep = conv(filters, 3, f"{name}_conv{i}")(deep)
    return deep, conv(filters, 1, f"{name}_project")(x)


def spatial_attention(x, filters, name):
    """SAM: o1·(σ(gate of o2 at half size) + σ(gate of o2 at quarter size)) + o2: -> (B, H, W, filters).

    The 1×1 convolution of a gate commutes with the bilinear enlargement before it in the paper and is done first, on
    4 or 16 times fewer pixels; the ReLU between them never acts, for o2 is not negative.
    """
    deep, plain = branches(x, filters, name)
    gates = []
    for factor in (2, 4):
        gate = keras.layers.MaxPooling2D(factor, name=f"{name}_pool{factor}")(plain)  # (B, H/f, W/f, filters)
        gate = conv(filters, 1, f"{name}_gate{factor}", activation=None)(gate)
        gate = keras.layers.UpSampling2D(factor, interpolation="bilinear", name=f"{name}_up{factor}")(gate)
        gates.append(keras.layers.Activation("sigmoid", name=f"{name}_sigmoid{factor}")(gate))  # (B, H, W, filters)
    gate = keras.layers.Add(name=f"{name}_gate")(gates)
    return keras.layers.Add(name=name)([keras.layers.Multiply(name=f"{name}_multiply")([deep, gate]), plain])


def channel_attention(x, filters, name):
    """CAM: o1·σ(W2 ReLU(W1 mean of o2)) + o2, hidden width filters/16: -> (B, H, W, filters)."""
    deep, plain = branches(x, filters, name)
    options = {"use_bias": False, "kernel_initializer": "he_normal"}
    scale = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(plain)  # (B, 1, 1, filters)
    scale = keras.layers.Dense(filters // 16, activation="relu", **options, name=f"{name}_squeeze")(scale)
    scale = keras.layers.Dense(filters, activation="sigmoid", **options, name=f"{name}_excite")(scale)
    return keras.layers.Add(name=name)([keras.layers.Multiply(name=f"{name}_multiply")([deep, scale]), plain])


# === Functional model ===


def as_net(input_shape, classes=1, weights="imagenet", trainable_synergy=False, name="as_net"):
    """AS-Net: VGG16 encoder, a spatial and a channel attention decoder, their weighted sum.

    Args:
        input_shape: (H, W, C); H and W multiples of 32, else UserError.
        classes: channels of the output.
        weights: of the encoder: "imagenet" (needs the network once), "none", or a file of Keras weights of VGG16
            without its top.
        trainable_synergy: make the weights of the sum, 0.5 each, trainable.
        name: name of the model.

    Returns: keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes).
    """
    inputs = keras.Input(layers.check_size(input_shape, 32, name), name="image")
    # 1. encoder, taps at H, H/2, H/4, H/8, H/16
    encoder = pretrained(keras.applications.VGG16, name, weights, input_tensor=inputs)
    taps = [encoder.get_layer(tap).output for tap in TAPS]
    # 2. two decoders over the same taps
    spatial = channel = taps.pop()
    for step, filters in enumerate(WIDTHS, start=1):
        tap = taps.pop()
        spatial_in = enlarged_concat(tap, spatial, f"sam{step}")
        channel_in = spatial_in if spatial is channel else enlarged_concat(tap, channel, f"cam{step}")
        spatial = spatial_attention(spatial_in, filters, f"sam{step}")  # (B, H/2^(4 - step), W/2^(4 - step), filters)
        channel = channel_attention(channel_in, filters, f"cam{step}")
    # 3. synergy
    x = layers.Synergy(trainable_synergy, name="synergy")([spatial, channel])  # (B, H, W, 32)
    x = conv(classes, 3, "synergy_conv", activation=None)(x)  # (B, H, W, classes)
    x = keras.layers.BatchNormalization(dtype="float32", name="synergy_norm")(x)
    return keras.Model(inputs, x, name=name)


def enlarged_concat(tap, x, name):
    """concat(tap, x enlarged twofold, bilinear with half-pixel centres)."""
    x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_up")(x)
    return keras.layers.Concatenate(name=f"{name}_concat")([tap, x])
