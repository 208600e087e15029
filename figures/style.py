"""What all figures have in common: how axes look, outlines of masks, how a figure becomes a file.

Made with matplotlib's object-oriented interface (no pyplot, no global state, no display), so any thread may draw one.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imaging import mask_files, palette
from utils.errors import UserError
from utils.files import replacing

DPI = 120
ORDERS = ("best", "median", "worst")


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure, of the kind that the path's suffix names, atomically."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def light_grid(axes: Axes, **labels) -> None:
    """A light grid behind the data, no frame above and to the right; `labels` go to `axes.set`."""
    axes.set(**labels)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def outline(axes: Axes, mask: np.ndarray, color, linestyle="solid", width: float = 1.4) -> None:
    """Draw the anti-aliased outline of a mask, bool (H, W), closed where the mask touches the border.

    color, linestyle: as matplotlib takes them. width: in points.
    """
    if not mask.any():
        return
    rows, columns = mask.shape
    padded = np.pad(mask, 1).astype(np.float32)  # (H + 2, W + 2)
    x = np.arange(-1, columns + 1)
    y = np.arange(-1, rows + 1)
    axes.contour(x, y, padded, [0.5], colors=[color], linewidths=width, linestyles=[linestyle])


def class_color(k: int) -> tuple[float, float, float]:
    """The color of class number k, red, green and blue from 0 to 1."""
    red, green, blue = palette.rgb(palette.of_class(k))
    return red / 255, green / 255, blue / 255


def words(name: str) -> str:
    """The name of a class for people."""
    return name.replace("_", " ")


def sample_rows(split, chosen, scores, predictions):
    """Rows of a sample sheet, read when they are needed.

    chosen: (word, position) pairs, images of the prepared split; scores: (images,) Jaccard; predictions: mask folder.
    """
    for word, i in chosen:
        label, image = f"{word}, Jaccard {scores[i]:.3f}\n{split.ids[i]}", split.images[i]
        found = mask_files.read_masks(
            predictions, split.ids[i], split.classes, image.shape[:2]
        )  # written at source size
        yield label, image, split.masks[i], found


def pick(scores, order, count=1):
    """Positions of the `count` best, worst or most median of `scores` (images,); ties keep the order of the images.

    Undefined scores, NaN, come last.
    """
    if order not in ORDERS:
        raise UserError(f"unknown order {order!r}; there are {', '.join(ORDERS)}")
    scores = np.asarray(scores, np.float64)
    if order == "median":
        middle = np.sort(scores)[np.count_nonzero(~np.isnan(scores)) // 2]
        return np.argsort(np.abs(scores - middle), kind="stable")[:count]
    return np.argsort(-scores if order == "best" else scores, kind="stable")[:count]
