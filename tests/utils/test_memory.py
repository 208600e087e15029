import subprocess
import sys
import types
from pathlib import Path

import pytest

from utils import memory

ROOT = Path(__file__).parents[2]


def test_the_peak_is_kept_after_the_memory_was_given_back():
    code = (
        "from utils.memory import peak_memory\n"
        "before = peak_memory()\n"
        "bytearray(200 * 2**20)\n"  # written to, and gone
        "print(before, peak_memory())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    before, after = (int(word) / 2**20 for word in done.stdout.split())  # MiB
    assert 5 < before < 100
    assert 190 < after - before < 210


def test_windows_and_macos(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.peak_memory() == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    process = types.SimpleNamespace(memory_info=lambda: types.SimpleNamespace(peak_wset=123))
    monkeypatch.setattr(memory.sys, "platform", "win32")
    monkeypatch.setattr(memory.psutil, "Process", lambda: process)
    assert memory.peak_memory() == 123
