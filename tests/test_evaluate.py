"""Scoring a run: every number against hand-made masks or scikit-learn, every file, every message."""

import contextlib
import csv
import json
import os
import re
import shutil
import tracemalloc
from pathlib import Path

import cv2
import keras
import miniature
import numpy as np
import pytest
from isic_challenge_scoring import task2
from isic_challenge_scoring.segmentation import SegmentationScore
from miniature import image_path, square, write_isic2018
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

import config
import drawing
import evaluate
import runs
from datasets import isic2018, prepare
from datasets.prepared import Writer, open_split
from scores import stream, summary

SIZE = (4, 5)  # 20 pixels an image
ATTRIBUTES = ["pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules"]


def network(size=SIZE, classes=1, level=0.5):
    """Logits 20 (x - level) of the channels of a `unit` image, in turn: bright pixels are predicted."""
    inputs = keras.Input((*size, 3))
    layer = keras.layers.Conv2D(classes, 1)
    outputs = layer(inputs)
    kernel = np.zeros((1, 1, 3, classes), "float32")
    for k in range(classes):
        kernel[0, 0, k % 3, k] = 20
    layer.set_weights([kernel, np.full(classes, -20 * level, "float32")])
    return keras.Model(inputs, outputs)


def save_run(run, size=SIZE, classes=1, level=0.5, **settings):
    folder = runs.BEST / run
    folder.mkdir(parents=True)
    network(size, classes, level).save(folder / "model.keras")
    chosen = {"run": run, "data": "data", "normalize": "unit", "batch_size": 2, **settings}
    config.save(config.Settings(**chosen), folder / "settings.yaml")


def save_data(images, masks, split="test", root="data", classes=("lesion",)):
    """images: (N, H, W, 3) uint8; masks: (N, H, W, classes) or None. The ids are ISIC_0000000, ISIC_0000001, …"""
    with Writer(root, {"dataset": "tiny", "task": 1}, images.shape[1:3], classes) as writer:
        for i, image in enumerate(images):
            writer.add(split, f"ISIC_{i:07}", image, None if masks is None else masks[i], (40, 50))


def bright(*areas):
    """Images (N, 4, 5, 3) whose first pixels, so many as told, are white."""
    images = np.zeros((len(areas), 20, 3), np.uint8)
    for image, area in zip(images, areas, strict=True):
        image[:area] = 255
    return images.reshape(-1, *SIZE, 3)


def masks_of(*spans):
    """Masks (N, 4, 5, 1) that hold the pixels from start to stop."""
    masks = np.zeros((len(spans), 20), np.uint8)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[start:stop] = 1
    return masks.reshape(-1, *SIZE, 1)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Result and folder of four images: predicted 10 of 10, 10 where 5 to 15 is true, 4 and 0 where nothing is."""
    folder = tmp_path_factory.mktemp("scored")
    with contextlib.chdir(folder):
        save_run("tiny")
        save_data(bright(10, 10, 4, 0), masks_of((0, 10), (5, 15), (0, 0), (0, 0)))
        return evaluate.evaluate("tiny", "test", at="network"), folder


def test_scores_by_hand(scored):
    result, _ = scored
    # tp, fp, fn, tn of the images: 10 0 0 10, 5 5 5 5, 0 4 0 16, 0 0 0 20
    assert result["per_image"] == pytest.approx(
        {
            "jaccard": (1 + 1 / 3 + 0 + 1) / 4,
            "thresholded_jaccard": (1 + 0 + 0 + 1) / 4,
            "dice": (1 + 0.5 + 0 + 1) / 4,
            "accuracy": (1 + 0.5 + 0.8 + 1) / 4,
            "sensitivity": (1 + 0.5 + 1 + 1) / 4,
            "specificity": (1 + 0.5 + 0.8 + 1) / 4,
        }
    )
    pooled = dict(result["pooled"])
    assert pooled.pop("confusion_matrix") == {"tp": 15, "fp": 9, "fn": 5, "tn": 51}
    truth = [1] * 15 + [0] * 9 + [1] * 5 + [0] * 51
    score = [1] * 24 + [0] * 56
    assert pooled == pytest.approx(
        {
            "roc_auc": roc_auc_score(truth, score),
            "average_precision": average_precision_score(truth, score),
            "jaccard": 15 / 29,
            "dice": 30 / 44,
            "accuracy": 66 / 80,
            "sensitivity": 15 / 20,
            "specificity": 51 / 60,
            "precision": 15 / 24,
            "mcc": matthews_corrcoef(truth, score),
            "brier": 14 / 80,
            "expected_calibration_error": 14 / 80,
        },
        abs=1e-4,
    )


def write_truth(masks, classes=("lesion",)):
    """True masks as the challenge's scorer wants them, in a new folder truth/."""
    folder = Path("truth")
    folder.mkdir()
    for i, mask in enumerate(masks):
        drawing.write_masks(folder, f"ISIC_{i:07}", mask, classes)
    return folder


def test_the_challenge_scores_the_written_masks_alike(scored):
    result, folder = scored
    truth = write_truth(masks_of((0, 10), (5, 15), (0, 0), (0, 0)))
    official = SegmentationScore.from_dir(truth, folder / "predictions/tiny").macro_average
    official = {name.replace("threshold_", "thresholded_"): value for name, value in official.items()}
    assert result["per_image"] == pytest.approx(official, abs=1e-12)


def test_metrics_json(scored):
    saved = json.loads((scored[1] / "output/tiny/metrics.json").read_text())
    expected = {"run": "tiny", "data": "data", "split": "test", "images": 4, "size": [4, 5], "at": "network"}
    expected |= {"threshold": 0.5, "tta": False, "clean": False, "empty_masks": 2}
    assert {name: saved[name] for name in expected} == expected
    assert list(saved["per_image"]) == list(summary.PER_IMAGE)
    assert saved["per_image"]["jaccard"] == pytest.approx(7 / 12)
    low, high = saved["intervals"]["per_image"]["jaccard"]
    assert 0 <= low < 7 / 12 < high <= 1
    assert saved["versions"]["keras"] == keras.__version__


def test_per_image_csv(scored):
    with open(scored[1] / "output/tiny/per_image.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"ISIC_{i:07}" for i in range(4)]
    assert {row["class"] for row in rows} == {"lesion"}
    assert [rows[1][name] for name in ("height", "width", "tp", "fp", "fn", "tn")] == ["4", "5", *["5"] * 4]
    assert float(rows[1]["jaccard"]) == pytest.approx(1 / 3, abs=1e-6)
    assert float(rows[1]["thresholded_jaccard"]) == 0
    assert [row["empty_mask"] for row in rows] == ["False", "False", "True", "True"]
    assert rows[3]["precision"] == "" and rows[3]["dice"] == "1.000000"  # nothing predicted: precision is undefined


def test_files(scored):
    folder = scored[1]
    assert sorted(os.listdir(folder / "output/tiny")) == [
        "Precision_recall.png", "ROC.png", "metrics.json", "per_image.csv", "performances.txt", "report.html",
        "report.md", "sample_results.png", "scores.png", "thresholds.csv", "worst",
    ]  # fmt: skip
    assert sorted(os.listdir(folder / "output/tiny/worst")) == [  # worst first, the first of equals first
        f"{place:02}_ISIC_{i:07}.png" for place, i in enumerate([2, 1, 0, 3], 1)
    ]
    assert sorted(os.listdir(folder / "predictions/tiny")) == [f"ISIC_{i:07}_segmentation.png" for i in range(4)]
    mask = cv2.imread(folder / "predictions/tiny/ISIC_0000002_segmentation.png", cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8 and mask.ravel().tolist() == [255] * 4 + [0] * 16
    for name in ("ROC", "Precision_recall", "sample_results", "scores"):
        assert cv2.imread(folder / f"output/tiny/{name}.png").std() > 5


def test_performances_txt(scored):
    text = (scored[1] / "output/tiny/performances.txt").read_text(encoding="utf-8")
    words = [line.split() for line in text.splitlines()]
    assert "4 images scored at the network's size, 4 × 5 pixels; threshold 0.5." in text
    assert ["Jaccard", "0.5833", "0.5172"] in [line[:2] + line[3:4] for line in words]  # mean of images, then pooled
    assert ["Thresholded", "Jaccard", "(0", "below", "0.65)", "0.5000"] in [line[:6] for line in words]
    assert ["lesion", "15", "5", "9", "51"] in words
    assert "Empty true masks: 2 of 4" in text


def test_the_report_needs_no_other_file(scored):
    text = (scored[1] / "output/tiny/report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)|url\(|@import""", text)
    assert text.count('src="data:image/png;base64,') == 4  # figures
    assert text.count('src="data:image/jpeg;base64,') == 4  # the worst images
    for words in ("Run tiny, split test of data", "0.5833", "ISIC_0000002", "learning_rate", "tensorflow"):
        assert words in text
    markdown = (scored[1] / "output/tiny/report.md").read_text(encoding="utf-8")
    for words in ("| Jaccard | 0.5833 |", "](scores.png)", "](worst/01_ISIC_0000002.png)"):
        assert words in markdown


def test_threshold_from_the_run_and_from_the_call():
    grey = np.zeros((1, *SIZE, 3), np.uint8)
    grey[:, :2] = 120  # a probability of 0.36
    save_data(grey, masks_of((0, 10)))
    save_run("low", threshold=0.3)
    assert evaluate.evaluate("low", "test", at="network")["pooled"]["jaccard"] == 1
    assert evaluate.evaluate("low", "test", at="network", threshold=0.5)["pooled"]["jaccard"] == 0


def test_aucs_agree_with_scikit_learn(tmp_path):
    generator = np.random.default_rng(0)
    noise = cv2.GaussianBlur(generator.normal(size=(64, 64, 12)).astype("float32"), (0, 0), 6)
    truth = (np.moveaxis(noise, -1, 0) > 0.05).astype(np.uint8)[..., None]  # (12, 64, 64, 1)
    soft = np.stack([cv2.GaussianBlur(t.astype("float32"), (0, 0), 3) for t in truth[..., 0]])
    values = np.clip(soft + generator.normal(0, 0.25, soft.shape), 0, 1)
    images = np.repeat((values * 255).astype(np.uint8)[..., None], 3, axis=-1)
    save_data(images, truth)
    save_run("real", size=(64, 64), batch_size=5)
    pooled = evaluate.evaluate("real", "test", at="network")["pooled"]
    scores = 1 / (1 + np.exp(-20 * (images[..., 0] / 255 - 0.5)))
    assert pooled["roc_auc"] == pytest.approx(roc_auc_score(truth.ravel(), scores.ravel()), abs=1e-4)
    precision = average_precision_score(truth.ravel(), scores.ravel())
    assert pooled["average_precision"] == pytest.approx(precision, abs=1e-4)
    assert 0.7 < pooled["roc_auc"] < 0.999


def test_five_attributes():
    generator = np.random.default_rng(1)
    images = generator.integers(0, 2, (3, *SIZE, 3), np.uint8) * 255
    masks = generator.integers(0, 2, (3, *SIZE, 5), np.uint8)
    masks[..., 4] = 0  # no globules anywhere
    save_data(images, masks, classes=ATTRIBUTES)
    save_run("five", classes=5)
    result = evaluate.evaluate("five", "test", at="network")

    predicted = images[..., [0, 1, 2, 0, 1]] > 0  # (3, 4, 5, 5)
    both, either = (masks & predicted).sum(axis=(1, 2)), (masks | predicted).sum(axis=(1, 2))  # (3, 5)
    assert list(result["classes"]) == ATTRIBUTES
    for k, name in enumerate(ATTRIBUTES):
        one = result["classes"][name]
        assert one["pooled"]["jaccard"] == pytest.approx(both[:, k].sum() / either[:, k].sum())
        assert one["per_image"]["jaccard"] == pytest.approx(np.mean(both[:, k] / either[:, k]))
    assert result["pooled"]["jaccard"] == pytest.approx(both.sum() / either.sum())  # the challenge's overall score
    assert result["per_image"]["jaccard"] == pytest.approx(np.mean(both / either))
    assert result["pooled"]["roc_auc"] == pytest.approx(roc_auc_score(masks.ravel(), predicted.ravel()), abs=1e-4)
    official = task2.score(write_truth(masks, ATTRIBUTES), Path("predictions/five"))
    assert result["pooled"]["jaccard"] == pytest.approx(official["overall"], abs=1e-12)
    assert result["classes"]["streaks"]["pooled"]["dice"] == pytest.approx(official["streaks"]["dice"], abs=1e-12)
    assert result["classes"]["globules"]["empty_masks"] == result["empty_masks"] == 3
    assert result["classes"]["globules"]["pooled"]["roc_auc"] is None  # undefined without a true pixel
    means = [result["classes"][name]["pooled"]["roc_auc"] for name in ATTRIBUTES[:4]]
    assert result["class_mean"]["roc_auc"] == pytest.approx(np.mean(means))
    with open("output/five/performances.txt", encoding="utf-8") as file:
        text = file.read()
    assert "undefined" in text and "milia like cyst" in text and "together" in text and "mean of classes" in text
    assert len(os.listdir("predictions/five")) == 15
    mask = cv2.imread("predictions/five/ISIC_0000002_attribute_streaks.png", cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask > 0, predicted[2, ..., 2])


def test_split_without_masks(capsys):
    save_run("tiny")
    save_data(bright(10, 3, 5), None)
    assert evaluate.evaluate("tiny", "test", at="network") is None
    assert "has no masks for split 'test': predicted 3 images, nothing to score" in capsys.readouterr().out
    assert len(os.listdir("predictions/tiny")) == 3 and not os.path.exists("output/tiny")


def test_newest_run_and_validation_are_the_default(capsys):
    for age, run in ((0, "new"), (100, "old")):
        save_run(run)
        path = runs.BEST / run / "model.keras"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    save_data(bright(10), masks_of((0, 10)), split="val")
    evaluate.main(["--at", "network"])
    assert "Run new, split val of data" in capsys.readouterr().out


def test_other_data_and_batch_size():
    save_run("tiny", data="nowhere")
    save_data(bright(*range(7)), masks_of(*((0, n) for n in range(7))), root="other")
    evaluate.main(["--run", "tiny", "--split", "test", "--data", "other", "--batch_size", "3", "--at", "network"])
    with open("output/tiny/metrics.json") as file:
        saved = json.load(file)
    assert (saved["data"], saved["images"], saved["pooled"]["dice"]) == ("other", 7, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "tinny"], "error: no run 'tinny' in checkpoint_best/; there are: large, tiny"),
        (["--run", "tiny", "--data", "gone"], "error: gone/meta.json not found: .*dataset_isic18.py"),
        (["--run", "tiny", "--split", "train"], "error: 'data' has no split 'train'; it has: test"),
        (["--run", "large", "--split", "test"], "error: the network was made for images of 8 × 10, .* 4 × 5; .*8x10"),
        (["--run", "tiny", "--split", "test", "--data", "five"], "error: the network gives 1 masks .* five has 5"),
        (["--run", "tiny", "--split", "test", "--threshold", "2"], "error: threshold is 2.0, expected 0 to 1"),
    ],
)
def test_errors_in_one_line(arguments, message):
    save_run("tiny")
    save_run("large", size=(8, 10))
    save_data(bright(10), masks_of((0, 10)))
    save_data(bright(10), np.zeros((1, *SIZE, 5), np.uint8), root="five", classes=ATTRIBUTES)
    with pytest.raises(SystemExit, match=message) as caught:
        evaluate.main([*arguments, "--at", "network"])
    assert "\n" not in caught.value.code


def test_no_run_at_all():
    with pytest.raises(SystemExit, match="error: checkpoint_best/ holds no run; train one first"):
        evaluate.main([])


def test_a_full_disk_ends_the_run_in_one_line(monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    save_run("tiny")
    save_data(bright(10, 3), masks_of((0, 10), (0, 3)))
    monkeypatch.setattr(drawing, "write_png", refuse)
    with pytest.raises(SystemExit, match="No space left on device"):
        evaluate.main(["--run", "tiny", "--split", "test", "--at", "network"])
    assert not os.path.exists("output/tiny")


def test_memory_does_not_grow_with_the_images():
    size, peaks = (100, 100), []
    model = network(size)
    settings = config.Settings(run="m", data="data", normalize="unit")
    for count in (500, 900):
        save_data(np.zeros((count, *size, 3), np.uint8), np.zeros((count, *size, 1), np.uint8), root=f"data{count}")
        split = open_split(f"data{count}", "test")
        tracemalloc.start()
        options = stream.Options([0.5], batch_size=10)
        stream.score([(model, settings)], split, split.masks.__getitem__, None, options, Path("predictions"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 4e6  # the probabilities of 400 images more are 16 MB


def test_clean_and_tta_are_the_runs_choice_and_told(capsys):
    save_run("tiny", clean=True, tta=True)
    images = bright(10)
    images[0, 3, 4] = 255  # a lone pixel, away from the first two rows
    save_data(images, masks_of((0, 10)))
    result = evaluate.evaluate("tiny", "test", at="network")
    assert (result["clean"], result["tta"], result["per_image"]["jaccard"]) == (True, True, 1.0)
    text = capsys.readouterr().out
    assert "mirrored and turned copies" in text and "largest part" in text
    evaluate.main(["--run", "tiny", "--split", "test", "--no-clean", "--no-tta", "--at", "network"])
    bare = json.loads(Path("output/tiny/metrics.json").read_text())
    assert (bare["clean"], bare["tta"]) == (False, False)
    assert bare["per_image"]["jaccard"] == pytest.approx(10 / 11)


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
    result = evaluate.evaluate("soft", "test")
    split, scores = open_split("data", "test"), []
    for number, image in enumerate(split.images):
        probabilities = 1 / (1 + np.exp(-20 * (image[..., 0].astype("float32") / 255 - 0.5)))
        expected = cv2.resize(probabilities, (64, 48), interpolation=cv2.INTER_LINEAR) >= 0.5
        written = cv2.imread(f"predictions/soft/{split.ids[number]}_segmentation.png", cv2.IMREAD_UNCHANGED)
        assert written.shape == (48, 64) and np.mean((written > 0) != expected) < 1e-3
        true = square(number + 1) > 0
        scores.append(np.sum(true & (written > 0)) / np.sum(true | (written > 0)))
    assert result["per_image"]["jaccard"] == pytest.approx(np.mean(scores), abs=1e-12)
    assert 0.7 < result["per_image"]["jaccard"] < 1
    assert (result["at"], result["size"]) == ("source", [12, 16])
    text = Path("output/soft/performances.txt").read_text(encoding="utf-8")
    assert "scored at the size of the true masks, from probabilities of 12 × 16 pixels" in text
    truth = Path("isic/ISIC2018_Task1_Test_GroundTruth")
    official = SegmentationScore.from_dir(truth, Path("predictions/soft")).macro_average
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
    assert evaluate.evaluate("tiny", "test") is None
    assert cv2.imread("predictions/tiny/ISIC_0000000_segmentation.png").shape[:2] == (40, 50)


# === Variants, thresholds, ensembles ===


def test_effects_of_poses_and_clean_up_in_one_pass():
    save_run("tiny")
    images = bright(10, 10)
    images[0, 3, 4] = 255  # a lone pixel
    save_data(images, masks_of((0, 10), (0, 10)))
    effects = evaluate.evaluate("tiny", "test", at="network", tta=True)["effects"]
    assert list(effects) == ["bare", "clean", "tta", "tta+clean"]
    found = [part["per_image"]["jaccard"] for part in effects.values()]
    assert found == pytest.approx(
        [(10 / 11 + 1) / 2, 1, (10 / 11 + 1) / 2, 1]
    )  # a network of single pixels has no pose
    assert effects["bare"]["pooled"]["jaccard"] == pytest.approx(20 / 21)
    assert list(evaluate.evaluate("tiny", "test", at="network")["effects"]) == ["bare", "clean"]


def test_the_best_threshold_is_kept_and_used():
    grey = np.full((2, *SIZE, 3), 140, np.uint8)  # probabilities of 0.73
    grey[:, :2] = 160  # and 0.93
    save_data(grey, masks_of((0, 10), (0, 10)), split="val")
    save_data(grey, masks_of((0, 10), (0, 10)), root="data2")
    save_run("tiny", level=0.5)
    with pytest.raises(ValueError, match=r"no best threshold for lesion yet: python evaluate\.py --run tiny --split"):
        evaluate.evaluate("tiny", "val", at="network", threshold="best")
    before = evaluate.evaluate("tiny", "val", at="network")
    assert before["per_image"]["jaccard"] == pytest.approx(0.5)
    assert before["best_thresholds"]["score"] == {"lesion": 1.0}
    facts = runs.facts(runs.BEST / "tiny")
    assert 0.73 < facts["thresholds"]["lesion"] < 0.93
    assert facts["results"]["val"]["per_image"] == before["per_image"]
    after = evaluate.evaluate("tiny", "test", data="data2", at="network", threshold="best")
    assert after["per_image"]["jaccard"] == 1 and after["threshold"] == facts["thresholds"]["lesion"]
    assert list(runs.facts(runs.BEST / "tiny")["results"]) == ["val", "test of data2"]
    assert runs.facts(runs.BEST / "tiny")["thresholds"] == facts["thresholds"]


def test_an_ensemble_is_the_mean_of_probabilities():
    grey = np.full((1, *SIZE, 3), 110, np.uint8)  # 0.20 of one network, 0.98 of the other, mean 0.59
    grey[0, 2:] = 80  # 0.024, 0.83, mean 0.43
    save_data(grey, masks_of((0, 10)))
    save_run("strict", level=0.5)
    save_run("lax", level=0.235)
    for run, expected in (("strict", 0), ("lax", 0.5)):
        assert evaluate.evaluate(run, "test", at="network")["per_image"]["jaccard"] == expected
    evaluate.main(["--runs", "strict,lax", "--split", "test", "--at", "network"])
    result = json.loads(Path("output/strict+lax/metrics.json").read_text())
    assert (result["run"], result["per_image"]["jaccard"]) == ("strict+lax", 1)
    with pytest.raises(SystemExit):  # one or the other
        evaluate.main(["--runs", "strict,lax", "--run", "strict"])
    with pytest.raises(SystemExit, match="no best threshold is kept for an ensemble"):
        evaluate.main(["--runs", "strict,lax", "--split", "test", "--threshold", "best"])


def test_distances_between_outlines_on_request():
    save_run("tiny")
    save_data(bright(10, 10), masks_of((0, 10), (0, 0)))
    result = evaluate.evaluate("tiny", "test", at="network", boundary=True)
    assert result["boundary"]["hausdorff95"] == {"mean": 0, "median": 0, "undefined": 1}
    with open("output/tiny/per_image.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["hausdorff95"] for row in rows] == ["0.000000", ""]
    assert "Hausdorff" in Path("output/tiny/performances.txt").read_text()
