"""The networks: build one by name, load a saved one, list them all.

    python model.py                                the table of networks (a minute)
    python model.py NAME                           the layers of one at its published size
    python model.py NAME --input_shape 128x128x3   … at another size
    python model.py import WEIGHTS --model NAME --out FILE.keras [--option upsample=bilinear]
                                                   weights of the PyTorch original (.pth, .safetensors) into a network
                                                   for predict.py and evaluate.py: --run FILE.keras

The table gives the trainable parameters, the operations of convolutions and matrix products for one image (2 for a
multiply-add) and the peak memory of its maps in inference (float32, without the weights), both at the published size.

A new network is one file in `models/` and one line in REGISTRY.
"""

from __future__ import annotations  # keras.Model is not loaded to be named

import argparse
import ast
import contextlib
import dataclasses
import inspect
import json
import pkgutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import config
from utils import errors
from utils.arguments import snake_case
from utils.errors import UserError
from utils.files import replacing, write_comment
from utils.lazy import lazily
from utils.startup import start_tensorflow

with lazily():  # after the command line has been read
    import keras

    from models import adstnet as adstnet_head
    from models import graph, torch_weights, training_step


@dataclass(frozen=True)
class Network:
    """One line of the registry.

    address: "module:function" of its builder, which is imported when it is used; builder(input_shape, name=...,
    **options) returns the network. options: the preset's own defaults.
    input_shape: published height, width, channels; both sides must be multiples of `divisor` (at the preset's depth).
    normalization: what the pipeline does to the pixels (imaging/normalization.py).
    encoder: how the names of its encoder's layers begin; "": it has none that could be kept as it is.
    """

    address: str
    source: str
    input_shape: tuple
    normalization: str
    divisor: int = 16
    options: dict = field(default_factory=dict)
    encoder: str = ""

    @property
    def builder(self) -> Callable:
        return pkgutil.resolve_name(self.address)

    def defaults(self):
        """Every option with its default value; a builder's `**` stands for the options of its backbone."""
        parameters = inspect.signature(self.builder).parameters.values()
        named = [p for p in parameters if p.name not in ("input_shape", "name") and p.kind is not p.VAR_KEYWORD]
        return {p.name: p.default for p in named} | self.options

    def takes_backbone(self):
        """Whether options that the network does not know are those of its backbone."""
        return "backbone" in self.defaults()


def adstnet(
    input_shape,
    backbone="unet16",
    core_weight=1.0,
    edge_weight=1.0,
    binary_weight=1.0,
    backbone_weight=1.0,
    name="adstnet",
    **options,
):
    """AdSTNet's head around a one-channel network of the registry, named `backbone` and built with `options`.

    The factors of the loss's terms, `core_weight`, `edge_weight`, `binary_weight` and `backbone_weight`, are those of
    models.adstnet.AdSTNet.
    """
    if backbone == name:
        raise UserError(f"{name}: the backbone must be another network: {', '.join(n for n in names() if n != name)}")
    network = build(backbone, input_shape, **{"classes": 1, **options})
    return adstnet_head.AdSTNet(network, core_weight, edge_weight, binary_weight, backbone_weight, name=name)


TASK2 = "ISIC 2018 Task 2 study"
ATTRIBUTES = {"classes": 5}
UNET16 = {"width": 16, "upsample": "nearest", "bias": True}
HAM10000 = {"norm": False, "skip_first": False}

REGISTRY = {
    "as_net": Network(
        "models.as_net:as_net", "doi 10.1016/j.eswa.2022.117112", (192, 256, 3), "gamma", 32, encoder="block"
    ),
    "unet": Network("models.unet:unet", "Ronneberger et al. 2015", (256, 256, 3), "unit", encoder="encoder"),
    "unet16": Network(
        "models.unet:unet", "doi 10.3390/app15179259", (256, 256, 3), "unit", options=UNET16, encoder="encoder"
    ),
    "adstnet": Network("model:adstnet", "doi 10.3390/app15179259", (256, 256, 3), "unit"),
    "lf_net": Network("models.jaal_net:lf_net", "doi 10.1088/1361-6560/acc630", (128, 128, 3), "minmax_edges"),
    "da_net": Network("models.jaal_net:da_net", "doi 10.1088/1361-6560/acc630", (128, 128, 3), "minmax", 4),
    "jaal_net": Network("models.jaal_net:jaal_net", "doi 10.1088/1361-6560/acc630", (128, 128, 3), "minmax_edges"),
    "ham10000_unet": Network(
        "models.unet:unet", "HAM10000 code", (512, 512, 3), "unit", options=HAM10000, encoder="encoder"
    ),
    "attributes_unet": Network("models.unet:unet", TASK2, (256, 256, 3), "standardize", 16, ATTRIBUTES, "encoder"),
    "attributes_residual_unet": Network(
        "models.residual_unet:residual_unet", TASK2, (256, 256, 3), "standardize", 16, ATTRIBUTES, "encoder"
    ),
    "attributes_attention_unet": Network(
        "models.attention_unet:attention_unet", TASK2, (256, 256, 3), "standardize", 16, ATTRIBUTES, "encoder"
    ),
    "attributes_convnext_unet": Network(
        "models.convnext_unet:convnext_unet", TASK2, (256, 256, 3), "standardize", 32, ATTRIBUTES, "stage"
    ),
    "texture_unet": Network(
        "models.texture_unet:texture_unet", "this toolkit", (256, 256, 3), "standardize", 32, encoder="encoder"
    ),
    "efficientnet_unet": Network(
        "models.efficientnet_unet:efficientnet_unet",
        "this toolkit",
        (128, 128, 3),
        "efficientnet_lite",
        32,
        encoder="encoder",
    ),
    "unext": Network("models.unext:unext", "arXiv 2203.04967", (512, 512, 3), "standardize", 32),
}


def names() -> list[str]:
    """The names of all networks, in the order of the table."""
    return list(REGISTRY)


def build(name: str, input_shape: tuple[int, int, int] | None = None, **options) -> keras.Model:
    """Build a network of the registry.

    Args:
        name: one of `names()`.
        input_shape: (H, W, C); None means the published one.
        options: keyword arguments of the network's builder, such as `classes=5` or `width=16`; for `adstnet` also
            those of its `backbone`.

    Returns: a functional keras.Model, (B, H, W, C) -> float32 logits (B, H, W, classes). `adstnet` and `jaal_net` have
    a training step of their own: they are of the class TrainingModel (models/training_step.py).

    Raises: UserError that lists the names or the options there are, or the sizes that fit.
    """
    if name not in REGISTRY:
        raise UserError(f"no network named {name!r}; there are: {', '.join(names())}")
    network = REGISTRY[name]
    known = network.defaults()
    unknown = sorted(set(options) - set(known))
    if unknown and not network.takes_backbone():
        listing = ", ".join(f"{key}={value!r}" for key, value in known.items())
        raise UserError(f"{name} has no option {', '.join(unknown)}; there are, with their defaults: {listing}")
    return network.builder(input_shape or network.input_shape, name=name, **{**known, **options})


def encoder(network: keras.Model, name: str, options: dict) -> list[keras.layers.Layer]:
    """The layers of the encoder of a network that `build` made of a name and options; of adstnet its backbone's.

    Raises: UserError if it has none that the registry knows.
    """
    source = _source(name, options)
    if not (prefix := REGISTRY[source].encoder):
        with_one = ", ".join(n for n, entry in REGISTRY.items() if entry.encoder)
        raise UserError(f"{source} has no encoder apart from the rest; these have: {with_one}")
    return [layer for layer in graph.layers(network) if layer.name.startswith(prefix)]


def pretrained_layers(network: keras.Model, name: str, options: dict) -> list[keras.layers.Layer]:
    """The layers of a network that `build` made of a name and options whose weights were trained before."""
    weights = {**REGISTRY[_source(name, options)].defaults(), **options}.get("weights")
    return [] if weights in ("none", None) else encoder(network, name, options)


def _source(name, options):
    """The name of a network, of adstnet that of its backbone."""
    return {**REGISTRY[name].defaults(), **options}.get("backbone", name)


def load(path: str | Path) -> keras.Model:
    """Load a network saved as `.keras`, uncompiled.

    FileNotFoundError: no such file. UserError: it is no saved network, or was damaged or edited.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no saved network at {path}; train one first: python train.py")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is cut off or no saved network; train it again or copy the file again")
    register_layers()
    with errors.unreadable(path, _remedy(path)):
        return keras.models.load_model(path, compile=False)


def register_layers() -> None:
    """Make the layers of all networks known to Keras, so that it can load what was saved of them."""
    for network in REGISTRY.values():
        _ = network.builder  # imports its file
    _ = adstnet_head.AdSTNet


def _remedy(path):
    """What to do where a `.keras` file cannot be loaded."""
    saved = None
    with contextlib.suppress(Exception), zipfile.ZipFile(path) as archive:  # whatever may be wrong with it
        saved = json.loads(archive.read("metadata.json"))["keras_version"]
    if saved in (None, keras.__version__):
        return "train it again or copy the file again"
    return f"Keras {saved} saved it and here is {keras.__version__}: install that one, or train it again"


def load_torch_weights(network: keras.Model, path: str | Path) -> int:
    """Fill a network with a state dictionary of its PyTorch original, or its encoder with torchvision's.

    Args:
        network: as `build` returns it, with the options (classes, width, upsample, …) of the original.
        path: `.pth` (needs PyTorch) or `.safetensors`.

    Returns: int, the number of tensors taken; UserError that lists what does not match, and then nothing is changed.
    """
    return torch_weights.load(network, path)


def untrained(name, input_shape=None, **options):
    """Build a network of the registry from random weights."""
    random = {"weights": "none"} if name in REGISTRY and "weights" in REGISTRY[name].defaults() else {}
    return build(name, input_shape, **{**random, **options})


def print_table():
    """Print a line for every network."""
    from models import cost  # needs TensorFlow, which the networks themselves do not

    titles = ("network", "parameters", "GFLOPs", "peak MiB", "published size", "pixels", "source")
    line = "{:26}{:>12}{:>9}{:>10}  {:16}{:13}{}"
    print(line.format(*titles))
    for name, entry in REGISTRY.items():
        network = untrained(name)
        ops = cost.operations(network)
        gflops, mebibytes = cost.flops(ops) / 1e9, cost.peak_activation_bytes(ops) / 2**20
        size = " × ".join(str(n) for n in entry.input_shape)
        cells = (f"{cost.parameters(network):,}", f"{gflops:.2f}", f"{mebibytes:.1f}", size, entry.normalization)
        print(line.format(name, *cells, entry.source), flush=True)
        keras.backend.clear_session()


def print_layers(network):
    """Print a line for every layer, and the count of trainable parameters."""
    from models import cost

    line = "{:32}{:24}{:24}{:>12}"
    print(line.format("layer", "class", "output", "parameters"))
    for layer in network.layers:
        shapes = " ".join(str(tensor.shape) for tensor in keras.tree.flatten(layer.output))
        print(line.format(layer.name, type(layer).__name__, shapes, f"{layer.count_params():,}"))
    print(f"{cost.parameters(network):,} trainable parameters")


def shape(text):
    """Parse "HxWxC"."""
    sizes = text.lower().split("x")
    if len(sizes) != 3 or not all(n.isdigit() for n in sizes):
        raise argparse.ArgumentTypeError(f"expected HxWxC such as 192x256x3, got {text!r}")
    return tuple(int(n) for n in sizes)


def option(text):
    """Parse "KEY=VALUE", the value a Python literal or a word."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE such as upsample=bilinear, got {text!r}")
    try:
        return key, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return key, value


def import_weights(argv):
    """python model.py import: build a network, fill it from a PyTorch file, save it."""
    parser = argparse.ArgumentParser(prog="model.py import", description="Weights of a PyTorch original -> .keras")
    parser.add_argument("weights", help=".pth or .safetensors")
    parser.add_argument("--model", required=True, help=f"one of {', '.join(names())}")
    parser.add_argument("--out", required=True, type=Path, help="the .keras file to write")
    parser.add_argument("--input_shape", type=shape, help="HxWxC; default: the published size")
    parser.add_argument("--option", type=option, action="append", default=[], help="KEY=VALUE; repeatable")
    args = parser.parse_args(snake_case(argv))
    if args.out.suffix != ".keras":
        parser.error(f"--out must end in .keras, got {args.out}")
    start_tensorflow()
    try:
        network = untrained(args.model, args.input_shape, **dict(args.option))
        taken = load_torch_weights(network, args.weights)
        network = training_step.deployed(network)
    except (UserError, FileNotFoundError, ImportError) as error:
        parser.error(str(error))
    with replacing(args.out) as temporary:
        network.save(temporary)
        settings = config.Settings(
            run=args.model, model=args.model, options=dict(args.option), normalize=REGISTRY[args.model].normalization
        )
        write_comment(temporary, {"settings": dataclasses.asdict(settings)})  # as runs.seal does
    print(f"{taken} tensors of {args.weights} -> {args.out} ({args.model})")


@errors.in_one_line()
def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["import"]:
        return import_weights(argv[1:])
    importing = "python model.py import --help: weights of a PyTorch original into a network."
    parser = argparse.ArgumentParser(description="The networks: their table, or the layers of one.", epilog=importing)
    parser.add_argument("name", nargs="?", help=f"one of {', '.join(names())}")
    parser.add_argument("--input_shape", type=shape, help="HxWxC; default: the published size")
    args = parser.parse_args(snake_case(argv))
    if args.name not in (None, *REGISTRY):
        parser.error(f"no network named {args.name!r}; there are: {', '.join(names())}")
    start_tensorflow()
    if args.name is None:
        return print_table()
    try:
        network = untrained(args.name, args.input_shape)
    except UserError as error:
        parser.error(str(error))
    print_layers(network)


if __name__ == "__main__":
    main()
