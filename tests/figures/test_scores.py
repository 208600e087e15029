"""Score curves: files, also where no class has a curve."""

import cv2
import numpy as np
from figure_files import ATTRIBUTES, has_color

from figures import scores
from imaging import palette


def test_score_curves(tmp_path):
    x = np.linspace(0, 1, 50)
    scores.roc(dict.fromkeys(ATTRIBUTES, (x, x**0.1, 0.9)), tmp_path / "sub" / "ROC.png")
    scores.precision_recall({"lesion": (x, 1 - x, 0.5, 0.2)}, tmp_path / "PR.png")
    scores.roc({}, tmp_path / "none.png")  # no class has a curve
    assert all(has_color(tmp_path / "sub" / "ROC.png", color) for color in palette.CLASSES[:5])
    assert has_color(tmp_path / "PR.png", palette.CLASSES[0])
    assert cv2.imread(tmp_path / "none.png").min() < 100 and not has_color(tmp_path / "none.png", palette.CLASSES[0])
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(files) == ["PR.png", "none.png", "sub/ROC.png"]
