"""A YAML file in the keys of the ISIC 2018 attribute study's own code, read as settings, each step of it told.

    epochs, batch_size, lr, load, scale, val, amp, bilinear, classes, model, pretrained, freeze_encoder, scheduler,
    optimizer, init, t_max, eta_min, weight_decay, momentum

A file is taken for one of these if it holds no other key, and one at least that is no setting of ours. Settings of ours
come beside it on the command line: `python train.py --config theirs.yaml --data DIR`.
"""

import itertools
import json
from pathlib import Path

import yaml

from utils.errors import UserError

SIZE = 256  # pixels of a side at scale 1
SAME = ("epochs", "batch_size", "weight_decay")  # keys that mean what ours of this name do
ALSO_OURS = (*SAME, "model", "optimizer", "momentum", "init")
THEIRS = ("lr", "load", "scale", "val", "amp", "bilinear", "classes", "pretrained", "freeze_encoder", "scheduler",
          "t_max", "eta_min")  # fmt: skip
MODELS = {
    "unet": "attributes_unet",
    "unet-residual": "attributes_residual_unet",
    "unet-attention": "attributes_attention_unet",
    "unet-convnext-attention": "attributes_convnext_unet",
}
SCHEDULES = {
    "none": {"schedule": "constant"},
    **{name: {"schedule": name} for name in ("cosine", "cosine_restart", "step", "exp", "onecycle")},
    # PyTorch's patience 3 lowers the rate at the fourth validation without a better Dice
    "reduce_lr": {"plateau": 4, "plateau_factor": 0.5, "monitor": "val_dice"},
}
KINDS = {  # key: its values and what they become
    "model": {old: {"model": new} for old, new in MODELS.items()},
    "scheduler": SCHEDULES,
    "optimizer": {name: {"optimizer": name} for name in ("adam", "adamw", "sgd", "rmsprop", "adagrad")},
    "init": {name: {"initializer": name} for name in ("none", "xavier", "kaiming", "orthogonal", "normal")},
    "amp": {True: {"precision": "bfloat16"}, False: {"precision": "float32"}},
    "bilinear": {True: {"options.upsample": "bilinear"}, False: {"options.upsample": "transpose"}},
    "pretrained": {True: {"weights": "imagenet"}, False: {"weights": "none"}},
    "freeze_encoder": {True: {"options.freeze_encoder": True}, False: {"options.freeze_encoder": False}},
}


def translated(argv):
    """A command line with each `--config FILE` of the study's keys replaced by the settings it means, as JSON.

    Prints a line `old: value -> new: value` for each key, and what the study does that its keys do not say.

    Raises:
        UserError: a value has no counterpart; the message names it.
    """
    argv = [part for one in argv for part in (one.split("=", 1) if one.startswith("--config=") else [one])]
    for place, (option, file) in enumerate(list(itertools.pairwise(argv)), start=1):
        content = _content(file) if option == "--config" else None
        if content:
            settings, lines = translate(content)
            print("\n".join([f"{file} is in the keys of the attribute study:", *(f"  {line}" for line in lines)]))
            argv[place] = json.dumps({"run": Path(file).stem, **settings})
    return argv


def _content(file):
    """What a YAML file holds if it is one of the study's, else None; whether it is YAML at all others find out."""
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    if not isinstance(content, dict) or not set(content) <= {*THEIRS, *ALSO_OURS}:
        return None
    return content if set(content) & set(THEIRS) or content.get("model") in list(MODELS)[1:] else None


def translate(content):
    """(settings, lines to print) of a dictionary of the study's keys."""
    content = {key: "none" if value is None else value for key, value in content.items()}
    settings, lines = {}, []
    for key, value in content.items():
        found, remark = _one(key, value, content)
        settings |= found
        lines.append(f"{key}: {_shown(value)} -> {_listed(found) or 'nothing'}" + (f" ({remark})" if remark else ""))
    unsaid = {name: value for name, value in _unsaid(content).items() if name not in settings}
    lines.append(f"not in its keys -> {_listed(unsaid)}")
    settings |= unsaid
    options = {name.split(".")[1]: settings.pop(name) for name in list(settings) if name.startswith("options.")}
    return settings | {"options": options}, lines


def _one(key, value, content):
    """What a key becomes, and a remark on it."""
    schedule, network = content.get("scheduler", "none"), content.get("model", "unet")
    if key in ("pretrained", "freeze_encoder") and network != "unet-convnext-attention":
        return {}, f"{network} has no encoder of its own"
    if key in KINDS:
        return _kind(key, value), "bfloat16 needs no scaling of the loss" if key == "amp" and value else ""
    if key == "load":
        return _load(value)
    number = _number(key, value)
    if key == "momentum":
        used = content.get("optimizer") in ("sgd", "rmsprop")
        return ({key: number}, "") if used else ({}, "only sgd and rmsprop have one")
    if key == "lr":
        return (
            ({"learning_rate": 1e-3}, "onecycle's own") if schedule == "onecycle" else ({"learning_rate": number}, "")
        )
    if key == "t_max":
        late = number < _number("epochs", content.get("epochs", number))
        stays = "then the rate stays the lowest, where PyTorch's would rise again" if late else ""
        return ({"period": number}, stays) if schedule == "cosine" else ({}, "only cosine has one")
    if key == "eta_min":
        falls = schedule in ("cosine", "cosine_restart")
        return ({"final_rate": number}, "") if falls else ({}, "only cosine and cosine_restart have one")
    if key == "scale":
        side = round(SIZE * number)
        return {"data": _data(side)}, f"images are brought to {side} x {side} when they are prepared"
    if key == "val":
        return {"validation_share": number / 100}, "percent; only where the data have no val split"
    return {"options.classes" if key == "classes" else key: number}, ""


def _kind(key, value):
    """What one of the values of KINDS becomes."""
    found = KINDS[key].get(value) if isinstance(value, bool | str) else None
    if found is None:
        raise UserError(f"{key}: {_shown(value)} has no counterpart; there are: {', '.join(map(_shown, KINDS[key]))}")
    return found


def _load(value):
    if value in (False, "none", ""):
        return {}, ""
    if value is True or str(value).endswith((".pth", ".pt", ".safetensors")):
        raise UserError(
            f"load: {_shown(value)} has no counterpart; name a run or a .keras file, which `python model.py import` "
            "makes of PyTorch's weights"
        )
    return {"init": str(value)}, ""


def _number(key, value):
    """A number of the file; YAML reads 1e-4, without a point, as a text."""
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"{key}: {_shown(value)} has no counterpart; expected a number") from None
    return int(number) if number == int(number) else number


def _data(side):
    return f"dataset_isic18_task2_{side}x{side}"


def _unsaid(content):
    """What the study does though its keys do not say so."""
    optimizer = content.get("optimizer", "adam")
    said = {"model": MODELS["unet"], "data": _data(SIZE), "loss": "batch_dice", "clip": 1.0, "flip": True, "turn": True}
    said |= {"epsilon": 1e-10 if optimizer == "adagrad" else 1e-8}
    said |= {"weight_decay": 0.01} if optimizer == "adamw" else {}
    return said | ({"period": content.get("epochs", 50)} if content.get("scheduler") == "cosine" else {})


def _shown(value):
    """A value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(settings):
    return ", ".join(f"{name}: {_shown(value)}" for name, value in settings.items())
