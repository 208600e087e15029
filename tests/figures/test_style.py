"""What figures have in common: no pyplot anywhere."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_neither_pyplot_nor_tensorflow_is_loaded():
    code = "import sys, visualize; print([m for m in ('matplotlib.pyplot', 'tensorflow', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
