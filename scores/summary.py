"""From counts of pixels to the scores that are published: means, intervals, thresholds, lesion sizes.

    summarize(counts, histograms, classes)    # {"empty_masks", "pooled", "per_image", "intervals", …}

Counts are those of metrics.py, (images, classes); histograms those of curves.py. Two kinds of scores. `pooled`: all
pixels of all images counted together, as AS-Net reports. `per_image`: each image scored by itself, then the mean, as
the ISIC challenge ranks; empty masks by the challenge's rule.
"""

import math

import numpy as np
import pandas as pd

import metrics
from scores import bootstrap

POOLED = ("jaccard", "dice", "accuracy", "sensitivity", "specificity", "precision", "mcc")
CURVES = ("roc_auc", "average_precision", "brier", "expected_calibration_error")  # of the probabilities, pooled
PER_IMAGE = ("jaccard", "thresholded_jaccard", "dice", "accuracy", "sensitivity", "specificity")
LABELS = {
    "jaccard": "Jaccard",
    "thresholded_jaccard": "Thresholded Jaccard (0 below 0.65)",
    "dice": "Dice (F1)",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity (recall)",
    "specificity": "Specificity",
    "precision": "Precision",
    "mcc": "Matthews correlation",
    "roc_auc": "ROC AUC",
    "average_precision": "Precision-recall AUC (average precision)",
    "brier": "Brier score (0 is best)",
    "expected_calibration_error": "Expected calibration error (0 is best)",
}
STEPS = 100  # thresholds are hundredths


# === Scores ===


def summarize(counts, histograms, classes):
    """The scores of metrics.json: {"empty_masks", "pooled", "per_image", "intervals"} of all classes together.

    histograms: one a class and, for several classes, a last one of all; None where there are masks only, which leaves
    the scores of probabilities out. With several classes also "classes": the same of each, and "class_mean": means of
    the classes' pooled scores. `pooled` then counts the pixels of all classes together, as the overall score of ISIC
    2018 Task 2 does.
    """
    histograms = histograms or [None] * (len(classes) + 1)
    result = _summary(counts, histograms[-1])
    if len(classes) > 1:
        each = {name: _summary(one_class(counts, k), histograms[k]) for k, name in enumerate(classes)}
        names = [name for name in result["pooled"] if name != "confusion_matrix"]
        result["class_mean"] = {name: _mean([scores["pooled"][name] for scores in each.values()]) for name in names}
        result["classes"] = each
    return result


def one_class(counts, k):
    """The counts of class number k, (images, 1)."""
    return metrics.Counts(*(field[:, k : k + 1] for field in counts))


def _summary(counts, histogram):
    drawn = draws(counts)
    return {
        "empty_masks": int(np.count_nonzero(counts.tp + counts.fn == 0)),  # of images × classes
        "pooled": pooled_scores(counts, histogram),
        "per_image": per_image_scores(counts),
        "intervals": {
            kind: {name: bootstrap.interval(s) for name, s in scores.items()} for kind, scores in drawn.items()
        },
    }


def pooled_scores(counts, histogram=None):
    """All pixels counted together; what is 0/0 there (no lesion pixel at all) is undefined, NaN."""
    scores = {name: getattr(histogram, name)() for name in CURVES} if histogram else {}
    scores |= {name: getattr(metrics, name)(counts, "pooled", empty=math.nan) for name in POOLED}
    return scores | {"confusion_matrix": {name: int(pixels.sum()) for name, pixels in counts._asdict().items()}}


def per_image_scores(counts):
    """Means over images (and classes), empty masks by the challenge's rule."""
    return {name: getattr(metrics, name)(counts, "image") for name in PER_IMAGE}


def draws(counts, seed=0):
    """Bootstrap samples of the scores from counts: {"per_image": {name: (draws,)}, "pooled": {name: (draws,)}}."""
    scores = np.stack([_of_each_image(name, counts) for name in PER_IMAGE], axis=1)  # (N, scores)
    pixels = np.stack([field.sum(axis=1) for field in counts], axis=1)  # (N, 4)
    sums = bootstrap.sums(np.concatenate([scores, pixels], axis=1), seed)  # (draws, scores + 4)
    means, pixels = np.split(sums, [len(PER_IMAGE)], axis=1)
    drawn = metrics.Counts(*pixels.T[..., None])  # (draws, 1): each draw counts as one image
    return {
        "per_image": dict(zip(PER_IMAGE, means.T / len(scores), strict=True)),
        "pooled": {name: getattr(metrics, name)(drawn, "none", empty=math.nan)[:, 0] for name in POOLED},
    }


def _of_each_image(name, counts):
    """A score of each image, the mean of its classes: (images,)."""
    return getattr(metrics, name)(counts, "none").mean(axis=1)


def _mean(values):
    """Mean of what is defined, else NaN."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


# === By threshold, by size, by image ===


def threshold_table(means, histograms, classes):
    """Jaccard and Dice over the thresholds 0.01, 0.02, …, 0.99, of masks as they are before any clean-up.

    means: (classes, 2, thresholds), mean Jaccard and Dice of images. Returns a table of a row a class and threshold:
    class, threshold, per_image_jaccard, per_image_dice, pooled_jaccard, pooled_dice.
    """
    parts, thresholds = [], np.arange(1, STEPS) / STEPS
    for name, (jaccard, dice), histogram in zip(classes, means, histograms, strict=False):  # not that of all classes
        pooled = histogram.threshold_curve(thresholds)
        columns = {"class": name, "threshold": thresholds}
        columns |= {"per_image_jaccard": jaccard, "per_image_dice": dice}
        parts.append(pd.DataFrame(columns | {f"pooled_{s}": pooled[s] for s in ("jaccard", "dice")}))
    return pd.concat(parts, ignore_index=True)


def best_thresholds(table):
    """From `threshold_table`: {"measure": which score is highest there, "best": {class: threshold}, "score": {…}}.

    The measure is the challenge's: of one class, the per-image mean Jaccard; of several, that are often absent, the
    pooled Jaccard of each. Of equals the middle one.
    """
    measure = "per_image_jaccard" if table["class"].nunique() == 1 else "pooled_jaccard"
    best, score = {}, {}
    for name, part in table.groupby("class", sort=False):
        highest = part[part[measure] == part[measure].max()]
        if len(highest):  # no true pixel at all: the measure is undefined
            row = highest.iloc[len(highest) // 2]
            best[name], score[name] = float(row["threshold"]), float(row[measure])
    return {"measure": measure, "best": best, "score": score}


def by_size(counts):
    """Per-image means by quartile of the true area, over the true masks (images × classes) that are not empty.

    Returns up to four dictionaries, small lesions first: area_percent [smallest, largest], masks, the scores of
    PER_IMAGE, and jaccard_interval.
    """
    flat = metrics.Counts(*(field.reshape(-1, 1) for field in counts))
    shares = (100 * (flat.tp + flat.fn) / sum(flat))[:, 0]  # (masks,)
    order = np.argsort(shares, kind="stable")[np.count_nonzero(shares == 0) :]
    quartiles = []
    for rows in np.array_split(order, 4):
        if len(rows):
            part = metrics.Counts(*(field[rows] for field in flat))
            drawn = bootstrap.sums(metrics.jaccard(part, "none")) / len(rows)
            quartile = {"area_percent": shares[rows[[0, -1]]].tolist(), "masks": len(rows)}
            quartiles.append(quartile | per_image_scores(part) | {"jaccard_interval": bootstrap.interval(drawn[:, 0])})
    return quartiles


def image_table(counts, ids, classes, sizes):
    """One row an image and class: id, class, size of the mask, tp, fp, fn, tn (pixels), scores, if truth is empty."""
    columns = {"id": np.repeat(ids, len(classes)), "class": np.tile(classes, len(ids))}
    columns |= dict(zip(("height", "width"), np.repeat(sizes, len(classes), axis=0).T, strict=True))
    columns |= {name: pixels.ravel() for name, pixels in counts._asdict().items()}
    columns |= {name: getattr(metrics, name)(counts, "none").ravel() for name in PER_IMAGE}
    columns["precision"] = metrics.precision(counts, "none", empty=math.nan).ravel()
    return pd.DataFrame(columns | {"empty_mask": columns["tp"] + columns["fn"] == 0})


def table_counts(table):
    """From `image_table` back to (ids, classes, Counts (images, classes))."""
    ids, classes = table["id"].drop_duplicates().tolist(), table["class"].drop_duplicates().tolist()
    return (
        ids,
        classes,
        metrics.Counts(*(table[name].to_numpy().reshape(len(ids), -1) for name in metrics.Counts._fields)),
    )
