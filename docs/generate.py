"""Writes the pages of the documentation that are made of the code, and the tutorial as a notebook.

    python docs/generate.py            # docs/reference/settings.md, commands.md, scores.md; docs/tutorial.ipynb

Settings come from the dataclass, commands from the help of their parsers and the docstrings of their files, scores from
the table metrics.SCORES, the notebook from docs/tutorial.md: its commands become cells, what they print is left out.
tests/test_docs.py compares the files with what this gives.
"""

import contextlib
import dataclasses
import importlib
import inspect
import io
import json
import os
import re
import sys
import typing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import config
import metrics
from evaluation import score_histogram, summary, surface_distances
from imaging.augmentations import Augmentations
from utils.files import replacing
from utils.settings import default_of

DOCS = Path(__file__).resolve().parent
MADE = "<!-- made by docs/generate.py: change the code, not this page -->"
COMMANDS = {  # what is typed: (module, subcommands, what it does)
    "dataset_isic18.py": ("dataset_isic18", (), "ISIC 2018 into prepared arrays"),
    "-m datasets": ("datasets.__main__", ("check",), "any data set, or your own, into prepared arrays"),
    "augmentation.py": ("augmentation", (), "offline augmentation, and a picture of every augmentation"),
    "train.py": ("train", (), "trains any network"),
    "evaluate.py": ("evaluate", (), "scores with intervals, curves, reports, comparisons"),
    "predict.py": ("predict", (), "masks for images of any size"),
    "submission.py": ("submission", (), "submissions of the ISIC 2018 challenge, and their check"),
    "visualize.py": (
        "visualize",
        ("curves", "samples", "errors", "attention", "gradcam", "labels", "predict", "distribution"),
        "pictures of runs and data",
    ),
    "export.py": ("export", (), "a run as one file for other runtimes"),
    "model.py": ("model", ("import",), "the networks; weights of the PyTorch originals"),
    "config.py": ("config", ("import",), "the settings; configurations of the attribute study"),
    "-m evaluation.model_card": ("evaluation.model_card", (), "the model card of a run anew"),
    "-m evaluation.release": ("evaluation.release", (), "a run as one small file that is handed on"),
    "-m imaging.hair_removal": ("imaging.hair_removal", (), "hair removal on photographs"),
}


def table(titles, rows):
    """A Markdown table."""
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    return "\n".join([*lines, *(f"| {' | '.join(cell(text) for text in row)} |" for row in rows)])


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


# === Settings ===


def settings():
    """The page of settings."""
    parts = [
        MADE,
        "# Settings\n\nValues come from the defaults, then YAML files (`--config FILE`), then the command line"
        " (`--learning_rate 1e-3`, `--options.width 16`, `--flip`, `--no_flip`); `python config.py` prints this list."
        " Lengths are pixels, angles degrees, unless it is said otherwise.",
    ]
    augmentations = {field.name for field in dataclasses.fields(Augmentations)}
    training = {field.name for field in dataclasses.fields(config.TrainingSettings)}
    for title, names in (
        ("Training", training),
        ("Augmentation of every batch", augmentations),
        ("Masks, validation and the best epoch", {*config.NAMES} - training - augmentations),
    ):
        rows = [setting(field) for field in config.FIELDS if field.name in names]
        parts.append(f"## {title}\n\n{table(('setting', 'default', 'values', 'meaning'), rows)}")
    return "\n\n".join(parts) + "\n"


def setting(field):
    """The row of a setting."""
    default = default_of(field)
    shown = f'"{default}"' if isinstance(default, str) else "null" if default is None else str(default).lower()
    meaning = field.metadata["text"]
    if only := field.metadata["only"]:
        meaning += f" (only with {only[0]} {' or '.join(only[1])})"
    return f"`{field.name}`", f"`{shown}`", allowed(field), meaning


def allowed(field):
    """The values that a setting takes, as text."""
    if field.metadata["low"] is not None:
        return f"{field.metadata['low']:,} to {field.metadata['high']:,}"
    if field.type is bool:
        return "true, false"
    return words(field.type)


def words(kind):
    """A type hint in words."""
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(kind))
    if typing.get_origin(kind) in (dict, list):
        return {dict: "a dictionary", list: "a list of numbers"}[typing.get_origin(kind)]
    if parts := typing.get_args(kind):  # of a union
        return ", ".join(words(part) for part in parts)
    return {str: "text", int: "a whole number", float: "a number", type(None): "null"}[kind]


# === Commands ===


def commands():
    """The page of commands."""
    rows = [(f"[`python {typed}`](#{anchor(f'python {typed}')})", what) for typed, (_, _, what) in COMMANDS.items()]
    parts = [
        MADE,
        "# Commands\n\nOptions are spelled `--snake_case`; `--help` shows them in under a second. Settings are options"
        " of `train.py`, too: [settings](settings.md). What is written where: [files](files.md).",
        table(("command", "what it does"), rows),
    ]
    parts += [command(typed, *entry) for typed, entry in COMMANDS.items()]
    return "\n\n".join(parts) + "\n"


def anchor(title):
    """The anchor of a heading, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def command(typed, module, subcommands, what):
    """The part of a command: its manual, then its options."""
    loaded = importlib.import_module(module)
    parts = [f"## python {typed}", f"```text\n{inspect.getdoc(loaded)}\n```"]
    for words_before in ((), *((name,) for name in subcommands)):
        rows = arguments(help_of(loaded, words_before))
        if rows:
            title = " ".join(("Options", *(f"of `{name}`" for name in words_before)))
            parts.append(f"{title}:\n\n{table(('option', 'meaning'), rows)}")
    return "\n\n".join(parts)


def help_of(module, words_before):
    """What a command prints with --help."""
    printed = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "1000"  # so that nothing is wrapped
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            module.main([*words_before, "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return printed.getvalue()


def arguments(text):
    """Rows (option, meaning) of a help text, without --help and the settings, which have a page of their own."""
    rows = []
    inside = False
    for line in text.splitlines():
        if not line.startswith(" "):
            inside = line in ("options:", "positional arguments:") or (inside and not line)
        elif inside and re.match(r"  \S", line):
            name, _, meaning = line.strip().partition("  ")
            rows.append([name, meaning.strip()])
        elif inside:
            rows[-1][1] = f"{rows[-1][1]} {line.strip()}".strip()
    if "--learning_rate" in text:  # train.py, whose parser adds type and default to each
        rows = [(name, re.sub(r" ?\((type: [^()]*, )?default: [^()]*\)$", "", meaning)) for name, meaning in rows]
        rows = [row for row in rows if re.match(r"-*(\w*)", row[0])[1] not in config.NAMES]
    return [(f"`{name}`", meaning) for name, meaning in rows if not name.startswith(("-h", "{"))]


# === Scores ===


def scores():
    """The page of scores."""
    rows = [(f"`{name}`", one.label, formula(one), *of_score(one)) for name, one in metrics.SCORES.items()]
    titles = ("score", "in reports", "formula", "an image where it is 0/0", "kinds", "in `log.csv`")
    probabilities = [
        (f"`{name}`", label, " ".join(getattr(score_histogram.ScoreHistogram, name).__doc__.split()))
        for name, label in score_histogram.SCORES.items()
    ]
    distances = re.findall(r"^ {4,}(\w+) {2,}(.+)$", surface_distances.scores.__doc__, re.MULTILINE)
    parts = [
        MADE,
        "# Scores\n\nFrom counts of pixels: true and false positives and negatives, tp, fp, fn, tn, of each image and"
        " class, at the size of the true mask.",
        "## Of masks\n\n" + table(titles, rows),
        "By the mean of the thresholded Jaccard the challenge ranks Task 1.",
        "## Kinds\n\n" + "\n".join(f"- `{kind}`: {text}" for kind, text in summary.MEANING.items()),
        "Pooled scores that are 0/0 are undefined (null in `metrics.json`). 95 % intervals: the images are drawn anew"
        " 10,000 times, with replacement; of comparisons the same images for every run. Which kinds of a score runs are"
        " compared by:",
        table(
            ("kind", "scores"),
            [(f"`{kind}`", ", ".join(f"`{name}`" for name in metrics.main_scores(kind))) for kind in summary.MEANING],
        ),
        "## Of probabilities\n\n" + table(("score", "in reports", "meaning"), probabilities),
        "`presence`: how well the largest probability of an image detects that the class is in it at all, the area"
        " under the ROC curve over images.",
        "## Of boundaries\n\nWith `--boundary`; distances are Euclidean, between the centers of outline pixels.\n\n"
        + table(("score", "meaning"), [(f"`{name}`", text) for name, text in distances]),
        "The first two also in thousandths of the image's diagonal, `…_per_mille`. With one mask empty distances are"
        " undefined and F1 is 0; with both empty all are undefined.",
    ]
    return "\n\n".join(parts) + "\n"


def formula(one):
    """The formula of a score, from the docstring of its function."""
    text = one.formula.__doc__.split(";")[0].rstrip(".")
    return f"{text}; 0 below {one.cut}" if one.cut else text


def of_score(one):
    """The cells of a score that are not its names and formula."""
    kinds = ", ".join(f"`{kind}`" for kind in dict.fromkeys((*one.kinds, *one.main)))
    return f"{one.empty:g}", kinds, "yes" if one.logged else ""


# === The tutorial as a notebook ===


def notebook():
    """docs/tutorial.ipynb as text."""
    page = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    page = re.sub(r"```text\n.*?```\n*", "", page, flags=re.DOTALL)  # what commands print
    cells = []
    for number, part in enumerate(
        re.split(r"((?:<!-- not run: .*? -->\n)?```(?:sh|python)\n.*?```)", page, flags=re.DOTALL)
    ):
        code = re.fullmatch(r"```(sh|python)\n(.*?)```", part, flags=re.DOTALL)
        if code:
            cells.append(code_cell(number, in_notebook(code[2]) if code[1] == "sh" else code[2]))
        elif part.strip():
            cells.append({"cell_type": "markdown", "id": f"text-{number}", "metadata": {}, "source": lines(part)})
    cells.insert(1, code_cell("folder", "%cd .."))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def code_cell(number, source):
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": f"code-{number}",
        "metadata": {},
        "outputs": [],
        "source": lines(source),
    }


def in_notebook(source):
    """Commands as a cell runs them, all in one process, so that TensorFlow is imported once."""
    return re.sub(r"^python ", "%run ", source, flags=re.MULTILINE)


def lines(text):
    return text.strip().splitlines(keepends=True)


# === The script ===

PAGES = {
    "reference/settings.md": settings,
    "reference/commands.md": commands,
    "reference/scores.md": scores,
    "tutorial.ipynb": notebook,
}


def main():
    for name, write in PAGES.items():
        with replacing(DOCS / name) as temporary:
            temporary.write_text(write(), encoding="utf-8")
        print(DOCS / name)


if __name__ == "__main__":
    main()
