"""What a type checker finds for those who use the program as a library: `mypy` reads this file, nothing runs it.

Calls of functions without type hints are errors here (pyproject.toml), so that the public surface keeps its hints.
"""

from pathlib import Path
from typing import assert_type

import numpy as np

import config
import loss
import model
import runs
import train
from datasets.arrays import open_split
from datasets.split import Split
from evaluation import evaluate_run
from inference.predictor import Prediction
from predict import Predictor, load_predictor, predict
from visualize import main as visualize


def predictions(image: np.ndarray) -> None:
    predictor = load_predictor("isic18_cpu", threshold="best", tta=True)
    assert_type(predictor, Predictor)
    assert_type(predictor(image), Prediction)
    assert_type(predictor("photo.jpg"), Prediction)
    assert_type(predictor(["a.jpg", "b.jpg"]), list[Prediction])
    assert_type(predictor([image, Path("b.jpg")]), list[Prediction])
    assert_type(predictor.classes, list[str])
    assert_type(predictor.thresholds, list[float])
    assert_type(predictor.settings, config.Settings)
    masks, probabilities = predictor(image)
    assert_type(masks, np.ndarray)
    assert_type(probabilities, np.ndarray)
    assert_type(predict(predictor, [Path("a.jpg")], Path("masks")), dict[Path, str])


def run_folders() -> None:
    folder = runs.find("isic18_cpu")
    assert_type(folder, Path)
    assert_type(runs.settings(folder), config.Settings)
    assert_type(runs.name_of(folder), str)
    visualize(["curves", "--run", "isic18_cpu"])


def prepared_data() -> None:
    split = open_split("dataset_isic18", "train")
    assert_type(split, Split)
    assert_type(split.ids, list[str])


def training() -> None:
    assert_type(model.names(), list[str])
    network = model.build("unet", (128, 128, 3), width=16)
    network = model.load("checkpoint_best/isic18_cpu/model.keras")
    model.load_torch_weights(network, "weights.safetensors")
    loss.from_spec("bce + dice", class_weights=[1.0, 8.0])
    settings = config.load("configs/isic18_cpu.yaml")
    assert_type(settings, config.Settings)
    assert_type(train.train(settings, config.Launch(deterministic=True)), list[dict])
    assert_type(evaluate_run.evaluate("isic18_cpu", split="test"), dict | None)
