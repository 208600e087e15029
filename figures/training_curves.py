"""Training curves: the logs of one run or several against the epoch."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import metrics
from figures.style import head, light_grid, save
from imaging import palette
from utils.errors import UserError


class Line(NamedTuple):
    """One line of a panel: a column of a log, what it is called, and its color."""

    log: pd.DataFrame
    column: str
    label: str
    color: str


def curves(logs: str | Path | Iterable[str | Path], path: str | Path, title: str = "") -> None:
    """Draw training curves from one CSV log, or from several, one a run, in a color each.

    One log: loss and mean scores, validation solid and training dashed, and the learning rate. Several: validation
    alone; a run is named by the folder of its log. Columns read where present: epoch, loss, the logged scores of
    metrics.SCORES, the same with val_ before, learning_rate. FileNotFoundError, UserError: no such log, or none in it.
    """
    if isinstance(logs, str | os.PathLike):
        logs = [logs]
    paths = [Path(log) for log in logs]
    tables = [_read_log(log) for log in paths]
    if len(tables) == 1:
        panels = _panels_of_one(tables[0])
    else:
        panels = _panels_of_several({log.parent.name: table for log, table in zip(paths, tables, strict=True)})
    figure = Figure(figsize=(4.4 * len(panels), 3.6), layout="constrained")
    for axes, (name, lines) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        _draw_panel(axes, name, lines)
    head(figure, title, 9 if "\n" in title else 12)
    save(figure, path)


def _panels_of_one(log):
    """{panel: its lines} of one run."""
    first = palette.of_class(0)
    scores = {}
    for k, name in enumerate(metrics.logged()):
        scores |= {f"val_{name}": palette.of_class(k), name: palette.of_class(k)}
    columns = {
        "loss": {"val_loss": first, "loss": first},
        ", ".join(map(_title, metrics.logged())): scores,
        "learning rate": {"learning_rate": first},
    }
    return {
        panel: [Line(log, column, _title(column), color) for column, color in lines.items()]
        for panel, lines in columns.items()
    }


def _panels_of_several(logs):
    """{panel: its lines} of several runs, {name: log}."""
    return {
        _title(column): [Line(log, column, name, palette.of_class(k)) for k, (name, log) in enumerate(logs.items())]
        for column in ("val_loss", *(f"val_{name}" for name in metrics.logged()))
    }


def _draw_panel(axes, name, lines):
    for line in lines:
        if line.column in line.log:
            _draw_line(axes, line)
    light_grid(axes, xlabel="epoch", title=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    drawn = axes.get_lines()
    if name != "learning rate" and drawn:
        axes.legend(frameon=False, fontsize=8)
    elif any((line.get_ydata() > 0).any() for line in drawn):
        axes.set_yscale("log", nonpositive="mask")  # a schedule may begin or end at 0


def _draw_line(axes, line):
    log = line.log.dropna(subset=line.column)  # without the epochs that were not validated
    linestyle = "--" if line.column in ("loss", *metrics.logged()) else "-"  # dashed: of the training images
    marker = "o" if len(log) < 20 else None
    look = {"color": line.color, "linewidth": 1.6, "marker": marker, "markersize": 3}
    axes.plot(log["epoch"], log[line.column], linestyle, label=line.label, **look)


def _title(column):
    """The name of a column of the log for people."""
    if column.startswith("val_"):
        return f"validation {_title(column.removeprefix('val_'))}"
    return metrics.SCORES[column].short if column in metrics.SCORES else column.replace("_", " ")


def _read_log(path):
    if not path.exists():
        raise FileNotFoundError(f"{path}: no training log; python train.py --run {path.parent.name} writes it")
    try:
        log = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as problem:
        text = " ".join(str(problem).split())
        raise UserError(f"{path}: not a CSV log ({text}); expected columns epoch, loss, val_loss, …") from None
    if "epoch" not in log or log.empty:
        raise UserError(f"{path}: expected a column named epoch and a row, found columns {', '.join(log.columns)}")
    return log
