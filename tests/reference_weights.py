"""The formula of the reference weights and inputs, and how they get into a network.

`tests/reference/NAME.json` lists the tensors of an original network, `NAME.npz` holds what it computed on the weights
and the input of this formula.
"""

import json
from pathlib import Path

import numpy as np

from models import torch_names

FOLDER = Path(__file__).parent / "reference"


def reference(name):
    """The description of a reference network, its input (B, H, W, C) and its output, both float32."""
    description = json.loads((FOLDER / f"{name}.json").read_text())
    image = np.random.RandomState(0).rand(*description["input_shape"]).astype("float32")
    return description, image, np.load(FOLDER / f"{name}.npz")["output"]


def values(tensor, keras_layout=False):
    """The values of one tensor of the list, an array of its `shape`."""
    shape = tensor["shape"]
    size = int(np.prod(shape))
    z = np.random.RandomState(1000 + tensor["index"]).standard_normal(size).astype("float32")
    outputs = shape[-1] if keras_layout else shape[0]
    kind = tensor["kind"]
    if kind == "kernel":
        z = z * np.float32(np.sqrt(2 / (size / outputs)))
    elif kind == "scale":
        z = 1 + np.float32(0.1) * z
    elif kind == "variance":
        z = 1 + np.float32(0.1) * np.abs(z)
    elif kind == "gamma":
        z = np.full_like(z, 0.5)
    else:  # bias, mean
        z = np.float32(0.1) * z
    return z.reshape(shape)


def set_weights(model, description):
    """Give every tensor of the list to its layer by the rules of `models/originals.py` for the network `model.name`;
    KeyError unless each tensor and each variable is met."""
    keras_layout = description.get("layout") == "keras"
    seen = set()
    for tensor in description["tensors"]:
        found = torch_names.variable(model, model.name, tensor["name"])
        if found is None:
            raise KeyError(f"{model.name}: no place for {tensor['name']}")
        layer, variable = found
        array = values(tensor, keras_layout)
        variable.assign(array if keras_layout else torch_names.layout(layer, array))
        seen.add(variable.path)
    missing = {v.path for v in model.weights if "seed_generator" not in v.path} - seen
    if missing:
        raise KeyError(f"{model.name}: no reference tensor for {sorted(missing)}")


def relative_difference(ours, theirs):
    """max |ours − theirs| / max |theirs|."""
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())
