"""An ensemble on disk: a run whose network is that of several runs, and answers with their mean probability."""

import dataclasses
import json
from pathlib import Path

import config
import model
import runs
from inference.predictor import usual_classes
from models.ensemble import ensemble
from utils.errors import UserError
from utils.files import replacing

ALIKE = ("normalize", "remove_hair")  # settings that say what the one network is given


def require_free(name: str) -> None:
    """FileExistsError where a run of this name was trained, which an ensemble would replace."""
    folder = runs.BEST / name
    trained = (folder / "model.keras").is_file() and "members" not in runs.facts(folder)
    if trained or list(Path("checkpoint", name).glob("step_*.npz")):
        raise FileExistsError(f"run '{name}' exists and is no ensemble: choose another name with --run")


def write(name: str, members: list[str], data: str | None = None) -> Path:
    """Write the run of an ensemble, checkpoint_best/NAME; returns its folder.

    Its settings are those of the first member, its facts say the members.

    Args:
        name: of the run.
        members: names, folders or `.keras` files of trained runs, as runs.find takes them.
        data: its data; default: the first member's.

    Raises:
        FileNotFoundError: no such run. UserError: sizes, classes or pixels of the members differ.
        FileExistsError: a run of this name was trained.
    """
    require_free(name)
    found = [runs.find(member) for member in members]
    settings = [runs.settings(folder) for folder in found]
    facts = [runs.facts(folder) for folder in found]
    networks = [model.load(runs.network_file(folder)) for folder in found]
    for member, network, one, fact in zip(members, networks, settings, facts, strict=True):
        mine = _traits(network, one, fact)
        for trait, value in _traits(networks[0], settings[0], facts[0]).items():
            if mine[trait] != value:
                raise UserError(
                    f"{members[0]} and {member} cannot be one network: {trait} is {value} and {mine[trait]}; "
                    f"python evaluate.py --runs {','.join(members)} scores the mean of any runs"
                )
    network = ensemble(networks)
    own = dataclasses.replace(settings[0], run=name, data=data or settings[0].data)
    noted = {key: value for key, value in facts[0].items() if key in ("classes", "size", "model", "data", "versions")}
    noted |= {"members": [runs.name_of(folder) for folder in found], "parameters": network.count_params()}
    folder = runs.BEST / name
    config.save(own, folder / "settings.yaml")
    with replacing(folder / "model.keras") as path:
        network.save(path)
        runs.seal(path, own, **noted)
    with replacing(folder / "run.json") as path:  # nothing that was noted of an earlier ensemble
        path.write_text(json.dumps(noted, indent=2) + "\n", encoding="utf-8")
    return folder


def _traits(network, settings, facts):
    """What the members of an ensemble have in common, {word: value}."""
    classes = facts.get("classes") or usual_classes(network.output_shape[-1])
    traits = {"input": network.input_shape[1:], "output": network.output_shape[1:], "classes": ", ".join(classes)}
    return traits | {name: getattr(settings, name) for name in ALIKE}
