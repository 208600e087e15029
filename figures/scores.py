"""Figures of scores: by threshold, calibration, over images and lesion sizes; the worst images; runs compared."""

import cv2
import numpy as np
from matplotlib.figure import Figure

from figures.style import light_grid, save
from imaging import overlays, palette

HEIGHT = 256  # of a picture of the worst images, in pixels


# === One run ===


def scores(path, classes, of_images, *, jaccards, areas, table=None, best=None, histograms=()):
    """Panels: thresholds and calibration, where there are probabilities; spread of Jaccard, lesion size.

    of_images: (images,), Jaccard of each, NaN where undefined. jaccards, areas: (images, classes), Jaccard and true
    area in % of the image. table, best: what evaluation/summary.py gives as threshold_table and best_thresholds,
    the latter with the `label` of the score by which they were chosen. histograms: a ScoreHistogram for each class.
    """
    panels = 4 if table is not None else 2
    rows = panels // 2
    figure = Figure(figsize=(10, 3.7 * rows))
    margins = {"left": 0.07, "right": 0.985, "bottom": 0.14 / rows, "top": 1 - 0.09 / rows}  # no search for a layout
    axes = list(np.ravel(figure.subplots(rows, 2, gridspec_kw=margins | {"hspace": 0.36, "wspace": 0.2})))
    if table is not None:
        _thresholds(axes.pop(0), table, best)
        _calibration(axes.pop(0), classes, histograms)
    _spread(axes[0], classes, of_images)
    _sizes(axes[1], classes, jaccards, areas)
    save(figure, path)


def _thresholds(axes, table, best):
    for k, (name, part) in enumerate(table.groupby("class", sort=False)):
        color = palette.of_class(k)
        label = name.replace("_", " ")
        if name in best["best"]:
            label += f", best {best['best'][name]:g}"
            axes.plot(best["best"][name], best["score"][name], "o", color=color, markersize=5)
        axes.plot(part["threshold"], part[best["measure"]], color=color, linewidth=1.6, label=label)
    light_grid(axes, title="Threshold", xlabel="threshold", ylabel=best["label"], xlim=(0, 1))
    axes.legend(frameon=False, fontsize=8)


def _calibration(axes, classes, histograms):
    axes.plot([0, 1], [0, 1], ":", color="0.6", linewidth=1.2)
    for k, (name, histogram) in enumerate(zip(classes, histograms, strict=False)):
        probability, fraction, _ = histogram.reliability()
        label = f"{name.replace('_', ' ')}, error {histogram.expected_calibration_error():.3f}"
        color = palette.of_class(k)
        axes.plot(probability, fraction, "o-", color=color, linewidth=1.4, markersize=3, label=label)
    labels = {"xlabel": "mean probability", "ylabel": "fraction of true pixels"}
    light_grid(axes, title="Calibration", xlim=(0, 1), ylim=(0, 1), **labels)
    axes.legend(frameon=False, fontsize=8)


def _spread(axes, classes, of_images):
    axes.hist(of_images[~np.isnan(of_images)], bins=np.linspace(0, 1, 21), color=palette.of_class(0), alpha=0.85)
    axes.axvline(0.65, linestyle=":", color="0.3", linewidth=1.2)
    xlabel = "Jaccard" if len(classes) == 1 else "Jaccard, all classes together"
    light_grid(axes, title="Distribution over images", xlim=(0, 1), xlabel=xlabel, ylabel="images")


def _sizes(axes, classes, jaccards, areas):
    for k in range(len(classes)):
        positive = areas[:, k] > 0
        axes.plot(areas[positive, k], jaccards[positive, k], "o", color=palette.of_class(k), markersize=3, alpha=0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    light_grid(
        axes, title="Lesion size", xlabel="area of the true mask, % of the image", ylabel="Jaccard", ylim=(-0.02, 1.02)
    )


def roc(curves, path, title="ROC, pooled over pixels"):
    """Receiver operating characteristic. curves: {name: (false positive rates, true positive rates, area)}."""
    xlabel = "False positive rate (1 − specificity)"
    figure, axes = _square(title, xlabel, "True positive rate (sensitivity)", len(curves) + 1)
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1.2, label="chance, area 0.5000")
    for k, (name, (x, y, area)) in enumerate(curves.items()):
        axes.plot(x, y, color=palette.of_class(k), linewidth=1.8, label=f"{name}, area {area:.4f}")
    figure.legend(loc="outside lower center", frameon=False)
    save(figure, path)


def precision_recall(curves, path, title="Precision and recall, pooled over pixels"):
    """Precision-recall curves. curves: {name: (recalls, precisions, average precision, prevalence)}."""
    figure, axes = _square(title, "Recall (sensitivity)", "Precision", len(curves))
    for k, (name, (x, y, area, prevalence)) in enumerate(curves.items()):
        color = palette.of_class(k)
        axes.plot(x, y, color=color, linewidth=1.8, label=f"{name}, area {area:.4f} (chance {prevalence:.4f})")
        axes.axhline(prevalence, color=color, linestyle=":", linewidth=1.2)
    figure.legend(loc="outside lower center", frameon=False)
    save(figure, path)


def _square(title, xlabel, ylabel, entries):
    """A figure for two fractions, with room below for so many lines of legend."""
    figure = Figure(figsize=(5.2, 5.4 + 0.25 * entries), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    light_grid(axes)
    return figure, axes


# === The worst images ===


def picture(image, truth, prediction):
    """Two panels, uint8 RGB: of one class the image, and it with both outlines; of several truth and prediction.

    image: uint8 (H, W, 3), or None for masks alone, which shows where they differ. truth, prediction: (H, W, classes)
    of {0, 1}, each of any size.
    """
    if image is None:
        return _difference(truth, prediction)
    image = _scaled(image)
    size = image.shape[:2]
    if truth.shape[-1] == 1:
        both = _outlined(_outlined(image, truth, [palette.TRUTH]), prediction, [palette.PREDICTION])
        return np.hstack([image, np.full((size[0], 4, 3), 255, np.uint8), both])
    colors = [palette.of_class(k) for k in range(truth.shape[-1])]
    return np.hstack([_outlined(image, truth, colors), np.full((size[0], 4, 3), 255, np.uint8),
                      _outlined(image, prediction, colors)])  # fmt: skip


def _scaled(pixels):
    height, width = pixels.shape[:2]
    size = (round(width * HEIGHT / height), HEIGHT)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if height > HEIGHT else cv2.INTER_CUBIC)


def _outlined(image, masks, colors):
    """The image with the outline of each class's mask."""
    size = image.shape[1::-1]
    for k, color in enumerate(colors):
        mask = cv2.resize(masks[..., k].astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
        image = overlays.outline(image, mask, color, 2)
    return image


def _difference(truth, prediction):
    """True positives light, false negatives blue, false positives orange, over all classes: uint8 (H, W, 3)."""
    return _scaled(overlays.confusion(np.any(truth, axis=-1), np.any(prediction, axis=-1)))


# === Several runs ===


def comparison(path, names, scores):
    """Scores of the runs with their intervals, and beside them the differences to the first run.

    scores: {label: [{"score", "interval", "difference", "difference_interval"}, …]}, a dictionary a run.
    """
    figure = Figure(figsize=(10, 1.2 + 0.34 * len(names) * len(scores)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    ticks = []
    labels = []
    y = 0
    for label, values in scores.items():
        for k, name in enumerate(names):
            for axes, key in ((left, ("score", "interval")), (right, ("difference", "difference_interval"))):
                value, interval = (values[k][part] for part in key)
                axes.plot(interval, [y, y], color=palette.of_class(k), linewidth=2, solid_capstyle="butt")
                axes.plot(value, y, "o", color=palette.of_class(k), markersize=6)
            ticks.append(y)
            labels.append(f"{label}   {name}")
            y -= 1
        y -= 0.6
    left.set_yticks(ticks, labels)
    right.axvline(0, color="0.4", linewidth=1)
    right.locator_params(axis="x", nbins=5)
    light_grid(left, title="Scores, 95 % intervals")
    light_grid(right, title=f"Difference to {names[0]}, paired")
    save(figure, path)
