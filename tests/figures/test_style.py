"""What figures have in common: no pyplot anywhere; the choice of images."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from figures import style

ROOT = Path(__file__).parents[2]


def test_pick():
    scores = [0.5, 0.9, 0.1, 0.7, 0.9]
    assert style.pick(scores, "best", 2).tolist() == [1, 4]
    assert style.pick(scores, "worst", 2).tolist() == [2, 0]
    assert style.pick(scores, "median").tolist() == [3]
    assert len(style.pick(scores, "worst", 20)) == 5
    scores = [np.nan, 0.2, np.nan, 0.8, 0.5]
    assert [style.pick(scores, order).item() for order in style.ORDERS] == [3, 4, 1]
    with pytest.raises(ValueError, match="unknown order 'middle'; there are best, median, worst"):
        style.pick(scores, "middle")


def test_neither_pyplot_nor_tensorflow_is_loaded():
    code = "import sys, visualize; print([m for m in ('matplotlib.pyplot', 'tensorflow', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
