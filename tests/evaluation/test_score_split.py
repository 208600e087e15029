"""The pass over a split: source size, augmentation and clean-up, best thresholds, ensembles, distances, memory."""

import contextlib
import csv
import json
import shutil
import tracemalloc
from pathlib import Path

import cv2
import miniature
import numpy as np
import pytest
from isic_challenge_scoring.segmentation import SegmentationScore
from miniature import image_path, square, write_isic2018
from tiny_run import ATTRIBUTES, SIZE, bright, masks_of, network, save_data, save_run

import config
import evaluate
import runs
from datasets import isic2018
from datasets.arrays import open_split
from datasets.preparation import prepare
from evaluation import evaluate_run, score_split
from predict import load_predictor


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_memory_does_not_grow_with_the_images(garbage_as_usual):
    size, peaks = (100, 100), []
    model = network(size)
    settings = config.Settings(run="m", data="data", normalize="unit")
    for count in (500, 900):
        save_data(np.zeros((count, *size, 3), np.uint8), np.zeros((count, *size, 1), np.uint8), root=f"data{count}")
        split = open_split(f"data{count}", "test")
        tracemalloc.start()
        options = score_split.Options([0.5], batch_size=10)
        maps = score_split.probabilities([(model, settings)], split, options)
        score_split.score(maps, split, split.masks.__getitem__, None, options, Path("predictions"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 4e6  # the probabilities of 400 images more are 16 MB


# === At the source size ===


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A folder with official archives' folders in isic/, prepared at 12 × 16, and a run; masks are 48 × 64."""
    root = tmp_path_factory.mktemp("sources")
    with contextlib.chdir(root):
        write_isic2018(Path("isic"), {"train": 1, "test": 4})
        for number in range(5):
            split, id = ("train", "test")[number > 0], f"ISIC_{number:07}"
            grey = cv2.GaussianBlur(square(number), (0, 0), 4)
            miniature.save(image_path(Path("isic"), id, split), np.repeat(grey[..., None], 3, axis=-1))
        prepare.prepare(isic2018.TASKS[1], Path("data"), (12, 16), folders=Path("isic"))
        save_run("soft", size=(12, 16), batch_size=3)
        return root


def test_probabilities_are_resized_before_the_threshold(sources, monkeypatch):
    monkeypatch.chdir(sources)
    result = evaluate_run.evaluate("soft", "test")
    split, scores = open_split("data", "test"), []
    for number, image in enumerate(split.images):
        probabilities = 1 / (1 + np.exp(-20 * (image[..., 0].astype("float32") / 255 - 0.5)))
        expected = cv2.resize(probabilities, (64, 48), interpolation=cv2.INTER_LINEAR) >= 0.5
        written = cv2.imread(f"predictions/soft/test/{split.ids[number]}_segmentation.png", cv2.IMREAD_UNCHANGED)
        assert written.shape == (48, 64) and np.mean((written > 0) != expected) < 1e-3
        true = square(number + 1) > 0
        scores.append(np.sum(true & (written > 0)) / np.sum(true | (written > 0)))
    assert result["per_image"]["jaccard"] == pytest.approx(np.mean(scores), abs=1e-12)
    assert 0.7 < result["per_image"]["jaccard"] < 1
    assert (result["at"], result["size"]) == ("source", [12, 16])
    text = Path("output/soft/test/performances.txt").read_text(encoding="utf-8")
    assert "scored at the size of the true masks, from probabilities of 12 × 16 pixels" in text
    truth = Path("isic/ISIC2018_Task1_Test_GroundTruth")
    official = SegmentationScore.from_dir(truth, Path("predictions/soft/test")).macro_average
    assert result["per_image"]["jaccard"] == pytest.approx(official["jaccard"], abs=1e-12)


def test_the_size_is_named_when_the_originals_are_gone(sources, tmp_path, monkeypatch, capsys):
    shutil.copytree(sources, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    meta = json.loads(Path("data/meta.json").read_text())
    meta["source"][0]["folders"] = str(tmp_path / "gone")
    Path("data/meta.json").write_text(json.dumps(meta))
    with pytest.raises(SystemExit, match=r"gone; bring it back.*or score at the network's size: --at network"):
        evaluate.main(["--run", "soft", "--split", "test"])
    evaluate.main(["--run", "soft", "--split", "test", "--at", "network"])
    assert "scored at the network's size, 12 × 16 pixels" in capsys.readouterr().out


def test_a_split_without_masks_is_predicted_at_its_images_size():
    save_run("tiny")
    save_data(bright(10), None)
    assert evaluate_run.evaluate("tiny", "test") is None
    assert cv2.imread("predictions/tiny/test/ISIC_0000000_segmentation.png").shape[:2] == (40, 50)


# === Variants, thresholds, ensembles ===


def test_effects_of_poses_and_clean_up_in_one_pass():
    save_run("tiny")
    images = bright(10, 10)
    images[0, 3, 4] = 255  # a lone pixel
    save_data(images, masks_of((0, 10), (0, 10)))
    effects = evaluate_run.evaluate("tiny", "test", at="network", tta=True)["effects"]
    assert list(effects) == ["bare", "clean", "tta", "tta+clean"]
    found = [part["per_image"]["jaccard"] for part in effects.values()]
    assert found == pytest.approx(
        [(10 / 11 + 1) / 2, 1, (10 / 11 + 1) / 2, 1]
    )  # a network of single pixels has no pose
    assert effects["bare"]["pooled"]["jaccard"] == pytest.approx(20 / 21)
    assert list(evaluate_run.evaluate("tiny", "test", at="network")["effects"]) == ["bare", "clean"]


def test_the_best_threshold_is_kept_and_used():
    grey = np.full((2, *SIZE, 3), 140, np.uint8)  # probabilities of 0.73
    grey[:, :2] = 160  # and 0.93
    save_data(grey, masks_of((0, 10), (0, 10)), split="val")
    save_data(grey, masks_of((0, 10), (0, 10)), root="data2")
    save_run("tiny", level=0.5)
    with pytest.raises(ValueError, match=r"no best threshold for lesion yet: python evaluate\.py --run tiny --split"):
        evaluate_run.evaluate("tiny", "val", at="network", threshold="best")
    saved = (runs.BEST / "tiny" / "model.keras").stat().st_mtime_ns
    before = evaluate_run.evaluate("tiny", "val", at="network")
    assert before["per_image"]["jaccard"] == pytest.approx(0.5)
    assert before["best_thresholds"]["score"] == {"lesion": 1.0}
    facts = runs.facts(runs.BEST / "tiny")
    assert 0.73 < facts["thresholds"]["lesion"] < 0.93
    kept = "The thresholds are kept with the run: --threshold best."
    assert kept in Path("output/tiny/val_network/performances.txt").read_text(encoding="utf-8")
    assert facts["results"]["val_network"]["per_image"] == before["per_image"]
    alone = runs.BEST / "tiny" / "model.keras"  # handed on it has them inside
    assert runs.facts(alone) == {name: fact for name, fact in facts.items() if name != "results"}
    assert runs.settings(alone) == runs.settings(runs.BEST / "tiny") and alone.stat().st_mtime_ns == saved
    after = evaluate_run.evaluate("tiny", "test", data="data2", at="network", threshold="best")
    assert after["per_image"]["jaccard"] == 1 and after["threshold"] == facts["thresholds"]["lesion"]
    assert "They are not kept with the run" in Path("output/tiny/test_data2_network_best/performances.txt").read_text(
        encoding="utf-8"
    )
    assert list(runs.facts(runs.BEST / "tiny")["results"]) == ["val_network", "test_data2_network_best"]
    assert runs.facts(runs.BEST / "tiny")["thresholds"] == facts["thresholds"]


def test_attributes_have_a_best_threshold_each_and_those_without_one_the_runs_own():
    levels = np.uint8((100, 120, 140, 160))  # probabilities 0.10, 0.35, 0.73, 0.93 by row
    images = np.repeat(np.repeat(levels[:, None], 5, axis=1)[None, ..., None], 3, axis=-1)
    masks = np.zeros((1, *SIZE, 5), np.uint8)
    masks[0, 3:, :, 0] = masks[0, 1:, :, 1] = 1
    save_data(images, masks, split="val", classes=ATTRIBUTES)
    save_run("five", classes=5, threshold=0.6)
    evaluate_run.evaluate("five", "val", at="network")
    chosen = runs.facts(runs.BEST / "five")["thresholds"]
    assert list(chosen) == ATTRIBUTES and list(chosen.values())[2:] == [0.6] * 3
    assert 0.73 < chosen["pigment_network"] < 0.93 and 0.10 < chosen["negative_network"] < 0.35
    assert runs.facts(runs.BEST / "five")["challenge_thresholds"] == chosen  # nothing to choose between here
    assert evaluate_run.evaluate("five", "val", at="network", threshold="challenge")["threshold"] == chosen
    result = evaluate_run.evaluate("five", "val", at="network", threshold="best")
    assert result["threshold"] == chosen
    assert [scores["jaccard"] for scores in result["challenge"]["per_attribute"].values()] == [1, 1, 0, 0, 0]
    predictor = load_predictor("five", threshold="best")
    assert predictor.thresholds == list(chosen.values())
    assert predictor(images[0])[0][..., :2].sum(axis=(0, 1)).tolist() == [5, 15]


def test_an_ensemble_is_the_mean_of_probabilities():
    grey = np.full((1, *SIZE, 3), 110, np.uint8)  # 0.20 of one network, 0.98 of the other, mean 0.59
    grey[0, 2:] = 80  # 0.024, 0.83, mean 0.43
    save_data(grey, masks_of((0, 10)))
    save_run("strict", level=0.5)
    save_run("lax", level=0.235)
    for run, expected in (("strict", 0), ("lax", 0.5)):
        assert evaluate_run.evaluate(run, "test", at="network")["per_image"]["jaccard"] == expected
    evaluate.main(["--runs", "strict,lax", "--split", "test", "--at", "network"])
    result = json.loads(Path("output/strict+lax/test_network/metrics.json").read_text())
    assert (result["run"], result["per_image"]["jaccard"]) == ("strict+lax", 1)
    with pytest.raises(SystemExit):  # one or the other
        evaluate.main(["--runs", "strict,lax", "--run", "strict"])
    with pytest.raises(SystemExit, match="no best threshold is kept for an ensemble"):
        evaluate.main(["--runs", "strict,lax", "--split", "test", "--threshold", "best"])


def test_distances_between_outlines_on_request():
    save_run("tiny")
    save_data(bright(10, 10), masks_of((0, 10), (0, 0)))
    result = evaluate_run.evaluate("tiny", "test", at="network", boundary=True)
    assert result["boundary"]["hausdorff95"] == {"mean": 0, "median": 0, "undefined": 1}
    with open("output/tiny/test_network/per_image.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["hausdorff95"] for row in rows] == ["0.000000", ""]
    assert "Hausdorff" in Path("output/tiny/test_network/performances.txt").read_text()
