"""Attention U-Net (Oktay et al. 2018) as in the ISIC 2018 attribute study: gated skips, partly residual blocks."""

from functools import partial

from models import layers
from models.unet import u_shape

# === Functional model ===


def attention_unet(input_shape, classes=1, width=64, depth=4, upsample="transpose", name="attention_unet"):
    """U-Net whose skips pass an additive attention gate steered by the enlarged deeper map.

    The first block and those of the decoder are residual, the others of the encoder plain double convolutions.

    Args:
        input_shape: (H, W, C); H and W multiples of 2**depth, else UserError.
        classes: channels of the output.
        width: channels of the first level, doubled from level to level.
        depth: number of twofold reductions.
        upsample: "transpose", "bilinear" (aligned corners) or "nearest" + convolution.
        name: name of the model.

    Returns: keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes).
    """
    first = decode = layers.residual_block
    grow = partial(layers.enlarge, how=upsample)
    return u_shape(
        input_shape, classes, width, depth, upsample, first, layers.double_conv, decode, grow, layers.gated_concat, name
    )
