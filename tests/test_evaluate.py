"""Scoring a run: every number against hand-made masks or scikit-learn, every file, every message."""

import contextlib
import csv
import json
import os
import re
import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from figure_files import has_color
from isic_challenge_scoring import task2
from isic_challenge_scoring.segmentation import SegmentationScore
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score
from tiny_run import ATTRIBUTES, SIZE, bright, masks_of, save_data, save_run

import evaluate
import metrics
import runs
from datasets.arrays import open_split
from datasets.split import digest
from evaluation import evaluate_run
from imaging import mask_files, palette


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
        return evaluate_run.evaluate("tiny", "test", at="network"), folder


def test_training_images_that_are_others_than_they_were(capsys):
    save_run("tiny")
    save_data(bright(10, 4), masks_of((0, 10), (0, 4)), split="train")
    note = "note: data has other training images than when 'tiny' was trained; if it was divided anew, train may hold"
    for noted, expected in ((None, False), ("0123456789abcdef", True), (digest(open_split("data", "train")), False)):
        runs.note("checkpoint_best/tiny", **({"trained_on": noted} if noted else {}))
        evaluate_run.evaluate("tiny", "train", at="network")
        assert (note in capsys.readouterr().out) == expected


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
    score = [1] * 24 + [0] * 56  # as good as: what is lit or not has probabilities next to 1 and 0
    assert pooled == pytest.approx(
        {
            "roc_auc": roc_auc_score(truth, score),
            "average_precision": average_precision_score(truth, score),
            "jaccard": 15 / 29,
            "soft_jaccard": 15 / 29,
            "dice": 30 / 44,
            "soft_dice": 30 / 44,
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
        mask_files.write_masks(folder, f"ISIC_{i:07}", mask, classes)
    return folder


def test_the_challenge_scores_the_written_masks_alike(scored):
    result, folder = scored
    truth = write_truth(masks_of((0, 10), (5, 15), (0, 0), (0, 0)))
    official = SegmentationScore.from_dir(truth, folder / "predictions/tiny/test_network").macro_average
    official = {name.replace("threshold_", "thresholded_"): value for name, value in official.items()}
    assert result["per_image"] == pytest.approx(official, abs=1e-12)


def test_metrics_json(scored):
    saved = json.loads((scored[1] / "output/tiny/test_network/metrics.json").read_text())
    expected = {"run": "tiny", "data": "data", "split": "test", "images": 4, "size": [4, 5], "at": "network"}
    expected |= {"threshold": 0.5, "tta": False, "clean": False, "empty_masks": 2}
    assert {name: saved[name] for name in expected} == expected
    assert list(saved["per_image"]) == metrics.of_kind("per_image")
    assert saved["per_image"]["jaccard"] == pytest.approx(7 / 12)
    low, high = saved["intervals"]["per_image"]["jaccard"]
    assert 0 <= low < 7 / 12 < high <= 1
    assert saved["versions"]["keras"] == keras.__version__


def test_per_image_csv(scored):
    with open(scored[1] / "output/tiny/test_network/per_image.csv", newline="") as file:
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
    assert sorted(os.listdir(folder / "output/tiny/test_network")) == [
        "Precision_recall.png", "ROC.png", "metrics.json", "per_image.csv", "performances.txt", "report.html",
        "report.md", "sample_results.png", "scores.png", "thresholds.csv", "worst",
    ]  # fmt: skip
    assert sorted(os.listdir(folder / "output/tiny/test_network/worst")) == [  # worst first, the first of equals first
        f"{place:02}_ISIC_{i:07}.png" for place, i in enumerate([2, 1, 0, 3], 1)
    ]
    masks = sorted(os.listdir(folder / "predictions/tiny/test_network"))
    assert masks == [f"ISIC_{i:07}_segmentation.png" for i in range(4)]
    mask = cv2.imread(folder / "predictions/tiny/test_network/ISIC_0000002_segmentation.png", cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8 and mask.ravel().tolist() == [255] * 4 + [0] * 16
    drawn = {"ROC": palette.CLASSES[0], "Precision_recall": palette.CLASSES[0], "sample_results": palette.TRUTH}
    for name, color in (drawn | {"scores": palette.CLASSES[0]}).items():
        assert has_color(folder / f"output/tiny/test_network/{name}.png", color), name


def test_performances_txt(scored):
    text = (scored[1] / "output/tiny/test_network/performances.txt").read_text(encoding="utf-8")
    words = [line.split() for line in text.splitlines()]
    assert "4 images scored at the network's size, 4 × 5 pixels; threshold 0.5." in text
    assert ["Jaccard", "0.5833", "0.5172"] in [line[:2] + line[3:4] for line in words]  # mean of images, then pooled
    assert ["Thresholded", "Jaccard", "(0", "below", "0.65)", "0.5000"] in [line[:6] for line in words]
    assert ["lesion", "15", "5", "9", "51"] in words
    assert "Empty true masks: 2 of 4" in text


def test_the_report_needs_no_other_file(scored):
    text = (scored[1] / "output/tiny/test_network/report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)|url\(|@import""", text)
    assert text.count('src="data:image/png;base64,') == 4  # figures
    assert text.count('src="data:image/jpeg;base64,') == 4  # the worst images
    for words in ("Run tiny, split test of data", "0.5833", "ISIC_0000002", "learning_rate", "tensorflow"):
        assert words in text
    markdown = (scored[1] / "output/tiny/test_network/report.md").read_text(encoding="utf-8")
    for words in ("| Jaccard | 0.5833 |", "](scores.png)", "](worst/01_ISIC_0000002.png)"):
        assert words in markdown


def test_threshold_from_the_run_and_from_the_call():
    grey = np.zeros((1, *SIZE, 3), np.uint8)
    grey[:, :2] = 120  # a probability of 0.36
    save_data(grey, masks_of((0, 10)))
    save_run("low", threshold=0.3)
    assert evaluate_run.evaluate("low", "test", at="network")["pooled"]["jaccard"] == 1
    assert evaluate_run.evaluate("low", "test", at="network", threshold=0.5)["pooled"]["jaccard"] == 0


def test_aucs_agree_with_scikit_learn(tmp_path):
    generator = np.random.default_rng(0)
    noise = cv2.GaussianBlur(generator.normal(size=(64, 64, 12)).astype("float32"), (0, 0), 6)
    truth = (np.moveaxis(noise, -1, 0) > 0.05).astype(np.uint8)[..., None]  # (12, 64, 64, 1)
    soft = np.stack([cv2.GaussianBlur(t.astype("float32"), (0, 0), 3) for t in truth[..., 0]])
    values = np.clip(soft + generator.normal(0, 0.25, soft.shape), 0, 1)
    images = np.repeat((values * 255).astype(np.uint8)[..., None], 3, axis=-1)
    save_data(images, truth)
    save_run("real", size=(64, 64), batch_size=5)
    pooled = evaluate_run.evaluate("real", "test", at="network")["pooled"]
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
    result = evaluate_run.evaluate("five", "test", at="network")

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
    official = task2.score(write_truth(masks, ATTRIBUTES), Path("predictions/five/test_network"))
    challenge = dict(result["challenge"])
    assert challenge.pop("per_attribute") == {name: pytest.approx(official[name], abs=1e-12) for name in ATTRIBUTES}
    assert challenge == pytest.approx(official["micro_average"], abs=1e-12)
    assert result["effects"]["bare"]["challenge"] == pytest.approx(official["micro_average"], abs=1e-12)
    low, high = result["intervals"]["challenge"]["jaccard"]
    assert low < official["overall"] < high
    assert result["classes"]["globules"]["empty_masks"] == result["empty_masks"] == 3
    assert result["classes"]["globules"]["pooled"]["roc_auc"] is None  # undefined without a true pixel
    means = [result["classes"][name]["pooled"]["roc_auc"] for name in ATTRIBUTES[:4]]
    assert result["class_mean"]["roc_auc"] == pytest.approx(np.mean(means))
    with open("output/five/test_network/performances.txt", encoding="utf-8") as file:
        text = file.read()
    for header in ("Mean Jaccard", "Pooled Jaccard", "Challenge Jaccard"):
        assert header in text
    assert "Masks that mark nothing at all would have a mean Jaccard of " in text and "globules 1.00" in text
    assert "undefined" in text and "milia like cyst" in text and "together" in text and "mean (macro)" in text
    with open("output/five/test_network/classes.csv", newline="") as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert list(rows) == [*ATTRIBUTES, "mean (macro)", "all together"]
    assert [rows[name]["images"] for name in rows] == ["3"] * 4 + ["0", "", ""]
    assert float(rows["all together"]["challenge_jaccard"]) == pytest.approx(official["overall"], abs=1e-6)
    expected = np.mean([result["classes"][name]["pooled"]["jaccard"] for name in ATTRIBUTES[:4]] + [0])
    assert float(rows["mean (macro)"]["jaccard"]) == pytest.approx(expected, abs=1e-6)
    assert len(os.listdir("predictions/five/test_network")) == 15
    mask = cv2.imread("predictions/five/test_network/ISIC_0000002_attribute_streaks.png", cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask > 0, predicted[2, ..., 2])


def test_presence_and_soft_scores_of_each_attribute():
    """Whether an attribute is present is detected by the brightest pixel; soft scores are those of probabilities."""
    images = np.zeros((4, *SIZE, 3), np.uint8)
    images[:, 0, 0, 0] = (10, 100, 120, 200)
    masks = np.zeros((4, *SIZE, 5), np.uint8)
    masks[[1, 3], 0, 0, 0] = 1  # in two of four images: brighter than the others in three of four pairs
    masks[:, 0, 0, 1] = 1  # in all: there is nothing to tell apart
    save_data(images, masks, classes=ATTRIBUTES)
    save_run("five", classes=5)
    result = evaluate_run.evaluate("five", "test", at="network")
    assert result["presence"] == {"auc": 0.75, "per_class": {"pigment_network": 0.75} | dict.fromkeys(ATTRIBUTES[1:])}
    maps = 1 / (1 + np.exp(-20 * (images[..., [0, 1, 2, 0, 1]] / 255 - 0.5)))
    both = (masks * maps).sum(axis=(0, 1, 2))  # (5,)
    areas = masks.sum(axis=(0, 1, 2)) + maps.sum(axis=(0, 1, 2))
    assert result["class_mean"]["soft_jaccard"] == pytest.approx(np.mean(both / (areas - both)), rel=1e-4)
    assert result["class_mean"]["soft_dice"] == pytest.approx(np.mean(2 * both / areas), rel=1e-4)
    with open("output/five/test_network/per_image.csv", newline="") as file:
        peaks = [float(row["largest_probability"]) for row in csv.DictReader(file)][::5]
    assert peaks == pytest.approx(maps[..., 0].max(axis=(1, 2)), abs=1e-5)
    assert "Presence AUC" in Path("output/five/test_network/performances.txt").read_text(encoding="utf-8")


def test_split_without_masks(capsys):
    save_run("tiny")
    save_data(bright(10, 3, 5), None)
    assert evaluate_run.evaluate("tiny", "test", at="network") is None
    assert "has no masks for split 'test': predicted 3 images, nothing to score" in capsys.readouterr().out
    assert len(os.listdir("predictions/tiny/test_network")) == 3 and not os.path.exists("output/tiny")


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
    with open("output/tiny/test_other_network/metrics.json") as file:
        saved = json.load(file)
    assert (saved["data"], saved["images"], saved["pooled"]["dice"]) == ("other", 7, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "tinny"], "error: no run 'tinny' in checkpoint_best/; there are: large, pretrained, .*tiny"),
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


def test_no_run_at_all(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "SHIPPED", tmp_path)
    with pytest.raises(SystemExit, match=r"error: checkpoint_best/ holds no run, and .* is missing; train one first"):
        evaluate.main([])


def test_a_full_disk_ends_the_run_in_one_line(monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    save_run("tiny")
    save_data(bright(10, 3), masks_of((0, 10), (0, 3)))
    monkeypatch.setattr(mask_files, "write_png", refuse)
    with pytest.raises(SystemExit, match="No space left on device"):
        evaluate.main(["--run", "tiny", "--split", "test", "--at", "network"])
    assert not os.path.exists("output/tiny")


def test_clean_and_tta_are_the_runs_choice_and_stand_in_the_report(capsys):
    save_run("tiny", clean=True, tta=True)
    images = bright(10)
    images[0, 3, 4] = 255  # a lone pixel, away from the first two rows
    save_data(images, masks_of((0, 10)))
    result = evaluate_run.evaluate("tiny", "test", at="network")
    assert (result["clean"], result["tta"], result["per_image"]["jaccard"]) == (True, True, 1.0)
    text = capsys.readouterr().out
    assert "test-time augmentation" in text and "largest connected component" in text
    evaluate.main(["--run", "tiny", "--split", "test", "--no-clean", "--no-tta", "--at", "network"])
    bare = json.loads(Path("output/tiny/test_network_no_tta_no_clean/metrics.json").read_text())
    assert (bare["clean"], bare["tta"]) == (False, False)
    assert bare["per_image"]["jaccard"] == pytest.approx(10 / 11)


@pytest.mark.parametrize("run", ["checkpoint_best/tiny", "checkpoint_best/tiny/model.keras", "alone.keras"])
def test_a_run_is_found_by_its_path_too(run):
    save_run("tiny")
    save_data(bright(10), masks_of((0, 10)))
    file = runs.BEST / "tiny" / "model.keras"
    runs.seal(file, runs.settings(file.parent), classes=["lesion"])
    shutil.copyfile(file, "alone.keras")
    evaluate.main(["--run", run, "--split", "test", "--at", "network"])
    name = runs.name_of(run)
    assert json.loads(Path("output", name, "test_network/metrics.json").read_text())["run"] == name
    assert ("results" in runs.facts(file.parent)) == (name == "tiny")  # a file that stands alone stays as it is


def test_the_part_that_is_scored_has_an_older_spelling():
    parser = evaluate.parser()
    assert parser.parse_args([]).part == "backbone"
    assert parser.parse_args(["--part", "head"]).part == parser.parse_args(["--output", "head"]).part == "head"
    assert "--output" not in parser.format_help()
