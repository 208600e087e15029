"""What the reports of evaluate.py say, from the contents of metrics.json: blocks of page.py.

blocks = scores(result) + …
"""

import math
import platform

import cv2
import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from evaluation import summary
from evaluation.report_formats import Heading, Headline, Pictures, Table, Text

HEADLINE = [("per_image", name) for name in ("jaccard", "thresholded_jaccard", "dice")] + [("pooled", "jaccard")]
KINDS = {
    "per_image": "Per image: each image scored by itself, then the mean",
    "pooled": "Pooled: all pixels of all images counted together",
}
WIDE = {  # scores of the tables with one row a class, by kind
    "per_image": summary.PER_IMAGE,
    "pooled": ("jaccard", "dice", "sensitivity", "specificity", "precision", "roc_auc", "average_precision"),
}
SHORT = {
    "thresholded_jaccard": "Jaccard, 0 below 0.65",
    "dice": "Dice",
    "sensitivity": "Sensitivity",
    "average_precision": "Average precision",
}
OVERVIEW = {  # columns of the table with all scores of a class
    "images": "images with it",
    "soft_dice": "soft Dice",
    "soft_jaccard": "soft Jaccard",
    "dice": "Dice",
    "jaccard": "Jaccard",
    "challenge_dice": "challenge Dice",
    "challenge_jaccard": "challenge Jaccard",
    "presence_auc": "presence AUC",
}
EXPLAINED = {
    "soft_dice": "Soft: of probabilities, without a threshold, summed over all pixels of all images.",
    "dice": "Dice, Jaccard: of masks, pixels summed over all images.",
    "challenge_dice": "Challenge: of masks, pixels as shares of their image, as ISIC 2018 Task 2 ranks.",
    "presence_auc": "Presence: is it in the image at all, told by the image's largest probability.",
}
VARIANTS = {
    "bare": "the bare network",
    "tta": "mean over mirrored and turned copies",
    "clean": "largest part, holes filled",
    "tta+clean": "both",
}


def versions():
    """Versions of what computes the scores: {name: version}."""
    modules = {"tensorflow": tf, "keras": keras, "numpy": np, "opencv": cv2}
    return {"python": platform.python_version()} | {name: module.__version__ for name, module in modules.items()}


def number(value, digits=4):
    return "undefined" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def between(interval, digits=3):
    """An interval as text; empty where it is undefined."""
    low, high = interval
    return "" if low is None or math.isnan(low) else f"{low:.{digits}f}–{high:.{digits}f}"


# === Blocks ===


def headline(result):
    """What was scored, and the four scores that matter most."""
    numbers = _attribute_headline(result) if "challenge" in result else []
    for kind, name in HEADLINE if not numbers else ():
        label = ("Pooled " if kind == "pooled" else "Mean ") + summary.LABELS[name].split(" (")[0]
        numbers.append((label, number(result[kind][name], 3), f"95 %: {between(result['intervals'][kind][name])}"))
    return [Text(line) for line in conditions(result)] + [Headline(numbers)]


def _attribute_headline(result):
    challenge, mean = result["challenge"], result["class_mean"]
    intervals = {kind: between(result["intervals"][kind]["jaccard"]) for kind in ("challenge", "class_mean")}
    numbers = [
        ("Challenge Jaccard", number(challenge["jaccard"], 3), f"95 %: {intervals['challenge']}"),
        ("Macro Jaccard", number(mean["jaccard"], 3), f"95 %: {intervals['class_mean']}"),
    ]
    if "soft_dice" in mean:
        numbers.append(("Soft macro Dice", number(mean["soft_dice"], 3), "of probabilities, no threshold"))
    if "presence" in result:
        numbers.append(("Presence AUC", number(result["presence"]["auc"], 3), "mean of the attributes"))
    return numbers


def conditions(result):
    """Under which conditions the scores hold, as lines of text."""
    masks = result["images"] * len(result.get("classes", [0]))
    size = " × ".join(map(str, result["size"])) if result["size"] else ""
    if result["at"] == "source":
        where = "at the size of the true masks" + f", from probabilities of {size} pixels" * bool(size)
    else:
        where = f"at the network's size, {size} pixels"
    how = ""
    if result["threshold"] is not None:
        threshold = result["threshold"]
        each = isinstance(threshold, dict) and ", ".join(f"{t:g} ({spaced(name)})" for name, t in threshold.items())
        how = f"; threshold {each or format(threshold, 'g')}"
    how += ", averaged over mirrored and turned copies" * result["tta"]
    how += ", masks reduced to their largest part without holes" * result["clean"]
    return [
        f"{result['images']} images scored {where}{how}.",
        f"Empty true masks: {result['empty_masks']} of {masks} (sensitivity 1; Jaccard and Dice 1 if nothing is"
        " predicted there, else 0).",
    ]


def spaced(name):
    """A class's name for people."""
    return name.replace("_", " ")


def scores(result):
    """The tables of scores: for one class a row a score, for several a row a class."""
    blocks = [Heading("Scores")]
    if "classes" not in result:
        rows = [
            [label, *_cells(result, "per_image", name), *_cells(result, "pooled", name)]
            for name, label in summary.LABELS.items()
            if name in result["pooled"] or name in result["per_image"]
        ]
        header = ["", "mean of images", "95 % interval", "pooled pixels", "95 % interval"]
        blocks.append(Table(header, rows, _reading(result)))
    else:
        blocks.append(_overview(result))
        for kind, names in WIDE.items():
            blocks.append(_class_table(result, kind, [name for name in names if name in result[kind]]))
    return [*blocks, _confusion(result)]


def _overview(result):
    """The classes one by one, their mean, and all together."""
    table = summary.class_table(result)
    shown = [name for name in OVERVIEW if name in table]
    rows = []
    for label, (images, *values) in zip(table["class"], table[shown].to_numpy(object), strict=True):
        cells = ["" if np.isnan(value) else number(value) for value in values]
        rows.append([spaced(label), "" if images is pd.NA else str(images), *cells])
    note = " ".join(words for name, words in EXPLAINED.items() if name in table)
    return Table(["", *(OVERVIEW[name] for name in shown)], rows, note)


def _reading(result):
    return (
        f"{KINDS['per_image']}. {KINDS['pooled']}. Intervals: 10,000 draws of the {result['images']} images with"
        " replacement."
    )


def _cells(scores, kind, name):
    """[score, interval] as text, empty where there are none."""
    if name not in scores[kind]:
        return ["", ""]
    interval = scores["intervals"][kind].get(name, [math.nan] * 2)
    return [number(scores[kind][name]), between(interval)]


def _class_table(result, kind, names):
    rows = []
    for label, part in {**result["classes"], "all together": result}.items():
        interval = between(part["intervals"][kind]["jaccard"])
        rows.append([spaced(label), *(number(part[kind][name]) for name in names)])
        rows[-1].insert(2, interval)
    if kind == "pooled":
        rows.insert(-1, ["mean of classes", *(number(result["class_mean"][name]) for name in names)])
        rows[-2].insert(2, "")
    header = ["", *(SHORT.get(name, summary.LABELS[name].split(" (")[0]) for name in names)]
    header.insert(2, "95 % interval")
    return Table(header, rows, f"{KINDS[kind]}. Intervals: 10,000 draws of the images with replacement.")


def _confusion(result):
    parts = result.get("classes") or {"lesion": result}
    rows = [
        [spaced(name), *(f"{part['pooled']['confusion_matrix'][key]:,}" for key in ("tp", "fn", "fp", "tn"))]
        for name, part in parts.items()
    ]
    header = ["pixels", "true, found", "true, missed", "not true, marked", "not true, left"]
    return Table(header, rows, "The confusion matrix.")


def effects(result):
    """What the mean over poses and the clean-up change."""
    rows = []
    for name, part in result["effects"].items():
        cells = [number(part["per_image"][key]) for key in ("jaccard", "thresholded_jaccard", "dice")]
        cells.append(number(part["pooled"]["jaccard"]))
        cells += [number(part["challenge"]["jaccard"])] if "challenge" in part else []
        rows.append([VARIANTS[name], *cells, "scored here" if name == result["variant"] else ""])
    header = ["masks", "Jaccard", "Thresholded", "Dice", "pooled Jaccard"]
    header += ["challenge Jaccard", ""] if "challenge" in result else [""]
    note = "" if "tta" in result["effects"] else "The mean over mirrored and turned copies was not computed: --tta."
    return [Heading("Mean over poses and clean-up"), Table(header, rows, note)]


def sizes(result):
    """Scores by lesion size."""
    rows = []
    for part in result["by_size"]:
        low, high = part["area_percent"]
        cells = [number(part[name], 3) for name in ("thresholded_jaccard", "dice", "sensitivity", "specificity")]
        jaccard = [number(part["jaccard"], 3), between(part["jaccard_interval"])]
        rows.append([f"{low:.2f} to {high:.2f} %", str(part["masks"]), *jaccard, *cells])
    header = ["area of the true mask", "masks", "Jaccard", "95 % interval"]
    header += ["Thresholded", "Dice", "Sensitivity", "Specificity"]
    return [Heading("By lesion size"), Table(header, rows, "Quartiles of the true masks that are not empty; means.")]


def best_thresholds(result):
    """Which thresholds are best on this split."""
    best = result["best_thresholds"]
    measure = summary.MEASURES[best["measure"]]
    rows = [[spaced(name), f"{t:g}", number(best["score"][name])] for name, t in best["best"].items()]
    header = ["class", "best threshold", f"{measure} there"]
    note = "Before any clean-up of the masks. Chosen on validation they are kept with the run: --threshold best."
    if "together" in best:
        header.append("best for all together")
        rows = [[*row, f"{t:g}"] for row, t in zip(rows, best["together"].values(), strict=True)]
        score = number(best["together_score"])
        note += f" With the last column, --threshold challenge, the {measure} of all together is {score}."
    if len(rows) < len(result.get("classes", [0])):
        note += " A class without a true pixel here keeps the run's own threshold."
    return [Heading("Thresholds"), Table(header, rows, note)]


def distances(result):
    """How far outlines lie apart."""
    labels = {
        "hausdorff95": "Hausdorff distance, 95 %, pixels",
        "average_surface_distance": "Average surface distance, pixels",
        "hausdorff95_per_mille": "Hausdorff distance, 95 %, ‰ of the diagonal",
        "average_surface_distance_per_mille": "Average surface distance, ‰ of the diagonal",
        "boundary_f1": "Boundary F1 (within 7.5 ‰ of the diagonal)",
    }
    rows = [
        [label, *(number(result["boundary"][name][key]) for key in ("mean", "median")),
         str(result["boundary"][name]["undefined"])]
        for name, label in labels.items()
    ]  # fmt: skip
    note = "Over images and classes; undefined where a mask is empty."
    return [Heading("Outlines"), Table(["", "mean", "median", "undefined"], rows, note)]


def _plain(value):
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def closing(settings, made_with):
    """Settings of the run, a dictionary, which may be empty; versions; what the scores are good for."""
    blocks = [Heading("Made with"), Table(["", "version"], [list(pair) for pair in made_with.items()], folded=True)]
    if settings:
        rows = [[name, _plain(value)] for name, value in settings.items()]
        blocks = [Heading("Settings of the run"), Table(["setting", "value"], rows, folded=True), *blocks]
    return [*blocks, Text("Scores hold for images like those that were scored. Not a medical device.")]


# === The whole ===

SECTIONS = {"by_size": sizes, "effects": effects, "best_thresholds": best_thresholds, "boundary": distances}  # by key
CURVES = [
    ("ROC.png", "Receiver operating characteristic, all pixels together."),
    ("Precision_recall.png", "Precision and recall, all pixels together."),
]
PANELS = [("scores.png", "The dotted line is at 0.65, below which the thresholded Jaccard counts 0.")]
SAMPLES = [("sample_results.png", "The best, the median and the worst image.")]
TRAINING = [("progress.png", "Losses, scores and learning rate of each epoch.")]


def text(result):
    """The blocks of performances.txt."""
    return [*(Text(line) for line in conditions(result)), *scores(result), *_sections(result)]


def document(result, settings, worst, there):
    """The blocks of report.html and report.md.

    settings: of the run, a dictionary. worst: [(path, caption), …] of pictures. there: a function that tells whether a
    picture is there.
    """

    def pictures(files, heading=None):
        files = [(name, caption) for name, caption in files if there(name)]
        return [Heading(heading)] * bool(heading and files) + [Pictures(files)] * bool(files)

    blocks = [*headline(result), *scores(result), *pictures(CURVES), *_sections(result), *pictures(PANELS)]
    blocks += [*pictures(SAMPLES, "Samples"), Heading(f"The {len(worst)} worst images"), Text(_legend(result))]
    blocks += [Pictures(worst, small=True), *pictures(TRAINING, "Training")]
    return blocks + closing(settings, result["versions"])


def _sections(result):
    return [block for name, section in SECTIONS.items() if name in result for block in section(result)]


def _legend(result):
    if result["threshold"] is None:
        return "Light: found; blue: missed; orange: wrongly added."
    if "classes" in result:
        return "Outlines of the truth (left) and of the prediction (right), a color a class."
    return "The image, and it with the outlines of truth (blue) and prediction (orange)."
