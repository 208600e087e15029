"""How far the masks of an evaluation can be trusted: calibration, predicted quality, unusual images, groups of people.

    found = assess(scored, images, settings, options, kept)
    result |= found.result                 # "calibration", "quality", "unusual", "subgroups" of metrics.json
    keep(folder, images.classes, options, found)    # where all was fitted here, for inference/trust.py

On a run's own validation images temperatures and models of quality are fitted anew; the report then shows estimates
out of fold, while the temperature, one number for all pixels, is that of these very images. On others what is kept is
applied as it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import config
import metrics
import runs
from datasets import arrays, registry
from datasets.arrays import open_split
from datasets.split import Split
from evaluation import mask_quality, score_split, subgroups, summary, training_images
from evaluation.report_formats import Heading, Table, Text
from evaluation.score_split import Scored
from imaging import hair_removal
from inference import image_range, quality
from inference.trust import Trust
from utils.errors import UserError
from utils.threads import in_order

CALIBRATION = {"expected_calibration_error": "Expected calibration error", "brier": "Brier score"}


@dataclass
class Trusted:
    """trust: what was applied, or fitted. estimates: (images, classes), expected Jaccard, NaN where not known. result:
    parts of metrics.json. reasons: of each image, why it is unusual; None where there are no limits.
    """

    trust: Trust
    estimates: np.ndarray
    result: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] | None = None


def assess(
    scored: Scored, images: Split, settings: config.Settings, options: score_split.Options, kept: Trust | None
) -> Trusted:
    """What can be said of the masks of an evaluation.

    scored: with maps, not of mask files. images: the split that was scored. kept: what is kept with the run for these
    masks; None on its own validation images, where all is fitted anew.
    """
    jaccards = metrics.score("jaccard", scored.counts[options.variant], "none")
    features: Any = scored.features
    if kept is None:
        found = _fitted(scored, settings, options, jaccards)
    else:
        found = Trusted(kept, np.full(jaccards.shape, np.nan))
        for k, model in enumerate(kept.models):
            if model:
                found.estimates[:, k] = quality.estimate(model, features[:, k])
    if any(each != 1 for each in found.trust.temperatures):
        classes = _calibration(scored.histograms, images.classes, found.trust.temperatures)
        found.result["calibration"] = {"fitted_here": kept is None, "classes": classes}
    if any(found.trust.models):
        classes = _quality(found, scored, images.classes, jaccards)
        found.result["quality"] = {"out_of_fold": kept is None, "classes": classes}
    if found.trust.limits or any(model and "least" in model for model in found.trust.models):
        _add_unusual(found, scored, images, settings, jaccards)
    if len(images.classes) == 1 and images.masks is not None and _shows_skin(settings.data):
        areas = summary.true_areas(scored.counts[options.variant])
        found.result["subgroups"] = subgroups.measure(images, jaccards[:, 0], areas[:, 0])
    return found


def _fitted(scored, settings, options, jaccards):
    """Temperatures, models of quality and limits of a run's own images; its estimates are out of fold."""
    models: list[dict | None] = []
    estimates = np.full(jaccards.shape, np.nan)
    for k, threshold in enumerate(options.thresholds):
        if not mask_quality.is_enough(jaccards[:, k]):
            models.append(None)
            continue
        estimates[:, k] = mask_quality.out_of_fold(scored.features[:, k], jaccards[:, k])
        of_masks = {"threshold": threshold, "clean": options.clean}
        if len(options.thresholds) == 1:  # several classes need not be in an image
            of_masks["least"] = float(np.quantile(estimates[:, k], training_images.OUTSIDE))
        models.append(mask_quality.fit(scored.features[:, k], jaccards[:, k]) | of_masks)
    each = [histogram.temperature() for histogram in scored.histograms[: len(models)]]
    temperatures = [1.0 if math.isnan(temperature) else temperature for temperature in each]
    return Trusted(Trust(temperatures, models, _limits(settings)), estimates)


def keep(folder: Path, classes: Sequence[str], options: score_split.Options, found: Trusted) -> None:
    """Note with a run what was fitted on its own validation images.

    Temperatures take the place of those before, of masks made with test-time augmentation or without. Models of quality
    do so where masks were made as the run makes them by itself, at its own threshold and clean-up; other masks leave
    the run's models as they are. Limits stay where the training images are gone.
    """
    own = runs.settings(folder)
    before = runs.facts(folder).get("trust", {})
    variant = runs.variant(options.tta, clean=False)
    models = {name: model for name, model in zip(classes, found.trust.models, strict=True) if model}
    if (options.thresholds, options.clean) != ([own.threshold] * len(classes), own.clean):
        models = before.get(variant, {}).get("quality", {})
    news = {variant: {"temperatures": dict(zip(classes, found.trust.temperatures, strict=True)), "quality": models}}
    limits = found.trust.limits or before.get("images", {})
    runs.note(folder, trust=before | news | ({"images": limits} if limits else {}))


def _shows_skin(data):
    """Whether prepared data are of skin, as far as is known."""
    names = str(arrays.read_meta(data).get("dataset", "")).split("+")  # several together
    return all(one.skin for one in registry.TABLE.values() if one.name in names)


# === Calibration ===


def _calibration(histograms, classes, temperatures):
    found = {}
    for name, histogram, temperature in zip(classes, histograms, temperatures, strict=False):  # one of all together
        found[name] = {"temperature": temperature}
        for when, value in (("before", 1.0), ("after", temperature)):
            found[name][when] = {score: getattr(histogram, score)(temperature=value) for score in CALIBRATION}
    return found


def calibration_blocks(result: dict) -> list:
    found = result["calibration"]
    header = ["class", "temperature", *(f"{label}, {when}" for label in CALIBRATION.values() for when in WHEN)]
    rows = [
        [name.replace("_", " "), f"{part['temperature']:.2f}", *_calibration_cells(part)]
        for name, part in found["classes"].items()
    ]
    where = "on these images" if found["fitted_here"] else "on the run's validation images"
    note = (
        f"Temperature scaling: logits are divided by the temperature, found {where}. Probabilities that are given out"
        " are calibrated; masks are made as before, and no score of masks changes. The other scores of probabilities in"
        " this report are of the network's own."
    )
    return [Heading("Calibration"), Table(header, rows, note)]


WHEN = ("before", "after")


def _calibration_cells(part):
    return [_number(part[when][score]) for score in CALIBRATION for when in WHEN]


def _number(value, digits=4):
    return "undefined" if value is None or math.isnan(value) else f"{value:.{digits}f}"


# === Predicted quality ===


def _quality(found, scored, classes, jaccards):
    """How good the estimates of each class are that has a model."""
    return {
        name: mask_quality.measure(found.estimates[:, k], jaccards[:, k], scored.features[:, k])
        for k, name in enumerate(classes)
        if found.trust.models[k]
    }


def quality_blocks(result: dict) -> list:
    found = result["quality"]
    blocks: list = [Heading("Predicted quality of each mask")]
    for name, part in found["classes"].items():
        title = "ranked by" if len(found["classes"]) == 1 else name.replace("_", " ")
        header = [title, "Spearman", "95 % interval", "AUC", "95 % interval", "area of risk", "95 % interval"]
        rows = [[label, *_ranking_cells(part["rankings"][key])] for key, label in mask_quality.RANKINGS.items()]
        rows.append(["the true order", *[""] * 4, _number(part["least_risk_area"]), ""])
        blocks.append(Table(header, rows, _quality_note(part, found["out_of_fold"])))
    return blocks


def _ranking_cells(ranking):
    cells = []
    for name in ("spearman", "auc", "risk_area"):
        low, high = ranking["intervals"][name]
        between = "" if low is None or math.isnan(low) else f"{low:.3f}–{high:.3f}"
        cells += [_number(ranking[name], 4 if name == "risk_area" else 3), between]
    return cells


def _quality_note(part, out_of_fold):
    how = "by models of other folds of these images" if out_of_fold else "by the model of the run's validation images"
    return (
        f"{part['images']} masks, {part['low']} of them with a Jaccard below 0.65; estimated {how}, on average"
        f" {part['mean_error']:.3f} off. Spearman: correlation of ranks with the true Jaccard. AUC: for a Jaccard below"
        f" 0.65. Area of risk: 1 - Jaccard of the best fraction of the masks, mean of all fractions; of masks in no"
        f" order {part['risk']:.4f}."
    )


# === Unusual images ===


def _limits(settings):
    """The limits of a run's training images; {} where they are gone or too few."""
    try:
        return training_images.limits(open_split(settings.data, "train"), settings)
    except (FileNotFoundError, UserError):
        return {}


def _add_unusual(found, scored, images, settings, jaccards):
    areas = scored.features[:, :, len(quality.NAMES) + quality.BASELINES.index("area")]

    def work(number):
        image = np.asarray(images.images[number])
        shown = hair_removal.remove(image) if settings.remove_hair else image
        return found.trust.reasons(shown, areas[number].tolist(), found.estimates[number].tolist())

    each = list(in_order(work, range(len(images.ids))))
    found.reasons = [image_range.SEPARATOR.join(reasons) for reasons in each]
    flagged = np.array([bool(reasons) for reasons in each])
    counts: dict[str, int] = {}
    for reason in (reason for reasons in each for reason in reasons):
        counts[reason] = counts.get(reason, 0) + 1
    of_images = jaccards.mean(axis=1)
    found.result["unusual"] = {
        "images": int(flagged.sum()),
        "reasons": dict(sorted(counts.items(), key=lambda item: -item[1])),
        "jaccard": {name: _mean(of_images[rows]) for name, rows in (("unusual", flagged), ("others", ~flagged))},
    }


def _mean(values):
    return float(values.mean()) if len(values) else math.nan


def unusual_blocks(result: dict) -> list:
    found = result["unusual"]
    percent = 100 * found["images"] / result["images"]
    text = (
        f"{found['images']} of {result['images']} images ({percent:.1f} %) are unlike those that the run knows; mean"
        f" Jaccard {_number(found['jaccard']['unusual'], 3)}, of the others {_number(found['jaccard']['others'], 3)}."
    )
    rows = [[reason, str(count)] for reason, count in found["reasons"].items()]
    return [Heading("Unusual images"), Text(text), *([Table(["reason", "images"], rows)] if rows else [])]


# === In the report ===

SECTIONS = {
    "calibration": calibration_blocks,
    "quality": quality_blocks,
    "unusual": unusual_blocks,
    "subgroups": subgroups.blocks,
}
