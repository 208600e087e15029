"""Every network of the registry, as small as it can be."""

import keras

import model

SMALL = {"weights": "none", "width": 8, "blocks": (1, 1, 1, 1)}  # taken where a network has the option
EXTRA = {"adstnet": {"width": 8}}  # options of its backbone


def small(name, shape=None):
    """A network of the registry of the least width and height it can have, twice as wide as high, its weights fixed."""
    keras.utils.set_random_seed(0)
    entry = model.REGISTRY[name]
    options = {key: value for key, value in SMALL.items() if key in entry.defaults()} | EXTRA.get(name, {})
    return model.build(name, shape or (entry.divisor, 2 * entry.divisor, 3), **options)
