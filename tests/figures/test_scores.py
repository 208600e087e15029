"""Score curves: files, also where no class has a curve."""

import cv2
import numpy as np
from figure_files import ATTRIBUTES

from figures import scores


def test_score_curves(tmp_path):
    x = np.linspace(0, 1, 50)
    scores.roc(dict.fromkeys(ATTRIBUTES, (x, x**0.1, 0.9)), tmp_path / "sub" / "ROC.png")
    scores.precision_recall({"lesion": (x, 1 - x, 0.5, 0.2)}, tmp_path / "PR.png")
    scores.roc({}, tmp_path / "none.png")  # no class has a curve
    for name in ("sub/ROC.png", "PR.png", "none.png"):
        assert cv2.imread(tmp_path / name).std() > 5
    assert not list(tmp_path.rglob("*.tmp"))
