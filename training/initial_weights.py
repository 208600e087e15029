"""Random kernels to begin with, of the distributions that PyTorch's initialisers have."""

import keras
import numpy as np

START = keras.initializers
KINDS = {  # setting: initialiser of a seed
    "xavier": lambda seed: START.VarianceScaling(1.0, "fan_avg", "untruncated_normal", seed),
    "kaiming": lambda seed: START.VarianceScaling(2.0, "fan_in", "untruncated_normal", seed),
    "orthogonal": lambda seed: START.Orthogonal(seed=seed),
    "normal": lambda seed: START.RandomNormal(stddev=0.02, seed=seed),
}


def begin(network, kind, seed, spared=()):
    """Draw the kernels of all convolutions and dense layers anew, but those of the layers `spared`.

    network: keras.Model. kind: of KINDS. seed: int; the same one draws the same kernels.
    """
    draw, spared = KINDS[kind](keras.random.SeedGenerator(seed)), {id(layer) for layer in spared}
    for layer in network._flatten_layers(include_self=False):
        kernel = getattr(layer, "kernel", None)
        if kernel is None or id(layer) in spared:
            continue
        if isinstance(layer, keras.layers.DepthwiseConv2D):  # (H, W, C, 1): each channel sees itself alone
            values = keras.ops.convert_to_numpy(draw((*kernel.shape[:2], 1, kernel.shape[2] * kernel.shape[3])))
            kernel.assign(np.reshape(values, kernel.shape))
        else:
            kernel.assign(draw(kernel.shape))
