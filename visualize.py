"""Every figure of the toolkit: score curves, sample sheets, overlays and training curves.

    python visualize.py curves --run RUN [RUN ...] [--out FILE.png]     # several runs in one figure
    python visualize.py samples --run RUN [--order worst] [--count 8] [--out FILE.png]

`curves` reads `output/RUN/log.csv`, which train.py writes, and draws `output/RUN/curves.png`. `samples` needs a run
scored by evaluate.py: it reads `output/RUN/metrics.json`, `output/RUN/per_image.csv`, the masks in `predictions/RUN/`
and the prepared arrays, and draws `output/RUN/samples_ORDER.png`, one row an image: image, truth, prediction, contours.
Each takes about two seconds.

Figures are made with matplotlib's object-oriented interface (no pyplot, no global state, no display), so any thread may
draw one. They are written under a temporary name that is then renamed: a viewer never meets half a picture.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from datasets.prepared import open_split

# Colors that color-blind readers tell apart (Okabe and Ito), in the order they are used.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TRUTH_COLOR, PREDICTION_COLOR = "#00E676", "#FF1744"  # bright: both must show on skin
DPI = 120
ORDERS = ("best", "median", "worst")


# === Files ===


def mask_name(identifier, classes, k):
    """File name of the predicted mask of class number k: the ISIC convention, so that official tools find it.

    `<id>_segmentation.png` for a single class, `<id>_attribute_<class>.png` for the five ISIC attributes, else
    `<id>_<class>.png`.
    """
    if len(classes) == 1:
        return f"{identifier}_segmentation.png"
    middle = "attribute_" if "pigment_network" in classes else ""
    return f"{identifier}_{middle}{classes[k]}.png"


def write_png(path, pixels):
    """Write uint8 `pixels`, (H, W) or (H, W, 3) RGB, atomically. OSError if the disk refuses."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", pixels)
    temporary = f"{path}.tmp"
    with open(temporary, "wb") as file:
        file.write(encoded)
    os.replace(temporary, path)


def write_masks(folder, identifier, masks, classes):
    """Write the masks of one image, bool (H, W, classes), as PNG files of 0 and 255, one a class."""
    for k in range(len(classes)):
        write_png(Path(folder) / mask_name(identifier, classes, k), masks[..., k] * np.uint8(255))


def read_masks(folder, identifier, classes):
    """Predicted masks of one image, bool (H, W, classes). FileNotFoundError names the file that is missing."""
    masks = []
    for k in range(len(classes)):
        path = Path(folder) / mask_name(identifier, classes, k)
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.exists() else None
        if mask is None:
            raise FileNotFoundError(f"{path}: no readable mask; python evaluate.py --run {Path(folder).name} writes it")
        masks.append(mask > 127)
    return np.stack(masks, axis=-1)  # (H, W, classes)


def _save(figure, path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    figure.savefig(temporary, format="png", dpi=DPI)
    os.replace(temporary, path)


# === Overlays, as arrays ===


def overlay(image, mask, color=(0, 255, 0), strength=0.7):
    """Tint the masked pixels: image + strength × color, clipped (the HAM10000 project's way).

    image: uint8 (H, W, 3) RGB; mask: (H, W), true or above 0 where tinted; color: RGB 0..255. Returns uint8 (H, W, 3).
    """
    tint = np.round(strength * np.asarray(color, np.float32)).astype(np.uint8)  # (3,)
    return cv2.add(image, (np.asarray(mask) > 0)[..., None] * tint)  # saturating, (H, W, 3)


def contour_overlay(image, mask, color=(0, 255, 0), thickness=None):
    """Draw the outline of `mask` (H, W) on a copy of a uint8 (H, W, 3) RGB image.

    color: RGB 0..255; thickness: pixels, by default 1/200 of the longer side.
    """
    thickness = thickness or max(1, round(max(image.shape[:2]) / 200))
    outlines, _ = cv2.findContours((np.asarray(mask) > 0).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.ascontiguousarray(image).copy(), outlines, -1, color, thickness)


# === Score curves ===


def _square(title, xlabel, ylabel, entries):
    """A figure for two shares, with room below for so many lines of legend."""
    figure = Figure(figsize=(5.2, 5.4 + 0.25 * entries), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    _tidy(axes)
    return figure, axes


def _tidy(axes):
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def roc(curves, path, title="ROC, pooled over pixels"):
    """Receiver operating characteristic. curves: {name: (false positive rates, true positive rates, area)}."""
    labels = "False positive rate (1 − specificity)", "True positive rate (sensitivity)"
    figure, axes = _square(title, *labels, len(curves) + 1)
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1.2, label="chance, area 0.5000")
    for k, (name, (x, y, area)) in enumerate(curves.items()):
        axes.plot(x, y, color=PALETTE[k % len(PALETTE)], linewidth=1.8, label=f"{name}, area {area:.4f}")
    figure.legend(loc="outside lower center", frameon=False)
    _save(figure, path)


def precision_recall(curves, path, title="Precision and recall, pooled over pixels"):
    """Precision-recall curves. curves: {name: (recalls, precisions, average precision, share of positive pixels)}."""
    figure, axes = _square(title, "Recall (sensitivity)", "Precision", len(curves))
    for k, (name, (x, y, area, prevalence)) in enumerate(curves.items()):
        color = PALETTE[k % len(PALETTE)]
        axes.plot(x, y, color=color, linewidth=1.8, label=f"{name}, area {area:.4f} (chance {prevalence:.4f})")
        axes.axhline(prevalence, color=color, linestyle=":", linewidth=1.2)
    figure.legend(loc="outside lower center", frameon=False)
    _save(figure, path)


# === Sample sheets ===


def _outline(axes, mask, color, style):
    """Anti-aliased outline of a boolean (H, W) mask, closed where the mask touches the border."""
    if not mask.any():
        return
    height, width = mask.shape
    padded = np.pad(mask, 1).astype(np.float32)  # (H + 2, W + 2)
    x, y = np.arange(-1, width + 1), np.arange(-1, height + 1)
    axes.contour(x, y, padded, [0.5], colors=[color], linewidths=1.4, linestyles=[style])


def _colored(masks):
    """Masks (H, W, classes) as an RGB picture (H, W, 3), 0..1: white for a single class, else a color a class."""
    if masks.shape[-1] == 1:
        return np.repeat(masks, 3, axis=-1).astype(np.float32)
    picture = np.zeros((*masks.shape[:2], 3), np.float32)
    for k in range(masks.shape[-1]):
        picture[masks[..., k]] = _class_color(k)
    return picture


def _class_color(k):
    return tuple(int(PALETTE[k % len(PALETTE)][i : i + 2], 16) / 255 for i in (1, 3, 5))


def sample_sheet(rows, path, classes=("lesion",), title=""):
    """One row an image: image, truth, prediction, contours of both.

    rows: iterable of (label, image uint8 (H, W, 3), truth (H, W, classes), prediction (H, W, classes)), masks {0, 1} or
    bool. With several classes each has its color, and in the contours the truth is solid and the prediction dashed.
    """
    rows = list(rows)
    if not rows:
        raise ValueError(f"{path}: no images to draw; a sheet of samples needs at least one row")
    height, width = rows[0][1].shape[:2]
    tall = 2.6 * height / width + 0.12  # inches, one row
    legend = 0.35 + 0.22 * (len(classes) > 1)
    figure = Figure(figsize=(4 * 2.6 + 0.5, tall * len(rows) + legend + 0.55), layout="constrained")
    grid = figure.subplots(len(rows), 4, squeeze=False)
    for column, name in enumerate(("image", "truth", "prediction", "contours")):
        grid[0][column].set_title(name, fontsize=11)
    for axes, (label, image, truth, prediction) in zip(grid, rows, strict=True):
        truth, prediction = np.asarray(truth, bool), np.asarray(prediction, bool)
        for ax, picture in zip(axes, (image, _colored(truth), _colored(prediction), image), strict=True):
            ax.imshow(picture)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        axes[0].set_ylabel(label, fontsize=9)
        for k in range(len(classes)):
            colors = (TRUTH_COLOR, PREDICTION_COLOR) if len(classes) == 1 else (_class_color(k),) * 2
            _outline(axes[3], truth[..., k], colors[0], "solid")
            _outline(axes[3], prediction[..., k], colors[1], "solid" if len(classes) == 1 else (0, (2, 1.2)))
        axes[3].set(xlim=axes[0].get_xlim(), ylim=axes[0].get_ylim())  # outlines reach one pixel out
    figure.legend(handles=_sample_legend(classes), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=12)
    _save(figure, path)


def sample_rows(split, chosen, scores, predictions):
    """Rows of a sample sheet, read when they are needed.

    chosen: (word, position) pairs, images of the prepared split; scores: (images,) Jaccard; predictions: mask folder.
    """
    for word, i in chosen:
        label = f"{word}, Jaccard {scores[i]:.3f}\n{split.ids[i]}"
        yield label, split.images[i], split.masks[i], read_masks(predictions, split.ids[i], split.classes)


def _sample_legend(classes):
    if len(classes) == 1:
        colors, dashes = (TRUTH_COLOR, PREDICTION_COLOR), ("-", "-")
    else:
        colors, dashes = ("0.3", "0.3"), ("-", "--")
    entries = zip(colors, dashes, ("truth", "prediction"), strict=True)
    handles = [Line2D([], [], color=color, linestyle=dash, label=label) for color, dash, label in entries]
    if len(classes) > 1:
        names = [name.replace("_", " ") for name in classes]
        handles += [Line2D([], [], color=_class_color(k), linewidth=5, label=name) for k, name in enumerate(names)]
    return handles


def pick(scores, order, count=1):
    """Positions of the `count` best, worst or most median of `scores` (images,); ties keep the order of the images."""
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}; there are {', '.join(ORDERS)}")
    scores = np.asarray(scores, np.float64)
    if order == "median":
        middle = np.sort(scores)[len(scores) // 2]
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
        panels = {"loss": ["val_loss", "loss"], "mean over images": scores, "learning rate": ["learning_rate"]}
        colors = {name: PALETTE[k] for k, names in enumerate((scores[:2], scores[2:])) for name in names}
    else:
        panels = {f"validation {name}": [f"val_{name}"] for name in ("loss", "dice", "jaccard")}
    figure = Figure(figsize=(4.4 * len(panels), 3.6), layout="constrained")
    for axes, (label, columns) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for k, (path, log) in enumerate(zip(paths, logs, strict=True)):
            for column in columns:
                name = column.replace("val_", "validation ") if len(paths) == 1 else path.parent.name
                color = colors.get(column, PALETTE[0]) if len(paths) == 1 else PALETTE[k % len(PALETTE)]
                _draw_column(axes, log, column, name, color)
        _tidy(axes)
        axes.set(xlabel="epoch", title=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if label == "learning rate":
            axes.set_yscale("log")
        elif axes.get_lines():
            axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    _save(figure, png)


def _draw_column(axes, log, column, label, color):
    if column in log:
        style = "--" if column in ("loss", "dice", "jaccard") else "-"  # of the training images
        mark = "o" if len(log) < 20 else None
        axes.plot(log["epoch"], log[column], style, color=color, linewidth=1.6, marker=mark, markersize=3, label=label)


def _read_log(path):
    if not path.exists():
        raise FileNotFoundError(f"{path}: no training log; python train.py --run {path.parent.name} writes it")
    try:
        log = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as problem:
        raise ValueError(f"{path}: not a CSV log ({problem}); expected columns epoch, loss, val_loss, …") from None
    if "epoch" not in log or log.empty:
        raise ValueError(f"{path}: expected a column named epoch and a row, found columns {', '.join(log.columns)}")
    return log


# === Command line ===


def _samples_of_run(run, order, count, out):
    """Draw `count` images of a run that evaluate.py has scored."""
    output, remedy = Path("output") / run, f"python evaluate.py --run {run}"
    if not (output / "metrics.json").exists():
        raise FileNotFoundError(f"{output / 'metrics.json'}: the run is not scored yet; {remedy} does it")
    metrics = json.loads((output / "metrics.json").read_text())
    table = pd.read_csv(output / "per_image.csv", dtype={"id": str})
    scores = table.groupby("id", sort=False)["jaccard"].mean()  # over the classes
    split = open_split(metrics["data"], metrics["split"])
    if list(scores.index) != list(split.ids):
        raise ValueError(f"{metrics['data']}: not the images of {output / 'per_image.csv'}; {remedy} scores it anew")
    chosen = [(order, i) for i in pick(scores, order, count)]
    rows = sample_rows(split, chosen, scores.to_numpy(), Path("predictions") / run)
    sample_sheet(rows, out, split.classes, f"{run}: {order} of {len(scores)} images of {metrics['split']}")


def main(argv=None):
    parser = argparse.ArgumentParser(description="Figures of a run.")
    commands = parser.add_subparsers(dest="command", required=True)
    lines = commands.add_parser("curves", help="training curves of one run or several")
    lines.add_argument("--run", nargs="+", required=True)
    sheet = commands.add_parser("samples", help="images, truth, prediction and contours of a scored run")
    sheet.add_argument("--run", required=True)
    sheet.add_argument("--order", choices=ORDERS, default="worst")
    sheet.add_argument("--count", type=int, default=8, help="rows, one an image")
    for command in (lines, sheet):
        command.add_argument("--out", type=Path, help="the PNG to write (default: in output/RUN)")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "curves":
            out = arguments.out or Path("output") / arguments.run[0] / "curves.png"
            curves([Path("output") / run / "log.csv" for run in arguments.run], out, ", ".join(arguments.run))
        else:
            out = arguments.out or Path("output") / arguments.run / f"samples_{arguments.order}.png"
            _samples_of_run(arguments.run, arguments.order, arguments.count, out)
    except (ValueError, OSError) as problem:
        sys.exit(f"error: {problem}")
    print(out)


if __name__ == "__main__":
    main()
