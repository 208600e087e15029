"""Where the weights of the original networks belong in ours: the names of their tensors, the layouts of their arrays.

`RULES[network]` are (pattern, replacement) pairs, applied in turn to a tensor's name without its last part; the
result is the name of our layer (layer/part for a layer inside a layer). Networks of one study share their rules.
"""

import re

import keras
import numpy as np

DOUBLE_CONV = [(r"\.0$", "_conv1"), (r"\.1$", "_norm1"), (r"\.3$", "_conv2"), (r"\.4$", "_norm2")]

AS_NET = [("^vgg16/", ""), ("synergy/batch_norm", "synergy_norm"), ("/", "_")]  # Keras's own names and layouts
UNET16 = [
    ("^Conv$", "head"),
    *[(rf"^Conv{i + 1}\.conv", f"encoder{i}") for i in range(5)],
    *[(rf"^Up{5 - i}\.up\.1", f"up{i + 1}_conv") for i in range(4)],
    *[(rf"^Up{5 - i}\.up\.2", f"up{i + 1}_norm") for i in range(4)],
    *[(rf"^Up_conv{5 - i}\.conv", f"decoder{i + 1}") for i in range(4)],
    *DOUBLE_CONV,
]
HAM10000 = [
    ("^out$", "head"),
    *[(rf"^down_convolution_{i + 1}\.conv", f"encoder{i}") for i in range(4)],
    ("^bottle_neck", "encoder4"),
    (r"^up_convolution_(\d)\.up$", r"up\1_conv"),
    (r"^up_convolution_(\d)\.conv", r"decoder\1"),
    (r"\.conv_op\.0$", "_conv1"),
    (r"\.conv_op\.2$", "_conv2"),
]
ATTRIBUTES = [
    (r"^outc\.conv$", "head"),
    # encoder and decoder of the U-Nets
    (r"^inc\b", "encoder0"),
    (r"^down(\d)\.maxpool_conv\.1", r"encoder\1"),
    (r"^up(\d)\.up$", r"up\1_conv"),
    (r"^up(\d)\.conv", r"decoder\1"),
    (r"^up(\d)\.attention\.W_g\.", r"decoder\1_gate_deep."),
    (r"^up(\d)\.attention\.W_x\.", r"decoder\1_gate_skip."),
    (r"^up(\d)\.attention\.psi\.", r"decoder\1_gate_map."),
    (r"(gate_\w+)\.0$", r"\1_conv"),
    (r"(gate_\w+)\.1$", r"\1_norm"),
    *[(r"\.double_conv" + pattern, name) for pattern, name in DOUBLE_CONV],
    (r"\.conv(\d)$", r"_conv\1"),
    (r"\.bn(\d)$", r"_norm\1"),
    (r"\.skip$", "_shortcut"),
    # ConvNeXt encoder: even members of `stages` are stages, odd ones reduce between them
    (r"^encoder\.stem\.0$", "stage0_down_conv"),
    (r"^encoder\.stem\.1$", "stage0_down_norm"),
    *[(rf"^encoder\.stages\.{2 * i - 1}\.0$", f"stage{i}_down_norm") for i in (1, 2, 3)],
    *[(rf"^encoder\.stages\.{2 * i - 1}\.1$", f"stage{i}_down_conv") for i in (1, 2, 3)],
    *[(rf"^encoder\.stages\.{2 * i}\.(\d)", rf"stage{i}_block\1") for i in range(4)],
    (r"\.layer_scale$", "_scale"),
    (r"\.block\.0$", "_depthwise"),
    (r"\.block\.2$", "_norm"),
    (r"\.block\.3$", "_expand"),
    (r"\.block\.5$", "_reduce"),
]
SACA = [
    (r"SRU\.gn", "sru/norm"),
    (r"CRU\.squeeze", "cru_squeeze"),
    (r"CRU\.GWC", "cru_grouped"),
    (r"CRU\.PWC", "cru_pointwise"),
]
CONV_GLU = [(r"fc(\d)", r"glu_linear\1"), (r"dwconv\.dwconv", "glu_depthwise")]
ADSTNET = [
    ("^shrink", "core"),
    ("^binarize", "binary"),
    (r"^(core|binary)\.3\.", r"\1_"),
    (r"^(core|binary)\.4$", r"\1_norm2"),
    (r"^(core|binary)\.6$", r"\1_conv2"),
    *SACA,
    *CONV_GLU,
    (r"^backbone\.", ""),
    *UNET16,
]
DA_NET = [
    ("^convinput$", "conv_input"),
    (r"^sa\.(\w+)_conv$", r"position/\1"),
    ("^sa$", "position"),
    ("^sc$", "channel"),
]
RULES = {
    "as_net": AS_NET,
    "unet16": UNET16,
    "adstnet": ADSTNET,
    "da_net": DA_NET,
    "ham10000_unet": HAM10000,
    "attributes_unet": ATTRIBUTES,
    "attributes_residual_unet": ATTRIBUTES,
    "attributes_attention_unet": ATTRIBUTES,
    "attributes_convnext_unet": ATTRIBUTES,
}

NORMS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization, keras.layers.GroupNormalization)
NORM_PARTS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def layer_name(network, module):
    """The name of our layer for a module of the original, such as "inc.double_conv.0" -> "encoder0_conv1"."""
    for pattern, replacement in RULES[network]:
        module = re.sub(pattern, replacement, module)
    return module


def variable(model, network, name):
    """The layer and the variable of `model` that hold the tensor `name` of the original `network`, or None."""
    module, part = re.fullmatch(r"(?:(.*)[./])?(\w+)", name).groups(default="")
    if part == "layer_scale":  # a tensor of the block itself
        module = name
        part = "weight"
    wanted, *inner = layer_name(network, module).split("/")
    layer = next((layer for layer in model.layers if layer.name == wanted), None)
    for attribute in inner:
        layer = getattr(layer, attribute, None)
    if isinstance(layer, NORMS):
        part = NORM_PARTS.get(part, part)
    elif part == "weight":
        part = "kernel"
    variables = layer.weights if layer else []
    # a layer of its own may call its one weight otherwise
    found = [v for v in variables if v.name == part] or (variables if len(variables) == 1 and part == "kernel" else [])
    return (layer, found[0]) if found else None


def layout(layer, array):
    """A PyTorch array in the layout of the Keras layer that takes it."""
    array = np.asarray(array)
    if array.ndim == 4 and isinstance(layer, keras.layers.DepthwiseConv2D):
        return array.transpose(2, 3, 0, 1)  # (C, 1, kh, kw) -> (kh, kw, C, 1)
    if array.ndim == 4:  # (out, in, kh, kw) -> (kh, kw, in, out); transposed convolutions have in and out swapped
        return array.transpose(2, 3, 1, 0)
    if array.ndim == 3:  # (C, 1, 1) -> (C,)
        return array.reshape(-1)
    return array.T  # linear (out, in) -> (in, out); vectors stay
