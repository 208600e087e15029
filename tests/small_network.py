"""Every network of the registry, as small as it can be."""

import keras

import model

SMALL = {"weights": "none", "width": 8, "blocks": (1, 1, 1, 1)}  # taken where a network has the option
EXTRA = {"adstnet": {"width": 8}}  # options of its backbone


def small(name, shape=None):
    """A network of the registry of the least size that it can have, twice as high as wide, with fixed weights.

    Not the other way round: products of maps one row high, (B, 1, W, C), with matrices are wrong in bfloat16 in
    TensorFlow 2.20 and 2.21 on CPUs (Keras 3.15 avoids them), and their ONNX files are refused.
    """
    keras.utils.set_random_seed(0)
    entry = model.REGISTRY[name]
    options = {key: value for key, value in SMALL.items() if key in entry.defaults()} | EXTRA.get(name, {})
    return model.build(name, shape or (2 * entry.divisor, entry.divisor, 3), **options)
