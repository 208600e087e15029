"""JAAL-Net: joint attention and adversarial learning (doi 10.1088/1361-6560/acc630). LF-Net draws masks, DA-Net
tells drawn from true.

LF-Net sees the image and its Canny edges in **one** tensor of C + 1 channels: the image, min-max normalized to
[−1, 1], then the 0/1 edge map of `edge_map`. Everywhere `input_shape` counts the channels of the image alone, so that
(128, 128, 3) means the same for every network: LF-Net's own input is then (128, 128, 4), and that of DA-Net, which
sees the image and a mask of `classes` channels, (128, 128, 3 + classes).

Left out of the public code: what never touches its output (the 1×1 convolutions of 513 and 12 values) and the dropout
of rate 1 in its dense blocks. Its tanh is the same function as our sigmoid of the logit: (tanh z + 1)/2 = σ(2z).
"""
import cv2
import keras
import numpy as np

from models.attention import ChannelAttention, PositionAttention, dilated_cbam, gated_contour
from models.layers import NORM, check_size, conv_norm_relu, enlarge, logits

CANNY = (10, 100)  # thresholds on the gradient of the 8-bit image


def edge_map(image):
    """Canny edges of an image: uint8 (H, W, 3) RGB or (H, W, 1) gray -> uint8 {0, 1} (H, W, 1)."""
    if image.dtype != np.uint8 or image.ndim != 3:
        raise ValueError(f"edge_map: expected an image uint8 (H, W, C), got {image.dtype} {image.shape}")
    return (cv2.Canny(np.ascontiguousarray(image), *CANNY) > 0).astype(np.uint8)[..., None]


# === Blocks ===
def split_conv(x, filters, name):
    """DDSConv: [C3 BN ReLU](x) + [C1 BN ReLU](x), convolutions with bias: (B, H, W, C) -> (B, H, W, filters)."""
    wide = conv_norm_relu(x, filters, name, 1, bias=True)
    return keras.layers.Add(name=f"{name}_add")([wide, point_norm_relu(x, filters, name, 2)])


def point_norm_relu(x, filters, name, index):
    """1×1 convolution with bias, batch normalization, ReLU: (B, H, W, C) -> (B, H, W, filters)."""
    x = keras.layers.Conv2D(filters, 1, name=f"{name}_conv{index}")(x)
    x = keras.layers.BatchNormalization(**NORM, name=f"{name}_norm{index}")(x)
    return keras.layers.ReLU(name=f"{name}_relu{index}")(x)


def norm_relu_conv(x, filters, kernel, name, index=""):
    """Batch normalization, ReLU, convolution without bias: (B, H, W, C) -> (B, H, W, filters)."""
    x = keras.layers.BatchNormalization(**NORM, name=f"{name}_norm{index}")(x)
    x = keras.layers.ReLU(name=f"{name}_relu{index}")(x)
    return keras.layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=f"{name}_conv{index}")(x)


def dense_block(x, name):
    """DenseNet's layer, as many new channels as there were: (B, H, W, C) -> (B, H, W, 2C)."""
    channels = x.shape[-1]
    new = norm_relu_conv(x, channels, 1, name, 1)
    return keras.layers.Concatenate(name=f"{name}_concat")([x, norm_relu_conv(new, channels, 3, name, 2)])


def transition(x, name):
    """DenseNet's transition: (B, H, W, C) -> (B, H/2, W/2, C)."""
    return keras.layers.AveragePooling2D(2, name=f"{name}_pool")(norm_relu_conv(x, x.shape[-1], 1, name))


def attention_block(x, filters, name):
    """A decoder level: residual block with channel and spatial attention, (B, H, W, C) -> (B, H, W, filters)."""
    y = conv_norm_relu(x, filters, name, 1)
    y = conv_norm_relu(y, filters, name, 2, bias=True)
    y = keras.layers.Add(name=f"{name}_add")([y, point_norm_relu(x, filters, name, 3)])
    return dilated_cbam(y, f"{name}_cbam")


def basic_block(x, name):
    """ResNet's block without a change of width: ReLU(x + [C3 BN ReLU C3 BN](x)), (B, H, W, C) -> same."""
    y = conv_norm_relu(x, x.shape[-1], name, 1)
    y = conv_norm_relu(y, x.shape[-1], name, 2, relu=False)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, y]))


# === Functional models ===
def lf_net(input_shape=(128, 128, 3), classes=1, width=32, name="lf_net"):
    """LF-Net, the generator: image and edge map (B, H, W, C + 1) -> logits float32 (B, H, W, classes).

    11,558,215 parameters for one class and width 32.

    Args:
        input_shape: (H, W, C) of the image; H and W multiples of 16. The model's input has one channel more, the edges.
        classes: int, channels of the output.
        width: int, channels of the first level; doubled at each of the four levels below.
        name: str, the model's name.
    """
    height, columns, channels = check_size(input_shape, 16, name)
    inputs = keras.Input((height, columns, channels + 1), name="image_and_edges")
    image, edges = inputs[..., :channels], inputs[..., channels:]  # (B, H, W, C), (B, H, W, 1)

    # 1. encoder
    skip1 = split_conv(image, width, "encoder1")  # (B, H, W, w)
    x = keras.layers.AveragePooling2D(2, name="pool1")(skip1)
    skip2 = split_conv(x, 2 * width, "encoder2")  # (B, H/2, W/2, 2w)
    x = keras.layers.AveragePooling2D(2, name="pool2")(skip2)
    skip3 = dense_block(x, "dense3")  # (B, H/4, W/4, 4w)
    skip4 = dense_block(transition(skip3, "transition3"), "dense4")  # (B, H/8, W/8, 8w)
    bottleneck = split_conv(transition(skip4, "transition4"), 16 * width, "encoder5")  # (B, H/16, W/16, 16w)

    # 2. decoder, and beside it the contour stream, gated by what the decoder sees
    x = contour = bottleneck
    for level, skip in ((4, skip4), (3, skip3), (2, skip2), (1, skip1)):
        filters = width * 2 ** (level - 1)
        x = enlarge(x, filters, f"up{level}", "transpose")  # (B, H/2^(level-1), …, filters)
        x = keras.layers.Concatenate(name=f"concat{level}")([x, skip])
        x = attention_block(x, filters, f"decoder{level}")
        gate = keras.layers.Conv2D(1, 1, name=f"gate{level}_map")(x)  # (B, …, 1)
        contour = basic_block(contour, f"contour{level}")
        contour = enlarge(contour, filters, f"contour{level}_up", "bilinear")
        contour = keras.layers.Conv2D(filters, 1, name=f"contour{level}_reduce")(contour)  # (B, …, filters)
        contour = gated_contour(contour, gate, filters if level > 1 else 1, f"gate{level}")

    # 3. head
    x = keras.layers.Concatenate(name="concat_head")([contour, edges, x])  # (B, H, W, w + 2)
    return keras.Model(inputs, logits(x, classes), name=name)


def da_net(input_shape=(128, 128, 3), classes=1, width=64, name="da_net"):
    """DA-Net, the discriminator: image and mask (B, H, W, C + classes) -> float32 logits (B, H/4, W/4, 1).

    σ(logit) is the probability that the mask is a true one; image and mask are both on the [−1, 1] scale. 77,315
    parameters for an RGB image, one class and width 64. The memory of its position attention grows with (H·W)².

    Args:
        input_shape: (H, W, C) of the image; H and W multiples of 4. The model's input has the mask's channels too.
        classes: int, channels of the mask.
        width: int, channels inside.
        name: str, the model's name.
    """
    height, columns, channels = check_size(input_shape, 4, name)
    inputs = keras.Input((height, columns, channels + classes), name="image_and_mask")
    x = keras.layers.Conv2D(width, 3, padding="same", name="conv_input")(inputs)
    x = keras.layers.Conv2D(width, 4, strides=2, padding="same", name="conv1")(x)  # (B, H/2, W/2, w)
    judge = keras.layers.Conv2D(1, 4, strides=2, padding="same", name="conv2")  # one layer, both branches
    branches = PositionAttention(name="position")(x), ChannelAttention(name="channel")(x)
    x = keras.layers.Add(name="add")([judge(branch) for branch in branches])  # (B, H/4, W/4, 1)
    x = keras.layers.LeakyReLU(negative_slope=0.2, dtype="float32", name="head")(x)
    return keras.Model(inputs, x, name=name)
