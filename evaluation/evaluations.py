"""Evaluations on disk: a folder for each, output/RUN/EVALUATION, so that none overwrites another or mixes with it.

    output/RUN/report.html       all evaluations of a run in one table, with links to their reports
    output/RUN/test/             the split test as the run's own settings say
    output/RUN/test_no_tta/      what was asked for beside the run's own settings is in the name: other data, network
                                 (--at network), a threshold, tta or no_tta, clean or no_clean
    output/RUN/masks/            mask files of any tool (--masks)
    predictions/RUN/test/        the masks, in folders of the same names

An evaluation is given as the name of its run, which means the newest of that run, or as RUN/EVALUATION. Evaluations by
former versions of the program lie in output/RUN and predictions/RUN themselves and are found there.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

import config
import runs
from datasets import folds
from evaluation import report_formats, summary
from utils import errors
from utils.files import read_json, replacing

OUTPUT = Path("output")
PREDICTIONS = Path("predictions")
MASK_FILES = "masks"  # the evaluation of mask files of any tool


# === Names ===


def name_of(
    split: str, own: config.Settings, used: config.Settings, threshold: float | str | None = None, at: str = "source"
) -> str:
    """The name of an evaluation: its split, and what differs from the run's `own` settings.

    used: the settings with other data, tta or clean in them. threshold, at: as evaluate.evaluate takes them.
    """
    parts = [split]
    if folds.plain(used.data) != folds.plain(own.data):
        parts.append(re.sub(r"[^\w.-]+", "_", used.data).strip("_."))
    if at != "source":
        parts.append(at)
    if threshold is not None and threshold != own.threshold:
        parts.append(threshold if isinstance(threshold, str) else f"threshold_{threshold:g}")
    for option in ("tta", "clean"):
        if getattr(used, option) != getattr(own, option):
            parts.append(option if getattr(used, option) else f"no_{option}")
    return "_".join(parts)


def masks_of(folder: Path) -> Path:
    """The folder of the masks that belong to an evaluation, a folder in output/."""
    return PREDICTIONS / folder.relative_to(OUTPUT)


# === Reading ===


def read(folder: Path) -> dict:
    """The contents of metrics.json of an evaluation. UserError: it was damaged or edited."""
    path = folder / "metrics.json"
    remedy = f"python evaluate.py --run {_run_of(folder)} writes it anew"
    result = read_json(path, remedy)
    with errors.unreadable(path, remedy):
        return {"data": result["data"], "split": result["split"], **result}


def of_run(name: str) -> list[Path]:
    """The folders of all evaluations of a run, the newest last."""
    files = [OUTPUT / name / "metrics.json", *(OUTPUT / name).glob("*/metrics.json")]
    return [file.parent for file in sorted((f for f in files if f.is_file()), key=lambda f: f.stat().st_mtime_ns)]


def find(name: str, split: str | None = None) -> Path:
    """The folder of an evaluation.

    name: of a run, whose newest evaluation it is, of `split` if one is given; or RUN/EVALUATION. FileNotFoundError:
    there is none such.
    """
    folder = OUTPUT / name
    if "/" in name and (folder / "metrics.json").is_file():
        return folder
    found = [each for each in of_run(name) if split is None or read(each)["split"] == split]
    if not found:
        run, _, evaluation = name.partition("/")
        there = ", ".join(f"{run}/{each.name}" for each in of_run(run)) if evaluation else ""
        remedy = (
            f"there are: {there}"
            if there
            else f"python evaluate.py --run {run}{f' --split {split}' if split else ''} does it"
        )
        raise FileNotFoundError(f"{folder}: not scored yet; {remedy}")
    return found[-1]


# === Tables ===


def table(folders: list[Path]) -> report_formats.Table:
    """A row an evaluation: how it was made, and its main scores; and for runs that differ in the seed alone their mean.

    folders: of evaluations, in output/.
    """
    results = {folder: read(folder) for folder in folders}
    columns: dict[str, tuple[str, str, str]] = {}
    for folder, result in results.items():
        with errors.unreadable(folder / "metrics.json", "python evaluate.py writes it anew"):
            columns |= summary.main_scores(result)
    rows = []
    values = {}  # (scores,) of each folder
    for folder, result in results.items():
        found = [result.get(kind, {}).get(score) for kind, score, _ in columns.values()]
        values[folder] = np.array([np.nan if each is None else each for each in found], float)
        rows.append([folder.relative_to(OUTPUT).as_posix(), _seed(folder), *_how(result), *map(_score, values[folder])])
    for group in _groups(folders):
        scores = np.stack([values[folder] for folder in group])  # (seeds, scores)
        cells = [
            "" if np.isnan(mean) else f"{mean:.3f} ± {deviation:.3f}"
            for mean, deviation in zip(scores.mean(axis=0), scores.std(axis=0, ddof=1), strict=True)
        ]
        seeds = ",".join(_seed(folder) for folder in group)
        rows.append([f"mean of {', '.join(_run_of(each) for each in group)}", seeds, *_how(results[group[0]]), *cells])
    header = [
        "evaluation",
        "seed",
        "images",
        "threshold",
        "TTA",
        "clean-up",
        *(label for _, _, label in columns.values()),
    ]
    note = "± is the standard deviation over runs that differ in nothing but the seed."
    return report_formats.Table(header, rows, note if len(rows) > len(folders) else "")


def _score(value):
    return "" if np.isnan(value) else f"{value:.3f}"


def _how(result):
    threshold = result.get("threshold")
    text = "" if threshold is None else "by class" if isinstance(threshold, dict) else f"{threshold:g}"
    return [str(result.get("images", "")), text, *("yes" if result.get(key) else "no" for key in ("tta", "clean"))]


def _run_of(folder):
    return folder.relative_to(OUTPUT).parts[0]


def _settings(folder):
    """The settings of the run of an evaluation, None where it is not in checkpoint_best/."""
    run = runs.BEST / _run_of(folder)
    return runs.settings(run) if (run / "settings.yaml").is_file() else None


def _seed(folder):
    settings = _settings(folder)
    return "" if settings is None else str(settings.seed)


def _groups(folders):
    """Lists of evaluations of one name whose runs differ in the seed alone, two or more each."""
    groups: dict[str, list[Path]] = {}
    for folder in folders:
        if settings := _settings(folder):
            same = dataclasses.replace(settings, run="", seed=0)
            groups.setdefault(f"{folder.name} {same}", []).append(folder)
    return [group for group in groups.values() if len({_run_of(each) for each in group}) == len(group) > 1]


def overview() -> str:
    """The evaluations of all runs as text. FileNotFoundError: there is none."""
    names = sorted(path.name for path in OUTPUT.iterdir() if path.is_dir()) if OUTPUT.is_dir() else []
    folders = [folder for name in names for folder in sorted(of_run(name))]
    if not folders:
        raise FileNotFoundError(f"{OUTPUT}/ holds no evaluation; python evaluate.py makes one")
    return report_formats.text("Evaluations", [table(folders)])


def write_overview(name: str) -> Path:
    """Write output/RUN/report.html, all evaluations of a run in one table with links to their reports; its path."""
    folders = [folder for folder in sorted(of_run(name)) if folder != OUTPUT / name]
    links = report_formats.Links([(f"{folder.name}/report.html", folder.name) for folder in folders])
    path = OUTPUT / name / "report.html"
    with replacing(path) as temporary:
        page = report_formats.html(
            f"Run {name}", [table(folders), report_formats.Heading("Reports"), links], path.parent
        )
        temporary.write_text(page, encoding="utf-8")
    return path
