"""A copy of the project's code, for tests that change it as CONTRIBUTING.md says and then run it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = ("tests", "benchmarks", "experiments", "docs")


def copy_project(folder):
    """Copy scripts and packages into a folder."""
    for script in ROOT.glob("*.py"):
        shutil.copy(script, folder)
    for package in {path.parent for path in ROOT.glob("*/*.py")}:
        if package.name not in LEFT_OUT:
            shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))


def put_before(file, anchor, text):
    """Insert text into a file before the one place where the anchor stands."""
    source = file.read_text(encoding="utf-8")
    assert source.count(anchor) == 1, f"{anchor!r} stands {source.count(anchor)} times in {file.name}"
    file.write_text(source.replace(anchor, text + anchor), encoding="utf-8")


def run_code(folder, code):
    """Run Python code in a process of its own, in a copy of the project; returns what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
