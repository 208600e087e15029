"""What figures have in common: no pyplot anywhere, titles that fit."""

import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from figures import style

ROOT = Path(__file__).parents[2]
LOADED = ("matplotlib.pyplot", "tensorflow.python", "keras.src")  # that must not be


def test_neither_pyplot_nor_tensorflow_is_loaded():
    used = "visualize.sheets.save, visualize.training_curves.save, visualize.class_figures.save, visualize.evaluations"
    code = f"import sys, visualize; {used}; print([name for name in {LOADED} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("width", [3, 5, 13])
def test_a_title_is_not_wider_than_its_figure(width):
    figure = Figure(figsize=(width, 3), layout="constrained")
    figure.subplots()
    style.head(
        figure, "one\n" + ", ".join(f"setting_{k} {k / 7:.4f}" for k in range(20)) + ", " + 4 * "a_long_name_", 12
    )
    figure.draw_without_rendering()
    (title,) = figure.texts
    box = title.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
    assert title.get_text().startswith("one\nsetting_0 0.0000, setting_1")
