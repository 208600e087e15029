"""How far masks can be trusted: reliability diagram, expected against true Jaccard, risk by coverage."""

import numpy as np
from matplotlib.figure import Figure

from figures.style import light_grid, save, words
from imaging import palette
from metrics import CUT

RANKED = ("solid", "dashed", "dotted", (0, (1, 3)))  # lines of a class's rankings, the model's first


def trust(path, histograms: dict, temperatures: dict[str, float], rankings: dict[str, tuple]) -> None:
    """Panels side by side, those for which there is something to draw.

    histograms: {class: evaluation.score_histogram.ScoreHistogram}. temperatures: {class: number}, maybe empty.
    rankings: {class: (expected Jaccard (images,), true one (images,), {label: risks (images,), as mask_quality gives
    them})}, maybe empty.
    """
    panels = bool(temperatures) + 2 * bool(rankings)
    figure = Figure(figsize=(4.2 * panels + 0.4, 4.3), layout="constrained")
    axes = list(np.ravel(figure.subplots(1, panels)))
    if temperatures:
        _reliability(axes.pop(0), histograms, temperatures)
    if rankings:
        _expected(axes[0], rankings)
        _risks(axes[1], rankings)
    save(figure, path)


def _reliability(axes, histograms, temperatures):
    axes.plot([0, 1], [0, 1], ":", color="0.6", linewidth=1.2)
    for k, (name, temperature) in enumerate(temperatures.items()):
        for style, each, when in (("--", 1.0, "before"), ("o-", temperature, "after")):
            probability, fraction, _ = histograms[name].reliability(temperature=each)
            error = histograms[name].expected_calibration_error(temperature=each)
            label = f"{when}, error {error:.4f}" if len(temperatures) == 1 else f"{words(name)} {when}, {error:.4f}"
            color = palette.of_class(2 * k + (when == "after") if len(temperatures) == 1 else k)
            axes.plot(probability, fraction, style, color=color, linewidth=1.4, markersize=3, label=label)
    labels = {"xlabel": "mean probability", "ylabel": "fraction of true pixels"}
    light_grid(axes, title="Calibration", xlim=(0, 1), ylim=(0, 1), aspect="equal", **labels)
    axes.legend(frameon=False, fontsize=8)


def _expected(axes, rankings):
    axes.plot([0, 1], [0, 1], ":", color="0.6", linewidth=1.2)
    axes.axhline(CUT, color="0.3", linestyle=":", linewidth=1)
    for k, (name, (expected, true, _)) in enumerate(rankings.items()):
        axes.plot(expected, true, "o", color=palette.of_class(k), markersize=3, alpha=0.5, label=words(name))
    limits = {"xlim": (0, 1.02), "ylim": (-0.02, 1.02), "aspect": "equal"}
    light_grid(axes, title="Predicted quality", xlabel="predicted Jaccard", ylabel="true Jaccard", **limits)
    if len(rankings) > 1:
        axes.legend(frameon=False, fontsize=8)


def _risks(axes, rankings):
    for k, (name, (_, _, risks)) in enumerate(rankings.items()):
        for number, (label, values) in enumerate(risks.items()):
            style = RANKED[number]
            color = palette.of_class(number if len(rankings) == 1 else k)
            coverage = np.arange(1, len(values) + 1) / len(values)
            text = label if len(rankings) == 1 else f"{words(name)}, {label}"
            axes.plot(
                coverage, values, color=color, linestyle=style, linewidth=1.5, label=f"{text}, {values.mean():.3f}"
            )
    labels = {"xlabel": "fraction of the masks that are kept", "ylabel": "risk: mean of 1 − Jaccard"}
    light_grid(axes, title="Risk and coverage, with the area", xlim=(0, 1), **labels)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
