"""Comparison of scored runs: one table, and the differences to the first run with paired 95 % intervals.

    compare(["unet", "as_net"])     # reads output/RUN/, writes output/compare_unet_as_net/

The runs must have been scored on the same images by the same true masks. In each of 10,000 resamples of the images
every run is scored on the same ones, so that what makes an image hard does not blur the difference. Which scores are
compared says the column `main` of metrics.SCORES.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import metrics
from evaluation import bootstrap, report, report_formats, summary
from evaluation.report import between, number
from evaluation.write_results import without_nan, write_text
from figures import scores as score_figures
from utils.errors import UserError

OUTPUT = Path("output")
DIFFERENT = 10  # images to list


@dataclass
class Run:
    """A scored run: metrics.json, and Counts (images, classes) of images in the order of their ids."""

    name: str
    result: dict
    ids: list[str]
    classes: list[str]
    counts: metrics.Counts


def compare(names: list[str]) -> str:
    """Write comparison.json, .csv and .png, report.md and report.html; returns the tables as text.

    Raises FileNotFoundError for a run that is not scored, UserError for runs that cannot be compared.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(f"a comparison needs two runs or more, each once; received {', '.join(names)}")
    runs = [_read(name) for name in names]
    for other in runs[1:]:
        _check(runs[0], other)
    found, labels = _compared(runs)

    output = OUTPUT / f"compare_{'_'.join(names)}"
    title = f"Comparison: {', '.join(names)}"
    shown = {label: [scores[key] for scores in found.values()] for key, label in labels.items()}
    score_figures.comparison(output / "comparison.png", names, shown)
    rows = [_flat(name, key, values) for name, scores in found.items() for key, values in scores.items()]
    blocks = _blocks(runs, found, labels)
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
    table = pd.read_csv(folder / "per_image.csv", dtype={"id": str, "class": str}, keep_default_na=False)
    return Run(name, result, *summary.table_counts(table.sort_values("id", kind="stable")))


def _check(first, other):
    """UserError unless both runs were scored on the same images by the same true masks."""
    same = first.ids == other.ids and first.classes == other.classes
    if same:
        true, others = (np.stack([c.tp + c.fn, sum(c)]) for c in (first.counts, other.counts))
        same = np.array_equal(true, others)
    if not same:
        each = "; ".join(
            f"{run.name}: {len(run.ids)} images, split {run.result['split']}, {run.result['at']} size"
            for run in (first, other)
        )
        raise UserError(
            f"not scored on the same true masks ({each}): score both anew, with one --split, --data and --at"
        )


def _compared(runs):
    """The runs' scores by which runs are compared, and their differences to the first run.

    Returns {run: {key: {"score", "interval", "difference", "difference_interval", "p"}}} and {key: label}.
    """
    exact = [summary.summarize(run.counts, None, run.classes) for run in runs]
    drawn = [summary.draws(run.counts, "challenge" in exact[0]) for run in runs]
    compared = summary.main_scores(exact[0])
    found = {}
    for k, run in enumerate(runs):
        found[run.name] = {}
        for key, (kind, name, _) in compared.items():
            differences = drawn[k][kind][name] - drawn[0][kind][name]  # (draws,)
            found[run.name][key] = {
                "score": exact[k][kind][name],
                "interval": exact[k]["intervals"][kind][name],
                "difference": exact[k][kind][name] - exact[0][kind][name],
                "difference_interval": bootstrap.interval(differences),
                "p": bootstrap.two_sided(differences),
            }
    return found, {key: label for key, (_, _, label) in compared.items()}


# === Report ===


def _blocks(runs, found, labels):
    return [
        report_formats.Text(_what(runs[0].result)),
        *_settings(runs),
        report_formats.Heading("Scores"),
        _score_table(found, labels),
        report_formats.Heading(f"Differences to {runs[0].name}"),
        _difference_table(runs[0].name, found, labels),
        report_formats.Pictures([("comparison.png", "Scores and differences with their 95 % intervals.")]),
        *_most_different(runs),
    ]


def _what(result):
    where = f"{result['images']} images"
    if result["split"]:
        where += f" of {result['data']}, split {result['split']}"
    return f"{where}, scored at the {result['at']} size."


def _settings(runs):
    """How each run was scored; a warning where not all were scored in one way."""
    rows = []
    for run in runs:
        threshold = run.result["threshold"]
        if isinstance(threshold, dict):
            threshold = ", ".join(f"{value:g}" for value in threshold.values())
        options = ["yes" if run.result[key] else "no" for key in ("tta", "clean")]
        rows.append([run.name, "" if threshold is None else str(threshold), *options])
    header = ["run", "threshold", "test-time augmentation", "clean-up"]
    note = ""
    if len({tuple(row[2:]) for row in rows}) > 1:
        note = "Not all runs were scored in one way: the differences are not those of the networks alone."
    return [report_formats.Heading("How the runs were scored"), report_formats.Table(header, rows, note)]


def _score_table(found, labels):
    rows = [
        [name, *(f"{number(s['score'])} ({between(s['interval'])})" for s in scores.values())]
        for name, scores in found.items()
    ]
    return report_formats.Table(["run", *labels.values()], rows, report.BOOTSTRAP)


def _difference_table(first, found, labels):
    rows = []
    for name, scores in found.items():
        for key, values in scores.items() if name != first else ():
            low, high = values["difference_interval"]
            p = "< 0.001" if values["p"] < 0.001 else f"{values['p']:.3f}"
            rows.append([f"{name}, {labels[key]}", f"{values['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", p])
    note = (
        "Paired bootstrap: both runs are scored on the same resamples of the images. p: two-sided, twice the fraction"
        " of resamples on the rarer side of 0."
    )
    return report_formats.Table(["run and score", "difference", "95 % interval", "p"], rows, note)


def _most_different(runs):
    """The images on which the Jaccard of the runs differs most."""
    jaccards = np.stack([summary.image_jaccards(run.counts) for run in runs])  # (runs, images)
    jaccards = np.nan_to_num(jaccards, nan=1.0)  # no positives in truth and prediction
    ranges = np.ptp(jaccards, axis=0)
    chosen = [i for i in np.argsort(-ranges, kind="stable")[:DIFFERENT] if ranges[i] > 0]
    if not chosen:
        return []
    rows = [[runs[0].ids[i], *(number(value, 3) for value in jaccards[:, i])] for i in chosen]
    return [
        report_formats.Heading("Images that differ most"),
        report_formats.Table(["image", *(run.name for run in runs)], rows, "Jaccard of single images."),
    ]
