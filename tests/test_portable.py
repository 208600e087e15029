"""Every module is imported where the operating system has neither `fcntl` nor `resource`: on Windows."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CODE = """
import importlib, json, sys
import psutil  # its part for Linux imports what only Linux has
sys.modules |= {"fcntl": None, "resource": None}  # an import of them is an ImportError
print(json.dumps([importlib.import_module(name).__name__ for name in sys.argv[1:]]))
"""


def modules():
    """Dotted names of the scripts and of the packages' modules, without tests, benchmarks and experiments."""
    scripts = list(ROOT.glob("*.py"))
    packages = [path.parent for path in ROOT.glob("*/__init__.py")]
    files = scripts + [path for folder in packages for path in folder.rglob("*.py")]
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files)


def test_every_module_is_imported_without_fcntl_and_resource():
    names = modules()
    assert {"train", "training.trainer", "datasets.preparation.download"} <= set(names)
    done = subprocess.run([sys.executable, "-c", CODE, *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == names
