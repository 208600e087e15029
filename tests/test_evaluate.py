"""Scoring a run: every number against hand-made masks or scikit-learn, every file, every message."""

import contextlib
import csv
import json
import os
import tracemalloc
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from isic_challenge_scoring import task2
from isic_challenge_scoring.segmentation import SegmentationScore
from sklearn.metrics import average_precision_score, roc_auc_score

import config
import evaluate
import runs
from datasets.prepared import Writer, open_split
from visualize import write_masks

SIZE = (4, 5)  # 20 pixels an image
ATTRIBUTES = ["pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules"]


def network(size=SIZE, classes=1):
    """Logits 20 (x - 0.5) of the channels of a `unit` image, in turn: bright pixels are predicted."""
    inputs = keras.Input((*size, 3))
    layer = keras.layers.Conv2D(classes, 1)
    outputs = layer(inputs)
    kernel = np.zeros((1, 1, 3, classes), "float32")
    for k in range(classes):
        kernel[0, 0, k % 3, k] = 20
    layer.set_weights([kernel, np.full(classes, -10, "float32")])
    return keras.Model(inputs, outputs)


def save_run(run, size=SIZE, classes=1, **settings):
    folder = runs.BEST / run
    folder.mkdir(parents=True)
    network(size, classes).save(folder / "model.keras")
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
        return evaluate.evaluate("tiny", "test"), folder


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
        },
        abs=1e-4,
    )


def write_truth(masks, classes=("lesion",)):
    """True masks as the challenge's scorer wants them, in a new folder truth/."""
    folder = Path("truth")
    folder.mkdir()
    for i, mask in enumerate(masks):
        write_masks(folder, f"ISIC_{i:07}", mask, classes)
    return folder


def test_the_challenge_scores_the_written_masks_alike(scored):
    result, folder = scored
    truth = write_truth(masks_of((0, 10), (5, 15), (0, 0), (0, 0)))
    official = SegmentationScore.from_dir(truth, folder / "predictions/tiny").macro_average
    official = {name.replace("threshold_", "thresholded_"): value for name, value in official.items()}
    assert result["per_image"] == pytest.approx(official, abs=1e-12)


def test_metrics_json(scored):
    saved = json.loads((scored[1] / "output/tiny/metrics.json").read_text())
    names = ["run", "data", "split", "images", "size", "threshold", "tta", "clean", "empty_masks"]
    names += ["pooled", "per_image"]
    assert list(saved) == names
    assert [saved[name] for name in names[:9]] == ["tiny", "data", "test", 4, [4, 5], 0.5, False, False, 2]
    assert list(saved["per_image"]) == list(evaluate.PER_IMAGE)
    assert saved["per_image"]["jaccard"] == pytest.approx(7 / 12)


def test_per_image_csv(scored):
    with open(scored[1] / "output/tiny/per_image.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"ISIC_{i:07}" for i in range(4)]
    assert {row["class"] for row in rows} == {"lesion"}
    assert [rows[1][name] for name in ("tp", "fp", "fn", "tn")] == ["5"] * 4
    assert float(rows[1]["jaccard"]) == pytest.approx(1 / 3, abs=1e-6)
    assert float(rows[1]["thresholded_jaccard"]) == 0
    assert [row["empty_mask"] for row in rows] == ["False", "False", "True", "True"]
    assert rows[3]["precision"] == "" and rows[3]["dice"] == "1.000000"  # nothing predicted: precision is undefined


def test_files(scored):
    folder = scored[1]
    assert sorted(os.listdir(folder / "output/tiny")) == [
        "Precision_recall.png", "ROC.png", "metrics.json", "per_image.csv", "performances.txt", "sample_results.png",
    ]  # fmt: skip
    assert sorted(os.listdir(folder / "predictions/tiny")) == [f"ISIC_{i:07}_segmentation.png" for i in range(4)]
    mask = cv2.imread(folder / "predictions/tiny/ISIC_0000002_segmentation.png", cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8 and mask.ravel().tolist() == [255] * 4 + [0] * 16
    for name in ("ROC", "Precision_recall", "sample_results"):
        assert cv2.imread(folder / f"output/tiny/{name}.png").std() > 5


def test_performances_txt(scored):
    text = (scored[1] / "output/tiny/performances.txt").read_text(encoding="utf-8")
    words = [line.split() for line in text.splitlines()]
    assert ["4", "images", "of", "4", "×", "5", "pixels,", "threshold", "0.5"] in words
    assert ["Jaccard", "0.5172"] in words and ["Jaccard", "0.5833"] in words  # pooled, then mean of images
    assert ["Thresholded", "Jaccard", "(0", "below", "0.65)", "0.5000"] in words
    assert ["true", "lesion", "15", "5"] in words and ["not", "lesion", "9", "51"] in words
    assert words[2][:6] == ["Empty", "true", "masks:", "2", "of", "4"]


def test_threshold_from_the_run_and_from_the_call():
    grey = np.zeros((1, *SIZE, 3), np.uint8)
    grey[:, :2] = 120  # a probability of 0.36
    save_data(grey, masks_of((0, 10)))
    save_run("low", threshold=0.3)
    assert evaluate.evaluate("low", "test")["pooled"]["jaccard"] == 1
    assert evaluate.evaluate("low", "test", threshold=0.5)["pooled"]["jaccard"] == 0


def test_aucs_agree_with_scikit_learn(tmp_path):
    generator = np.random.default_rng(0)
    noise = cv2.GaussianBlur(generator.normal(size=(64, 64, 12)).astype("float32"), (0, 0), 6)
    truth = (np.moveaxis(noise, -1, 0) > 0.05).astype(np.uint8)[..., None]  # (12, 64, 64, 1)
    soft = np.stack([cv2.GaussianBlur(t.astype("float32"), (0, 0), 3) for t in truth[..., 0]])
    values = np.clip(soft + generator.normal(0, 0.25, soft.shape), 0, 1)
    images = np.repeat((values * 255).astype(np.uint8)[..., None], 3, axis=-1)
    save_data(images, truth)
    save_run("real", size=(64, 64), batch_size=5)
    pooled = evaluate.evaluate("real", "test")["pooled"]
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
    result = evaluate.evaluate("five", "test")

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
    assert "undefined" in text and "milia like cyst" in text and "together" in text
    assert len(os.listdir("predictions/five")) == 15
    mask = cv2.imread("predictions/five/ISIC_0000002_attribute_streaks.png", cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask > 0, predicted[2, ..., 2])


def test_split_without_masks(capsys):
    save_run("tiny")
    save_data(bright(10, 3, 5), None)
    assert evaluate.evaluate("tiny", "test") is None
    assert "has no masks for split 'test': predicted 3 images, nothing to score" in capsys.readouterr().out
    assert len(os.listdir("predictions/tiny")) == 3 and not os.path.exists("output/tiny")


def test_newest_run_and_validation_are_the_default(capsys):
    for age, run in ((0, "new"), (100, "old")):
        save_run(run)
        path = runs.BEST / run / "model.keras"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    save_data(bright(10), masks_of((0, 10)), split="val")
    evaluate.main([])
    assert "Run new, split val of data" in capsys.readouterr().out


def test_other_data_and_batch_size():
    save_run("tiny", data="nowhere")
    save_data(bright(*range(7)), masks_of(*((0, n) for n in range(7))), root="other")
    evaluate.main(["--run", "tiny", "--split", "test", "--data", "other", "--batch_size", "3"])
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
        evaluate.main(arguments)
    assert "\n" not in caught.value.code


def test_no_run_at_all():
    with pytest.raises(SystemExit, match="error: checkpoint_best/ holds no run; train one first"):
        evaluate.main([])


def test_a_full_disk_ends_the_run_in_one_line(monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    save_run("tiny")
    save_data(bright(10, 3), masks_of((0, 10), (0, 3)))
    monkeypatch.setattr(evaluate.visualize, "write_png", refuse)
    with pytest.raises(SystemExit, match="No space left on device"):
        evaluate.main(["--run", "tiny", "--split", "test"])
    assert not os.path.exists("output/tiny")


def test_memory_does_not_grow_with_the_images():
    size, peaks = (100, 100), []
    model = network(size)
    settings = config.Settings(run="m", data="data", normalize="unit", batch_size=50)
    for count in (500, 900):
        save_data(np.zeros((count, *size, 3), np.uint8), np.zeros((count, *size, 1), np.uint8), root=f"data{count}")
        split = open_split(f"data{count}", "test")
        tracemalloc.start()
        evaluate.score(model, split, settings, Path("predictions"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 4e6  # the probabilities of 400 images more are 16 MB


def test_clean_and_tta_are_the_runs_choice_and_told(capsys):
    save_run("tiny", clean=True, tta=True)
    images = bright(10)
    images[0, 3, 4] = 255  # a lone pixel, away from the first two rows
    save_data(images, masks_of((0, 10)))
    result = evaluate.evaluate("tiny", "test")
    assert (result["clean"], result["tta"], result["per_image"]["jaccard"]) == (True, True, 1.0)
    text = capsys.readouterr().out
    assert "mirrored and turned copies" in text and "largest part" in text
    evaluate.main(["--run", "tiny", "--split", "test", "--no-clean", "--no-tta"])
    bare = json.loads(Path("output/tiny/metrics.json").read_text())
    assert (bare["clean"], bare["tta"]) == (False, False)
    assert bare["per_image"]["jaccard"] == pytest.approx(10 / 11)
