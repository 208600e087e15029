"""Explanations of a network's output: its attention gates, and Grad-CAM, as maps of numbers.

    attention(network, images)                       # {gate: map (h, w)}
    gradcam(network, images, k=0)                    # {layer: map (h, w)} for class number k

Both take one normalized image, (1, H, W, channels) float32, and give float32 maps at the network's own sizes. They read
the graph of a functional network, so that networks need nothing of their own for it.
"""

import re
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from models import graph
from utils.errors import UserError

CHANNEL_PATH = r"cam\d+"  # AS-Net's steps of channel attention, whose gates have no extent
STEPS = r"(decoder|sam|cam)\d+(?=_|$)"  # how the layers of a decoder step begin, in every network here


# === Attention ===


def attention(network: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """What the network's attention lets through, in the order of the computation: {gate: map (h, w), float32}.

    A gate is a sigmoid map that multiplies features: 0 suppresses a position, 1 lets it pass; shown is the mean over
    its channels. Where gates are added (AS-Net's spatial attention) it is the mean of them all. Of AS-Net's
    channel attention it is the mean of the features that a step gives, any number. UserError: there is no attention.
    """
    gates = {}  # name of a layer -> how many gates it is the sum of
    sources = {call.name: call.sources for call in graph.calls(network)}
    for layer in network.layers:
        if is_gate(layer):
            gates[layer.name] = 1
        elif isinstance(layer, keras.layers.Add) and all(name in gates for name in sources[layer.name]):
            gates[layer.name] = sum(gates.pop(name) for name in sources[layer.name])
        elif re.fullmatch(CHANNEL_PATH, layer.name):
            gates[layer.name] = 1
    if not gates:
        raise UserError(f"{network.name} has no attention gates to show; gradcam works for every network")
    outputs = keras.Model(network.input, [network.get_layer(name).output for name in gates])(images, training=False)
    maps = {}
    for (layer, summands), output in zip(gates.items(), outputs, strict=True):
        name = re.sub("(_gate|_sigmoid|_attention)+$", "", layer)
        maps[name] = keras.ops.convert_to_numpy(output).astype(np.float32)[0].mean(axis=-1) / summands
    return maps


def is_gate(layer):
    """Whether a layer is a sigmoid over a map, not over a vector."""
    sigmoid = isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.sigmoid
    return sigmoid and layer.output.shape[1:3] != (1, 1)


# === Grad-CAM ===


def gradcam(network: keras.Model, images: np.ndarray, k: int = 0, layers: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Which positions contribute to class number k: {layer: map (h, w) from 0 to 1}.

    Grad-CAM (Selvaraju et al. 2017): the maps of a layer summed with the mean gradient of a score as weights, and of
    the sum what is above 0, here over its maximum; all 0 where no position contributes to the class. The score is that
    of Vinogradova et al. 2020 for masks: the mean logit of the pixels predicted to be of the class (of all where there
    are none).

    layers: names of the layers, by default those of `stages`. UserError: no such layer, or its maps have no extent.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"Grad-CAM needs TensorFlow's gradients, KERAS_BACKEND is {keras.backend.backend()}")
    chosen_layers = {name: network.get_layer(name).output for name in layers} or stages(network)
    for name, features in chosen_layers.items():
        if len(features.shape) != 4 or features.shape[1:3] == (1, 1):
            raise UserError(f"layer {name} gives {features.shape}, expected maps (B, h, w, channels)")
    images = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(images)  # weights may be frozen
        *maps, logits = keras.Model(network.input, [*chosen_layers.values(), network.output])(images, training=False)
        logits = logits[..., k]
        chosen = tf.cast(logits > 0, tf.float32)  # (1, H, W)
        chosen = chosen if tf.reduce_any(chosen > 0) else tf.ones_like(chosen)
        score = tf.reduce_sum(chosen * logits) / tf.reduce_sum(chosen)
    heats = {}
    for name, features, gradient in zip(chosen_layers, maps, tape.gradient(score, maps), strict=True):
        weights = tf.reduce_mean(gradient, axis=(1, 2))  # (1, C)
        heat = np.maximum(tf.einsum("bhwc,bc->hw", features, weights).numpy(), 0)
        heats[name] = heat / (heat.max() or 1)
    return heats


def stages(network):
    """Feature maps to explain by, small ones first: those at the bottom and what each decoder step gives, symbolic."""
    found = {"bottom": bottom(network)}
    for layer in network.layers:
        if (step := re.match(STEPS, layer.name)) and layer.output.shape[1:3] != (1, 1):
            found[step[0]] = layer.output  # the last of a step stays
    return dict(sorted(found.items(), key=lambda item: item[1].shape[1]))


def bottom(network):
    """The feature maps that are enlarged first, else those the last operation takes: symbolic (B, h, w, C)."""
    for operation in network.operations:
        if isinstance(operation, keras.layers.InputLayer):
            continue
        before, after = keras.tree.flatten(operation.input)[0], keras.tree.flatten(operation.output)[0]
        larger = len(before.shape) == len(after.shape) == 4 and after.shape[1] > before.shape[1]
        if larger and not isinstance(operation, keras.layers.ZeroPadding2D):
            return before
    return before
