"""What pip installs is what is here, and its version is the one that is cited."""

import re
import tomllib
from pathlib import Path

import yaml

import export

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_script_and_package_is_installed():
    setuptools = PROJECT["tool"]["setuptools"]
    assert setuptools["py-modules"] == sorted(path.stem for path in ROOT.glob("*.py"))
    tops = [path.parent for path in ROOT.glob("*/__init__.py")]
    folders = {path.parent for top in tops for path in top.rglob("*.py")}
    assert setuptools["packages"] == sorted(".".join(path.relative_to(ROOT).parts) for path in folders)


def test_one_version_everywhere():
    version = PROJECT["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == export.VERSION == version
    newest = re.search(r"^## (\S+), (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest.groups() == (version, str(citation["date-released"]))
