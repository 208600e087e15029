"""Scored runs side by side: one table, and the differences to the first run with paired 95 % intervals.

    compare(["unet", "as_net"])     # reads output/RUN/, writes output/compare_unet_as_net/

The runs must have been scored on the same images by the same true masks. In each of 10,000 draws of the images every
run is scored on the same ones, so that what makes an image hard does not blur the difference.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import metrics
from datasets.isic2018 import ATTRIBUTES
from evaluation import bootstrap, report_formats, summary
from evaluation.report import between, number
from evaluation.write_results import without_nan, write_text
from figures import scores as score_figures
from utils.errors import UserError

OUTPUT = Path("output")
SCORES = {  # name: (kind, score, label)
    "jaccard": ("per_image", "jaccard", "Jaccard"),
    "thresholded_jaccard": ("per_image", "thresholded_jaccard", "Thresholded Jaccard"),
    "dice": ("per_image", "dice", "Dice"),
    "pooled_jaccard": ("pooled", "jaccard", "Pooled Jaccard"),
    "challenge_jaccard": ("challenge", "jaccard", "Challenge Jaccard"),
    "macro_jaccard": ("class_mean", "jaccard", "Macro Jaccard"),
    "macro_dice": ("class_mean", "dice", "Macro Dice"),
}
LESION_SCORES = ("jaccard", "thresholded_jaccard", "dice", "pooled_jaccard")
CLASS_SCORES = ("macro_jaccard", "macro_dice", "pooled_jaccard")
APART = 10  # images to list


@dataclass
class Run:
    """A scored run: metrics.json, and Counts (images, classes) of images in the order of their ids."""

    name: str
    result: dict
    ids: list[str]
    classes: list[str]
    counts: metrics.Counts


def compare(names):
    """Write comparison.json, .csv and .png, report.md and report.html; returns the tables as text.

    Raises FileNotFoundError for a run that is not scored, UserError for runs that cannot be compared.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(f"a comparison needs two runs or more, each once; received {', '.join(names)}")
    runs = [_read(name) for name in names]
    for other in runs[1:]:
        _check(runs[0], other)
    found = _compared(runs)

    output, title = OUTPUT / f"compare_{'_'.join(names)}", f"Compared: {', '.join(names)}"
    shown = {SCORES[key][-1]: [scores[key] for scores in found.values()] for key in found[names[0]]}
    score_figures.comparison(output / "comparison.png", names, shown)
    rows = [_flat(name, key, values) for name, scores in found.items() for key, values in scores.items()]
    blocks = _blocks(runs, found)
    kept = {key: runs[0].result[key] for key in ("data", "split", "at", "images")}
    write_text(output / "comparison.csv", pd.DataFrame(rows).to_csv(index=False, float_format="%.6f"))
    write_text(output / "comparison.json", json.dumps(without_nan(kept | {"runs": found}), indent=2) + "\n")
    write_text(output / "report.md", report_formats.markdown(title, blocks))
    write_text(output / "report.html", report_formats.html(title, blocks, output))
    return (
        report_formats.text(title, blocks)
        + f"\nreport      {output}/report.html, report.md, comparison.json, .csv, .png\n"
    )


def _flat(run, score, values):
    """A row of comparison.csv; an interval becomes two columns."""
    row = {"run": run, "name": score}
    for key, value in values.items():
        row |= {f"{key}_low": value[0], f"{key}_high": value[1]} if isinstance(value, list) else {key: value}
    return row


def _read(name):
    folder = OUTPUT / name
    if not (folder / "metrics.json").is_file() or not (folder / "per_image.csv").is_file():
        raise FileNotFoundError(f"{folder}: not scored yet; python evaluate.py --run {name} does it")
    result = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    table = pd.read_csv(folder / "per_image.csv", dtype={"id": str})
    return Run(name, result, *summary.table_counts(table.sort_values("id", kind="stable")))


def _check(first, other):
    """UserError unless both runs were scored on the same images by the same true masks."""
    same = first.ids == other.ids and first.classes == other.classes
    if same:
        true, others = (np.stack([c.tp + c.fn, sum(c)]) for c in (first.counts, other.counts))
        same = np.array_equal(true, others)
    if not same:
        told = "; ".join(
            f"{run.name}: {len(run.ids)} images, split {run.result['split']}, {run.result['at']} size"
            for run in (first, other)
        )
        raise UserError(
            f"not scored on the same true masks ({told}): score both anew, with one --split, --data and --at"
        )


def _scores(run):
    """Which scores are compared: those by which masks of such classes are ranked."""
    if len(run.classes) == 1:
        return LESION_SCORES
    return ("challenge_jaccard", *CLASS_SCORES) if tuple(run.classes) == ATTRIBUTES else CLASS_SCORES


def _compared(runs):
    """{run: {score: {"score", "interval", "difference", "difference_interval", "p"}}}; to the first run."""
    found, base, kept = {}, None, _scores(runs[0])
    for run in runs:
        exact = summary.summarize(run.counts, None, run.classes)
        drawn = summary.draws(run.counts, "challenge" in exact)
        base = base or drawn
        found[run.name] = {}
        for key in kept:
            kind, name, _ = SCORES[key]
            apart = drawn[kind][name] - base[kind][name]  # (draws,)
            found[run.name][key] = {
                "score": exact[kind][name],
                "interval": exact["intervals"][kind][name],
                "difference": exact[kind][name] - found[runs[0].name][key]["score"] if run is not runs[0] else 0.0,
                "difference_interval": bootstrap.interval(apart),
                "p": bootstrap.two_sided(apart),
            }
    return found


# === Report ===


def _blocks(runs, found):
    result, first = runs[0].result, runs[0].name
    labels = {key: SCORES[key][-1] for key in found[first]}
    scores = [
        [name, *(f"{number(s['score'])} ({between(s['interval'])})" for s in scores.values())]
        for name, scores in found.items()
    ]
    differences = [
        [f"{name}, {labels[key]}", *_difference(values)]
        for name, scores in found.items()
        for key, values in scores.items()
        if name != first
    ]
    where = f"{result['images']} images" + f" of {result['data']}, split {result['split']}" * bool(result["split"])
    how = [[run.name, *_settings(run.result)] for run in runs]
    return [
        report_formats.Text(f"{where}, scored at the {result['at']} size."),
        report_formats.Heading("Scores"),
        report_formats.Table(
            ["run", *labels.values()], scores, "With 95 % intervals, 10,000 draws of the images with replacement."
        ),
        report_formats.Heading(f"Differences to {first}"),
        report_formats.Table(
            ["run and score", "difference", "95 % interval", "p"],
            differences,
            "Paired: both runs are scored on the same draws. p: twice the share of draws on the rarer side of 0.",
        ),
        report_formats.Pictures([("comparison.png", "Scores and differences with their 95 % intervals.")]),
        *_most_different(runs),
        report_formats.Heading("How the runs were scored"),
        report_formats.Table(["run", "threshold", "mean over poses", "clean-up"], how),
    ]


def _difference(values):
    low, high = values["difference_interval"]
    return f"{values['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{values['p']:.3f}"


def _settings(result):
    threshold = result["threshold"]
    if isinstance(threshold, dict):
        threshold = ", ".join(f"{value:g}" for value in threshold.values())
    return ["" if threshold is None else str(threshold), *("yes" if result[key] else "no" for key in ("tta", "clean"))]


def _most_different(runs):
    """The images on which the Jaccard of the runs lies farthest apart."""
    jaccards = np.stack([summary.image_jaccards(run.counts) for run in runs])  # (runs, images)
    jaccards = np.nan_to_num(jaccards, nan=1.0)  # nothing to mark, nothing marked
    apart = np.ptp(jaccards, axis=0)
    chosen = [i for i in np.argsort(-apart, kind="stable")[:APART] if apart[i] > 0]
    if not chosen:
        return []
    rows = [[runs[0].ids[i], *(number(value, 3) for value in jaccards[:, i])] for i in chosen]
    return [
        report_formats.Heading("Where they differ most"),
        report_formats.Table(["image", *(run.name for run in runs)], rows, "Jaccard of single images."),
    ]
