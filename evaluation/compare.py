"""Comparison of scored runs: one table, and the differences to the first run with paired 95 % intervals.

    compare(["unet", "as_net"])     # reads output/RUN/EVALUATION/, writes output/compare_unet_as_net/

The runs must have been scored on the same images by the same true masks. In each of 10,000 resamples of the images
every run is scored on the same ones, so that what makes an image hard does not blur the difference. Which scores are
compared says the column `main` of metrics.SCORES.
"""

import contextlib
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

import metrics
import runs as run_folders
from evaluation import bootstrap, evaluations, report, report_formats, summary
from evaluation.report import between, number
from evaluation.write_results import without_nan, write_text
from figures import scores as score_figures
from utils import errors
from utils.errors import UserError

OUTPUT = evaluations.OUTPUT
HOW = ("threshold", "test-time augmentation", "clean-up")
DIFFERENT = 10  # images to list


@dataclass
class Run:
    """A scored run: metrics.json, and Counts (images, classes) of images in the order of their ids."""

    name: str
    result: dict
    ids: list[str]
    classes: list[str]
    counts: metrics.Counts


def compare(names: list[str], split: str | None = None) -> str:
    """Write comparison.json, .csv and .png, report.md and report.html; returns the tables as text.

    names: of runs, of which the newest evaluation is taken that all of them have, of `split` if one is given; or
    RUN/EVALUATION. FileNotFoundError: one is not scored; UserError: they cannot be compared.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(f"a comparison needs two runs or more, each once; received {', '.join(names)}")
    runs = [_read(name, folder) for name, folder in _folders(names, split).items()]
    for other in runs[1:]:
        _check(runs[0], other)
    found, labels = _compared(runs)

    output = OUTPUT / f"compare_{'_'.join(names)}".replace("/", "_")
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


def _folders(names, split):
    """{name: folder of its evaluation}."""
    whole = [name for name in names if "/" not in name]  # runs, not evaluations of them
    folders = {name: evaluations.find(name) for name in names if name not in whole}
    if folders and split is None:
        split = evaluations.read(next(iter(folders.values())))["split"]
    folders = {name: folders.get(name) or evaluations.find(name, split) for name in names}
    sets = [{folder.name: folder for folder in evaluations.of_run(name) if folder != OUTPUT / name} for name in whole]
    common = [key for key in (sets[0] if sets else {}) if all(key in each for each in sets)]  # the newest last
    if split:
        common = [key for key in common if evaluations.read(sets[0][key])["split"] == split]
    if common:
        folders |= {name: each[common[-1]] for name, each in zip(whole, sets, strict=True)}
    return folders


def _flat(run, score, values):
    """A row of comparison.csv; an interval becomes two columns."""
    row = {"run": run, "name": score}
    for key, value in values.items():
        row |= {f"{key}_low": value[0], f"{key}_high": value[1]} if isinstance(value, list) else {key: value}
    return row


def _read(name, folder):
    result = evaluations.read(folder)
    with errors.unreadable(folder / "per_image.csv", f"python evaluate.py --run {name.split('/')[0]} writes it anew"):
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
            f"by per_image.csv not scored on the same true masks ({each}): score both anew, with one --split, --data"
            " and --at"
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
        *_warning(runs),
        *_settings(runs),
        *_training(runs),
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


def _warning(runs):
    """Names what was not the same in the scoring of all runs, if anything was."""
    rows = [_how(run)[1:] for run in runs]
    differ = [name for k, name in enumerate(HOW) if len({row[k] for row in rows}) > 1]
    if not differ:
        return []
    words = f"Not all runs were scored in one way ({', '.join(differ)}): the differences are not those of the networks"
    return [report_formats.Text(f"{words} alone.")]


def _how(run):
    """[name, threshold, whether test-time augmentation, whether clean-up] as text."""
    threshold = run.result["threshold"]
    if isinstance(threshold, dict):
        threshold = ", ".join(f"{value:g}" for value in threshold.values())
    options = ["yes" if run.result[key] else "no" for key in ("tta", "clean")]
    return [run.name, "" if threshold is None else str(threshold), *options]


def _settings(runs):
    """How each run was scored."""
    table = report_formats.Table(["run", *HOW], [_how(run) for run in runs])
    return [report_formats.Heading("How the runs were scored"), table]


def _training(runs):
    """The settings in which the trainings of the runs differ; mask files have none."""
    settings = {}
    for run in runs:
        with contextlib.suppress(FileNotFoundError):
            folder = run_folders.find(run.result.get("run", run.name))
            settings[run.name] = run_folders.main_settings(run_folders.settings(folder))
    names = dict.fromkeys(name for each in settings.values() for name in each)
    differ = [name for name in names if len({each.get(name) for each in settings.values()}) > 1]
    if not differ:
        return []
    rows = [[run, *(each.get(name, "default") for name in differ)] for run, each in settings.items()]
    return [
        report_formats.Heading("How the runs were trained, as far as they differ"),
        report_formats.Table(["run", *differ], rows),
    ]


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
