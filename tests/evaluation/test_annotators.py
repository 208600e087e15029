"""A network among annotators: numbers by hand, files, and what the report says."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from miniature import save
from tiny_run import SIZE, bright, masks_of, save_run

from datasets import __main__
from datasets.arrays import Writer
from datasets.preparation.annotators import bits
from evaluation import annotators, evaluate_run


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_agreement_of_masks():
    masks = masks_of((0, 10), (0, 5), (5, 15), (0, 0))
    jaccard, dice = annotators.agreement(masks)
    expected = [[1, 0.5, 1 / 3, 0], [0.5, 1, 0, 0], [1 / 3, 0, 1, 0], [0, 0, 0, 1]]
    assert jaccard == pytest.approx(np.array(expected)) and dice[0, 1] == pytest.approx(2 / 3)
    assert annotators.agreement(masks_of((0, 0), (0, 0)))[0].tolist() == [[1, 1], [1, 1]]  # both empty
    both = np.concatenate([masks_of((0, 10), (0, 10)), masks_of((0, 10), (0, 5))], axis=-1)
    assert annotators.agreement(both)[0, 0, 1] == 0.75  # the mean of two classes


def save_data(predicted, drawn):
    """Images of which the network predicts the first pixels, and the spans that annotators drew: {name: span}."""
    with Writer("data", {"dataset": "tiny", "task": 1}, SIZE, ["lesion"]) as writer:
        for n, (image, spans) in enumerate(zip(bright(*predicted), drawn, strict=True)):
            masks = masks_of(*spans.values())
            name = f"ISIC_{n:07}"
            writer.add("test", name, image, masks[0], (40, 50), votes=bits(masks), annotators=list(spans))


def test_scores_by_hand():
    save_run("tiny")
    save_data([10, 10, 3], [{"a": (0, 10), "b": (0, 5), "c": (0, 10)}, {"a": (0, 10), "c": (5, 15)}, {"b": (0, 9)}])
    result = evaluate_run.evaluate("tiny", "test", at="network")
    found = result["annotators"]
    assert (found["images"], found["annotators"]) == (2, 3)
    # first image: pairs ab 1/2, ac 1, bc 1/2, network 1, 1/2, 1; second: ac 1/3, network 1, 1/3
    assert found["among"]["jaccard"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert found["network"]["jaccard"] == pytest.approx((2.5 / 3 + 2 / 3) / 2)
    assert found["difference"]["jaccard"] == pytest.approx((2.5 / 3 - 2 / 3 + 1 / 3) / 2)
    assert found["network"]["dice"] == pytest.approx(((1 + 2 / 3 + 1) / 3 + (1 + 0.5) / 2) / 2)
    assert found["above"] == 1.0
    assert found["intervals"]["difference"]["jaccard"] == pytest.approx([1 / 6, 1 / 3])  # of two images
    assert found["each"]["b"]["images"] == 1 and found["each"]["b"]["network"]["jaccard"] == pytest.approx(0.5)
    assert found["each"]["c"]["network"]["jaccard"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["each"]["c"]["others"]["jaccard"] == pytest.approx((0.75 + 1 / 3) / 2)
    (folder,) = Path("output/tiny").glob("test*")
    assert json.loads((folder / "metrics.json").read_text())["annotators"] == found
    with open(folder / "annotators.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["annotators"]) for row in rows] == [("ISIC_0000000", "a b c"), ("ISIC_0000001", "a c")]
    assert float(rows[1]["jaccard_network"]) == pytest.approx(2 / 3, abs=1e-6)
    page = (folder / "report.html").read_text()
    assert "The network agrees with the annotators better than they do with each other: 0.750 against 0.500" in page
    assert "On 100 % of the images" in page and "Several annotators" in (folder / "report.md").read_text()


def test_verdicts():
    found = {"network": {"jaccard": 0.8}, "among": {"jaccard": 0.85}, "intervals": {"difference": {}}}
    for interval, words in (([-0.1, -0.01], "less than they do"), ([-0.1, 0.01], "lies within the annotators")):
        found["intervals"]["difference"]["jaccard"] = interval
        assert words in annotators.verdict(found)


def test_at_the_size_of_the_files():
    """The masks of annotators are read again, as large as they are: 40 x 50, ten times the arrays' size."""
    save_run("tiny", size=(8, 8))
    for n in range(2):
        image = np.zeros((80, 80, 3), np.uint8)
        image[:, :40] = 255
        save(Path(f"raw/test/images/p{n}.png"), image)
        save(Path(f"raw/train/images/p{n}.png"), image[:, ::-1] // (n + 1))
        for name, stop in (("a", 40), ("b", 45)):
            mask = np.zeros((80, 80), np.uint8)
            mask[:, :stop] = 255
            save(Path(f"raw/test/masks/p{n}_{name}.png"), mask)
            save(Path(f"raw/train/masks/p{n}_{name}.png"), mask)
    __main__.main(["folder", "--folders", "raw", "--root", "data", "--size", "8x8", "--annotators", "majority"])
    found = evaluate_run.evaluate("tiny", "test")["annotators"]
    assert found["among"]["jaccard"] == pytest.approx(40 / 45)
    assert found["each"]["a"]["network"]["jaccard"] > 0.9  # bilinear at the edge
    at_network = evaluate_run.evaluate("tiny", "test", at="network")["annotators"]
    assert at_network["each"]["a"]["network"]["jaccard"] == 1.0 and not math.isnan(at_network["above"])


def test_one_annotator_an_image_says_nothing():
    save_run("tiny")
    save_data([10, 3], [{"a": (0, 10)}, {"b": (0, 5)}])
    assert "annotators" not in evaluate_run.evaluate("tiny", "test", at="network")
    assert not list(Path("output/tiny").glob("test*/annotators.csv"))
