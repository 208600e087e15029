"""What the page has to know of a run, and where its files are."""

from pathlib import Path
from typing import Any

from inference import image_range
from inference.predictor import Predictor

FILES = Path(__file__).parent / "files"


def about(predictor: Predictor) -> dict[str, Any]:
    """What the page has to know of a run."""
    return {
        "run": predictor.name,
        "classes": list(predictor.classes),
        "thresholds": [float(value) for value in predictor.thresholds],
        "size": list(predictor.size),
        "clean": bool(predictor.settings.clean),
        "tta": bool(predictor.settings.tta),
        "temperatures": [float(value) for value in predictor.trust.temperatures],
        "reasons_of_mask": list(image_range.OF_MASK),
        "engine": "server",
    }
