"""What the reports of evaluate.py say, from the contents of metrics.json: blocks of report_formats.py."""

import contextlib
import math
import platform
from importlib import metadata

import cv2
import numpy as np
import pandas as pd

import metrics
from evaluation import annotators, summary, trust
from evaluation.report_formats import Heading, Headline, Pictures, Table, Text

EXPLAINED = {  # columns of the table of main scores
    "soft_dice": "Soft: of probabilities, without a threshold, pixels summed over all images.",
    "dice": "Pooled: of masks, pixels summed over all images.",
    "challenge_dice": "Challenge: of masks, pixels as fractions of their image, as ISIC 2018 Task 2 ranks.",
    "presence_auc": "Presence: whether an image has the class at all, by its largest probability.",
}
VARIANTS = {
    "bare": "network alone",
    "tta": "test-time augmentation (TTA)",
    "clean": "clean-up (largest connected component, holes filled)",
    "tta+clean": "TTA and clean-up",
}
DISTANCES = {
    "hausdorff95": "Hausdorff distance, 95th percentile (HD95), pixels",
    "average_surface_distance": "Average symmetric surface distance (ASSD), pixels",
    "hausdorff95_per_mille": "HD95, ‰ of the image diagonal",
    "average_surface_distance_per_mille": "ASSD, ‰ of the image diagonal",
    "boundary_f1": "Boundary F1, tolerance 7.5 ‰ of the image diagonal",
}
BOOTSTRAP = "95 % intervals: bootstrap, 10,000 resamples of the images."


def versions():
    """Versions of what computes the scores: {name: version}, of TensorFlow and Keras without loading them."""
    found = {"python": platform.python_version()}
    for name in ("tensorflow", "keras"):
        with contextlib.suppress(metadata.PackageNotFoundError):  # an export does without
            found[name] = metadata.version(name)
    return found | {"numpy": np.__version__, "opencv": cv2.__version__}


def number(value, digits=4):
    return "undefined" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def between(interval, digits=3):
    """An interval as text; empty where it is undefined."""
    low, high = interval
    return "" if low is None or math.isnan(low) else f"{low:.{digits}f}–{high:.{digits}f}"


# === Blocks ===


def headline(result):
    """What was scored, and the scores that matter most."""
    numbers = _class_headline(result) if "classes" in result else _lesion_headline(result)
    return [Text(line) for line in conditions(result)] + [Headline(numbers)]


def _lesion_headline(result):
    numbers = []
    for kind, name, label in summary.main_scores(result).values():
        label = f"Mean {label}" if kind == "per_image" else label
        numbers.append((label, number(result[kind][name], 3), f"95 %: {between(result['intervals'][kind][name])}"))
    return numbers


def _class_headline(result):
    numbers = []
    for kind, label in (("challenge", "Challenge Jaccard"), ("class_mean", "Macro Jaccard")):
        if kind in result:
            interval = between(result["intervals"][kind]["jaccard"])
            numbers.append((label, number(result[kind]["jaccard"], 3), f"95 %: {interval}"))
    if "soft_dice" in result["class_mean"]:
        value = number(result["class_mean"]["soft_dice"], 3)
        numbers.append(("Soft macro Dice", value, "of probabilities, no threshold"))
    if "presence" in result:
        numbers.append(("Presence AUC", number(result["presence"]["auc"], 3), "mean of the classes"))
    return numbers


def conditions(result):
    """Under which conditions the scores hold, as lines of text."""
    masks = result["images"] * len(result.get("classes", [0]))
    parts = [f"{result['images']} images scored {_scored_size(result)}"]
    if result.get("out_of_fold"):
        parts.append("each by the member of the ensemble that was not trained on it")
    if result["threshold"] is not None:
        parts.append(f"threshold {_threshold(result['threshold'])}")
    if result["tta"]:
        parts.append("test-time augmentation")
    if result["clean"]:
        parts.append("masks cleaned up: largest connected component, holes filled")
    return [
        "; ".join(parts) + ".",
        f"Empty true masks: {result['empty_masks']} of {masks} (sensitivity 1; Jaccard and Dice 1 if the predicted mask"
        " is empty too, else 0).",
    ]


def _scored_size(result):
    size = " × ".join(map(str, result["size"] or ()))
    if result["at"] == "network":
        return f"at the network's size, {size} pixels"
    if not size:
        return "at the size of the true masks"
    return f"at the size of the true masks, from probabilities of {size} pixels"


def _threshold(threshold):
    if not isinstance(threshold, dict):
        return f"{threshold:g}"
    return ", ".join(f"{value:g} ({spaced(name)})" for name, value in threshold.items())


def spaced(name):
    """A class's name for people."""
    return name.replace("_", " ")


def scores(result):
    """The tables of scores: for one class a row a score, for several a row a class."""
    blocks = [Heading("Scores")]
    if "classes" in result:
        blocks += [_overview(result), _per_image_table(result), *_pooled_tables(result)]
    else:
        blocks.append(_score_table(result))
    return [*blocks, _confusion(result)]


def _score_table(result):
    """A row a score of a single class."""
    rows = [
        [label, *_cells(result, "per_image", name), *_cells(result, "pooled", name)]
        for name, label in summary.labels().items()
        if name in result["pooled"] or name in result["per_image"]
    ]
    header = ["", "mean of images", "95 % interval", "pooled pixels", "95 % interval"]
    return Table(header, rows, f"{summary.MEANING['per_image']} {summary.MEANING['pooled']} {BOOTSTRAP}")


def _cells(result, kind, name):
    """[score, interval] as text, empty where there are none."""
    if name not in result[kind]:
        return ["", ""]
    interval = result["intervals"][kind].get(name, [math.nan] * 2)
    return [number(result[kind][name]), between(interval)]


def _overview(result):
    """The classes one by one, their mean, and all together."""
    table = summary.class_table(result)
    columns = _overview_columns(table)
    rows = []
    for label, (images, *values) in zip(table["class"], table[list(columns)].to_numpy(object), strict=True):
        cells = ["" if np.isnan(value) else number(value) for value in values]
        rows.append([spaced(label), "" if images is pd.NA else str(images), *cells])
    note = " ".join(words for name, words in EXPLAINED.items() if name in table)
    return Table(["main scores", *columns.values()], rows, note)


def _overview_columns(table):
    """{column of `summary.class_table`: header}."""
    columns = {"images": "images with it"}
    columns |= {name: summary.short_label(name) for name in ("soft_jaccard", "soft_dice")}
    columns |= {name: f"Pooled {summary.short_label(name)}" for name in metrics.main_scores("class_mean")}
    for name in metrics.main_scores("challenge"):
        columns[f"challenge_{name}"] = f"Challenge {summary.short_label(name)}"
    columns["presence_auc"] = "Presence AUC"
    return {name: label for name, label in columns.items() if name in table}


def _per_image_table(result):
    parts = {**result["classes"], "all together": result}
    rows = [[spaced(name), *_class_cells(part, "per_image", part["per_image"])] for name, part in parts.items()]
    header = ["per image", *_class_header(result["per_image"], "Mean ")]
    nothing = [f"{spaced(name)} {_of_nothing(part, result['images'])}" for name, part in result["classes"].items()]
    note = (
        f"Masks that mark nothing at all would have a mean Jaccard of {', '.join(nothing)}: empty true masks score 1."
    )
    return Table(header, rows, f"{summary.MEANING['per_image']} {note} {BOOTSTRAP}")


def _of_nothing(part, images):
    """The mean Jaccard of a class where nothing is predicted: the fraction of images without it."""
    return number(part["empty_masks"] / images, 2)


def _pooled_tables(result):
    """Two tables: pooled scores of masks and, where there are any, of probabilities."""
    parts = {**result["classes"], "mean (macro)": _as_part(result), "all together": result}
    masks = [name for name in summary.pooled_names(result) if name in metrics.SCORES]
    rows = [[spaced(name), *_class_cells(part, "pooled", masks)] for name, part in parts.items()]
    tables = [Table(["pooled", *_class_header(masks, "Pooled ")], rows, f"{summary.MEANING['pooled']} {BOOTSTRAP}")]
    soft = [name for name in summary.pooled_names(result) if name not in metrics.SCORES]
    if soft:
        rows = [[spaced(name), *(number(part["pooled"][score]) for score in soft)] for name, part in parts.items()]
        header = ["probabilities", *(summary.short_label(name) for name in soft)]
        tables.append(Table(header, rows, "Of the probabilities of all pixels, without a threshold."))
    return tables


def _as_part(result):
    """The macro scores as if they were those of a class."""
    return {"pooled": result["class_mean"], "intervals": {"pooled": result["intervals"]["class_mean"]}}


def _class_header(names, prefix):
    """Headers of the cells of `_class_cells`."""
    first, *others = (prefix + summary.short_label(name) for name in names)
    return [first, "95 % interval", *others]


def _class_cells(part, kind, names):
    """A class's scores as text, the first one with its interval."""
    first, *others = names
    interval = part["intervals"][kind].get(first, [math.nan] * 2)
    return [number(part[kind][first]), between(interval), *(number(part[kind][name]) for name in others)]


def _confusion(result):
    parts = result.get("classes") or {"lesion": result}
    rows = [
        [spaced(name), *(f"{part['pooled']['confusion_matrix'][key]:,}" for key in ("tp", "fn", "fp", "tn"))]
        for name, part in parts.items()
    ]
    note = "Confusion matrix: true positive (TP), false negative (FN), false positive (FP), true negative (TN) pixels."
    return Table(["pixels", "TP", "FN", "FP", "TN"], rows, note)


def effects(result):
    """What test-time augmentation and clean-up change."""
    kinds = [kind for kind in ("per_image", "pooled", "challenge") if kind in result["effects"]["bare"]]
    columns = [(kind, name) for kind in kinds for name in metrics.main_scores(kind)]
    rows = []
    for variant, part in result["effects"].items():
        cells = [number(part[kind][name]) for kind, name in columns]
        rows.append([VARIANTS[variant], *cells, "this report" if variant == result["variant"] else ""])
    header = ["masks of", *(summary.KINDS[kind] + summary.short_label(name) for kind, name in columns), ""]
    note = "" if "tta" in result["effects"] else "Test-time augmentation was not computed: --tta."
    return [Heading("Test-time augmentation and clean-up"), Table(header, rows, note)]


def sizes(result):
    """Scores by lesion size."""
    names = [name for name in metrics.of_kind("per_image") if name != "jaccard"]
    rows = []
    for part in result["by_size"]:
        low, high = part["area_percent"]
        jaccard = [number(part["jaccard"], 3), between(part["jaccard_interval"])]
        rows.append([f"{low:.2f} to {high:.2f} %", str(part["masks"]), *jaccard, *(number(part[n], 3) for n in names)])
    header = ["area of the true mask", "masks", "Jaccard", "95 % interval", *map(summary.short_label, names)]
    note = "Means over masks by quartile of the true area, in % of the image; empty true masks are left out."
    return [Heading("By lesion size"), Table(header, rows, note)]


def best_thresholds(result):
    """Which thresholds are best on this split, and whether they are kept with the run."""
    best = result["best_thresholds"]
    measure = summary.MEASURES[best["measure"]]
    header = ["class", "best threshold", f"{measure} there"]
    rows = [[spaced(name), f"{t:g}", number(best["score"][name])] for name, t in best["best"].items()]
    notes = ["Of masks before clean-up. Chosen on the images scored here: the scores in this table are optimistic."]
    if best["kept"]:
        notes.append("The thresholds are kept with the run: --threshold best.")
    else:
        notes.append("They are not kept with the run; those of --threshold best come from its validation images.")
    if "together" in best:
        header.append("best for all together")
        rows = [[*row, f"{t:g}"] for row, t in zip(rows, best["together"].values(), strict=True)]
        last = " (--threshold challenge)" if best["kept"] else ""
        notes.append(f"With the last column{last} the {measure} of all together is {number(best['together_score'])}.")
    if best["kept"] and len(rows) < len(result.get("classes", [0])):
        notes.append("A class without a true pixel here keeps the run's own threshold.")
    return [Heading("Best thresholds"), Table(header, rows, " ".join(notes))]


def distances(result):
    """Distances between the boundaries of true and predicted masks."""
    rows = []
    for name, label in DISTANCES.items():
        found = result["boundary"][name]
        rows.append([label, number(found["mean"]), number(found["median"]), str(found["undefined"])])
    note = "Over images and classes; undefined where a mask is empty."
    return [Heading("Boundary distances"), Table(["", "mean", "median", "undefined"], rows, note)]


def _plain(value):
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) or "none"
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def closing(settings, made_with):
    """Settings of the run, a dictionary, which may be empty; versions; for what images the scores hold."""
    blocks = [Heading("Made with"), Table(["", "version"], [list(pair) for pair in made_with.items()], folded=True)]
    if settings:
        rows = [[name, _plain(value)] for name, value in settings.items()]
        blocks = [Heading("Settings of the run"), Table(["setting", "value"], rows, folded=True), *blocks]
    return [*blocks, Text("Scores hold for images like those that were scored. Not a medical device.")]


# === The reports ===

SECTIONS = {
    "annotators": annotators.blocks,
    **trust.SECTIONS,
    "by_size": sizes,
    "effects": effects,
    "best_thresholds": best_thresholds,
    "boundary": distances,
}  # by key
CURVES = {
    "ROC.png": "Receiver operating characteristic, pooled pixels.",
    "Precision_recall.png": "Precision and recall, pooled pixels.",
}
PANELS = {"scores.png": "Dotted line: 0.65, below which the thresholded Jaccard is 0."}
SAMPLES = {"sample_results.png": "The best, the median and the worst image."}
TRUST = {"trust.png": "Calibration before and after, predicted quality, and the risk that is left at each coverage."}
FIGURES = {**CURVES, **PANELS, **TRUST, **SAMPLES}
TRAINING = {"../progress.png": "Losses, scores and learning rate by epoch."}


def text(result: dict) -> list:
    """The blocks of performances.txt."""
    return [*(Text(line) for line in conditions(result)), *scores(result), *_sections(result)]


def document(result: dict, settings: dict, worst: list[tuple[str, str]], figures: set[str]) -> list:
    """The blocks of report.html and report.md.

    settings: of the run, a dictionary. worst: [(path, caption), …] of pictures. figures: names of the picture files
    that belong to this evaluation.
    """
    return [
        *headline(result),
        *scores(result),
        *_pictures(CURVES, figures),
        *_sections(result),
        *_pictures(PANELS, figures),
        *_pictures(TRUST, figures),
        *_pictures(SAMPLES, figures, "Samples"),
        Heading(f"The {len(worst)} worst images"),
        Text(_legend(result)),
        Pictures(worst, small=True),
        *_pictures(TRAINING, figures, "Training"),
        *closing(settings, result["versions"]),
    ]


def _pictures(captions, figures, heading=None):
    """Those pictures of {name: caption} that are among `figures`, under a heading if one is given."""
    files = [(name, caption) for name, caption in captions.items() if name in figures]
    if not files:
        return []
    return [Heading(heading), Pictures(files)] if heading else [Pictures(files)]


def _sections(result):
    return [block for name, section in SECTIONS.items() if name in result for block in section(result)]


def _legend(result):
    if result["threshold"] is None:
        return "Light: true positive; blue: false negative; orange: false positive."
    if "classes" in result:
        return "Outlines of the truth (left) and of the prediction (right), a color a class."
    return "The image, and it with the outlines of truth (blue) and prediction (orange)."
