"""Sheets of pictures, a row an image: samples, errors, heat maps, AdSTNet's labels."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures.style import class_color, head, outline, save, words
from imaging import overlays, palette
from utils.errors import UserError


def _sheet(rows, titles, path, legend_lines):
    """A figure with a row of pictures for each of `rows`, whose first two items are its label and its image.

    Returns the figure and the axes, (rows, columns), each already showing the image and the first one the label.
    """
    if not rows:
        raise UserError(f"{path}: no images to draw; a sheet needs at least one row")
    height, width = rows[0][1].shape[:2]
    tall = 2.6 * height / width + 0.12  # inches, one row
    size = (2.6 * len(titles) + 0.5, tall * len(rows) + 0.22 * legend_lines + 0.68)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(words(title), fontsize=11)
    for line, row in zip(grid, rows, strict=True):
        line[0].set_ylabel(row[0], fontsize=9)
        for axes in line:
            axes.imshow(row[1])
            axes.set(xticks=[], yticks=[], autoscale_on=False)  # outlines reach one pixel out
            axes.spines[:].set_visible(False)
    return figure, grid


def sample_sheet(rows: Iterable, path: str | Path, classes: Sequence[str] = ("lesion",), title: str = "") -> None:
    """One row an image: image, truth, prediction, contours of both.

    rows: iterable of (label, image uint8 (H, W, 3), truth (H, W, classes), prediction (H, W, classes)), masks {0, 1} or
    bool. With several classes each has its color, and in the contours the truth is solid and the prediction dashed.
    """
    rows = list(rows)
    legend_lines = 1 if len(classes) == 1 else 2
    figure, grid = _sheet(rows, ("image", "truth", "prediction", "contours"), path, legend_lines)
    for axes, (_, _, truth, prediction) in zip(grid, rows, strict=True):
        truth = np.asarray(truth, bool)
        prediction = np.asarray(prediction, bool)
        axes[1].images[0].set_data(_colored(truth))
        axes[2].images[0].set_data(_colored(prediction))
        _contours(axes[3], truth, prediction)
    _finish(figure, _sample_legend(classes), title, path)


def error_sheet(rows: Iterable, path: str | Path, classes: Sequence[str] = ("lesion",), title: str = "") -> None:
    """One row an image: image, contours, and for each class the errors: false negatives blue, false positives orange.

    rows: as for `sample_sheet`. In the pictures of errors the truth is outlined in white.
    """
    rows = list(rows)
    names = classes if len(classes) > 1 else ("errors",)
    figure, grid = _sheet(rows, ("image", "contours", *names), path, 2)
    for axes, (_, image, truth, prediction) in zip(grid, rows, strict=True):
        truth = np.asarray(truth, bool)
        prediction = np.asarray(prediction, bool)
        _contours(axes[1], truth, prediction)
        for k in range(len(classes)):
            axes[2 + k].imshow(overlays.errors(image, truth[..., k], prediction[..., k]))
            outline(axes[2 + k], truth[..., k], "white", width=0.6)
    handles = _sample_legend(classes)
    handles.append(Patch(color=palette.FALSE_NEGATIVE, label="false negative"))
    handles.append(Patch(color=palette.FALSE_POSITIVE, label="false positive"))
    _finish(figure, handles, title, path)


def heat_sheet(rows: Iterable, path: str | Path, title: str = "") -> None:
    """One row an image: image, and maps laid over it in gray, such as those of inference/explain.py.

    rows: iterable of (label, image uint8 (H, W, 3), mask bool (H, W) to outline, {title: map (h, w)}), the same titles
    in each. A map is colored from its lowest to its highest value, which are written below it.
    """
    rows = list(rows)
    titles = ("image", *rows[0][3]) if rows else ()
    figure, grid = _sheet(rows, titles, path, 1)
    for axes, (_, image, mask, maps) in zip(grid, rows, strict=True):
        height, width = image.shape[:2]
        for ax, heat in zip(axes[1:], maps.values(), strict=True):
            ax.imshow(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cmap="gray")
            ax.imshow(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR), cmap="inferno", alpha=0.65)
            ax.set_xlabel(f"{heat.min():.3g} to {heat.max():.3g}", fontsize=8)
            outline(ax, mask, palette.PREDICTION)
    _finish(figure, [Line2D([], [], color=palette.PREDICTION, label="prediction")], title, path)


def label_sheet(rows: Iterable, path: str | Path, title: str = "") -> None:
    """One row an image: image, mask, and the labels AdSTNet's head learns from it, the core and, as heat, the edge.

    rows: iterable of (label, image uint8 (H, W, 3), mask (H, W), core (H, W), edge float32 (H, W) from 0.3 to 0.7).
    """
    rows = list(rows)
    figure, grid = _sheet(rows, ("image", "mask", "core label", "edge label"), path, 1)
    for axes, (_, _, mask, core, edge) in zip(grid, rows, strict=True):
        for ax, picture in zip(axes[1:3], (mask, core), strict=True):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
        shown = axes[3].imshow(edge, cmap="inferno", vmin=0.3, vmax=0.7)
        for ax in (axes[0], axes[2]):
            outline(ax, np.asarray(mask, bool), palette.TRUTH)
        figure.colorbar(shown, ax=axes[3], ticks=[0.3, 0.7])
    _finish(figure, [Line2D([], [], color=palette.TRUTH, label="mask")], title, path)


def _contours(axes, truth, prediction):
    """Outlines of masks (H, W, classes): a color for each of the two or, with several classes, for each class."""
    classes = truth.shape[-1]
    if classes == 1:
        outline(axes, truth[..., 0], palette.TRUTH)
        outline(axes, prediction[..., 0], palette.PREDICTION)
        return
    for k in range(classes):
        outline(axes, truth[..., k], class_color(k))
        outline(axes, prediction[..., k], class_color(k), (0, (2, 1.2)))


def _finish(figure, handles, title, path):
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    if title:
        head(figure, title, 12)
    save(figure, path)


def _colored(masks):
    """Masks (H, W, classes) as an RGB picture (H, W, 3), 0..1: white for a single class, else a color a class."""
    if masks.shape[-1] == 1:
        return np.repeat(masks, 3, axis=-1).astype(np.float32)
    picture = np.zeros((*masks.shape[:2], 3), np.float32)
    for k in range(masks.shape[-1]):
        picture[masks[..., k]] = class_color(k)
    return picture


def _sample_legend(classes):
    """What the outlines of `_contours` mean."""
    if len(classes) == 1:
        return [
            Line2D([], [], color=palette.TRUTH, label="truth"),
            Line2D([], [], color=palette.PREDICTION, label="prediction"),
        ]
    handles = [
        Line2D([], [], color="0.3", linestyle="-", label="truth"),
        Line2D([], [], color="0.3", linestyle="--", label="prediction"),
    ]
    for k, name in enumerate(classes):
        handles.append(Line2D([], [], color=class_color(k), linewidth=5, label=words(name)))
    return handles
