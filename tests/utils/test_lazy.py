"""utils/lazy.py: modules that are loaded when they are used, and what the commands load for their help."""

import importlib
import subprocess
import sys

import pytest

from utils.lazy import keys, lazily

HEAVY = ("tensorflow", "keras", "jax", "pandas", "matplotlib", "tensorflow_datasets", "sklearn")
COMMANDS = (
    *("dataset_isic18", "augmentation", "train", "evaluate", "predict", "visualize", "submission", "export", "model"),
    *("config", "datasets.__main__", "imaging.hair_removal", "evaluation.model_card"),
)
HELP = """
import contextlib, importlib, sys
for name in sys.argv[1].split(","):
    with contextlib.suppress(SystemExit):
        importlib.import_module(name).main(["--help"])
print("loaded:", [name for name in sys.argv[2].split(",") if name in sys.modules])
from matplotlib.figure import Figure  # which asks whether arrays are TensorFlow's
Figure().subplots()
print("for a figure:", "tensorflow" in sys.modules)
"""


def test_a_module_is_loaded_when_it_is_used(tmp_path, monkeypatch):
    (tmp_path / "late.py").write_text("import other_late\nprint('loaded')\nvalue = other_late.value\n")
    (tmp_path / "other_late.py").write_text("value = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    with lazily():
        import late  # twice, as two files of ours may import it
    with lazily():
        import late
    assert late.__name__ == "late" and not {"late", "other_late"} & set(sys.modules)
    assert late.value == 3
    assert sys.modules["other_late"].value == 3


def test_a_name_that_is_not_there_is_an_error_as_ever():
    with lazily():
        import colorsys
    with pytest.raises(AttributeError, match="colorsys"):
        _ = colorsys.nothing


def test_a_module_that_is_not_installed_is_an_error_when_it_is_used():
    with lazily():
        import no_such_module
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module'"):
            _ = no_such_module.name
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module'"):
        importlib.import_module("no_such_module")


def test_a_module_that_could_not_be_loaded_is_tried_again(tmp_path, monkeypatch):
    (tmp_path / "twice.py").write_text("from pathlib import Path\nvalue = Path('given').read_text()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with lazily():
        import twice
    with pytest.raises(FileNotFoundError, match="given"):
        _ = twice.value
    (tmp_path / "given").write_text("here")
    assert twice.value == "here"


def test_keys_are_read_without_loading_the_module():
    assert keys("loss", "LOSSES")[:2] == ["wbce", "bce"]
    with pytest.raises(KeyError, match="loss has no dictionary NOTHING"):
        keys("loss", "NOTHING")


def test_help_loads_nothing_that_takes_seconds():
    command = [sys.executable, "-c", HELP, ",".join(COMMANDS), ",".join(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded: []\nfor a figure: False\n"), done.stdout[-300:]
    assert done.stdout.count("usage: ") == len(COMMANDS)
    assert "networks (--model): as_net, unet, " in " ".join(done.stdout.split())
    assert "Losses (--loss): wbce, bce, " in " ".join(done.stdout.split())
    assert done.stderr == ""
