"""Figures of classes: how often each is there in a data set, and one image with the mask of each."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from figures.style import class_color, head, light_grid, outline, save, words

TINT = 0.6  # of a class's color, the rest is the image
SOME = "0.35"  # gray
NONE = "0.85"  # light gray


# === How often ===


def distribution(statistics: dict, classes: Sequence[str], path: str | Path, title: str = "") -> None:
    """One row a split: which classes the masks are of, how many images have any, and how many pixels each class has.

    statistics: {split: datasets.class_statistics.ClassStatistics}.
    """
    figure = Figure(figsize=(12, 2.7 * len(statistics) + 0.9), layout="constrained")
    grid = figure.subplots(len(statistics), 3, squeeze=False, width_ratios=(1, 1, 1.45))
    colors = [class_color(k) for k in range(len(classes))]
    most = 100 * max(each.pixels.max() for each in statistics.values())
    for (masks, any_class, pixels), (split, each) in zip(grid, statistics.items(), strict=True):
        _pie(masks, each.having, colors)
        _pie(any_class, [each.any, each.images - each.any], [SOME, NONE])
        masks.set_ylabel(f"{split}\n{each.images:,} images", fontsize=12, labelpad=10)
        _bars(pixels, 100 * each.pixels, classes, colors, most)
    names = ("of the masks that are not empty", "of the images", "of all pixels, %")
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(name, fontsize=11)
    handles = [Patch(color=color, label=words(name)) for name, color in zip(classes, colors, strict=True)]
    handles += [Patch(color=SOME, label="any of them"), Patch(color=NONE, label="none")]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    head(figure, title, 13)
    save(figure, path)


def _pie(axes, counts, colors):
    """Slices with their percentages outside, the smallest to the left; nothing where all counts are 0."""
    counts = np.asarray(counts)
    if counts.any():
        small = counts.argmin()
        middle = (counts[:small].sum() + counts[small] / 2) / counts.sum()
        axes.pie(
            counts, colors=colors, startangle=180 + 360 * middle, counterclock=False,
            autopct="%.1f %%", pctdistance=1.28, textprops={"fontsize": 9},
            wedgeprops={"edgecolor": "white", "linewidth": 1.2},
        )  # fmt: skip
    axes.set(frame_on=False, xticks=[], yticks=[], xlim=(-1.6, 1.6), ylim=(-1.3, 1.3))


def _bars(axes, percents, classes, colors, most):
    positions = np.arange(len(classes))
    bars = axes.barh(positions, percents, color=colors, height=0.65)
    axes.bar_label(bars, [f"{percent:.2f} %" for percent in percents], padding=4, fontsize=10)
    axes.set_yticks(positions, [words(name) for name in classes], fontsize=10)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.2 * most)
    light_grid(axes)
    axes.grid(visible=False, axis="y")


# === One image ===


def prediction(
    image: np.ndarray,
    truth: np.ndarray | None,
    masks: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    notes: Sequence[str],
    path: str | Path,
    title: str = "",
) -> None:
    """A column a class: its probabilities, the true mask, the predicted one; before them all classes in color.

    image: uint8 (H, W, 3). truth, masks: bool (H, W, classes); truth None where it is not known. probabilities: float
    (H, W, classes), 0 to 1. notes: a line or two below each class.
    """
    rows = {"prediction": masks} if truth is None else {"truth": truth, "prediction": masks}
    height, width = image.shape[:2]
    row_height = 2.2 * height / width + 0.08  # inches
    size = (2.3 * (len(classes) + 1) + 0.7, row_height * (len(rows) + 1) + 1.25)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows) + 1, len(classes) + 1, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)

    # 1. the image, the probabilities
    grid[0, 0].imshow(image)
    grid[0, 0].set_title("image", fontsize=11)
    grid[0, 0].set_ylabel("probability", fontsize=11)
    for k, axes in enumerate(grid[0, 1:]):
        shown = axes.imshow(probabilities[..., k], cmap="inferno", vmin=0, vmax=1)
        axes.set_title(words(classes[k]), fontsize=11, color=class_color(k), fontweight="bold")
    figure.colorbar(shown, ax=grid[0], ticks=[0, 0.5, 1], pad=0.01, shrink=0.85)

    # 2. the masks, all together and one by one
    gray = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)  # (H, W, 3)
    for line, (name, mask) in zip(grid[1:], rows.items(), strict=True):
        line[0].set_ylabel(name, fontsize=11)
        _show(line[0], image, mask, range(len(classes)))
        for k, axes in enumerate(line[1:]):
            _show(axes, gray, mask, [k])
    for axes, note in zip(grid[-1, 1:], notes, strict=True):
        axes.set_xlabel(note, fontsize=9)
    handles = [Patch(color=class_color(k), label=words(name)) for k, name in enumerate(classes)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(classes), frameon=False, fontsize=10)
    head(figure, title, 12)
    save(figure, path)


def _show(axes, image, masks, classes):
    """The image with the masks of some classes in their colors, outlined."""
    picture = image / 255
    for k in classes:
        picture[masks[..., k]] = (1 - TINT) * picture[masks[..., k]] + TINT * np.array(class_color(k))
    axes.imshow(picture)
    axes.set(autoscale_on=False)  # outlines reach one pixel out
    for k in classes:
        outline(axes, masks[..., k], class_color(k), width=1.2)
