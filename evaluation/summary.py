"""From counts of pixels to the scores that are published: means, intervals, thresholds, lesion sizes.

    summarize(counts, histograms, classes)    # {"empty_masks", "pooled", "per_image", "intervals", …}

Counts are those of metrics.py, (images, classes); histograms those of score_histogram.py. Which scores there are, and
of which kinds, say the tables `SCORES` of both. `pooled`: all pixels of all images counted together, as AS-Net reports.
`per_image`: each image scored by itself, then the mean, as the ISIC challenge ranks Task 1; empty masks by the
challenge's rule. Task 2 it ranks by counts as fractions of their image's pixels: `challenge`.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

import metrics
from datasets.isic2018 import ATTRIBUTES
from evaluation import bootstrap, score_histogram

STEPS = 100  # thresholds are hundredths
MEASURES = {  # by which thresholds are chosen
    "per_image_jaccard": "mean Jaccard of images",
    "challenge_jaccard": "Jaccard of pixel fractions",
}
KINDS = {  # of scores by which runs are compared: prefix of the label
    "per_image": "",
    "challenge": "Challenge ",
    "class_mean": "Macro ",
    "pooled": "Pooled ",
}
MEANING = {
    "per_image": "Per image: each image is scored by itself, then the mean.",
    "challenge": "Challenge: counts as fractions of their image's pixels, summed over images and classes, as ISIC 2018"
    " Task 2 ranks.",
    "class_mean": "Macro: the mean over classes of their pooled scores.",
    "pooled": "Pooled: the pixels of all images are counted together.",
}


def labels() -> dict[str, str]:
    """Names in reports: {score: label} of the scores of masks, then of those of probabilities."""
    return {name: score.label for name, score in metrics.SCORES.items()} | score_histogram.SCORES


def short_label(name: str) -> str:
    """A score's label without what stands in brackets."""
    return labels()[name].split(" (")[0]


def main_scores(result: dict) -> dict[str, tuple[str, str, str]]:
    """The scores by which runs are compared: {key: (kind, score, label)}.

    result: from `summarize`, or the contents of metrics.json. Key and label name kind and score: "jaccard",
    "pooled_jaccard", "macro_jaccard", …
    """
    kinds = ("challenge", "class_mean", "pooled") if "class_mean" in result else ("per_image", "pooled")
    found = {}
    for kind in kinds:
        for name in metrics.main_scores(kind) if kind in result else ():
            prefix = KINDS[kind]
            key = prefix.lower().replace(" ", "_") + name
            found[key] = (kind, name, prefix + short_label(name))
    return found


# === Scores ===


def summarize(counts: metrics.Counts, histograms: list | None, classes: Sequence[str]) -> dict:
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
        names = pooled_names(result)
        result["class_mean"] = {name: _mean([scores["pooled"][name] for scores in each.values()]) for name in names}
        result["classes"] = each
    if ranked:
        result["challenge"] = challenge(counts, classes)
    return result


def challenge(counts: metrics.Counts, classes: Sequence[str]) -> dict:
    """The scores of ISIC 2018 Task 2: counts as fractions of the image's pixels, summed over images.

    Returns {"jaccard", "dice", "per_attribute": {name: {"jaccard", "dice"}}}, the first two over the sum of all
    attributes. Where no pixel is true and none predicted they are 1.
    """
    scores = metrics.task2_scores(counts, classes)
    return {**scores["micro_average"], "per_attribute": {name: scores[name] for name in classes}}


def presence(counts: metrics.Counts, peaks: np.ndarray, classes: Sequence[str]) -> dict:
    """How well the largest probability of an image detects that the class is in it at all.

    peaks: (images, classes). Returns {"auc": mean over the classes, "per_class": {name: AUC}}, the area under the ROC
    curve over images; NaN where all have the class or none.
    """
    there = counts.tp + counts.fn > 0
    each = {name: rank_auc(peaks[:, k], there[:, k]) for k, name in enumerate(classes)}
    return {"auc": _mean(list(each.values())), "per_class": each}


def rank_auc(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """The chance that a positive scores above another, ties counting half; NaN if there is but one kind.

    scores, positive (bool): (…, N); returns (…).
    """
    positives, others = np.count_nonzero(positive, axis=-1), np.count_nonzero(~positive, axis=-1)
    ranks = np.sum(rankdata(scores, axis=-1) * positive, axis=-1)
    with np.errstate(invalid="ignore"):
        return (ranks - positives * (positives + 1) / 2) / (positives * others)


def class_table(result: dict) -> pd.DataFrame:
    """A row a class, "mean (macro)" and "all together", from the contents of metrics.json; NaN where undefined.

    Columns: class; images that have the class; every pooled score, of probabilities and of masks; challenge_jaccard and
    the like, of fractions of pixels; presence_auc. Those that were not computed are left out.
    """
    pooled = {name: part["pooled"] for name, part in result["classes"].items()}
    mean, together = "mean (macro)", "all together"
    pooled |= {mean: result["class_mean"], together: result["pooled"]}
    names = pooled_names(result)
    table = pd.DataFrame({name: {row: part[name] for row, part in pooled.items()} for name in names})
    images = {name: result["images"] - part["empty_masks"] for name, part in result["classes"].items()}
    table.insert(0, "images", pd.Series(images, dtype="Int64"))
    if "challenge" in result:
        each = pd.DataFrame(result["challenge"]["per_attribute"]).T
        for name in each:
            summed = {mean: each[name].mean(), together: result["challenge"][name]}
            table[f"challenge_{name}"] = pd.Series({**each[name], **summed})
    if "presence" in result:
        table["presence_auc"] = pd.Series({**result["presence"]["per_class"], mean: result["presence"]["auc"]})
    return table.rename_axis("class").reset_index()


def pooled_names(result: dict) -> list[str]:
    """Names of the pooled scores in a result."""
    return [name for name in result["pooled"] if name != "confusion_matrix"]


def image_jaccards(counts: metrics.Counts) -> np.ndarray:
    """By which images are ranked, (images,): their Jaccard; of several classes that of all their pixels together.

    The mean of the classes would put first the images on which there is nothing to see: empty masks count 1 there. NaN
    where several classes are all without a positive in truth and prediction.
    """
    if counts.tp.shape[1] == 1:
        return metrics.score("jaccard", counts, "none")[:, 0]
    together = metrics.Counts(*(field.sum(axis=1, keepdims=True) for field in counts))
    return metrics.score("jaccard", together, "none", empty=math.nan)[:, 0]


def one_class(counts: metrics.Counts, k: int) -> metrics.Counts:
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


def pooled_scores(counts: metrics.Counts, histogram=None) -> dict:
    """All pixels counted together; what is 0/0 there (no lesion pixel at all) is undefined, NaN."""
    scores = {name: getattr(histogram, name)() for name in score_histogram.SCORES} if histogram else {}
    scores |= {name: metrics.score(name, counts, "pooled", empty=math.nan) for name in metrics.of_kind("pooled")}
    return scores | {"confusion_matrix": {name: int(pixels.sum()) for name, pixels in counts._asdict().items()}}


def per_image_scores(counts: metrics.Counts) -> dict[str, float]:
    """Means over images (and classes), empty masks by the challenge's rule."""
    return {name: metrics.score(name, counts) for name in metrics.of_kind("per_image")}


def draws(counts: metrics.Counts, ranked: bool = False, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Bootstrap samples of the scores from counts: {"per_image": {name: (draws,)}, "pooled": {name: (draws,)}}.

    Of several classes also "class_mean", and, where the counts are `ranked` as in ISIC 2018 Task 2, "challenge": the
    scores of these kinds by which runs are compared.
    """
    images, classes = counts.tp.shape
    names = metrics.of_kind("per_image")
    scores = [metrics.score(name, counts, "none").mean(axis=1) for name in names]  # of each image, (N,)
    fractions = (np.stack(counts) / sum(counts)).sum(axis=2).T  # (N, 4)
    pixels = np.stack(counts, axis=1).reshape(images, 4 * classes)
    columns = np.concatenate([np.stack(scores, axis=1), fractions, pixels], axis=1)
    sums = bootstrap.sums(columns, seed)  # (draws, scores + 4 + 4·classes)
    means, fractions, pixels = np.split(sums, [len(names), len(names) + 4], axis=1)
    each = metrics.Counts(*pixels.reshape(-1, 4, classes).transpose(1, 2, 0))  # (classes, draws)
    together = metrics.Counts(*(field.sum(axis=0) for field in each))  # (draws,)
    drawn = {
        "per_image": dict(zip(names, means.T / images, strict=True)),
        "pooled": {name: metrics.score(name, together, "none", math.nan) for name in metrics.of_kind("pooled")},
    }
    if classes > 1:  # a draw in place of a class, a class in place of an image
        drawn["class_mean"] = {
            name: metrics.score(name, each, "image_per_class", math.nan) for name in metrics.main_scores("class_mean")
        }
    if ranked:
        summed = metrics.Counts(*fractions.T)
        drawn["challenge"] = {name: metrics.score(name, summed, "none") for name in metrics.main_scores("challenge")}
    return drawn


def _mean(values):
    """Mean of what is defined, else NaN."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


# === By threshold, by size, by image ===


def threshold_table(means: np.ndarray, histograms: list, classes: Sequence[str]) -> pd.DataFrame:
    """Jaccard and Dice over the thresholds 0.01, 0.02, …, 0.99, of masks as they are before any clean-up.

    means: (classes, 5, thresholds), over images: Jaccard, Dice, and the fractions of pixels tp, fp, fn. Returns a table
    of a row a class and threshold: class, threshold, per_image_jaccard, per_image_dice, pooled_jaccard, pooled_dice;
    mean fractions of pixels in both masks, tp, and in any, union; and of these challenge_jaccard, as in ISIC 2018 Task
    2 (NaN without a true pixel).
    """
    parts = []
    thresholds = np.arange(1, STEPS) / STEPS
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


def best_thresholds(table: pd.DataFrame) -> dict:
    """From `threshold_table`: {"measure", "best": {class: threshold}, "score": {class: score}, …}.

    The measure, which is highest at those thresholds, is the challenge's: of one class, the mean Jaccard of images
    (Task 1); of several, each one's Jaccard of pixel fractions (Task 2). The mean over images would be highest where a
    rare class is never predicted: an empty mask counts 1 there. Of equals the middle one. A class without a true pixel
    has none.

    Of several classes also "together", {class: threshold}, and "together_score": where the Jaccard of all classes
    together is highest, by which Task 2 ranks. There a rare class that is hard to find is better predicted seldom.
    """
    measure = "per_image_jaccard" if table["class"].nunique() == 1 else "challenge_jaccard"
    parts = {name: part for name, part in table.groupby("class", sort=False) if part[measure].notna().any()}
    rows = {name: part.iloc[_highest(part[measure])] for name, part in parts.items()}
    found = {"measure": measure, "best": {name: float(row["threshold"]) for name, row in rows.items()}}
    found["score"] = {name: float(row[measure]) for name, row in rows.items()}
    if measure == "per_image_jaccard" or not parts:
        return found
    score = 0.0
    last = -1.0
    while score > last:  # Dinkelbach's method: each class by itself gives what helps the ratio, which then rises
        last = score
        rows = {name: part.iloc[_highest(part["tp"] - score * part["union"])] for name, part in parts.items()}
        score = sum(row["tp"] for row in rows.values()) / sum(row["union"] for row in rows.values())
    found["together"] = {name: float(row["threshold"]) for name, row in rows.items()}
    return found | {"together_score": float(score)}


def _highest(values):
    """The position of the highest of some values, of equals the middle one."""
    positions = np.flatnonzero(values == values.max())
    return positions[len(positions) // 2]


def true_areas(counts: metrics.Counts) -> np.ndarray:
    """The areas of the true masks in % of their image; of the shape of the counts."""
    return 100 * (counts.tp + counts.fn) / sum(counts)


def by_size(counts: metrics.Counts) -> list[dict]:
    """Per-image means by quartile of the true area, over the true masks (images × classes) that are not empty.

    Returns up to four dictionaries, small lesions first: area_percent [smallest, largest], masks, the scores of single
    images, and jaccard_interval.
    """
    flat = metrics.Counts(*(field.reshape(-1, 1) for field in counts))
    areas = true_areas(flat)[:, 0]
    order = np.argsort(areas, kind="stable")[np.count_nonzero(areas == 0) :]
    quartiles = []
    for rows in np.array_split(order, 4):
        if len(rows):
            part = metrics.Counts(*(field[rows] for field in flat))
            drawn = bootstrap.sums(metrics.score("jaccard", part, "none")) / len(rows)
            quartile = {"area_percent": areas[rows[[0, -1]]].tolist(), "masks": len(rows)}
            quartiles.append(quartile | per_image_scores(part) | {"jaccard_interval": bootstrap.interval(drawn[:, 0])})
    return quartiles


def image_table(counts: metrics.Counts, ids: list[str], classes: Sequence[str], sizes) -> pd.DataFrame:
    """One row an image and class: id, class, size of the mask, tp, fp, fn, tn (pixels), scores, if truth is empty.

    A score that reports have pooled alone is NaN where it is undefined.
    """
    columns = {"id": np.repeat(ids, len(classes)), "class": np.tile(classes, len(ids))}
    columns |= dict(zip(("height", "width"), np.repeat(sizes, len(classes), axis=0).T, strict=True))
    columns |= {name: pixels.ravel() for name, pixels in counts._asdict().items()}
    for name, score in metrics.SCORES.items():
        empty = score.empty if "per_image" in score.kinds else math.nan
        columns[name] = metrics.score(name, counts, "none", empty).ravel()
    return pd.DataFrame(columns | {"empty_mask": columns["tp"] + columns["fn"] == 0})


def table_counts(table: pd.DataFrame) -> tuple[list[str], list[str], metrics.Counts]:
    """From `image_table` back to (ids, classes, Counts (images, classes))."""
    ids = table["id"].drop_duplicates().tolist()
    classes = table["class"].drop_duplicates().tolist()
    fields = (table[name].to_numpy().reshape(len(ids), -1) for name in metrics.Counts._fields)
    return ids, classes, metrics.Counts(*fields)
