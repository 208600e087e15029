"""Weights of PyTorch state dictionaries, `.pth` or `.safetensors`, into our networks.

A file of the original code of a network fills the whole network. One of torchvision's classifiers fills an encoder:
VGG16 that of `as_net`, ConvNeXt-Tiny that of `attributes_convnext_unet`; the rest of the network keeps its weights.
`models/originals.py` knows which tensor belongs where.
"""

import re
from pathlib import Path

import numpy as np

from models import torch_names
from utils.errors import UserError

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # keys under which training code keeps a state dictionary
PREFIXES = ("module.", "model.", "net.")  # what wrapping a network in another module puts before every name
VGG16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # indices of the convolutions in torchvision's `features`
VGG16_NAMES = [f"block{block}_conv{i}" for block, n in enumerate((2, 2, 3, 3, 3), start=1) for i in range(1, n + 1)]
# our network: how torchvision's names read in the original's, and which of our layers they fill
TORCHVISION = {
    "as_net": (
        [(rf"^features\.{place}\.", f"vgg16/{name}/") for place, name in zip(VGG16, VGG16_NAMES, strict=True)],
        r"block\d_conv\d",
    ),
    "attributes_convnext_unet": (
        [
            (r"^features\.0\.", "encoder.stem."),
            *[(rf"^features\.{i + 1}\.", f"encoder.stages.{i}.") for i in range(7)],
        ],
        r"stage\d_",
    ),
}
SHOWN = 5  # names of each kind that an error lists


def load(model, path):
    """Give a model the weights of a file; nothing is changed unless every tensor fits.

    Args:
        model: a network of the registry, by its name (`model.name`).
        path: `.safetensors`, or anything that `torch.load(weights_only=True)` reads.

    Returns: int, how many tensors were taken.

    Raises: FileNotFoundError; ImportError without PyTorch or safetensors; UserError that lists tensors without a
        place, weights without a tensor, and shapes that differ.
    """
    tensors = read(path)
    network = model.name
    ours = {v.path: v for v in model.weights if "seed_generator" not in v.path}
    if network in TORCHVISION and any(name.startswith("features.") for name in tensors):
        rules, layers = TORCHVISION[network]
        tensors = {rename(name, rules): array for name, array in tensors.items() if name.startswith("features.")}
        ours = {name: v for name, v in ours.items() if re.match(layers, name)}
    elif network not in torch_names.RULES or network == "as_net":
        known = sorted(set(torch_names.RULES) - {"as_net"})
        raise UserError(
            f"{path}: no PyTorch names are known for {network!r}; known are {', '.join(known)}, and torchvision's "
            "VGG16 (for as_net) and ConvNeXt-Tiny (for attributes_convnext_unet)"
        )
    values = match_tensors(model, tensors, ours, path)
    for name, array in values.items():
        ours[name].assign(array)
    return len(values)


def match_tensors(model, tensors, ours, path):
    """Pair every tensor {name: array} with one of our weights {path: variable}: {path: array in Keras's layout}."""
    values = {}
    homeless = []
    unequal = []
    for name, array in tensors.items():
        layer, variable = torch_names.variable(model, model.name, name) or (None, None)
        if variable is None or variable.path not in ours or variable.path in values:
            homeless.append(name)
            continue
        array = torch_names.layout(layer, array)
        if array.shape != tuple(variable.shape):
            unequal.append(f"{name} {array.shape} for {variable.path} {tuple(variable.shape)}")
        values[variable.path] = array
    problems = {
        "tensors of the file without a place in the network": homeless,
        "weights of the network without a tensor in the file": [name for name in ours if name not in values],
        "shapes that differ (in Keras's order of axes)": unequal,
    }
    if any(problems.values()):
        report = "; ".join(f"{title}: {listing(names)}" for title, names in problems.items() if names)
        raise UserError(
            f"{path} does not fit {model.name}: {report}. Build the network with the options that the file was trained "
            "with (classes, width, upsample, …)"
        )
    return values


def listing(names):
    """The first names, and how many there are."""
    more = f", … ({len(names)} in all)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def rename(name, rules):
    """The name after the first of the (pattern, replacement) pairs that fits it."""
    for pattern, replacement in rules:
        name, found = re.subn(pattern, replacement, name)
        if found:
            break
    return name


# === Files ===
def read(path):
    """Read a state dictionary: {name: float32 array}, without counters of batches and without wrappers' prefixes."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file of weights at {path}")
    tensors = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    tensors = {name: array for name, array in tensors.items() if not name.endswith("num_batches_tracked")}
    if not tensors:
        raise UserError(f"{path} holds no tensors: expected a state dictionary, {{name: tensor}}")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): array for name, array in tensors.items()}
    return tensors


def read_safetensors(path):
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError(f"reading {path} needs safetensors: pip install safetensors") from error
    try:
        return {name: array.astype(np.float32) for name, array in load_file(path).items()}
    except Exception as error:  # safetensors raises a class of its own that is no ValueError
        raise UserError(f"{path} is no file of safetensors that NumPy can read: {error}") from error


def read_torch(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"reading {path} needs PyTorch: pip install torch, or save the weights as .safetensors where PyTorch is"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises whatever the file provokes
        raise UserError(f"{path} is no state dictionary that torch.load(weights_only=True) reads: {error}") from error
    state = next((state[key] for key in WRAPPERS if isinstance(state, dict) and key in state), state)
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}: expected a state dictionary, {{name: tensor}}")
    return {name: value.detach().float().numpy() for name, value in state.items() if isinstance(value, torch.Tensor)}
