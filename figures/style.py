"""Every figure: training curves, score curves, sheets of sample images.

Made with matplotlib's object-oriented interface (no pyplot, no global state, no display), so any thread may draw one.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from imaging import mask_files, overlays, palette
from utils.errors import UserError
from utils.files import replacing

DPI = 120
ORDERS = ("best", "median", "worst")


def save(figure, path):
    """Write a figure, of the kind that the path's suffix names, atomically."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


# === Score curves ===


def _square(title, xlabel, ylabel, entries):
    """A figure for two shares, with room below for so many lines of legend."""
    figure = Figure(figsize=(5.2, 5.4 + 0.25 * entries), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    tidy(axes)
    return figure, axes


def tidy(axes, **labels):
    """A light grid behind the data, no frame above and to the right; `labels` go to `axes.set`."""
    axes.set(**labels)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def roc(curves, path, title="ROC, pooled over pixels"):
    """Receiver operating characteristic. curves: {name: (false positive rates, true positive rates, area)}."""
    labels = "False positive rate (1 − specificity)", "True positive rate (sensitivity)"
    figure, axes = _square(title, *labels, len(curves) + 1)
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1.2, label="chance, area 0.5000")
    for k, (name, (x, y, area)) in enumerate(curves.items()):
        axes.plot(x, y, color=palette.of_class(k), linewidth=1.8, label=f"{name}, area {area:.4f}")
    figure.legend(loc="outside lower center", frameon=False)
    save(figure, path)


def precision_recall(curves, path, title="Precision and recall, pooled over pixels"):
    """Precision-recall curves. curves: {name: (recalls, precisions, average precision, share of positive pixels)}."""
    figure, axes = _square(title, "Recall (sensitivity)", "Precision", len(curves))
    for k, (name, (x, y, area, prevalence)) in enumerate(curves.items()):
        color = palette.of_class(k)
        axes.plot(x, y, color=color, linewidth=1.8, label=f"{name}, area {area:.4f} (chance {prevalence:.4f})")
        axes.axhline(prevalence, color=color, linestyle=":", linewidth=1.2)
    figure.legend(loc="outside lower center", frameon=False)
    save(figure, path)


# === Sample sheets ===


def outline(axes, mask, color, style, width=1.4):
    """Anti-aliased outline of a boolean (H, W) mask, closed where the mask touches the border."""
    if not mask.any():
        return
    rows, columns = mask.shape
    padded = np.pad(mask, 1).astype(np.float32)  # (H + 2, W + 2)
    x, y = np.arange(-1, columns + 1), np.arange(-1, rows + 1)
    axes.contour(x, y, padded, [0.5], colors=[color], linewidths=width, linestyles=[style])


def _colored(masks):
    """Masks (H, W, classes) as an RGB picture (H, W, 3), 0..1: white for a single class, else a color a class."""
    if masks.shape[-1] == 1:
        return np.repeat(masks, 3, axis=-1).astype(np.float32)
    picture = np.zeros((*masks.shape[:2], 3), np.float32)
    for k in range(masks.shape[-1]):
        picture[masks[..., k]] = class_color(k)
    return picture


def class_color(k):
    """The color of class number k, red, green and blue from 0 to 1."""
    return tuple(value / 255 for value in palette.rgb(palette.of_class(k)))


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
        axes.set_title(title.replace("_", " "), fontsize=11)
    for line, row in zip(grid, rows, strict=True):
        line[0].set_ylabel(row[0], fontsize=9)
        for axes in line:
            axes.imshow(row[1])
            axes.set(xticks=[], yticks=[], autoscale_on=False)  # outlines reach one pixel out
            axes.spines[:].set_visible(False)
    return figure, grid


def sample_sheet(rows, path, classes=("lesion",), title=""):
    """One row an image: image, truth, prediction, contours of both.

    rows: iterable of (label, image uint8 (H, W, 3), truth (H, W, classes), prediction (H, W, classes)), masks {0, 1} or
    bool. With several classes each has its color, and in the contours the truth is solid and the prediction dashed.
    """
    rows = list(rows)
    figure, grid = _sheet(rows, ("image", "truth", "prediction", "contours"), path, 1 + (len(classes) > 1))
    for axes, (_, _, truth, prediction) in zip(grid, rows, strict=True):
        truth, prediction = np.asarray(truth, bool), np.asarray(prediction, bool)
        axes[1].images[0].set_data(_colored(truth))
        axes[2].images[0].set_data(_colored(prediction))
        _contours(axes[3], truth, prediction)
    _finish(figure, _sample_legend(classes), title, path)


def error_sheet(rows, path, classes=("lesion",), title=""):
    """One row an image: image, contours, and for each class the errors: false negatives blue, false positives orange.

    rows: as for `sample_sheet`. In the pictures of errors the truth is outlined in white.
    """
    rows = list(rows)
    names = classes if len(classes) > 1 else ("errors",)
    figure, grid = _sheet(rows, ("image", "contours", *names), path, 2)
    for axes, (_, image, truth, prediction) in zip(grid, rows, strict=True):
        truth, prediction = np.asarray(truth, bool), np.asarray(prediction, bool)
        _contours(axes[1], truth, prediction)
        for k in range(len(classes)):
            axes[2 + k].imshow(overlays.errors(image, truth[..., k], prediction[..., k]))
            outline(axes[2 + k], truth[..., k], "white", "solid", 0.6)
    handles = _sample_legend(classes)
    handles += [
        Patch(color=color, label=label)
        for color, label in (
            (palette.FALSE_NEGATIVE, "false negative"),
            (palette.FALSE_POSITIVE, "false positive"),
        )
    ]
    _finish(figure, handles, title, path)


def heat_sheet(rows, path, title=""):
    """One row an image: image, and maps laid over it in grey, such as those of explain.py.

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
            outline(ax, mask, palette.PREDICTION, "solid")
    _finish(figure, [Line2D([], [], color=palette.PREDICTION, label="prediction")], title, path)


def label_sheet(rows, path, title=""):
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
            outline(ax, np.asarray(mask, bool), palette.TRUTH, "solid")
        figure.colorbar(shown, ax=axes[3], ticks=[0.3, 0.7])
    _finish(figure, [Line2D([], [], color=palette.TRUTH, label="mask")], title, path)


def _contours(axes, truth, prediction):
    """Outlines of masks (H, W, classes): a color for each of the two or, with several classes, for each class."""
    classes = truth.shape[-1]
    for k in range(classes):
        colors = (palette.TRUTH, palette.PREDICTION) if classes == 1 else (class_color(k),) * 2
        outline(axes, truth[..., k], colors[0], "solid")
        outline(axes, prediction[..., k], colors[1], "solid" if classes == 1 else (0, (2, 1.2)))


def _finish(figure, handles, title, path):
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=12)
    save(figure, path)


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


def _sample_legend(classes):
    if len(classes) == 1:
        colors, dashes = (palette.TRUTH, palette.PREDICTION), ("-", "-")
    else:
        colors, dashes = ("0.3", "0.3"), ("-", "--")
    entries = zip(colors, dashes, ("truth", "prediction"), strict=True)
    handles = [Line2D([], [], color=color, linestyle=dash, label=label) for color, dash, label in entries]
    if len(classes) > 1:
        names = [name.replace("_", " ") for name in classes]
        handles += [Line2D([], [], color=class_color(k), linewidth=5, label=name) for k, name in enumerate(names)]
    return handles


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


# === Training curves ===


def curves(log_csv, png, title=""):
    """Training curves against the epoch, from one CSV log or a list of them (one a run, told apart by color).

    One log: loss and mean scores, validation solid and training dashed, and the learning rate. Several: validation
    alone. Columns read where present: epoch, loss, dice, jaccard, the same with val_ before, learning_rate.
    """
    paths = [Path(p) for p in ([log_csv] if isinstance(log_csv, str | os.PathLike) else log_csv)]
    logs = [_read_log(path) for path in paths]
    if len(paths) == 1:
        scores = ["val_dice", "dice", "val_jaccard", "jaccard"]
        panels = {"loss": ["val_loss", "loss"], "Dice and Jaccard": scores, "learning rate": ["learning_rate"]}
        colors = {name: palette.of_class(k) for k, names in enumerate((scores[:2], scores[2:])) for name in names}
    else:
        panels = {f"validation {_title(name)}": [f"val_{name}"] for name in ("loss", "dice", "jaccard")}
    figure = Figure(figsize=(4.4 * len(panels), 3.6), layout="constrained")
    for axes, (label, columns) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for k, (path, log) in enumerate(zip(paths, logs, strict=True)):
            for column in columns:
                name = _title(column) if len(paths) == 1 else path.parent.name
                color = colors.get(column, palette.of_class(0)) if len(paths) == 1 else palette.of_class(k)
                _draw_column(axes, log, column, name, color)
        tidy(axes)
        axes.set(xlabel="epoch", title=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if label == "learning rate":
            axes.set_yscale("log", nonpositive="mask")  # a schedule may end at 0
        elif axes.get_lines():
            axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=9 if "\n" in title else 12)
    save(figure, png)


def _title(column):
    """Name of a column of the log for people."""
    names = {"dice": "Dice", "jaccard": "Jaccard"}
    return f"validation {_title(column[4:])}" if column.startswith("val_") else names.get(column, column)


def _draw_column(axes, log, column, label, color):
    if column in log:
        log = log.dropna(subset=column)  # of an epoch that was not validated
        style = "--" if column in ("loss", "dice", "jaccard") else "-"  # of the training images
        mark = "o" if len(log) < 20 else None
        axes.plot(log["epoch"], log[column], style, color=color, linewidth=1.6, marker=mark, markersize=3, label=label)


def _read_log(path):
    if not path.exists():
        raise FileNotFoundError(f"{path}: no training log; python train.py --run {path.parent.name} writes it")
    try:
        log = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as problem:
        raise UserError(f"{path}: not a CSV log ({problem}); expected columns epoch, loss, val_loss, …") from None
    if "epoch" not in log or log.empty:
        raise UserError(f"{path}: expected a column named epoch and a row, found columns {', '.join(log.columns)}")
    return log
