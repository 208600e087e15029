"""What a trained run is on disk: checkpoint_best/RUN/ with its network, settings and facts.

model.keras      the network of the best epoch, without optimiser: what is evaluated, used and handed on
settings.yaml    the settings it was trained with
run.json         facts: classes, size, best epoch and its scores; evaluate.py adds the best thresholds
"""

import json
from pathlib import Path

import config
from files import replacing

BEST = Path("checkpoint_best")


def find(name=None):
    """The folder of a run in checkpoint_best/, by default of the newest. FileNotFoundError lists the runs there are."""
    runs = sorted(BEST.glob("*/model.keras"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise FileNotFoundError(f"{BEST}/ holds no run; train one first: python train.py")
    names = [path.parent.name for path in runs]
    if name is not None and name not in names:
        raise FileNotFoundError(f"no run {name!r} in {BEST}/; there are: {', '.join(sorted(names))}")
    return BEST / (name or names[-1])


def settings(folder):
    """The Settings a run was trained with."""
    return config.load(Path(folder, "settings.yaml"))


def facts(folder):
    """The facts of a run, a dictionary; empty where run.json is missing."""
    path = Path(folder, "run.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def note(folder, **news):
    """Add facts to those of a run, in place of older ones of the same name."""
    with replacing(Path(folder, "run.json")) as path:
        path.write_text(json.dumps(facts(folder) | news, indent=2) + "\n", encoding="utf-8")
