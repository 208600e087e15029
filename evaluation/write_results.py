"""The files of output/RUN/EVALUATION/: scores for programs and people, tables, figures, pictures, reports."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import metrics
from datasets import folds
from evaluation import mask_quality, report, report_formats, samples, score_split, summary, trust
from figures import scores as score_figures
from figures import sheets
from figures import trust as trust_figure
from imaging import mask_files
from inference import quality
from utils.files import replacing
from utils.threads import in_order

WORST = 20
FILES = (
    *("report.html", "report.md", "performances.txt", "metrics.json"),
    *("per_image.csv", "thresholds.csv", "classes.csv", "annotators.csv"),
)


@dataclass
class Evaluation:
    """What was scored and found: the contents of metrics.json, the pass and the table of thresholds, or None.

    ids: of the images, in the order of `scored`. classes: their names. trusted: None of mask files.
    """

    result: dict
    scored: score_split.Scored
    table: pd.DataFrame | None
    ids: list[str]
    classes: list[str]
    trusted: trust.Trusted | None = None

    @property
    def counts(self) -> metrics.Counts:
        """Counts (images, classes) of the masks that were asked for."""
        return self.scored.counts[self.result["variant"]]


def contents(head: dict, scored: score_split.Scored, options: score_split.Options, classes: list[str]) -> tuple:
    """The contents of metrics.json (`head` comes first) and the table of thresholds, None where there are masks only.

    E.g. {**head, "empty_masks", "pooled", "per_image", "intervals", "by_size", "effects", …}; NaN where undefined.
    """
    counts = scored.counts[options.variant]
    result = head | summary.summarize(counts, scored.histograms, classes)
    result["by_size"] = summary.by_size(counts)
    if len(scored.counts) > 1:
        ranked = "challenge" in result
        result["effects"] = {name: _effect(each, classes, ranked) for name, each in scored.counts.items()}
    if scored.distances:
        result["boundary"] = {name: _spread(values) for name, values in scored.distances.items()}
    table = None
    if scored.peaks is not None:
        found = summary.presence(counts, scored.peaks, classes)
        result |= {"presence": found} if not math.isnan(found["auc"]) else {}
    if scored.at_thresholds is not None and scored.histograms is not None:
        table = summary.threshold_table(scored.at_thresholds, scored.histograms, classes)
        result["best_thresholds"] = summary.best_thresholds(table)
    return result | {"versions": report.versions()}, table


def _effect(counts, classes, ranked):
    """The scores of a variant of the masks; of those that are `ranked` as in ISIC 2018 Task 2 also "challenge"."""
    found = {"per_image": summary.per_image_scores(counts), "pooled": summary.pooled_scores(counts)}
    if ranked:
        found["challenge"] = metrics.task2_scores(counts, classes)["micro_average"]
    return found


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


def clear(output: Path, predictions: Path | None = None) -> None:
    """Remove what an earlier evaluation wrote into these folders, so that nothing of it is taken for this one's."""
    for name in FILES:
        (output / name).unlink(missing_ok=True)
    shutil.rmtree(output / "worst", ignore_errors=True)
    for folder in (output, predictions):
        for picture in folder.glob("*.png") if folder else ():
            picture.unlink()


def write(output: Path, evaluation: Evaluation, settings: dict, sample: Callable[[int], tuple]) -> str:
    """Every file of output/RUN/EVALUATION/; returns the text of performances.txt.

    settings: of the run, a dictionary, empty for mask files. sample: a function from the number of an image to
    (image uint8 (H, W, 3) or None, truth, prediction), for pictures.
    """
    result = evaluation.result
    write_tables(output, evaluation)
    draw_panels(output / "scores.png", evaluation)
    draw_trust(output / "trust.png", evaluation)
    worst = write_worst(output / "worst", evaluation.ids, summary.image_jaccards(evaluation.counts), sample)

    title = f"Run {result['run']}"
    if result["split"]:
        title += f", split {folds.in_words(result['data'], result['split'])}"
    performances = report_formats.text(title, report.text(result))
    blocks = report.document(result, settings, worst, _figures(output, evaluation))
    write_text(output / "performances.txt", performances)
    write_text(output / "report.md", report_formats.markdown(title, blocks))
    write_text(output / "report.html", report_formats.html(title, blocks, output))
    write_text(output / "metrics.json", json.dumps(without_nan(result), indent=2) + "\n")
    return performances


def _figures(output, evaluation):
    """Paths of the figures of this evaluation and, of a run, of its training."""
    names = [*report.FIGURES]
    if evaluation.table is not None:  # not of mask files
        names += report.TRAINING
    return {name for name in names if (output / name).is_file()}


def write_tables(output, evaluation):
    """per_image.csv and, where there are any, classes.csv and thresholds.csv."""
    scored = evaluation.scored
    rows = summary.image_table(evaluation.counts, evaluation.ids, evaluation.classes, scored.sizes)
    for name, values in (scored.distances or {}).items():
        rows[name] = values.ravel()
    if scored.peaks is not None:
        rows["largest_probability"] = scored.peaks.ravel()
    if "quality" in evaluation.result:
        rows["predicted_jaccard"] = evaluation.trusted.estimates.ravel()
    if "unusual" in evaluation.result:
        rows["unusual"] = np.repeat(evaluation.trusted.reasons, len(evaluation.classes))
    tables = {"per_image.csv": rows}
    if len(evaluation.classes) > 1:
        tables["classes.csv"] = summary.class_table(evaluation.result)
    if evaluation.table is not None:
        tables["thresholds.csv"] = evaluation.table
    for name, each in tables.items():
        write_text(output / name, each.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def draw_panels(path, evaluation):
    """scores.png: scores by threshold, calibration, distribution over images, lesion sizes."""
    counts = evaluation.counts
    classes = evaluation.classes
    best = evaluation.result.get("best_thresholds")
    score_figures.scores(
        path,
        classes,
        summary.image_jaccards(counts),
        jaccards=metrics.score("jaccard", counts, "none"),
        areas=100 * (counts.tp + counts.fn) / sum(counts),
        table=evaluation.table,
        best=best and {**best, "label": summary.MEASURES[best["measure"]]},
        histograms=(evaluation.scored.histograms or [])[: len(classes)],
    )


def draw_trust(path, evaluation):
    """trust.png: calibration before and after, expected and true Jaccard, risk by coverage; where they are known."""
    result = evaluation.result
    if "calibration" not in result and "quality" not in result:
        return
    temperatures = {
        name: part["temperature"] for name, part in result.get("calibration", {}).get("classes", {}).items()
    }
    histograms = dict(zip(evaluation.classes, evaluation.scored.histograms or [], strict=False))
    jaccards = metrics.score("jaccard", evaluation.counts, "none")
    known = [k for k, name in enumerate(evaluation.classes) if name in result.get("quality", {}).get("classes", {})]
    rankings = {}
    for k in known:
        columns = [evaluation.trusted.estimates[:, k], *evaluation.scored.features[:, k, len(quality.NAMES) :].T]
        names = mask_quality.RANKINGS.values()
        found = {label: mask_quality.risks(each, jaccards[:, k]) for label, each in zip(names, columns, strict=True)}
        found["the true order"] = mask_quality.risks(jaccards[:, k], jaccards[:, k])
        rankings[evaluation.classes[k]] = (columns[0], jaccards[:, k], found)
    trust_figure.trust(path, histograms, temperatures, rankings)


def write_worst(folder, ids, scores, sample):
    """Pictures of the worst images in a new folder; returns [(path inside the folder above, caption), …]."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chosen = samples.pick(scores, "worst", WORST)
    names = [f"{rank:02}_{ids[i]}.png" for rank, i in enumerate(chosen, 1)]

    def draw_one(item):
        number, name = item
        mask_files.write_png(folder / name, score_figures.picture(*sample(number)))

    for _ in in_order(draw_one, zip(chosen, names, strict=True)):
        pass
    captions = [f"{ids[i]}, Jaccard {scores[i]:.3f}" for i in chosen]
    return [(f"{folder.name}/{name}", caption) for name, caption in zip(names, captions, strict=True)]


def draw(output: Path, evaluation: Evaluation, split, predictions: Path) -> None:
    """ROC.png, Precision_recall.png and sample_results.png of a run."""
    draw_curves(output, evaluation)
    result = evaluation.result
    scores = summary.image_jaccards(evaluation.counts)
    chosen = [(order, samples.pick(scores, order)[0]) for order in samples.ORDERS]
    rows = samples.sample_rows(split, chosen, scores, predictions)
    title = f"{result['run']}: best, median and worst of {result['images']} images ({result['split']})"
    sheets.sample_sheet(rows, output / "sample_results.png", split.classes, title)


def draw_curves(output, evaluation):
    """ROC.png and Precision_recall.png, a curve a class."""
    summaries = evaluation.result.get("classes", {evaluation.classes[0]: evaluation.result})
    roc = {}
    precision_recall = {}
    for (name, part), histogram in zip(summaries.items(), evaluation.scored.histograms, strict=False):
        pooled = part["pooled"]
        if math.isnan(pooled["roc_auc"]):  # only one kind of pixels: there is no curve
            continue
        label = report.spaced(name)
        false_rates, true_rates, _ = histogram.roc_curve()
        precisions, recalls, _ = histogram.precision_recall_curve()
        tp, fp, fn, tn = pooled["confusion_matrix"].values()
        prevalence = (tp + fn) / (tp + fp + fn + tn)
        roc[label] = (false_rates, true_rates, pooled["roc_auc"])
        precision_recall[label] = (recalls, precisions, pooled["average_precision"], prevalence)
    score_figures.roc(roc, output / "ROC.png")
    score_figures.precision_recall(precision_recall, output / "Precision_recall.png")
