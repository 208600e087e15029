"""The networks: build one by name, load a saved one, list them all.

    python model.py            the table of networks
    python model.py NAME       the layers of one

A new network is one file in `models/` and one line in REGISTRY.
"""
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras

from models.as_net import as_net
from models.attention_unet import attention_unet
from models.convnext_unet import convnext_unet
from models.residual_unet import residual_unet
from models.unet import unet


@dataclass(frozen=True)
class Network:
    """One line of the registry.

    builder(input_shape, name=..., **options) returns the network; `options` are the preset's own defaults.
    input_shape: published height, width, channels; both sides must be multiples of `divisor` (at the preset's depth).
    normalization: what the pipeline does to the pixels, "unit", "gamma", "minmax" or "standardize".
    """

    builder: Callable
    source: str
    input_shape: tuple
    normalization: str
    divisor: int = 16
    options: dict = field(default_factory=dict)

    def defaults(self):
        """Every option with its default value."""
        parameters = inspect.signature(self.builder).parameters.values()
        return {p.name: p.default for p in parameters if p.name not in ("input_shape", "name")} | self.options


TASK2 = "ISIC 2018 Task 2 study"
ATTRIBUTES = {"classes": 5}
UNET16 = {"width": 16, "upsample": "nearest", "bias": True}
HAM10000 = {"norm": False, "skip_first": False}

REGISTRY = {
    "as_net": Network(as_net, "doi 10.1016/j.eswa.2022.117112", (192, 256, 3), "gamma", 32),
    "unet": Network(unet, "Ronneberger et al. 2015", (256, 256, 3), "unit"),
    "unet16": Network(unet, "doi 10.3390/app15179259", (256, 256, 3), "unit", options=UNET16),
    "ham10000_unet": Network(unet, "HAM10000 code", (512, 512, 3), "unit", options=HAM10000),
    "attributes_unet": Network(unet, TASK2, (256, 256, 3), "standardize", options=ATTRIBUTES),
    "attributes_residual_unet": Network(residual_unet, TASK2, (256, 256, 3), "standardize", options=ATTRIBUTES),
    "attributes_attention_unet": Network(attention_unet, TASK2, (256, 256, 3), "standardize", options=ATTRIBUTES),
    "attributes_convnext_unet": Network(convnext_unet, TASK2, (256, 256, 3), "standardize", 32, ATTRIBUTES),
}


def names():
    """The names of all networks, in the order of the table."""
    return list(REGISTRY)


def build(name, input_shape=None, **options):
    """Build a network of the registry.

    Args:
        name: one of `names()`.
        input_shape: (H, W, C); None means the published one.
        options: keyword arguments of the network's builder, such as `classes=5` or `width=16`.

    Returns: a functional keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes).

    Raises: ValueError that lists the names or the options there are, or the sizes that fit.
    """
    if name not in REGISTRY:
        raise ValueError(f"no network named {name!r}; there are: {', '.join(names())}")
    network = REGISTRY[name]
    known = network.defaults()
    unknown = sorted(set(options) - set(known))
    if unknown:
        listing = ", ".join(f"{key}={value!r}" for key, value in known.items())
        raise ValueError(f"{name} has no option {', '.join(unknown)}; there are, with their defaults: {listing}")
    return network.builder(input_shape or network.input_shape, name=name, **{**known, **options})


def load(path):
    """Load a network saved as `.keras`, uncompiled; its own layers are registered by importing this module."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no saved network at {path}; train one first: python train.py")
    return keras.models.load_model(path, compile=False)
