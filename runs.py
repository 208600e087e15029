"""What a trained run is on disk: checkpoint_best/RUN/ with its network, settings and facts.

model.keras      the network of the best epoch, without optimiser: what is evaluated, used and handed on
settings.yaml    the settings it was trained with
run.json         facts: classes, size, best epoch and its scores; evaluate.py adds scores and the best thresholds
README.md        the model card (evaluation/model_card.py)

model.keras also holds the settings and the facts but the scores inside, as the comment of the zip file that it is
(`seal`), so that handed on alone it still says how to use it; `settings` and `facts` read them from there if given
such a file.
"""

import dataclasses
import json
import os
import shutil
import textwrap
import zipfile
from pathlib import Path

import config
from utils.errors import UserError
from utils.files import replacing

BEST = Path("checkpoint_best")
MAIN = ("model", "loss", "optimizer", "learning_rate", "epochs", "batch_size")  # settings told in any case
CHOSEN = {"best": "thresholds", "challenge": "challenge_thresholds"}  # on validation; the facts that hold them
ELSEWHERE = ("run", "data", "normalize", "threshold", "tta", "clean")  # or not at all


def find(name=None):
    """The folder of a run, by its name in checkpoint_best/ or its path; by default the newest there.

    FileNotFoundError lists the runs there are.
    """
    if name is not None and Path(name, "model.keras").is_file():
        return Path(name)
    runs = sorted(BEST.glob("*/model.keras"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise FileNotFoundError(f"{BEST}/ holds no run; train one first: python train.py")
    names = [path.parent.name for path in runs]
    if name is not None and name not in names:
        raise FileNotFoundError(f"no run {name!r} in {BEST}/; there are: {', '.join(sorted(names))}")
    return BEST / (name or names[-1])


def settings(place):
    """The Settings of a run, from its folder or from a sealed network file."""
    if not Path(place).is_file():
        return config.load(Path(place, "settings.yaml"))
    try:
        return config.Settings(**_sealed(place)["settings"])
    except TypeError as problem:  # a setting that this program does not know
        raise UserError(f"{place}: {problem}; use the version of the program that made it") from None


def facts(place):
    """The facts of a run, a dictionary, from its folder or a sealed network file; empty where run.json is missing."""
    if Path(place).is_file():
        return {name: fact for name, fact in _sealed(place).items() if name != "settings"}
    path = Path(place, "run.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def told(settings):
    """What tells most of a run's settings, {name: text}: the main ones, and those that are not as by default.

    Left out is where its files lie and how its masks are made.
    """
    found = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        default = field.default_factory() if field.default is dataclasses.MISSING else field.default
        if field.name not in ELSEWHERE and (field.name in MAIN or value != default):
            found[field.name] = _text(value)
    return found


def _text(value):
    if isinstance(value, dict):
        return " ".join(f"{name} {_text(item)}" for name, item in value.items())
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)


def title(settings):
    """The title of a run's figures: its name, and below it its settings."""
    words = ", ".join(f"{name} {text}" for name, text in told(settings).items())
    return "\n".join([settings.run, *textwrap.wrap(words, 150)])


def threshold(text):
    """A threshold of the command line: a number or one of CHOSEN."""
    return text if text in CHOSEN else float(text)


def thresholds(name, facts, classes, wanted):
    """The threshold of each class, a list: one number for all, or those of CHOSEN that evaluate.py noted in `facts`.

    UserError: not from 0 to 1; or the run, called `name`, was not evaluated on its validation images yet.
    """
    if wanted not in CHOSEN:
        if not 0 <= wanted <= 1:
            raise UserError(f"threshold is {wanted}, expected 0 to 1, or {' or '.join(CHOSEN)}")
        return [wanted] * len(classes)
    best = facts.get(CHOSEN[wanted], {})
    if missing := [each for each in classes if each not in best]:
        raise UserError(
            f"run '{name}' has no best threshold for {', '.join(missing)} yet: "
            f"python evaluate.py --run {name} --split val finds it"
        )
    return [best[each] for each in classes]


def note(folder, **news):
    """Add facts to those of a run, in place of older ones of the same name."""
    with replacing(Path(folder, "run.json")) as path:
        path.write_text(json.dumps(facts(folder) | news, indent=2) + "\n", encoding="utf-8")


def seal(file, settings, **facts):
    """Put settings and facts into a saved network, a `.keras` file."""
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = json.dumps({"settings": dataclasses.asdict(settings), **facts}).encode()


def reseal(folder):
    """Put the settings and facts of a run, all but its scores, into its network anew; no younger for that."""
    file = Path(folder, "model.keras")
    with replacing(file) as path:
        shutil.copyfile(file, path)
        seal(path, settings(folder), **{name: fact for name, fact in facts(folder).items() if name != "results"})
        os.utime(path, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))


def _sealed(file):
    if not zipfile.is_zipfile(file):
        raise UserError(f"{file} is cut off or no saved network; copy the file again")
    with zipfile.ZipFile(file) as archive:
        if not archive.comment:
            raise UserError(f"{file} has no settings inside; put the settings.yaml of its run beside it")
        return json.loads(archive.comment)
