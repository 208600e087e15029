"""Runs side by side: paired differences by hand, files, and runs that cannot be compared."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import evaluate
import metrics
from datasets.isic2018 import ATTRIBUTES
from evaluation import compare, summary


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_run(name, hit, true, ids=None, pixels=1000, **head):
    """A scored run: of each image's `true` pixels it found `hit`, and nothing else."""
    hit, true = np.array(hit)[:, None], np.array(true)[:, None]
    counts = metrics.Counts(hit, np.zeros_like(hit), true - hit, pixels - true)
    ids = ids or [f"{i:03}" for i in range(len(hit))]
    folder = Path("output", name)
    folder.mkdir(parents=True)
    summary.image_table(counts, ids, ["lesion"], [(20, 50)] * len(ids)).to_csv(folder / "per_image.csv", index=False)
    result = {"run": name, "data": "d", "split": "test", "at": "source", "images": len(ids)}
    result |= {"threshold": 0.5, "tta": True, "clean": False, **head}
    (folder / "metrics.json").write_text(json.dumps(result))
    return counts


def test_paired_differences():
    generator = np.random.default_rng(0)
    true = generator.integers(100, 900, 50)
    weak = (true * generator.uniform(0.2, 0.8, 50)).astype(int)
    one, two = write_run("weak", weak, true), write_run("strong", weak + 20, true)
    evaluate.main(["--compare", "weak", "strong"])
    result = json.loads(Path("output/compare_weak_strong/comparison.json").read_text())
    assert (result["data"], result["split"], result["images"]) == ("d", "test", 50)
    found = result["runs"]["strong"]["jaccard"]
    assert found["score"] == pytest.approx(metrics.score("jaccard", two))
    assert found["difference"] == pytest.approx(metrics.score("jaccard", two) - metrics.score("jaccard", one))
    apart = metrics.score("jaccard", two, "none") - metrics.score("jaccard", one, "none")
    half = 1.96 * apart.std() / np.sqrt(50)  # of the differences, much less than of the scores
    low, high = found["difference_interval"]
    assert (low, high) == pytest.approx((apart.mean() - half, apart.mean() + half), abs=0.1 * half)
    assert high - low < 0.5 * (found["interval"][1] - found["interval"][0])
    assert found["p"] == 0
    assert result["runs"]["weak"]["jaccard"]["difference"] == 0 and result["runs"]["weak"]["jaccard"]["p"] == 1
    pooled = result["runs"]["strong"]["pooled_jaccard"]
    assert pooled["score"] == pytest.approx((weak + 20).sum() / true.sum())


def test_ids_are_text_whatever_they_look_like():
    ids = ["001", "1e5", "NA", "nan", "null", "True"]
    write_run("one", [1, 2, 3, 4, 5, 6], [9] * 6, ids)
    write_run("two", [2, 3, 4, 5, 6, 7], [9] * 6, ids)
    evaluate.main(["--compare", "one", "two"])
    result = json.loads(Path("output/compare_one_two/comparison.json").read_text())
    assert result["images"] == 6


def test_attributes_are_compared_by_the_challenges_score_and_the_classes_mean():
    generator = np.random.default_rng(1)
    true, hit, wrong = (generator.integers(0, high, (40, 5)) for high in (90, 60, 30))
    true[:, 2] = 0  # in no image
    true *= generator.random((40, 5)) < 0.4  # often absent
    pixels = generator.choice([1000, 5000], 40)  # images of two sizes
    runs = {}
    for name, fp in (("few", wrong), ("many", wrong * 4)):
        tp = np.minimum(hit, true)
        runs[name] = metrics.Counts(tp, fp, true - tp, pixels[:, None] - true - fp)
        folder = Path("output", name)
        folder.mkdir(parents=True)
        table = summary.image_table(runs[name], [f"{i:03}" for i in range(40)], list(ATTRIBUTES), [(20, 50)] * 40)
        table.to_csv(folder / "per_image.csv", index=False)
        settings = {"data": "d", "split": "test", "at": "source", "images": 40, "threshold": 0.5, "tta": 1, "clean": 0}
        (folder / "metrics.json").write_text(json.dumps(settings))
    text = compare.compare(["few", "many"])
    found = json.loads(Path("output/compare_few_many/comparison.json").read_text())["runs"]
    assert list(found["few"]) == [
        "challenge_jaccard", "challenge_dice", "macro_jaccard", "macro_dice", "pooled_jaccard",
    ]  # fmt: skip
    assert "many, Challenge Jaccard" in text
    for name, counts in runs.items():
        tp, union = counts.tp, counts.tp + counts.fp + counts.fn
        share = (tp.sum(axis=1) / pixels).sum() / (union.sum(axis=1) / pixels).sum()
        assert found[name]["challenge_jaccard"]["score"] == pytest.approx(share)
        macro = (tp.sum(axis=0) / union.sum(axis=0)).mean()  # streaks: marked, though in no image, 0
        assert found[name]["macro_jaccard"]["score"] == pytest.approx(macro)
        for score in ("challenge_jaccard", "macro_jaccard"):
            low, high = found[name][score]["interval"]
            assert low < found[name][score]["score"] < high and high - low < 0.2
    assert found["many"]["challenge_jaccard"]["difference"] < 0
    assert found["many"]["challenge_jaccard"]["difference_interval"][1] < 0


def test_files():
    for name, hit in (("a", [5, 6, 7]), ("b", [5, 6, 9]), ("c", [1, 6, 7])):
        write_run(name, hit, [10, 10, 10])
    text = compare.compare(["a", "b", "c"])
    folder = Path("output/compare_a_b_c")
    assert {path.name for path in folder.iterdir()} == {
        "comparison.csv", "comparison.json", "comparison.png", "report.html", "report.md",
    }  # fmt: skip
    assert "0.6000 (0.500–0.700)" in text and "+0.0667" in text
    rows = pd.read_csv(folder / "comparison.csv")
    assert rows["run"].tolist() == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert rows["interval_low"][0] == pytest.approx(0.5)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Differences to a" in page and "data:image/png;base64," in page
    assert "| 000 | 0.500 | 0.500 | 0.100 |" in (folder / "report.md").read_text(encoding="utf-8")  # differ most


def test_the_order_of_images_does_not_matter():
    write_run("a", [1, 2, 3], [10, 20, 30], ids=["x", "y", "z"])
    write_run("b", [3, 1, 2], [30, 10, 20], ids=["z", "x", "y"])
    compare.compare(["a", "b"])
    found = json.loads(Path("output/compare_a_b/comparison.json").read_text())["runs"]["b"]
    assert found["jaccard"]["difference_interval"] == [0, 0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "two runs or more, each once; received a"),
        (["a", "a"], "two runs or more, each once; received a, a"),
        (["a", "gone"], r"output/gone: not scored yet; python evaluate\.py --run gone does it"),
        (
            ["a", "fewer"],
            "by per_image.csv not scored .* .a: 3 images, split test, source size; fewer: 2 images",
        ),
        (["a", "others"], "not scored on the same true masks .*others: 3 images, split test, network size"),
    ],
)
def test_runs_that_cannot_be_compared(names, message):
    write_run("a", [1, 2, 3], [10, 20, 30])
    write_run("fewer", [1, 2], [10, 20])
    write_run("others", [1, 2, 3], [5, 10, 15], pixels=500, at="network")
    with pytest.raises(SystemExit, match=message):
        evaluate.main(["--compare", *names])
