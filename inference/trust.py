"""What is kept with a run to say how far to trust it: temperatures, models of quality, limits of its training images.

    trust = of_run(path, classes, tta, clean, thresholds)
    trust.calibrated(probabilities)             # float32 (H, W, classes) → the same, calibrated
    trust.assess(image, maps, thresholds)       # Assessment(jaccards=[0.83], reasons=[])

evaluate.py --split val finds all of it on the run's validation and training images and notes it under `trust` in
run.json, inside the saved network and in exports: {"bare" or "tta": {"temperatures": {class: number}, "quality":
{class: model}}, "images": limits}. What was not found yet is left out: probabilities then are those of the network,
estimates None, reasons none. A model says of which masks it is, by "threshold" and "clean", and, of an only class, by
"least", below which estimate nearly no validation image was.
"""

import dataclasses
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import runs
from imaging import image_statistics
from inference import calibration, image_range, quality
from utils import errors

REMEDY = "was it edited? Evaluate the run on its validation images again, or copy the file again"


@dataclass
class Assessment:
    """jaccards: the expected Jaccard of each class's mask, None where not known. reasons: why the image is unusual."""

    jaccards: list[float | None]
    reasons: list[str] = field(default_factory=list)

    @property
    def why(self) -> str:
        """The reasons in one text."""
        return image_range.SEPARATOR.join(self.reasons)

    def lines(self, k: int | None = None) -> list[str]:
        """What is written on an overlay of class number k, or of all: the expected Jaccard, the lowest, and reasons."""
        known = [value for value in (self.jaccards if k is None else [self.jaccards[k]]) if value is not None]
        return [*(f"predicted Jaccard {min(known):.2f}" for _ in known[:1]), *self.reasons]


@dataclass
class Trust:
    """temperatures: one a class. models: of inference/quality.py, one a class or None. limits: of image_range or {}."""

    temperatures: list[float]
    models: list[dict | None]
    limits: dict

    @property
    def fingerprint(self) -> str:
        """A checksum of all of it, by which predictions are told apart; empty where nothing is known."""
        content = json.dumps(dataclasses.asdict(self), sort_keys=True)
        known = bool(self.limits) or any(self.models) or any(each != 1 for each in self.temperatures)
        return f"{zlib.crc32(content.encode()):08x}" if known else ""

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities, float32 (..., classes), brought by the temperatures to what they should be."""
        return calibration.apply(probabilities, self.temperatures)

    def assess(self, image: np.ndarray, maps: Sequence[np.ndarray], thresholds: Sequence[float]) -> Assessment:
        """What can be said of the masks of an image.

        image: uint8 (h, w, 3), as the network gets it. maps: of the network, float32 (h, w, classes): of the image as
        it is and, with test-time augmentation, the mean over its copies. thresholds: one a class.
        """
        jaccards: list[float | None] = []
        fractions = []
        for k, (model, threshold) in enumerate(zip(self.models, thresholds, strict=True)):
            fractions.append(float(np.mean(maps[-1][..., k] >= np.float32(threshold))))
            if model is None:
                jaccards.append(None)
                continue
            values = quality.features([each[..., k] for each in maps], threshold)
            jaccards.append(float(quality.estimate(model, values)))
        return Assessment(jaccards, self.reasons(image, fractions, jaccards))

    def reasons(self, image: np.ndarray, fractions: list[float], jaccards: Sequence[float | None]) -> list[str]:
        """Why an image is unusual, in words: those of image_range, and that its mask is not expected to be good.

        image: as above. fractions: of it that each class's mask takes before clean-up. jaccards: those expected, where
        known.
        """
        found = image_range.reasons(self.limits, image, fractions) if self.limits else []
        known = [(jaccard, model) for jaccard, model in zip(jaccards, self.models, strict=True) if model]
        return found + [image_range.UNCLEAR for jaccard, model in known if jaccard < model.get("least", 0)]


def nothing(classes: Sequence[str]) -> Trust:
    """Where nothing is known."""
    return Trust([1.0] * len(classes), [None] * len(classes), {})


def of_run(run: str | Path, classes: Sequence[str], tta: bool, clean: bool, thresholds: Sequence[float]) -> Trust:
    """What is kept with a run for masks that are made so. run: from what `runs.find` returns.

    A model of quality is one of masks of a threshold and a clean-up; for others there is none. UserError: it was
    edited, and cannot be used.
    """
    kept = runs.facts(run).get("trust", {})
    with errors.unreadable(run, REMEDY):
        own = kept.get(runs.variant(tta, clean=False), {})
        temperatures = [own.get("temperatures", {}).get(name, 1.0) for name in classes]
        if not all(calibration.LOWEST <= each <= calibration.HIGHEST for each in temperatures):
            raise ValueError(f"temperatures {temperatures}")
        models: list[dict | None] = []
        for name, threshold in zip(classes, thresholds, strict=True):
            model = own.get("quality", {}).get(name)
            fits = model and (model["threshold"], model["clean"]) == (threshold, clean)
            models.append(model if fits else None)
        trust = Trust(temperatures, models, kept.get("images", {}))
        _try(trust, tta)
    return trust


def _try(trust, tta):
    """Whatever is wrong with a Trust is raised here: it is used on an empty image."""
    classes = len(trust.models)
    maps = [np.zeros((8, 8, classes), np.float32)] * (2 if tta else 1)
    found = trust.assess(np.zeros((8, 8, 3), np.uint8), maps, [0.5] * classes)
    if trust.limits:
        values = np.zeros((1, image_statistics.COUNT))
        if not np.isfinite(image_range.distances(trust.limits, values)).all():
            raise ValueError("limits of the training images")
    if any(each is not None and np.isnan(each) for each in found.jaccards):
        raise ValueError("a model of quality")
