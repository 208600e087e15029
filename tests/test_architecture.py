"""The house: which files stand in the root, and that imports run downwards."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STEPS = ("dataset_isic18", "augmentation", "train", "evaluate", "predict", "visualize", "submission", "export", "serve")
NOUNS = ("model", "loss", "metrics", "config", "pipeline", "runs")
PACKAGES = (
    "models",
    "datasets",
    "training",
    "compute",
    "inference",
    "evaluation",
    "figures",
    "imaging",
    "utils",
    "page",
)
DATA = ("pretrained",)  # packages of files alone

LOWER = ("utils", "compute", "metrics", "imaging", "loss", "models", "config", "model", "datasets", "runs")
ALLOWED = {  # part of the house: what of ours it may import beside itself; steps may import all but steps
    "utils": (),
    "compute": ("utils",),
    "metrics": ("utils", "compute"),
    "imaging": ("utils",),
    "loss": ("utils", "compute"),
    "models": ("utils", "compute"),
    "config": ("utils", "compute", "metrics", "loss", "imaging"),
    "datasets": ("utils", "imaging"),
    "model": ("utils", "compute", "models", "config"),
    "runs": ("utils", "compute", "metrics", "loss", "models", "config"),
    "pipeline": LOWER,
    "inference": (*LOWER, "pipeline"),
    "figures": LOWER,
    "page": (*LOWER, "pipeline", "inference"),
    "training": (*LOWER, "pipeline", "inference", "figures"),
    "evaluation": (*LOWER, "pipeline", "inference", "figures"),
}


def tracked():
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says which files are the project's")
    return [Path(name) for name in listed.stdout.split() if (ROOT / name).is_file()]


def imported(path):
    """The first names of all modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_the_root_holds_the_steps_and_the_nouns_alone():
    root = {path.stem for path in tracked() if len(path.parts) == 1}
    assert root <= {*STEPS, *NOUNS} and len(root) <= 16
    packages = {path.parts[0] for path in tracked() if path.name == "__init__.py"}
    assert packages == {*PACKAGES, *DATA}


def test_imports_run_downwards():
    ours, wrong = {*STEPS, *NOUNS, *PACKAGES}, []
    for path in tracked():
        part = path.parts[0] if len(path.parts) > 1 else path.stem
        if part in DATA:
            continue
        if part in ("tests", "benchmarks", "experiments", "docs"):
            continue
        allowed = {part, *(ours - {*STEPS} if part in STEPS else ALLOWED.get(part, ()))}
        wrong += [f"{path} imports {name}" for name in imported(path) if name in ours and name not in allowed]
    assert not wrong, "\n".join(wrong)
