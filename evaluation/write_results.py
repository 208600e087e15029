"""The files of output/RUN/: scores for programs and people, tables, figures, pictures, reports."""

import json
import math
import shutil

import numpy as np

import metrics
from evaluation import report, report_formats, summary
from figures import scores as score_figures
from figures import sheets, style
from imaging import mask_files
from utils.files import replacing
from utils.threads import in_order

WORST = 20


def contents(head, scored, options, classes):
    """The contents of metrics.json (`head` comes first) and the table of thresholds, None where there are masks only.

    E.g. {**head, "empty_masks", "pooled", "per_image", "intervals", "by_size", "effects", …}; NaN where undefined.
    """
    counts = scored.counts[options.variant]
    result = head | summary.summarize(counts, scored.histograms, classes)
    result["by_size"] = summary.by_size(counts)
    if len(scored.counts) > 1:
        result["effects"] = {
            name: {"per_image": summary.per_image_scores(c), "pooled": summary.pooled_scores(c)}
            for name, c in scored.counts.items()
        }
        if "challenge" in result:
            for name, c in scored.counts.items():
                result["effects"][name]["challenge"] = metrics.task2_scores(c, classes)["micro_average"]
    if scored.distances:
        result["boundary"] = {name: _spread(values) for name, values in scored.distances.items()}
    table = None
    if scored.peaks is not None:
        found = summary.presence(counts, scored.peaks, classes)
        result |= {"presence": found} if not math.isnan(found["auc"]) else {}
    if scored.at_thresholds is not None:
        table = summary.threshold_table(scored.at_thresholds, scored.histograms, classes)
        result["best_thresholds"] = summary.best_thresholds(table)
    return result | {"versions": report.versions()}, table


def _spread(values):
    """Mean and median of what is defined, and how many values are not."""
    defined = values[~np.isnan(values)]
    mean, median = (float(f(defined)) if defined.size else math.nan for f in (np.mean, np.median))
    return {"mean": mean, "median": median, "undefined": values.size - defined.size}


def without_nan(value):
    """The same with None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_text(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write(output, result, scored, table, ids, classes, settings, samples):
    """Every file of output/RUN/; returns the text of performances.txt.

    settings: of the run, a dictionary, empty for mask files. samples: a function from the number of an image to
    (image uint8 (H, W, 3) or None, truth, prediction), for pictures.
    """
    counts = scored.counts[result["variant"]]
    jaccards = metrics.jaccard(counts, "none")  # (images, classes)
    rows = summary.image_table(counts, ids, classes, scored.sizes)
    for name, values in (scored.distances or {}).items():
        rows[name] = values.ravel()
    if scored.peaks is not None:
        rows["largest_probability"] = scored.peaks.ravel()
    csv = {"index": False, "float_format": "%.6f", "lineterminator": "\n"}
    write_text(output / "per_image.csv", rows.to_csv(**csv))
    if len(classes) > 1:
        write_text(output / "classes.csv", summary.class_table(result).to_csv(**csv))
    if table is not None:
        write_text(output / "thresholds.csv", table.to_csv(**csv))
    shares = 100 * (counts.tp + counts.fn) / sum(counts)
    best, each = result.get("best_thresholds"), (scored.histograms or [])[: len(classes)]
    of_images = summary.image_jaccards(counts)
    score_figures.scores(output / "scores.png", classes, of_images, jaccards, shares, table, best, each)
    worst = write_worst(output / "worst", ids, of_images, samples)

    title = f"Run {result['run']}" + f", split {result['split']} of {result['data']}" * bool(result["split"])
    performances = report_formats.text(title, report.text(result))
    blocks = report.document(result, settings, worst, lambda name: (output / name).exists())
    write_text(output / "performances.txt", performances)
    write_text(output / "report.md", report_formats.markdown(title, blocks))
    write_text(output / "report.html", report_formats.html(title, blocks, output))
    write_text(output / "metrics.json", json.dumps(without_nan(result), indent=2) + "\n")
    return performances


def write_worst(folder, ids, scores, samples):
    """Pictures of the worst images in a new folder; returns [(path inside the folder above, caption), …]."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chosen = style.pick(scores, "worst", WORST)
    names = [f"{place:02}_{ids[i]}.png" for place, i in enumerate(chosen, 1)]

    def draw_one(item):
        number, name = item
        mask_files.write_png(folder / name, score_figures.picture(*samples(number)))

    for _ in in_order(draw_one, zip(chosen, names, strict=True)):
        pass
    captions = [f"{ids[i]}, Jaccard {scores[i]:.3f}" for i in chosen]
    return [(f"{folder.name}/{name}", caption) for name, caption in zip(names, captions, strict=True)]


def draw(output, result, split, scored, predictions):
    """ROC.png, Precision_recall.png and sample_results.png of a run."""
    summaries = result.get("classes", {split.classes[0]: result})
    roc, precision_recall = {}, {}
    for (name, part), histogram in zip(summaries.items(), scored.histograms, strict=False):  # not that of all classes
        name, pooled = report.spaced(name), part["pooled"]
        if math.isnan(pooled["roc_auc"]):  # only one kind of pixels: there is no curve
            continue
        false_rates, true_rates, _ = histogram.roc_curve()
        precisions, recalls, _ = histogram.precision_recall_curve()
        tp, fp, fn, tn = pooled["confusion_matrix"].values()
        roc[name] = (false_rates, true_rates, pooled["roc_auc"])
        precision_recall[name] = (recalls, precisions, pooled["average_precision"], (tp + fn) / (tp + fp + fn + tn))
    score_figures.roc(roc, output / "ROC.png")
    score_figures.precision_recall(precision_recall, output / "Precision_recall.png")

    scores = summary.image_jaccards(scored.counts[result["variant"]])
    chosen = [(order, style.pick(scores, order)[0]) for order in style.ORDERS]
    rows = style.sample_rows(split, chosen, scores, predictions)
    title = f"{result['run']}: best, median and worst of {result['images']} images ({result['split']})"
    sheets.sample_sheet(rows, output / "sample_results.png", split.classes, title)
