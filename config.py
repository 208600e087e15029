"""All settings of a run in one dataclass; their defaults are AS-Net as published.

    python config.py                                           # every setting, its default, range and meaning
    python config.py import THEIRS.yaml --out mine.yaml        # a configuration of the ISIC 2018 attribute study

Values come from three sources, each overriding the one before: the defaults below, YAML files (`--config FILE`), the
command line (`--learning_rate 1e-3`, `--options.width 16`, `--flip`, `--no_flip`). A name or a value that does not fit
is refused with the nearest right name. The resolved settings are saved beside every checkpoint and read back by
`evaluate.py`; what a former version of the program called otherwise, or no longer has, is in RENAMED and REMOVED.
"""

import argparse
import contextlib
import dataclasses
import difflib
import os
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import yaml

import metrics
from imaging import normalization
from imaging.augmentations import Augmentations
from utils import attribute_study, errors
from utils.arguments import snake_case
from utils.errors import UserError
from utils.files import replacing
from utils.settings import check, default_of, setting

RENAMED = {"validation_share": "validation_fraction"}  # former name: name
MOST_VALUES = 10_000  # in a file of settings
REMOVED = {"mosaic": 0}  # name: the value of it that means what this version always does


# === Settings ===


@dataclass
class TrainingSettings:
    """What is trained, on what, and how."""

    run: str = setting(
        "", "name of the run, also of its folders; default: the configuration file's name, else the network's"
    )
    data: str = setting(
        "dataset_isic18",
        "folder of prepared arrays, or tfds:FOLDER/NAME@HEIGHTxWIDTH for records (datasets/tfds_records.py); "
        "folds:2/5:FOLDER for the second of five folds (datasets/folds.py)",
    )

    # --- network
    model: str = setting("as_net", "network of the registry; `python model.py` lists them")
    options: dict[str, Any] = setting({}, "options of the network, such as {width: 16, depth: 4}")
    weights: str | None = setting(
        None, "pretrained weights of the encoder: imagenet, none, or a file; default: the network's own choice"
    )
    normalize: Literal[*normalization.KINDS] | None = setting(
        None, "how the pixels are normalized (imaging/normalization.py); default: as the network was published"
    )

    # --- objective and optimizer
    loss: str = setting("wbce(weight=2.5)", "sum of losses, such as `bce + 0.5*dice`")
    class_weights: list[float] | Literal["balanced"] | None = setting(
        None,
        "weights of the classes in all losses that take some and name none of their own: a list, or balanced: how many "
        "times rarer than the commonest class each is, by training images that show it",
    )
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "adagrad"] = setting(
        "adam", "adam, adamw with decoupled weight decay, sgd, rmsprop (decay rate 0.99 of its squares) or adagrad"
    )
    beta_1: float = setting(0.9, "first-moment decay rate of adam and adamw", 0, 0.9999)
    momentum: float = setting(
        0.0, "fraction of the last update that is added to the next", 0, 0.9999, only=("optimizer", ("sgd", "rmsprop"))
    )
    epsilon: float = setting(
        1e-7,
        "denominator term (epsilon) of adam, adamw, rmsprop and adagrad; PyTorch's is 1e-8, for adagrad 1e-10",
        1e-12,
        1,
    )
    learning_rate: float = setting(1e-4, "the rate, or the highest rate of the schedule", 0, 10)
    weight_decay: float = setting(
        0.0,
        "decoupled in adamw; in the others so many times each weight is added to its gradient, as PyTorch does",
        0,
        1,
    )
    schedule: Literal["constant", "cosine", "cosine_restart", "step", "exp", "onecycle"] = setting(
        "constant",
        "cosine falls to `final_rate` at the end of the last epoch; cosine_restart falls so again and again, each time "
        "twice as long; step and exp multiply by `decay`; onecycle rises from 1/25 over 30 % of the updates and falls",
    )
    period: int = setting(
        0,
        "epochs in which cosine falls, epoch by epoch (0: all, update by update), of cosine_restart's first fall, and "
        "between two lowerings of step (0: 10)",
        0,
        10**6,
        only=("schedule", ("cosine", "cosine_restart", "step")),
    )
    decay: float = setting(
        0.0,
        "what step (0: 0.1) and, after every epoch, exp (0: 0.95) multiply the rate by",
        0,
        1,
        only=("schedule", ("step", "exp")),
    )
    final_rate: float = setting(0.0, "the last rate", 0, 10, only=("schedule", ("cosine", "cosine_restart")))
    warmup_steps: int = setting(
        0, "steps over which the rate first rises from 0", 0, 10**9, only=("schedule", ("cosine",))
    )
    ema: float = setting(
        0.0,
        "momentum per step of a moving average of the weights, which is validated and kept as the best; 0: none",
        0,
        0.99999,
    )
    clip: float = setting(0.0, "largest norm of all gradients of a step together; 0: not limited", 0, 10**6)
    initializer: Literal["none", "xavier", "kaiming", "orthogonal", "normal"] = setting(
        "none",
        "how kernels begin that no pretrained encoder brings, all from normal distributions (normal: of standard "
        "deviation 0.02); none: each as its network was published",
    )
    freeze_epochs: int = setting(
        0,
        "first epochs in which the encoder stays as it is; after them all learns, with a fresh optimizer and schedule",
        0,
        10**6,
    )
    unfreeze_factor: float = setting(0.1, "what the rates are multiplied by after `freeze_epochs`", 0, 1)
    encoder_rate: float = setting(
        1.0, "what the updates of the encoder's weights are multiplied by, as if its learning rate were", 0, 1
    )
    epochs: int = setting(50, "passes over the training images", 1, 10**6)
    rare: float = setting(
        0.0,
        "fraction of class-balanced samples: of an epoch's draws, so many are spread evenly over the classes and then "
        "over the images that show them, the rest evenly over all images; 0 takes each image once",
        0,
        1,
    )
    annotator: Literal["consensus", "drawn"] = setting(
        "consensus",
        "the mask of images with several annotators: their consensus, or that of one, drawn anew at each step",
    )
    batch_size: int = setting(16, "images a step, over all devices together", 1, 10**6)
    accumulate: int = setting(
        1, "steps whose gradients make one update, as one step on so many times the images would", 1, 10**4
    )
    patience: int = setting(0, "stop after so many validated epochs without a better `monitor`; 0: never", 0, 10**6)
    plateau: int = setting(
        0, "lower the rate after so many validated epochs without a better `monitor`; 0: never", 0, 10**6
    )
    plateau_factor: float = setting(0.5, "what the rate is multiplied by then", 0.01, 0.99)
    sync_batch_norm: bool = setting(False, "batch norms over the images of all devices, instead of each device's own")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto",
        "number format of the products; weights, losses and metrics stay float32. auto: bfloat16 on CPUs that know it",
    )
    seed: int = setting(0, "decides every random choice: weights, order of the images, augmentation")
    validation_fraction: float = setting(
        0.1, "fraction of the training images to validate on where the data have no val split", 0.01, 0.9
    )

    # --- preprocessing, the same in training, evaluation and prediction
    remove_hair: bool = setting(False, "take dark hairs out of the images (imaging/hair_removal.py)")


@dataclass
class Settings(Augmentations, TrainingSettings):
    """Everything that decides what a run computes: how it is trained, the augmentations, what is measured and kept.

    Lengths are pixels, angles degrees, unless said otherwise. The order of the fields is that of Python: those of
    TrainingSettings, of Augmentations (imaging/augmentations.py), then these.
    """

    threshold: float = setting(0.5, "probability from which a pixel counts as lesion", 0, 1)
    tta: bool = setting(
        False,
        "test-time augmentation: the mean probabilities of mirrored and turned copies (8, or 4 where it is not square)",
    )
    clean: bool = setting(False, "keep the largest connected component of each predicted mask and fill its holes")
    evaluate_every: int = setting(1, "epochs between two validations; the last epoch is always validated", 1, 10**6)
    monitor: Literal[*metrics.monitors()] = setting(
        "val_loss", "decides which epoch is kept as the best; epoch: the last, whatever its scores"
    )

    def __post_init__(self):
        check(self)
        self.data = _expanded(self.data)
        self._check_together()

    def _check_together(self):
        """UserError where settings do not go together."""
        if self.run and not re.fullmatch(r"\w[\w.-]*", self.run):
            raise UserError(f"run '{self.run}': a run's name is made of letters, digits, '_', '-' and '.'")
        if self.run.startswith("pretrained"):
            raise UserError(f"run '{self.run}': only the networks shipped here begin with pretrained")
        if self.mixup and "lovasz" in self.loss:
            raise UserError("loss lovasz wants masks of {0, 1}, and mixup makes soft ones: use cutmix")
        if self.warmup_steps and self.period:
            raise UserError("warmup_steps is only for schedule cosine without period")
        if self.freeze_epochs >= self.epochs:
            raise UserError(f"freeze_epochs {self.freeze_epochs}: expected fewer than the {self.epochs} epochs")
        if self.freeze_epochs and self.options.get("freeze_encoder"):
            raise UserError("options.freeze_encoder keeps the encoder for good, freeze_epochs at first: use one")
        if self.final_rate > self.learning_rate:
            raise UserError(f"final_rate {self.final_rate} is above learning_rate {self.learning_rate}")
        if self.plateau and self.schedule != "constant":
            raise UserError(f"plateau lowers a constant rate, schedule {self.schedule} lowers it already: use one")


FIELDS = dataclasses.fields(Settings)
NAMES = [field.name for field in FIELDS]


def _expanded(address):
    """An address of data, a folder, tfds:FOLDER/… or folds:…, as it is noted: the home folder in place of a leading ~,
    and without what changes nothing, such as ./ before it and / after it.
    """
    kind, folder = re.fullmatch(r"((?:folds:[^:]+:)?(?:tfds:)?)(.*)", address, re.DOTALL).groups()
    return kind + Path(os.path.expanduser(folder)).as_posix() if folder else address


@dataclass
class Launch:
    """How a run is started: what may differ when it goes on, and changes nothing that it computes."""

    resume: str | None = None  # last, or previous: the checkpoint to go on from
    minutes: float = 0.0  # for the whole run, which decide its epochs; 0: the setting `epochs` does
    folds: int = 0  # train so many runs, each validated on another fold of train and val, and make one of them
    runs: str | None = None  # names, A,B,…, of trained runs to make one of, without training
    init: str | None = None  # a run or a .keras file whose weights to begin with
    devices: str = "all"
    workers: str | None = None
    worker: int | None = None
    save_every: int = 0  # steps; 0: at the end of each epoch alone
    samples_every: int = 5  # epochs; 0: never
    deterministic: bool = False


# === The command line ===


def parse(argv: list[str] | None = None, epilog: str = "") -> tuple[Settings, Launch]:
    """Settings from a command line such as `["--config", "configs/demo.yaml", "--epochs", "3"]`.

    What stands on the command line itself overrides the files of `--config`, wherever these stand. `epilog` is shown
    at the end of `--help`.

    Returns:
        what the run computes, and how it is started.

    Raises:
        SystemExit: after printing what does not fit and, for a name, the nearest right one.
    """
    try:
        files, rest = _config_files(snake_case(argv))
        parser = _launch_parser()
        parser.epilog = epilog
        given = parser.get_defaults()
        origins = {}  # of the values: {name: file}
        for file in files:
            values = _read_config(file, parser)
            origins |= dict.fromkeys(values, file)
            with _naming(file):
                given = parser.parse_object(values, given)
        given = parser.parse_args(rest, namespace=given).as_dict()
        on_command_line = {name for name in origins if any(re.match(rf"--(no_)?{name}\b", part) for part in rest)}
        with _naming_file({name: file for name, file in origins.items() if name not in on_command_line}):
            return _settings_and_launch(given, files)
    except (argparse.ArgumentError, UserError) as error:
        raise SystemExit(f"error: {_explain(str(error))}") from None


@contextlib.contextmanager
def _naming_file(origins):
    """Around the checking of values: an error that begins with the name of one from a file says which, {name: file}."""
    try:
        yield
    except (argparse.ArgumentError, UserError) as error:
        name = re.search(r"\w+", str(error).removeprefix("Parser key"))
        if not name or name[0] not in origins:
            raise
        raise UserError(f"{origins[name[0]]}: {error}") from error


@contextlib.contextmanager
def _naming(file):
    """Around the use of values that are all from one file: an error says which."""
    try:
        yield
    except (argparse.ArgumentError, UserError) as error:
        raise UserError(f"{file}: {_explain(str(error))}") from error


def _config_files(argv):
    """(files of all `--config FILE`, the rest of the command line)."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", action="append", default=[])
    known, rest = parser.parse_known_args(argv)
    return known.config, rest


def _settings_and_launch(given, files=()):
    """What the values of all arguments, a dictionary, amount to."""
    given = {name: value for name, value in given.items() if name != "config"}
    if backbone := given.pop("backbone"):
        given["options"] = {**given["options"], "backbone": backbone}
    launch = Launch(**{field.name: given.pop(field.name) for field in dataclasses.fields(Launch)})
    if launch.runs and not given["run"]:
        raise UserError("--runs A,B makes a run: name it with --run NAME")
    if not given["run"]:
        given["run"] = Path(files[-1]).stem if files else given["model"]
    return Settings(**given), launch


def _settings_parser():
    """A parser of the settings alone."""
    parser = jsonargparse.ArgumentParser(exit_on_error=False, allow_abbrev=False, description="Train a network.")
    former = {name: old for old, name in RENAMED.items()}
    for field in FIELDS:
        names = [f"--{name}" for name in (field.name, former.get(field.name)) if name]
        if field.type is bool:
            kind = {"action": jsonargparse.ActionYesNo(yes_prefix="", no_prefix="no_"), "nargs": "?"}
        else:
            kind = {"type": field.type}
        parser.add_argument(*names, default=default_of(field), help=_help(field), **kind)
    return parser


def _help(field):
    """A setting's help text and, of a number, its range."""
    text, low, high = (field.metadata[key] for key in ("text", "low", "high"))
    return text if low is None else f"{text}; {low} to {high}"


def _launch_parser():
    """A parser of everything that train.py takes."""
    parser = _settings_parser()
    add = parser.add_argument
    add("--config", metavar="FILE", help="YAML file of settings; repeatable, a later one overrides")
    add("--backbone", metavar="NAME", help="network under the head of adstnet: --options.backbone NAME")
    add(
        "--resume",
        nargs="?",
        const="last",
        choices=["last", "previous"],
        help="go on from the run's last checkpoint, or, where that one is damaged, from the one before (default: last)",
    )
    add("--folds", type=int, default=0, help="train and val together in so many folds: a run each, and one of them all")
    add("--runs", metavar="A,B,…", help="trained runs to make one network of, named by --run; nothing is trained")
    add("--init", metavar="FROM", help="begin with the weights of a run or a .keras file, as far as they fit")
    add("--minutes", type=float, default=0.0, help="as many epochs as take so many minutes here, in place of --epochs")
    add("--devices", default="all", help="all GPUs, some (0,1), cpu, or cpu:N: N devices on the CPU (default: all)")
    add("--workers", metavar="HOST:PORT,…", help="all machines, each started with the same command; or by TF_CONFIG")
    add("--worker", type=int, help="which of the workers this one is, from 0")
    add("--save_every", type=int, default=0, help="a checkpoint after so many steps too, not just after each epoch")
    add("--samples_every", type=int, default=5, help="epochs between sample predictions in TensorBoard; 0: none")
    add("--deterministic", action="store_true", help="the same bits in every run with the same devices; slower")
    return parser


def _explain(message):
    """The parser's message on one line, with the nearest right name for each unknown option in it."""
    message = " ".join(message.split()).replace("_boolean_type", "true or false")
    if "nrecognized arguments" in message:
        message += "".join(_nearest(word) for word in re.findall(r"--([A-Za-z_]+)", message))
    return message


def _nearest(word):
    """A question that names the setting nearest to a word, or nothing."""
    names = [*NAMES, *(field.name for field in dataclasses.fields(Launch))]
    near = ["learning_rate"] if word == "lr" else difflib.get_close_matches(word.lower(), names, n=1)
    return f" - did you mean {near[0]}?" if near else ""


# === Files ===


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3, too, is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _read_yaml(file, remedy):
    """The dictionary in a YAML file.

    Raises:
        UserError: it holds none, and the message ends with the remedy; or a text in it must be put in quotes.
    """
    if not Path(file).is_file():
        raise UserError(f"{file} does not exist: name a YAML file of settings")
    with errors.unreadable(file, remedy):
        source = Path(file).read_text(encoding="utf-8")
        content = yaml.load(source, _Loader) or {}
        written = yaml.load(source, yaml.BaseLoader)  # every value as the text that stands there
        if not isinstance(content, dict):
            raise TypeError("expected lines such as `epochs: 50`")
        _require_small(content)
    for field in FIELDS:
        value = content.get(field.name)
        if field.type in (str, str | None) and not isinstance(value, str | None):
            raise UserError(
                f"{file}: {field.name} is a text, and YAML reads {written[field.name]} as {value!r}: put it in quotes, "
                f'{field.name}: "{written[field.name]}"'
            )
    return content


def _require_small(content):
    """TypeError where a file holds more than MOST_VALUES, which aliases of aliases can make of a few lines."""
    left = [content]
    seen = 0
    while left:
        value = left.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise TypeError(f"more than {MOST_VALUES:,} values")
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list | tuple | set):
            left += value


def _read_config(file, parser):
    """The values in a configuration file, by the names of a parser's arguments.

    Raises:
        UserError: no such file, or a name in it that is none.
    """
    content = _read_yaml(file, "correct it")
    if theirs := attribute_study.own_keys(content):
        raise UserError(
            f"{file} is in the keys of the ISIC 2018 attribute study ({', '.join(theirs)}): "
            f"`python config.py import {file} --out mine.yaml` makes a configuration of it"
        )
    values = _renamed(content)
    for name, same in REMOVED.items():
        if values.pop(name, same) != same:
            raise UserError(f"{file}: {name} is no longer a setting: leave it out")
    known = set(parser.get_defaults().as_dict()) - {"config"}
    _check_names(values, known, file, "leave it out")
    return values


def _renamed(values):
    """The same dictionary with today's names in place of former ones."""
    return {RENAMED.get(name, name): value for name, value in values.items()}


def _check_names(values, known, origin, remedy):
    for name in values:
        if name not in known:
            raise UserError(f"{origin}: there is no setting '{name}'{_nearest(str(name)) or f': {remedy}'}")


def save(settings: Settings, path: str | Path) -> None:
    """Write the settings as YAML."""
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(dataclasses.asdict(settings), sort_keys=False))


def load(path: str | Path) -> Settings:
    """The settings of a run, from its settings.yaml.

    Raises:
        FileNotFoundError, UserError: no such file, or a setting in it that is unknown or mistyped.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no settings file '{path}': name a run that train.py has written")
    return of_run(_read_yaml(path, "copy it again, or train the run again"), path)


def of_run(values: dict, origin: str | Path) -> Settings:
    """The settings of a run, from what this version of the program or a former one wrote of them.

    Settings that there are no longer, REMOVED, are left out: they were for training.

    Args:
        values: {name: value}.
        origin: where they were found, for messages.

    Raises:
        UserError: a setting is unknown or mistyped.
    """
    values = {name: value for name, value in _renamed(values).items() if name not in REMOVED}
    _check_names(values, NAMES, origin, "use the version of the program that made it")
    try:
        return Settings(**_settings_parser().parse_object(values).as_dict())
    except (argparse.ArgumentError, UserError) as error:
        raise UserError(f"{origin}: {_explain(str(error))}") from None


# === The script ===


def print_settings():
    """Print a paragraph for every setting."""
    for field in FIELDS:
        print(f"{field.name}: {default_of(field)!r}")
        print(textwrap.fill(_help(field), 110, initial_indent="    ", subsequent_indent="    "))


def import_study(source: str | Path, out: str | Path) -> None:
    """Write a configuration of this project from one of the ISIC 2018 attribute study, and print how.

    Raises:
        UserError: the file is none of the study's, or a value in it has no counterpart.
    """
    if Path(out).resolve() == Path(source).resolve():
        raise UserError(f"--out {out} is the file itself: name another one")
    content = _read_yaml(source, "correct it")
    if not attribute_study.own_keys(content):
        raise UserError(f"{source} is not in the keys of the attribute study ({', '.join(attribute_study.KEYS)})")
    with _naming(source):
        values, lines = attribute_study.translate(content)
        _settings_and_launch(_launch_parser().parse_object(values).as_dict())
    with replacing(out) as temporary:
        text = yaml.safe_dump(values, sort_keys=False)
        temporary.write_text(f"# made from {source} by: python config.py import\n{text}", encoding="utf-8")
    print("\n".join([f"{source} -> {out}", *(f"  {line}" for line in lines), f"python train.py --config {out}"]))


@errors.in_one_line()
def main(argv=None):
    parser = argparse.ArgumentParser(description="All settings; or a configuration of another project in ours.")
    commands = parser.add_subparsers(dest="command", metavar="import")
    importer = commands.add_parser("import", help="make a configuration from one of the ISIC 2018 attribute study")
    importer.add_argument("file", help="YAML file in the study's keys")
    importer.add_argument("--out", required=True, help="YAML file to write")
    args = parser.parse_args(snake_case(argv))
    if args.command:
        import_study(args.file, args.out)
    else:
        print_settings()


if __name__ == "__main__":
    main()
