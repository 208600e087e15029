"""From counts of pixels to the scores that are published: means, intervals, thresholds, lesion sizes.

    summarize(counts, histograms, classes)    # {"empty_masks", "pooled", "per_image", "intervals", …}

Counts are those of metrics.py, (images, classes); histograms those of curves.py. Two kinds of scores. `pooled`: all
pixels of all images counted together, as AS-Net reports. `per_image`: each image scored by itself, then the mean, as
the ISIC challenge ranks Task 1; empty masks by the challenge's rule. Task 2 it ranks by shares of pixels: `challenge`.
"""

import math

import numpy as np
import pandas as pd

import metrics
from datasets.isic2018 import ATTRIBUTES
from evaluation import bootstrap

POOLED = ("jaccard", "dice", "accuracy", "sensitivity", "specificity", "precision", "mcc")
CURVES = (  # of the probabilities, pooled
    "soft_dice", "soft_jaccard", "roc_auc", "average_precision", "brier", "expected_calibration_error",
)  # fmt: skip
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
    "soft_dice": "Soft Dice (of probabilities, no threshold)",
    "soft_jaccard": "Soft Jaccard (of probabilities, no threshold)",
    "roc_auc": "ROC AUC",
    "average_precision": "Precision-recall AUC (average precision)",
    "brier": "Brier score (0 is best)",
    "expected_calibration_error": "Expected calibration error (0 is best)",
}
OVERLAPS = ("jaccard", "dice")
STEPS = 100  # thresholds are hundredths
MEASURES = {  # by which thresholds are chosen
    "per_image_jaccard": "mean Jaccard of images",
    "challenge_jaccard": "Jaccard from shares of pixels",
}


# === Scores ===


def summarize(counts, histograms, classes):
    """The scores of metrics.json: {"empty_masks", "pooled", "per_image", "intervals"} of all classes together.

    histograms: one a class and, for several classes, a last one of all; None where there are masks only, which leaves
    the scores of probabilities out. With several classes also "classes": the same of each, and "class_mean": means of
    the classes' pooled scores. `pooled` then counts the pixels of all classes together. With the five attributes of
    ISIC 2018 Task 2 also "challenge".
    """
    histograms = histograms or [None] * (len(classes) + 1)
    ranked = tuple(classes) == ATTRIBUTES
    result = _summary(counts, histograms[-1], ranked)
    if len(classes) > 1:
        each = {name: _summary(one_class(counts, k), histograms[k]) for k, name in enumerate(classes)}
        names = [name for name in result["pooled"] if name != "confusion_matrix"]
        result["class_mean"] = {name: _mean([scores["pooled"][name] for scores in each.values()]) for name in names}
        result["classes"] = each
    if ranked:
        result["challenge"] = challenge(counts, classes)
    return result


def challenge(counts, classes):
    """The score of ISIC 2018 Task 2: counts as shares of the image's pixels, summed over images.

    Returns {"jaccard", "dice", "per_attribute": {name: {"jaccard", "dice"}}}, the first two over the sum of all
    attributes. Where no pixel is true and none predicted they are 1.
    """
    scores = metrics.task2_scores(counts, classes)
    return {**scores["micro_average"], "per_attribute": {name: scores[name] for name in classes}}


def presence(counts, peaks, classes):
    """How well the largest probability of an image tells whether the class is in it at all.

    peaks: (images, classes). Returns {"auc": mean over the classes, "per_class": {name: AUC}}, the area under the ROC
    curve over images; NaN where all have the class or none.
    """
    there = counts.tp + counts.fn > 0
    each = {name: rank_auc(peaks[:, k], there[:, k]) for k, name in enumerate(classes)}
    return {"auc": _mean(list(each.values())), "per_class": each}


def rank_auc(scores, positive):
    """The chance that a positive scores above another, ties counting half; NaN if there is but one kind."""
    positives, others = np.count_nonzero(positive), np.count_nonzero(~positive)
    if not positives or not others:
        return math.nan
    ranks = pd.Series(scores).rank().to_numpy()[positive].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * others))


def class_table(result):
    """A row a class, "mean (macro)" and "all together", from the contents of metrics.json; NaN where undefined.

    Columns: class; images that have the class; soft_dice and soft_jaccard, of probabilities; dice, jaccard, precision,
    sensitivity and average_precision, of pixels summed over images; challenge_dice and challenge_jaccard, of shares of
    pixels; presence_auc. Those that were not computed are left out.
    """
    pooled = {name: part["pooled"] for name, part in result["classes"].items()}
    mean, together = "mean (macro)", "all together"
    pooled |= {mean: result["class_mean"], together: result["pooled"]}
    names = [name for name in ("soft_dice", "soft_jaccard", "dice", "jaccard") if name in result["pooled"]]
    names += [name for name in ("precision", "sensitivity", "average_precision") if name in result["pooled"]]
    table = pd.DataFrame({name: {row: part[name] for row, part in pooled.items()} for name in names})
    images = {name: result["images"] - part["empty_masks"] for name, part in result["classes"].items()}
    table.insert(0, "images", pd.Series(images, dtype="Int64"))
    if "challenge" in result:
        each = pd.DataFrame(result["challenge"]["per_attribute"]).T
        for name in ("dice", "jaccard"):
            summed = {mean: each[name].mean(), together: result["challenge"][name]}
            table[f"challenge_{name}"] = pd.Series({**each[name], **summed})
    if "presence" in result:
        table["presence_auc"] = pd.Series({**result["presence"]["per_class"], mean: result["presence"]["auc"]})
    return table.rename_axis("class").reset_index()


def image_jaccards(counts):
    """By which images are ranked, (images,): their Jaccard; of several classes that of all their pixels together.

    The mean of the classes would put first the images on which there is nothing to see: empty masks count 1 there. NaN
    where of several classes none is true and none marked.
    """
    if counts.tp.shape[1] == 1:
        return metrics.jaccard(counts, "none")[:, 0]
    together = metrics.Counts(*(field.sum(axis=1, keepdims=True) for field in counts))
    return metrics.jaccard(together, "none", empty=math.nan)[:, 0]


def one_class(counts, k):
    """The counts of class number k, (images, 1)."""
    return metrics.Counts(*(field[:, k : k + 1] for field in counts))


def _summary(counts, histogram, ranked=False):
    drawn = draws(counts, ranked)
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


def draws(counts, ranked=False, seed=0):
    """Bootstrap samples of the scores from counts: {"per_image": {name: (draws,)}, "pooled": {name: (draws,)}}.

    Of several classes also "class_mean", and, where the counts are `ranked` as in ISIC 2018 Task 2, "challenge": their
    Jaccard and Dice.
    """
    images, classes = counts.tp.shape
    scores = np.stack([_of_each_image(name, counts) for name in PER_IMAGE], axis=1)  # (N, scores)
    shares = (np.stack(counts) / sum(counts)).sum(axis=2).T  # (N, 4)
    pixels = np.stack(counts, axis=1).reshape(images, 4 * classes)
    sums = bootstrap.sums(np.concatenate([scores, shares, pixels], axis=1), seed)  # (draws, scores + 4 + 4·classes)
    means, shares, pixels = np.split(sums, [len(PER_IMAGE), len(PER_IMAGE) + 4], axis=1)
    each = metrics.Counts(*pixels.reshape(-1, 4, classes).transpose(1, 2, 0))  # (classes, draws)
    together = metrics.Counts(*(field.sum(axis=0) for field in each))  # (draws,)
    drawn = {
        "per_image": dict(zip(PER_IMAGE, means.T / images, strict=True)),
        "pooled": {name: getattr(metrics, name)(together, "none", empty=math.nan) for name in POOLED},
    }
    if classes > 1:  # a draw in place of a class, a class in place of an image
        drawn["class_mean"] = {s: getattr(metrics, s)(each, "image_per_class", empty=math.nan) for s in OVERLAPS}
    if ranked:
        drawn["challenge"] = {s: getattr(metrics, s)(metrics.Counts(*shares.T), "none") for s in OVERLAPS}
    return drawn


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

    means: (classes, 5, thresholds), over images: Jaccard, Dice, and the shares of pixels tp, fp, fn. Returns a table of
    a row a class and threshold: class, threshold, per_image_jaccard, per_image_dice, pooled_jaccard, pooled_dice; mean
    shares of pixels in both masks, tp, and in any, union; and of these challenge_jaccard, as in ISIC 2018 Task 2 (NaN
    without a true pixel).
    """
    parts, thresholds = [], np.arange(1, STEPS) / STEPS
    for name, rows, histogram in zip(classes, means, histograms, strict=False):  # not that of all classes
        jaccard, dice, tp, fp, fn = rows
        pooled = histogram.threshold_curve(thresholds)
        columns = {"class": name, "threshold": thresholds}
        columns |= {"per_image_jaccard": jaccard, "per_image_dice": dice}
        columns |= {f"pooled_{score}": pooled[score] for score in ("jaccard", "dice")}
        columns |= {"tp": tp, "union": tp + fp + fn}
        parts.append(
            pd.DataFrame(columns | {"challenge_jaccard": tp / (tp + fp + fn) if (tp + fn).any() else math.nan})
        )
    return pd.concat(parts, ignore_index=True)


def best_thresholds(table):
    """From `threshold_table`: {"measure", "best": {class: threshold}, "score": {class: score}, …}.

    The measure, which is highest at those thresholds, is the challenge's: of one class, the mean Jaccard of images
    (Task 1); of several, each one's Jaccard from shares of pixels (Task 2). The mean over images would be highest where
    a rare class is never marked: an empty mask counts 1 there. Of equals the middle one. A class without a true pixel
    has none.

    Of several classes also "together", {class: threshold}, and "together_score": where the Jaccard of all classes
    together is highest, by which Task 2 ranks. There a rare class that is hard to find is better marked seldom.
    """
    measure = "per_image_jaccard" if table["class"].nunique() == 1 else "challenge_jaccard"
    parts = {name: part for name, part in table.groupby("class", sort=False) if part[measure].notna().any()}
    rows = {name: part.iloc[_highest(part[measure])] for name, part in parts.items()}
    found = {"measure": measure, "best": {name: float(row["threshold"]) for name, row in rows.items()}}
    found["score"] = {name: float(row[measure]) for name, row in rows.items()}
    if measure == "per_image_jaccard" or not parts:
        return found
    score, last = 0.0, -1.0
    while score > last:  # Dinkelbach's method: each class by itself gives what helps the ratio, which then rises
        last = score
        rows = {name: part.iloc[_highest(part["tp"] - score * part["union"])] for name, part in parts.items()}
        score = sum(row["tp"] for row in rows.values()) / sum(row["union"] for row in rows.values())
    found["together"] = {name: float(row["threshold"]) for name, row in rows.items()}
    return found | {"together_score": float(score)}


def _highest(values):
    """The place of the highest of some values, of equals the middle one."""
    places = np.flatnonzero(values == values.max())
    return places[len(places) // 2]


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
