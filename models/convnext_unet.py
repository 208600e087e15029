"""U-Net over a ConvNeXt-Tiny encoder (Liu et al. 2022), one of the four networks of the ISIC 2018 attribute study."""

import keras

from models import layers
from models.pretrained import pretrained
from utils.errors import UserError

BLOCKS = (3, 3, 9, 3)  # of ConvNeXt-Tiny, stage by stage
WIDTH = 96  # channels of its first stage
EPSILON = 1e-6  # of its layer norms
STOCHASTIC_DEPTH = 0.1  # fraction of images for which the last block is skipped in training; grows linearly from 0


# === Blocks ===


def block(x, rate, name):
    """ConvNeXt block: x + scale·Dense(c)(GELU(Dense(4c)(LN(7×7 depthwise x)))), skipped with probability `rate`."""
    filters = x.shape[-1]
    start = {"kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.02)}
    y = keras.layers.DepthwiseConv2D(
        7, padding="same", depthwise_initializer=start["kernel_initializer"], name=f"{name}_depthwise"
    )(x)
    y = keras.layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm")(y)
    y = keras.layers.Dense(4 * filters, **start, name=f"{name}_expand")(y)  # (B, H, W, 4c)
    y = keras.layers.Activation("gelu", name=f"{name}_gelu")(y)  # exact, by the error function
    y = keras.layers.Dense(filters, **start, name=f"{name}_reduce")(y)  # (B, H, W, c)
    y = layers.LayerScale(name=f"{name}_scale")(y)
    y = keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)  # whole images
    return keras.layers.Add(name=f"{name}_add")([x, y])


def convnext(x, width, blocks):
    """The stages' raw outputs, at 1/4, 1/8, 1/16 and 1/32 of the input: no norm after them."""
    outputs = []
    done = 0
    for stage, count in enumerate(blocks):
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        size = 2 if outputs else 4
        reduce = keras.layers.Conv2D(
            width, size, strides=size, kernel_initializer=start, name=f"stage{stage}_down_conv"
        )
        norm = keras.layers.LayerNormalization(epsilon=EPSILON, name=f"stage{stage}_down_norm")
        x = reduce(norm(x)) if outputs else norm(reduce(x))  # (B, H/size, W/size, width)
        for i in range(count):
            x = block(x, STOCHASTIC_DEPTH * done / max(sum(blocks) - 1, 1), f"stage{stage}_block{i}")
            done += 1
        outputs.append(x)
        width *= 2
    return outputs


def load_imagenet(encoder, network, weights):
    """Copy the weights of keras.applications.ConvNeXtTiny, whose layers come in the same order."""
    source = pretrained(keras.applications.ConvNeXtTiny, network, weights, input_shape=(32, 32, 3)).weights[:-2]
    if len(source) != len(encoder.weights) or source[0].shape != encoder.weights[0].shape:
        raise UserError(
            f"{network}: ImageNet weights need an RGB image, blocks={BLOCKS} and width={WIDTH}; else use weights='none'"
        )
    for target, value in zip(encoder.weights, source, strict=True):
        value = keras.ops.convert_to_numpy(value)
        # (7, 7, 1, C), a grouped convolution there, is (7, 7, C, 1), a depthwise one, here
        target.assign(value.swapaxes(2, 3) if target.path.endswith("depthwise/kernel") else value)


# === Functional model ===


def convnext_unet(
    input_shape,
    classes=1,
    upsample="transpose",
    weights="imagenet",
    freeze_encoder=False,
    width=WIDTH,
    blocks=BLOCKS,
    name="convnext_unet",
):
    """U-Net over ConvNeXt-Tiny: four steps of enlargement, attention gate and residual block, then ×4 bilinear.

    Args:
        input_shape: (H, W, C); H and W multiples of 32, else UserError.
        classes: channels of the output.
        upsample: "transpose" or "bilinear" (aligned corners).
        weights: of the encoder: "imagenet" (needs the network once, and C = 3), "none", or a file of Keras weights of
            ConvNeXtTiny without its top.
        freeze_encoder: keep the encoder's weights fixed in training.
        width: channels of the encoder's first stage.
        blocks: blocks of the encoder's four stages.
        name: name of the model.

    Returns: keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes).
    """
    height, width_in, channels = layers.check_size(input_shape, 32, name)
    inputs = keras.Input((height, width_in, channels), name="image")
    # 1. encoder
    skips = convnext(inputs, width, blocks)
    encoder = keras.Model(inputs, skips)
    if weights not in ("none", None):
        load_imagenet(encoder, name, weights)
    encoder.trainable = not freeze_encoder
    # 2. decoder; the last step takes the first skip, of the same size, once more
    x = skips.pop()  # (B, H/32, W/32, 8·width)
    for step, skip in enumerate([*reversed(skips), skips[0]], start=1):
        x = layers.enlarge(x, x.shape[-1], f"up{step}", upsample)
        if x.shape[1] != skip.shape[1]:
            x = layers.AlignedResize(skip.shape[1:3], name=f"up{step}_back")(x)
        x = layers.gated_concat(skip, x, f"decoder{step}")
        x = layers.residual_block(x, skip.shape[-1], f"decoder{step}")  # (B, H/16 … H/4, …, 4·width … width)
    # 3. logits at a quarter of the size, enlarged
    x = layers.logits(x, classes)
    x = layers.AlignedResize((height, width_in), dtype="float32", name="logits")(x)  # (B, H, W, classes)
    return keras.Model(inputs, x, name=name)
