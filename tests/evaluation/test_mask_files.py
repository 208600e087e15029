"""Mask files of any tool: the challenge's own scores, names, sizes, and what is refused."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from isic_challenge_scoring import task2
from isic_challenge_scoring.segmentation import SegmentationScore
from miniature import save

import evaluate
from datasets.isic2018 import ATTRIBUTES
from evaluation import mask_files
from imaging import mask_files as mask_images


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(folder, seed, classes=("lesion",), sizes=(3, 6)):
    """Five masks of blocks, the first one empty; the same sizes for every seed."""
    generator, shapes = np.random.default_rng(seed), np.random.default_rng(9)
    Path(folder).mkdir()
    for i in range(5):
        coarse = generator.random((*shapes.integers(*sizes, 2), len(classes))) < (i > 0) * 0.6
        mask = np.kron(coarse, np.ones((7, 8, 1), bool))
        mask_images.write_masks(folder, f"ISIC_{i:07}", mask, classes)


def test_lesion_masks_as_the_challenge_scores_them(capsys):
    write("truth", 1)
    write("found", 2)
    save(Path("found/ISIC_0009999_segmentation.png"), np.zeros((4, 4), np.uint8))
    evaluate.main(["--masks", "found", "--truth", "truth", "--run", "theirs", "--boundary"])
    result = json.loads(Path("output/theirs/masks/metrics.json").read_text())
    official = SegmentationScore.from_dir(Path("truth"), Path("found")).macro_average
    official = {name.replace("threshold_", "thresholded_"): value for name, value in official.items()}
    assert result["per_image"] == pytest.approx(official, abs=1e-12)
    assert 0 < result["per_image"]["jaccard"] < 1 and result["intervals"]["pooled"]["jaccard"]
    assert (result["run"], result["images"], result["at"], result["threshold"]) == ("theirs", 5, "source", None)
    output = capsys.readouterr().out
    assert "1 masks without truth are left out: ISIC_0009999" in output and "5 images scored at the size" in output
    assert {path.name for path in Path("output/theirs/masks").iterdir()} == {
        "metrics.json", "per_image.csv", "performances.txt", "report.html", "report.md", "scores.png", "worst",
    }  # fmt: skip
    worst = sorted(Path("output/theirs/masks/worst").iterdir())
    assert len(worst) == 5 and len(np.unique(cv2.imread(str(worst[0])).reshape(-1, 3), axis=0)) >= 4


def test_curves_of_an_earlier_evaluation_are_not_in_the_report():
    write("truth", 1)
    write("found", 2)
    save(Path("output/theirs/masks/ROC.png"), np.zeros((4, 4), np.uint8))
    evaluate.evaluate_masks(Path("found"), Path("truth"), 1, "theirs")
    text = Path("output/theirs/masks/report.md").read_text(encoding="utf-8")
    assert "](scores.png)" in text and "ROC" not in text


def test_attributes_as_the_challenge_scores_them():
    write("truth", 1, ATTRIBUTES)  # of several sizes: images count alike, whatever their number of pixels
    write("found", 2, ATTRIBUTES)
    result = evaluate.evaluate_masks(Path("found"), Path("truth"), 2, "theirs")
    official = task2.score(Path("truth"), Path("found"))
    assert result["challenge"]["jaccard"] == pytest.approx(official["overall"], abs=1e-12)
    assert result["challenge"]["jaccard"] != pytest.approx(result["pooled"]["jaccard"], abs=1e-4)
    for name in ATTRIBUTES:
        assert result["challenge"]["per_attribute"][name] == pytest.approx(official[name], abs=1e-12)
    assert "presence" not in result and "soft_dice" not in result["class_mean"]
    assert "Challenge Jaccard" in Path("output/theirs/masks/performances.txt").read_text(encoding="utf-8")
    assert list(result["classes"]) == list(ATTRIBUTES) and result["empty_masks"] == 5


def test_names_and_values_of_other_tools():
    truth = np.zeros((6, 8), np.uint8)
    truth[:3] = 255
    save(Path("truth/a_segmentation.png"), truth)
    save(Path("found/a.bmp"), truth // 255)  # no suffix, 0 and 1
    save(Path("found/b.tif"), truth)
    save(Path("truth/b_segmentation.png"), truth)
    Path("truth/._a_segmentation.png").write_bytes(b"of a file browser")
    pairs = mask_files.find_pairs("found", "truth", 1)
    assert [id for id, *_ in pairs] == ["a", "b"]
    for _, found, _ in pairs:
        assert mask_files.read(found)[..., 0].tolist() == (truth // 255).tolist()


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        (None, None, r"found: no such folder"),
        ("other.txt", None, r"found: no masks there; expected files named <id>_segmentation\.png"),
        ("b.png", np.zeros((6, 8), np.uint8), r"found: 1 masks are missing: a \(lesion\)"),
        ("a.png", np.zeros((3, 8), np.uint8), r"found/a\.png is 3 × 8, its truth truth/a\.png 6 × 8; bring the mask"),
        ("a.png", np.full((6, 8, 3), (0, 99, 200), np.uint8), r"found/a\.png: a color mask"),
        ("a_segmentation.png", np.zeros((6, 8), np.uint8), r"a\.png and .*a_segmentation\.png are masks of one id"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(name, pixels, message):
    save(Path("truth/a.png"), np.zeros((6, 8), np.uint8))
    if name == "other.txt":
        Path("found").mkdir()
    elif name:
        save(Path("found", name), pixels)
    if name == "a_segmentation.png":
        save(Path("found/a.png"), pixels)
    with pytest.raises(SystemExit, match=message) as caught:
        evaluate.main(["--masks", "found", "--truth", "truth", "--run", "theirs"])
    assert "\n" not in caught.value.code


def test_all_three_are_needed():
    with pytest.raises(SystemExit, match="mask files need all of --masks DIR, --truth DIR and --run NAME"):
        evaluate.main(["--masks", "found", "--truth", "truth"])
