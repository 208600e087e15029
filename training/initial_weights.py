"""The weights with which a run begins: kernels drawn as PyTorch's initializers draw them, or another run's weights."""

import keras
import numpy as np

import model
import runs
from models import graph
from utils.errors import UserError

START = keras.initializers
KINDS = {  # setting: initializer of a seed
    "xavier": lambda seed: START.VarianceScaling(1.0, "fan_avg", "untruncated_normal", seed),
    "kaiming": lambda seed: START.VarianceScaling(2.0, "fan_in", "untruncated_normal", seed),
    "orthogonal": lambda seed: START.Orthogonal(seed=seed),
    "normal": lambda seed: START.RandomNormal(stddev=0.02, seed=seed),
}
WITH_KERNEL = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.DepthwiseConv2D, keras.layers.Dense)


def initialize(network: keras.Model, kind: str, seed: int, spared: list = ()):
    """Re-initialize the kernels of all convolutions and dense layers, but those of the layers `spared`.

    kind: of KINDS. seed: the same one draws the same kernels.
    """
    draw = KINDS[kind](keras.random.SeedGenerator(seed))
    kept = {id(layer) for layer in spared}
    for layer in graph.layers(network):
        if not isinstance(layer, WITH_KERNEL) or id(layer) in kept:
            continue
        kernel = layer.kernel
        if isinstance(layer, keras.layers.DepthwiseConv2D):  # (H, W, C, 1): each channel has a filter of its own
            values = keras.ops.convert_to_numpy(draw((*kernel.shape[:2], 1, kernel.shape[2] * kernel.shape[3])))
            kernel.assign(np.reshape(values, kernel.shape))
        else:
            kernel.assign(draw(kernel.shape))


def take_over(network: keras.Model, source: str):
    """Begin with the weights of another run: those of the same name and shape. Prints what was not taken.

    source: name of a run in checkpoint_best/, its folder, or a .keras file. UserError where nothing fits.
    """
    file = runs.network_file(runs.find(source))
    theirs = {weight.path: weight for weight in model.load(file).weights}
    fits = [w for w in network.weights if w.path in theirs and theirs[w.path].shape == w.shape]
    if not fits:
        raise UserError(f"{file}: none of its {len(theirs)} weights has name and shape of one of {network.name}'s")
    for weight in fits:
        weight.assign(theirs[weight.path].numpy())
    print(f"{len(fits)} of {len(network.weights)} weights from {file}")
    taken = {weight.path for weight in fits}
    for weight in network.weights:
        if weight.path not in taken:
            there = f"there {tuple(theirs[weight.path].shape)}" if weight.path in theirs else "not there"
            print(f"  new: {weight.path} {tuple(weight.shape)}, {there}")
    for path in sorted(set(theirs) - {weight.path for weight in network.weights}):
        print(f"  not taken: {path} {tuple(theirs[path].shape)}")
