"""Configurations of the ISIC 2018 attribute study's own code (YAML files) in terms of our settings.

    epochs, batch_size, lr, load, scale, val, amp, bilinear, classes, model, pretrained, freeze_encoder, scheduler,
    optimizer, init, t_max, eta_min, weight_decay, momentum

A file is taken for one of these if it holds no other key, and one at least that is no setting of ours.
`python config.py import THEIRS.yaml --out mine.yaml` writes what they amount to.
"""

from typing import Any

from utils.errors import UserError

SIZE = 256  # pixels of a side at scale 1
SAME = ("epochs", "batch_size", "weight_decay")  # keys that mean what ours of this name do
ALSO_OURS = (*SAME, "model", "optimizer", "momentum", "init")
THEIRS = (
    *("lr", "load", "scale", "val", "amp", "bilinear", "classes", "pretrained", "freeze_encoder", "scheduler"),
    *("t_max", "eta_min"),
)
KEYS = (*ALSO_OURS, *THEIRS)
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
CHOICES = {  # key: its values and what they become
    "model": {old: {"model": new} for old, new in MODELS.items()},
    "scheduler": SCHEDULES,
    "optimizer": {name: {"optimizer": name} for name in ("adam", "adamw", "sgd", "rmsprop", "adagrad")},
    "init": {name: {"initializer": name} for name in ("none", "xavier", "kaiming", "orthogonal", "normal")},
    "amp": {True: {"precision": "bfloat16"}, False: {"precision": "float32"}},
    "bilinear": {True: {"options.upsample": "bilinear"}, False: {"options.upsample": "transpose"}},
    "pretrained": {True: {"weights": "imagenet"}, False: {"weights": "none"}},
    "freeze_encoder": {True: {"options.freeze_encoder": True}, False: {"options.freeze_encoder": False}},
}


def own_keys(content: dict) -> list[str]:
    """What of a file's content shows that it is one of the study's: its keys, or model; none where it is not."""
    if not set(content) <= set(KEYS):
        return []
    only_theirs = [key for key in content if key in THEIRS]
    if not only_theirs and content.get("model") in list(MODELS)[1:]:
        return ["model"]
    return only_theirs


def translate(content: dict) -> tuple[dict, list[str]]:
    """Our settings for the content of a file of the study's, some of them options of `train.py`.

    Returns:
        {name: value}; and a line `key: value -> name: value` for each key, and one for what the study does though no
        key says so.

    Raises:
        UserError: a value has no counterpart; the message names it.
    """
    content = {key: "none" if value is None else value for key, value in content.items()}
    settings: dict[str, Any] = {}
    lines = []
    for key, value in content.items():
        found, remark = _one(key, value, content)
        settings |= found
        remark = f" ({remark})" if remark else ""
        lines.append(f"{key}: {_shown(value)} -> {_listed(found) or 'nothing'}{remark}")
    implied = {name: value for name, value in _implied(content).items() if name not in settings}
    lines.append(f"not in its keys -> {_listed(implied)}")
    settings |= implied
    options = {name.split(".")[1]: settings.pop(name) for name in list(settings) if name.startswith("options.")}
    return settings | {"options": options}, lines


def _one(key, value, content):
    """What a key becomes, and a remark on it."""
    network = content.get("model", "unet")
    if key in ("pretrained", "freeze_encoder") and network != "unet-convnext-attention":
        return {}, f"{network} has no encoder of its own"
    if key in CHOICES:
        return _choice(key, value), "bfloat16 needs no scaling of the loss" if key == "amp" and value else ""
    if key == "load":
        return _load(value), ""
    number = _number(key, value)
    if key in ("momentum", "lr", "t_max", "eta_min"):
        return _of_optimizer(key, number, content)
    if key == "scale":
        side = round(SIZE * number)
        return {"data": _data(side)}, f"images are brought to {side} x {side} when they are prepared"
    if key == "val":
        return {"validation_fraction": number / 100}, "percent; only where the data have no val split"
    return {"options.classes" if key == "classes" else key: number}, ""


def _of_optimizer(key, number, content):
    """What a number of the optimizer or its schedule becomes, and a remark on it."""
    schedule = content.get("scheduler", "none")
    if key == "lr":
        return (
            ({"learning_rate": 1e-3}, "onecycle's own") if schedule == "onecycle" else ({"learning_rate": number}, "")
        )
    if key == "momentum":
        used = content.get("optimizer") in ("sgd", "rmsprop")
        return ({"momentum": number}, "") if used else ({}, "only sgd and rmsprop have one")
    if key == "eta_min":
        used = schedule in ("cosine", "cosine_restart")
        return ({"final_rate": number}, "") if used else ({}, "only cosine and cosine_restart have one")
    if schedule != "cosine":
        return {}, "only cosine has one"
    early = number < _number("epochs", content.get("epochs", number))
    return {"period": number}, "then the rate stays the lowest, where PyTorch's would rise again" if early else ""


def _choice(key, value):
    """What one of the values of CHOICES becomes."""
    found = CHOICES[key].get(value) if isinstance(value, bool | str) else None
    if found is None:
        choices = ", ".join(map(_shown, CHOICES[key]))
        raise UserError(f"{key}: {_shown(value)} has no counterpart; there are: {choices}")
    return found


def _load(value):
    """What the weights to begin with become."""
    if value in (False, "none", ""):
        return {}
    if value is True or str(value).endswith((".pth", ".pt", ".safetensors")):
        raise UserError(
            f"load: {_shown(value)} has no counterpart; name a run or a .keras file, which `python model.py import` "
            "makes of PyTorch's weights"
        )
    return {"init": str(value)}


def _number(key, value):
    """A number of the file, also one that YAML reads as a text."""
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"{key}: {_shown(value)} has no counterpart; expected a number") from None
    return int(number) if number.is_integer() else number


def _data(side):
    return f"dataset_isic18_task2_{side}x{side}"


def _implied(content):
    """What the study does though its keys do not say so."""
    optimizer = content.get("optimizer", "adam")
    settings = {
        "model": MODELS["unet"],
        "data": _data(SIZE),
        "loss": "batch_dice",
        "clip": 1.0,
        "flip": True,
        "turn": True,
        "epsilon": 1e-10 if optimizer == "adagrad" else 1e-8,
    }
    if optimizer == "adamw":
        settings["weight_decay"] = 0.01
    if content.get("scheduler") == "cosine":
        settings["period"] = content.get("epochs", 50)
    return settings


def _shown(value):
    """A value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(settings):
    return ", ".join(f"{name}: {_shown(value)}" for name, value in settings.items())
