"""U-Net of residual blocks, one of the four networks of the ISIC 2018 attribute study."""

from functools import partial

from models import layers
from models.unet import u_shape

# === Functional model ===


def residual_unet(input_shape, classes=1, width=64, depth=4, upsample="transpose", name="residual_unet"):
    """U-Net with a residual block a level and concat(skip, enlarged).

    Args:
        input_shape: (H, W, C); H and W multiples of 2**depth, else UserError.
        classes: channels of the output.
        width: channels of the first level, doubled from level to level.
        depth: number of twofold reductions.
        upsample: "transpose", "bilinear" (aligned corners) or "nearest" + convolution.
        name: name of the model.

    Returns: keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes).
    """
    block = layers.residual_block
    grow = partial(layers.enlarge, how=upsample)
    return u_shape(input_shape, classes, width, depth, upsample, block, block, block, grow, layers.concat, name)
