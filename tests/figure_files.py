"""Figures and logs in tests: a mask to draw, a training log, which colors a picture has."""

import cv2
import numpy as np
import pandas as pd

ATTRIBUTES = ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")


def disk(height=48, width=64, x=30, radius=14):
    """bool (height, width), a disk about column x."""
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(columns - x, rows - height // 2) < radius


def write_log(path, epochs=30, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    epoch = np.arange(1, epochs + 1)
    names = ("loss", "val_loss", "dice", "val_dice", "jaccard", "val_jaccard", "learning_rate")
    pd.DataFrame({"epoch": epoch, **dict.fromkeys(names, 1 / epoch), **columns}).to_csv(path, index=False)


def has_color(path, code, tolerance=12):
    """Whether a pixel of about the color #RRGGBB is in the picture."""
    picture = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB).astype(int)
    wanted = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(picture - wanted).max(axis=-1) <= tolerance).any())
