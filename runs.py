"""What a trained run is on disk: checkpoint_best/RUN/ with its network, settings and facts.

model.keras      the network of the best epoch, without optimizer: what is evaluated, used and handed on
settings.yaml    the settings it was trained with
run.json         facts: classes, size, best epoch and its scores; evaluate.py adds scores, the best thresholds, and what
                 tells how far masks can be trusted (docs/trust.md)
README.md        the model card (evaluation/model_card.py)

model.keras also holds the settings and the facts but the scores inside, as the comment of the zip file that it is
(`seal`), so that handed on alone it still says how to use it.

A run is given as its name, the path of its folder, or the path of a `.keras` file or of an export, an `.onnx` file
(export.py), which holds the same inside. `find` makes a path of it: the folder or, where the file stands alone, the
file; `settings`, `facts` and `network_file` take either. The names in PRETRAINED are those of the networks that come
with this program.
"""

import dataclasses
import json
import os
import shutil
import textwrap
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import config
from compute import onnx_file
from utils import errors
from utils.errors import UserError
from utils.files import read_json, replacing, require_file_names, write_comment

BEST = Path("checkpoint_best")
SHIPPED = Path(__file__).resolve().parent / "pretrained"  # networks that come with this program, and their model cards
PRETRAINED = {"pretrained": "lesion.keras", "pretrained_attributes": "attributes.keras"}  # name: file in SHIPPED
MAIN = ("model", "loss", "optimizer", "learning_rate", "epochs", "batch_size")  # settings shown in any case
CHOSEN = {"best": "thresholds", "challenge": "challenge_thresholds"}  # on validation; the facts that hold them
ELSEWHERE = ("run", "data", "normalize", "threshold", "tta", "clean")  # or not at all
KINDS = {  # of the facts
    "classes": list, "size": list, "epoch": int, "parameters": int, "scores": dict, "images": dict, "data": dict,
    "versions": dict, "results": dict, "thresholds": dict, "challenge_thresholds": dict,
    "other_thresholds": dict, "members": list, "exports": dict, "trust": dict,
    "trained_on": str,
}  # fmt: skip

FILES = (".keras", onnx_file.SUFFIX)  # of a network that is handed on alone
WIDTH = 150  # letters in a line of a figure's title

# === Where it is ===


def find(run: str | Path | None = None) -> Path:
    """The folder of a run or, of one that is handed on as a file alone, this file.

    run: name of a folder in checkpoint_best/ or in PRETRAINED, path of a folder, or of a `.keras` or `.onnx` file; None
    is the newest in checkpoint_best/ or, where that holds none, the pretrained network of lesions. FileNotFoundError:
    there is none such; the message lists the runs that there are.
    """
    if run in PRETRAINED:
        return _shipped(run)
    if run is not None:
        path = Path(run)
        if (path / "model.keras").is_file():
            return path
        if path.suffix in FILES and not path.is_file():
            raise FileNotFoundError(f"no saved network at {path}")
        if path.is_file():
            return path.parent if _is_of_folder(path) else path
    found = sorted(BEST.glob("*/model.keras"), key=lambda file: file.stat().st_mtime)
    if run is None:
        return found[-1].parent if found else _shipped("pretrained")
    names = [*(file.parent.name for file in found), *PRETRAINED]
    if str(run) not in names:
        raise FileNotFoundError(f"no run {str(run)!r} in {BEST}/; there are: {', '.join(sorted(names))}")
    return BEST / run


def _shipped(name):
    """The file of a network in PRETRAINED."""
    file = SHIPPED / PRETRAINED[name]
    if not file.is_file():
        raise FileNotFoundError(f"{BEST}/ holds no run, and {file} is missing; train one first: python train.py")
    return file


def name_of(run: str | Path) -> str:
    """The name of a run, under which its files lie in output/ and predictions/; of RUN, its folder, or its file.

    The run need not be in checkpoint_best/: ensembles and the mask files of other tools are only there.
    """
    path = Path(os.path.abspath(run))
    if path.is_dir() or path.suffix not in FILES:
        return path.name
    if onnx_file.is_export(path):
        return f"{path.stem}_onnx"  # its scores and masks do not take the place of the run's own
    if path.parent == SHIPPED:
        return {file: name for name, file in PRETRAINED.items()}.get(path.name, path.stem)
    return path.parent.name if _is_of_folder(path) else path.stem


def _is_of_folder(file):
    """Whether a `.keras` file is that of the run in whose folder it lies."""
    return file.name == "model.keras" and file.with_name("settings.yaml").is_file()


def network_file(run: Path) -> Path:
    """The `.keras` or `.onnx` file of a run, from what `find` returns."""
    return run / "model.keras" if run.is_dir() else run


# === Settings and facts ===


def settings(run: str | Path) -> config.Settings:
    """The Settings of a run, from its folder or file: those sealed in it, or else those that lie beside it.

    FileNotFoundError: no settings.yaml. UserError: it, or what is sealed in the file, was damaged or edited.
    """
    run = Path(run)
    if run.is_dir():
        path = run / "settings.yaml"
        with errors.unreadable(path, "copy it again, or train the run again"):
            return config.load(path)
    sealed = _sealed(run)
    if not sealed and run.with_name("settings.yaml").is_file():
        return settings(run.parent)
    if not sealed:
        raise UserError(f"{run} has no settings inside; put the settings.yaml of its run beside it")
    with errors.unreadable(run, "use the version of the program that made it, or copy the file again"):
        return config.of_run(sealed["settings"], run)


def facts(run: str | Path) -> dict[str, Any]:
    """The facts of a run, a dictionary, from its folder or file; empty where none were noted.

    UserError: they were damaged or edited.
    """
    run = Path(run)
    if run.is_dir():
        path = run / "run.json"
        found = read_json(path, "copy it again, or delete it and evaluate the run again") if path.is_file() else {}
    else:
        path = run
        found = {name: fact for name, fact in _sealed(run).items() if name != "settings"}
        if not found and run.with_name("settings.yaml").is_file():
            return facts(run.parent)
    _check_facts(found, path)
    return found


def _check_facts(found, path):
    """UserError where a fact is not of its kind, or a class could not be part of a file's name."""
    for name, kind in KINDS.items():
        if name in found and not isinstance(found[name], kind):
            raise UserError(f"{path}: {name} is {found[name]!r}, expected a {kind.__name__}; was it edited?")
    require_file_names(found.get("classes", ()), path)
    others = found.get("other_thresholds", {})
    for each in (found, *others.values()):
        best = [each.get(name, {}) if isinstance(each, dict) else None for name in CHOSEN.values()]
        if not all(isinstance(values, dict) for values in best):
            raise UserError(f"{path}: other_thresholds is {others!r}, expected thresholds by class; was it edited?")
        for label, value in (item for values in best for item in values.items()):
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise UserError(f"{path}: the threshold of {label} is {value!r}, expected 0 to 1; was it edited?")


def note(folder: str | Path, **news: Any) -> None:
    """Add facts to those of a run, in place of older ones of the same name."""
    with replacing(Path(folder, "run.json")) as path:
        path.write_text(json.dumps(facts(folder) | news, indent=2) + "\n", encoding="utf-8")


def seal(file: str | Path, settings: config.Settings, **facts: Any) -> None:
    """Put settings and facts into a saved network, a `.keras` file."""
    write_comment(file, {"settings": dataclasses.asdict(settings), **facts})


def reseal(folder: str | Path) -> None:
    """Put the settings and facts of a run, all but its scores, into its network anew; no younger for that."""
    file = Path(folder, "model.keras")
    with replacing(file) as path:
        shutil.copyfile(file, path)
        seal(path, settings(folder), **{name: fact for name, fact in facts(folder).items() if name != "results"})
        os.utime(path, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))


def weights_of(run: Path) -> list[tuple[str, int]]:
    """What tells the network of a run from another: names and checksums in its file, whatever is sealed in it."""
    file = network_file(run)
    with errors.unreadable(file, "copy the file again"), zipfile.ZipFile(file) as archive:
        return [(entry.filename, entry.CRC) for entry in archive.infolist()]


def _sealed(file):
    """What is sealed in a `.keras` file or an export, a dictionary; empty where nothing is."""
    if onnx_file.is_export(file):
        content = onnx_file.metadata(file)
        if not isinstance(content.get("settings"), dict):
            raise UserError(f"{file}: its metadata were edited; {onnx_file.REMEDY}")
        return content
    if not zipfile.is_zipfile(file):
        raise UserError(f"{file} is cut off or no saved network; copy the file again")
    with errors.unreadable(file, "copy the file again"), zipfile.ZipFile(file) as archive:
        content = json.loads(archive.comment or "{}")
        if not isinstance(content, dict) or (content and "settings" not in content):
            raise TypeError("what is sealed in it holds no settings")
    return content


# === Thresholds ===


def variant(tta: bool, clean: bool) -> str:
    """How masks are made, in a word: bare, tta, clean or tta+clean."""
    return "+".join([*["tta"] * tta, *["clean"] * clean]) or "bare"


def thresholds(run: str | Path, classes: list[str], wanted: float | str, tta: bool, clean: bool) -> list[float]:
    """The threshold of each class: one number for all, or those of CHOSEN that evaluate.py noted with the run.

    run: from what `find` returns. tta, clean: how the masks are made, for each way of which others are kept.
    UserError: not from 0 to 1; or the run was not evaluated so on its validation images yet.
    """
    if wanted not in CHOSEN:
        if not isinstance(wanted, int | float) or not 0 <= wanted <= 1:
            raise UserError(f"threshold is {wanted}, expected 0 to 1, or {' or '.join(CHOSEN)}")
        return [wanted] * len(classes)
    best = kept_thresholds(run, tta, clean).get(CHOSEN[wanted], {})
    if missing := [each for each in classes if each not in best]:
        name = name_of(run)
        options = f"{'--tta' if tta else '--no_tta'} {'--clean' if clean else '--no_clean'}"
        raise UserError(
            f"run '{name}' has no best threshold for {', '.join(missing)} yet: "
            f"python evaluate.py --run {name} --split val {options} finds it, or choose one: --threshold 0.5"
        )
    return [best[each] for each in classes]


def kept_thresholds(run: str | Path, tta: bool, clean: bool) -> dict[str, dict[str, float]]:
    """What is noted with a run for masks that are made so, {value of CHOSEN: {class: threshold}}; may be empty."""
    own = settings(run)
    found = facts(run)
    if (tta, clean) == (own.tta, own.clean):
        return {name: found[name] for name in CHOSEN.values() if name in found}
    return found.get("other_thresholds", {}).get(variant(tta, clean), {})


def keep_thresholds(folder: Path, tta: bool, clean: bool, **best: dict[str, float]) -> None:
    """Note thresholds for masks that are made so, by the values of CHOSEN, and seal them into the network."""
    own = settings(folder)
    if (tta, clean) == (own.tta, own.clean):
        note(folder, **best)
    else:
        note(folder, other_thresholds=facts(folder).get("other_thresholds", {}) | {variant(tta, clean): best})
    reseal(folder)


# === As text ===


def main_settings(settings: config.Settings) -> dict[str, str]:
    """The settings that characterize a run, {name: text}: those of MAIN, and those that differ from their default.

    Left out is where its files lie and how its masks are made.
    """
    found = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if field.name not in ELSEWHERE and (field.name in MAIN or value != default):
            found[field.name] = _text(value)
    return found


def _text(value):
    if isinstance(value, dict):
        return " ".join(f"{name} {_text(item)}" for name, item in value.items())
    if value is True:
        return "yes"
    return f"{value:g}" if isinstance(value, float) else str(value)


def title(settings: config.Settings) -> str:
    """The title of a run's figures: its name, and below it its settings."""
    words = ", ".join(f"{name} {text}" for name, text in main_settings(settings).items())
    return "\n".join([settings.run, *textwrap.wrap(words, WIDTH)])


def titles(names: Iterable[str]) -> str:
    """The title of a figure of several runs: their names, and a line for each with the settings in which they differ.

    One run alone has its own `title`; a run that is no longer in checkpoint_best/ only its name.
    """
    names = list(names)
    found = {name: settings(BEST / name) for name in names if (BEST / name / "settings.yaml").is_file()}
    if len(names) == 1:
        return title(found[names[0]]) if found else names[0]
    shown = {name: main_settings(each) for name, each in found.items()}
    keys = dict.fromkeys(key for each in shown.values() for key in each)
    differ = [key for key in keys if len({each.get(key) for each in shown.values()}) > 1]
    lines = [", ".join(names)]
    if differ:
        for name, each in shown.items():
            values = ", ".join(f"{key} {each.get(key, 'default')}" for key in differ)
            lines += textwrap.wrap(f"{name}: {values}", WIDTH)
    return "\n".join(lines)
