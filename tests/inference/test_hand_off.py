"""Predictions as files of labeling tools: read back by pycocotools and by the preparation, to the pixel."""

import csv
import itertools
import json

import numpy as np
import pytest
from miniature import picture, save
from pycocotools.coco import COCO

import predict
from datasets.preparation import annotations
from datasets.preparation.archives import open_folder
from imaging import masks
from inference import hand_off
from inference.output_folder import COLUMNS
from utils.errors import UserError

SIZE = (48, 64)
CLASSES = ["lesion", "hair"]


def mask_of(number, k):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(x - 20 - 10 * number, y - 24)
    if k == 0:
        return (distance < 14) & (distance >= 5 * number)  # the second has a hole
    return (x % 9 == 0) & (number == 0)  # the second has none


@pytest.fixture
def predictions(tmp_path, monkeypatch):
    """A folder as predict.py leaves it, of photos/a.png and photos/sub/ä.png, with two classes."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for number, name in enumerate(["a", "sub/ä"]):
        save(tmp_path / f"photos/{name}.png", picture(number))
        for k, label in enumerate(CLASSES):
            save(tmp_path / f"out/{name}_{label}.png", mask_of(number, k) * np.uint8(255))
            row = dict.fromkeys(COLUMNS, "") | {"image": f"photos/{name}.png", "class": label, "height": 48}
            rows.append(row | {"width": 64, "mask": f"{name}_{label}.png"})
    with open("out/predictions.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    return tmp_path / "out"


def read_back(folder, expected=("a", "ä")):
    """{name of an image's mask: bool (H, W)} of the annotation files in a folder, as the preparation reads them."""
    images = open_folder(folder.parent, "photos")
    files = [file for file in open_folder(folder.parent, folder.name) if file.path.suffix == ".json"]
    found, _ = annotations.mask_files([file for file in files if file.path.name != "run.json"], images, CLASSES)
    assert len(found) == len(expected) * len(CLASSES)
    return {file.stem: masks.mask(file.read(), None, None)[0] for file in found}


def assert_equal(found):
    for number, name in enumerate(["a", "ä"]):
        for k, label in enumerate(CLASSES):
            assert np.array_equal(found[f"{name}_{label}"], mask_of(number, k))


def test_coco(predictions):
    assert hand_off.write(predictions, ["coco"], "tiny") == [predictions / "coco.json"]
    assert_equal(read_back(predictions))
    theirs = COCO(predictions / "coco.json")
    assert [image["file_name"] for image in theirs.loadImgs([1, 2])] == ["../photos/a.png", "../photos/sub/ä.png"]
    assert [category["name"] for category in theirs.loadCats([1, 2])] == CLASSES
    anns = theirs.loadAnns(theirs.getAnnIds())
    drawn = [(0, 0), (0, 1), (1, 0)]
    assert [(one["image_id"] - 1, one["category_id"] - 1) for one in anns] == drawn
    for one, (number, k) in zip(anns, drawn, strict=True):
        mask = mask_of(number, k)
        assert np.array_equal(theirs.annToMask(one), mask) and one["area"] == mask.sum()
    assert anns[0]["bbox"] == [7, 11, 27, 27]


def test_labelme(predictions):
    assert hand_off.write(predictions, ["labelme"], "tiny") == [predictions / "*.json"]
    assert_equal(read_back(predictions))
    first, second = (json.loads((predictions / name).read_text()) for name in ("a.json", "sub/ä.json"))
    assert second["imagePath"] == "../../photos/sub/ä.png" and first["imageHeight"] == 48
    assert {shape["shape_type"] for shape in second["shapes"]} == {"mask"}  # for its hole
    assert first["shapes"][0]["shape_type"] == "polygon"


def test_label_studio(predictions):
    hand_off.write(predictions, ["labelstudio"], "tiny")
    path = predictions / "labelstudio.json"
    tasks = json.loads(path.read_text())
    assert tasks[1]["data"]["image"] == "/data/local-files/?d=photos/sub/%C3%A4.png"
    assert tasks[0]["predictions"][0]["model_version"] == "tiny"
    for task in tasks:  # a person accepts them and exports
        task["annotations"] = task.pop("predictions")
    path.write_text(json.dumps(tasks))
    assert_equal(read_back(predictions))


def test_geojson(predictions):
    hand_off.write(predictions, ["geojson"], "tiny")
    content = json.loads((predictions / "sub/ä.geojson").read_text())
    (feature,) = content["features"]  # none of the empty mask
    assert feature["properties"]["classification"] == {"name": "lesion"}
    assert feature["geometry"]["type"] == "MultiPolygon"
    outer, hole = feature["geometry"]["coordinates"][0]
    areas = [sum(a * d - b * c for (a, b), (c, d) in itertools.pairwise(r)) / 2 for r in (outer, hole)]
    assert sum(areas) == mask_of(1, 0).sum() and areas[1] < 0


def test_the_option_of_predict(predictions, monkeypatch, capsys):
    given = predict.parser().parse_args(["x", "--format", "coco", "--format", "geojson"])
    assert given.format == ["coco", "geojson"]
    monkeypatch.setattr(predict, "load_predictor", lambda *_: type("P", (), {"name": "tiny"}))
    monkeypatch.setattr(predict, "predict", lambda *_: {})
    predict.main(["photos", "--out", "out", "--format", "coco", "--format", "labelme"])
    assert "for labeling tools: out/coco.json, out/*.json\n" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["coco", "labelme"])
def test_a_damaged_mask_is_named(predictions, kind):
    path = predictions / "a_hair.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"a_hair\.png: .*choose another --out, or delete the folder"):
        hand_off.write(predictions, [kind], "run")
