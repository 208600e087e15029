"""What all figures have in common: how axes look, outlines of masks, how a figure becomes a file.

Made with matplotlib's object-oriented interface (no pyplot, no global state, no display), so any thread may draw one.
"""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imaging import palette
from utils.files import replacing

DPI = 120


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure, of the kind that the path's suffix names, atomically."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def head(figure: Figure, title: str, fontsize: float) -> None:
    """Write a title above a figure, its lines wrapped to the figure's width. fontsize: in points."""
    letters = int(72 * figure.get_figwidth() / (0.6 * fontsize))  # a letter is some 0.6 of its size wide
    lines = [part for line in title.splitlines() for part in textwrap.wrap(line, letters)]
    figure.suptitle("\n".join(lines), fontsize=fontsize)


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
