"""All settings of a run in one dataclass; their defaults are AS-Net as published.

Values come from three places, each overriding the one before: the defaults below, a YAML file (`--config FILE`), the
command line (`--learning_rate 1e-3`, `--options.width 16`). A name or a value that does not fit is refused with the
nearest right name. The resolved settings are saved beside every checkpoint and read back by `evaluate.py`.
"""

import argparse
import dataclasses
import difflib
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import yaml

import metrics
from utils import study_settings
from utils.errors import UserError
from utils.files import replacing

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)


@dataclass
class Settings:
    """Everything that decides what a run computes. Lengths are pixels, angles degrees, unless said otherwise."""

    run: str = ""
    """name of the run, also of its folders; default: the configuration file's name, else the network's"""
    data: str = "dataset_isic18"
    """folder of prepared arrays, or tfds:FOLDER/NAME@HEIGHTxWIDTH for records (datasets/records.py)"""

    # --- network
    model: str = "as_net"
    """network of the registry; `python model.py` lists them"""
    options: dict[str, Any] = field(default_factory=dict)
    """options of the network, such as {width: 16, depth: 4}"""
    weights: str | None = None
    """pretrained weights of the encoder: imagenet, none, or a file; default: the network's own choice"""
    normalize: Literal["unit", "gamma", "minmax", "minmax_edges", "standardize"] | None = None
    """what is done to the pixels; default: what the network was published with"""

    # --- objective and optimiser
    loss: str = "wbce(weight=2.5)"
    """sum of losses, such as `bce + 0.5*dice`"""
    class_weights: list[float] | Literal["balanced"] | None = None
    """weights of the classes in all losses that take some and name none of their own: a list, or balanced: how many
    times rarer than the commonest class each is, by training images that show it"""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "adagrad"] = "adam"
    """adam, adamw with decoupled weight decay, sgd, rmsprop (its mean of squares keeps 0.99) or adagrad"""
    beta_1: float = 0.9
    """how much of its mean of gradients Adam keeps from step to step"""
    momentum: float = 0.0
    """how much of its last update sgd or rmsprop adds to the next"""
    epsilon: float = 1e-7
    """least divisor of adam, adamw, rmsprop and adagrad; PyTorch's is 1e-8, for adagrad 1e-10"""
    learning_rate: float = 1e-4
    """the rate, or the highest rate of the schedule"""
    weight_decay: float = 0.0
    """decoupled in adamw; in the others so many times each weight is added to its gradient, as PyTorch does"""
    schedule: Literal["constant", "cosine", "cosine_restart", "step", "exp", "onecycle"] = "constant"
    """cosine falls to `final_rate` at the end of the last epoch; cosine_restart falls so again and again, each time
    twice as long; step and exp multiply by `decay`; onecycle rises from 1/25 over 30 % of the updates and falls"""
    period: int = 0
    """epochs in which cosine falls, epoch by epoch (0: all, update by update), of cosine_restart's first fall, and
    between two lowerings of step (0: 10)"""
    decay: float = 0.0
    """what step (0: 0.1) and, after every epoch, exp (0: 0.95) multiply the rate by"""
    final_rate: float = 0.0
    """the last rate of cosine and cosine_restart"""
    warmup_steps: int = 0
    """steps over which the rate first rises from 0 (cosine)"""
    ema: float = 0.0
    """momentum per step of a moving average of the weights, which is validated and kept as the best; 0: none"""
    clip: float = 0.0
    """largest norm of all gradients of a step together; 0: not limited"""
    initializer: Literal["none", "xavier", "kaiming", "orthogonal", "normal"] = "none"
    """how kernels begin that no pretrained encoder brings, all from normal distributions (normal: of deviation 0.02);
    none: each as its network was published"""
    freeze_epochs: int = 0
    """first epochs in which the encoder stays as it is; after them all learns, with a fresh optimiser and schedule"""
    unfreeze_factor: float = 0.1
    """what the rates are multiplied by after `freeze_epochs`"""
    epochs: int = 50
    """passes over the training images"""
    rare: float = 0.0
    """share of an epoch's draws that is spread evenly over the classes and then over the images that show them; the
    rest is spread evenly over all images, and 0 takes each image once"""
    batch_size: int = 16
    """images a step, over all devices together"""
    accumulate: int = 1
    """steps whose gradients make one update, as one step on so many times the images would"""
    patience: int = 0
    """stop after so many validated epochs without a better `monitor`; 0: never"""
    plateau: int = 0
    """lower the rate after so many validated epochs without a better `monitor`; 0: never"""
    plateau_factor: float = 0.5
    """what the rate is multiplied by then"""
    sync_batch_norm: bool = False
    """batch norms over the images of all devices, instead of each device's own"""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """number format of the products; weights, losses and metrics stay float32. auto: bfloat16 on CPUs that know it"""
    seed: int = 0
    """decides every random choice: weights, order of the images, augmentation"""
    validation_share: float = 0.1
    """share of the training images to validate on where the data have no val split"""

    # --- preprocessing, the same in training, evaluation and prediction
    remove_hair: bool = False
    """take dark hairs out of the images (imaging/hair_removal.py)"""

    # --- augmentation, drawn anew for every image and epoch
    flip: bool = False
    """mirror left to right, half of the time"""
    turn: bool = False
    """turn by a multiple of 90 degrees (180 where the image is not square)"""
    rotation: float = 0.0
    """rotate by up to this many degrees either way"""
    zoom: float = 0.0
    """scale by a factor between 1 - zoom and 1 + zoom"""
    shift: float = 0.0
    """move by up to this share of the height and of the width"""
    shear: float = 0.0
    """slant by up to this many degrees either way"""
    elastic: float = 0.0
    """bend smoothly, each part of the image by up to this share of the shorter side"""
    brightness: float = 0.0
    """add up to this share of the value range"""
    contrast: float = 0.0
    """scale the distance from the mean colour by a factor between 1 - contrast and 1 + contrast"""
    saturation: float = 0.0
    """scale the distance from grey by a factor between 1 - saturation and 1 + saturation"""
    hue: float = 0.0
    """turn the hue by up to this many degrees either way"""
    color_constancy: float = 0.0
    """share of the images from which the colour of the lamp is taken out (shades of grey)"""
    hair: int = 0
    """draw up to this many dark hairs"""
    blur: float = 0.0
    """blur by a Gaussian whose deviation is up to this many pixels"""
    jpeg: int = 0
    """compress as a JPEG, its quality (0 to 100) lowered by up to this much"""
    cutout: float = 0.0
    """blacken a box of up to this share of the height and of the width; nothing of the mask is left there"""
    mixup: float = 0.0
    """blend with the next image of the batch, masks too (they become soft), weights of Beta(mixup, mixup); 0: never"""
    cutmix: float = 0.0
    """paste a box of the next image of the batch, its mask too, areas of Beta(cutmix, cutmix); 0: never"""

    mosaic: float = 0.0
    """share of the epochs, the first ones, in which each image is made of four of half the size: they see four times
    as many images"""

    # --- what is measured and kept
    threshold: float = 0.5
    """probability from which a pixel counts as lesion"""
    tta: bool = False
    """average the probabilities over mirrored and turned copies of the image (8, or 4 where it is not square)"""
    clean: bool = False
    """keep the largest part of each predicted mask and fill its holes"""
    evaluate_every: int = 1
    """epochs between two validations; the last epoch is always validated"""
    monitor: Literal[tuple(metrics.monitors())] = "val_loss"  # those of metrics.SCORES that are logged
    """decides which epoch is kept as the best; epoch: the last, whatever its scores"""

    def __post_init__(self):
        if self.run and not re.fullmatch(r"\w[\w.-]*", self.run):
            raise UserError(f"run '{self.run}': a run's name is made of letters, digits, '_', '-' and '.'")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name} is {value}, expected {low} to {high}")
        if self.mixup and "lovasz" in self.loss:
            raise UserError("loss lovasz wants masks of {0, 1}, and mixup makes soft ones: use cutmix")
        for name, (which, kinds) in _ONLY.items():
            if getattr(self, name) and getattr(self, which) not in kinds:
                raise UserError(f"{name} is that of {which} {' and '.join(kinds)}")
        if self.warmup_steps and self.period:
            raise UserError("warmup_steps is that of schedule cosine without period")
        if self.freeze_epochs >= self.epochs:
            raise UserError(f"freeze_epochs {self.freeze_epochs}: expected fewer than the {self.epochs} epochs")
        if self.freeze_epochs and self.options.get("freeze_encoder"):
            raise UserError("options.freeze_encoder keeps the encoder for good, freeze_epochs at first: use one")
        if self.final_rate > self.learning_rate:
            raise UserError(f"final_rate {self.final_rate} is above learning_rate {self.learning_rate}")
        if self.plateau and self.schedule != "constant":
            raise UserError(f"plateau lowers a constant rate, schedule {self.schedule} lowers it already: use one")


_RANGES = [  # setting, smallest, largest
    ("momentum", 0, 0.9999), ("epsilon", 1e-12, 1), ("period", 0, 10**6), ("decay", 0, 1), ("rare", 0, 1),
    ("freeze_epochs", 0, 10**6), ("unfreeze_factor", 0, 1), ("evaluate_every", 1, 10**6),
    ("learning_rate", 0, 10), ("final_rate", 0, 10), ("weight_decay", 0, 1), ("beta_1", 0, 0.9999),
    ("warmup_steps", 0, 10**9), ("ema", 0, 0.99999),
    ("clip", 0, 10**6), ("accumulate", 1, 10**4), ("patience", 0, 10**6), ("plateau", 0, 10**6),
    ("plateau_factor", 0.01, 0.99), ("validation_share", 0.01, 0.9),
    ("epochs", 1, 10**6), ("batch_size", 1, 10**6), ("rotation", 0, 180), ("zoom", 0, 0.9), ("shift", 0, 0.5),
    ("shear", 0, 60), ("elastic", 0, 0.09), ("color_constancy", 0, 1), ("hair", 0, 100), ("blur", 0, 20),
    ("jpeg", 0, 99), ("cutout", 0, 1), ("mixup", 0, 10), ("cutmix", 0, 10), ("mosaic", 0, 1),
    ("brightness", 0, 1), ("contrast", 0, 1), ("saturation", 0, 1), ("hue", 0, 180), ("threshold", 0, 1),
]  # fmt: skip
_ONLY = {  # settings that belong to certain values of another
    "warmup_steps": ("schedule", ("cosine",)),
    "final_rate": ("schedule", ("cosine", "cosine_restart")),
    "period": ("schedule", ("cosine", "cosine_restart", "step")),
    "decay": ("schedule", ("step", "exp")),
    "momentum": ("optimizer", ("sgd", "rmsprop")),
}
NAMES = [f.name for f in dataclasses.fields(Settings)]


@dataclass
class Launch:
    """How a run is started: what may differ when it goes on, and changes nothing that it computes."""

    resume: str | None = None  # last, or previous: the checkpoint to go on from
    init: str | None = None  # a run or a .keras file whose weights to begin with
    devices: str = "all"
    workers: str | None = None
    worker: int | None = None
    save_every: int = 0  # steps; 0: at the end of each epoch alone
    samples_every: int = 5  # epochs; 0: never
    deterministic: bool = False


def parse(argv=None):
    """Settings from a command line such as `["--config", "configs/demo.yaml", "--epochs", "3"]`.

    Returns:
        (Settings, Launch): what the run computes, and how it is started.

    Raises:
        SystemExit: after printing what does not fit and, for a name, the nearest right one.
    """
    parser = _parser()
    parser.add_argument("--config", action="config", help="YAML file of settings, or of the attribute study's keys")
    parser.add_argument("--backbone", metavar="NAME", help="network under the head of adstnet: --options.backbone NAME")
    _add_launch(parser)
    try:
        given = parser.parse_args(study_settings.translated(sys.argv[1:] if argv is None else argv)).as_dict()
        files, backbone = given.pop("config"), given.pop("backbone")
        given["options"] |= {"backbone": backbone} if backbone else {}
        launch = Launch(**{f.name: given.pop(f.name) for f in dataclasses.fields(Launch)})
        given["run"] = given["run"] or (Path(str(files[-1])).stem if files else given["model"])
        return Settings(**given), launch
    except (argparse.ArgumentError, UserError) as error:
        raise SystemExit(f"error: {_explain(str(error))}") from None


def _add_launch(parser):
    """The arguments of a Launch."""
    add = parser.add_argument
    add("--resume", nargs="?", const="last", choices=["last", "previous"], help="go on from the run's last checkpoint,"
        " or, where that one is damaged, from the one before (default: last)")  # fmt: skip
    add("--init", metavar="FROM", help="begin with the weights of a run or a .keras file, as far as they fit")
    add("--devices", default="all", help="all GPUs, some (0,1), cpu, or cpu:N: N devices on the CPU (default: all)")
    add("--workers", metavar="HOST:PORT,…", help="all machines, each started with the same command; or by TF_CONFIG")
    add("--worker", type=int, help="which of the workers this one is, from 0")
    add("--save_every", type=int, default=0, help="a checkpoint after so many steps too, not just after each epoch")
    add("--samples_every", type=int, default=5, help="epochs between sample predictions in TensorBoard; 0: none")
    add("--deterministic", action="store_true", help="the same bits in every run with the same devices; slower")


def save(settings, path):
    """Write the settings as YAML."""
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(dataclasses.asdict(settings), sort_keys=False))


def load(path):
    """Settings from a YAML file.

    Raises:
        FileNotFoundError, UserError: no such file, or a setting in it that is unknown or mistyped.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no settings file '{path}': name a run that train.py has written")
    try:
        return Settings(**_parser().parse_path(path).as_dict())
    except (argparse.ArgumentError, UserError) as error:
        raise UserError(f"{path}: {_explain(str(error))}") from None


def _parser():
    parser = jsonargparse.ArgumentParser(exit_on_error=False, allow_abbrev=False, description="Train a network.")
    parser.add_class_arguments(Settings)
    return parser


def _explain(message):
    """The parser's message on one line, with the nearest setting for each unknown name in it."""
    message = " ".join(message.split())
    for word in re.findall(r"(?:Option '|--)([A-Za-z_]+)", message):
        near = ["learning_rate"] if word == "lr" else difflib.get_close_matches(word.lower(), NAMES, n=1)
        if word not in NAMES and near:
            message += f" - did you mean {near[0]}?"
    return message
