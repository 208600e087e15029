"""Masks from labeling tools: to the pixel as each tool draws them, prepared as mask files are; damage in one line."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from miniature import SIZE, picture, save, square
from PIL import Image, ImageDraw
from pycocotools import mask as reference
from pycocotools.coco import COCO

from datasets import __main__, folder
from datasets.arrays import open_split, read_meta
from datasets.preparation import annotations, check
from datasets.preparation.archives import open_folder
from datasets.preparation.source_masks import source_masks
from imaging import run_lengths
from utils.errors import UserError

LABELING = Path(__file__).parents[2] / "labeling"
POLYGON = [10.4, 5.2, 50.1, 8.8, 44.4, 40.0, 12.0, 30.6]
HEIGHT, WIDTH = SIZE


def ring_mask(n=0):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(x - 30, y - 24)
    return ((distance < 15 + n) & (distance > 4)).astype(np.uint8)


def write_images(root, count):
    for n in range(count):
        save(root / "train" / "images" / f"photo {n}.png", picture(n))


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def prepare(tmp_path, *arguments):
    where = ["--folders", str(tmp_path / "data"), "--root", str(tmp_path / "out"), "--size", "24x32"]
    __main__.main(["folder", *where, *arguments])
    masks = source_masks(tmp_path / "out", "train")
    return [masks(n)[..., 0] if masks(n).shape[-1] == 1 else masks(n) for n in range(len(open_train(tmp_path).ids))]


def open_train(tmp_path):
    return open_split(tmp_path / "out", "train")


def coco_of(categories=("lesion",)):
    packed = reference.encode(np.asfortranarray(ring_mask()))["counts"].decode()
    plain = run_lengths.counts(ring_mask(1).T.ravel())
    shapes = [
        [POLYGON, [1, 1, 9, 1, 9, 9]],
        {"size": [HEIGHT, WIDTH], "counts": packed},
        {"size": [HEIGHT, WIDTH], "counts": plain},
    ]
    return {
        "images": [{"id": n, "file_name": f"photo {n}.png", "height": HEIGHT, "width": WIDTH} for n in range(4)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(categories)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": n % len(categories), "segmentation": shape, "area": 1, "iscrowd": 0}
            for n, shape in enumerate(shapes)
        ],
    }


def test_coco_as_pycocotools(tmp_path, capsys):
    write_images(tmp_path / "data", 4)
    path = tmp_path / "data/train/annotations/instances.json"
    write_json(path, coco_of())
    masks = prepare(tmp_path)
    theirs = COCO(path)
    for n in range(3):
        assert np.array_equal(masks[n], theirs.annToMask(theirs.loadAnns([n])[0]))
    assert not masks[3].any()  # among the images, without an annotation
    assert np.array_equal(open_train(tmp_path).masks[1, ..., 0].shape, (24, 32))
    notes = read_meta(tmp_path / "out")["notes"]
    assert any(note.startswith("masks of ") and note.endswith("instances.json: COCO, 4 images") for note in notes)
    assert not any("not used" in note for note in notes)


def test_labels_are_classes(tmp_path):
    write_images(tmp_path / "data", 4)
    path = tmp_path / "data/train/masks/coco.json"
    write_json(path, coco_of(["hair", "nail"]))
    with pytest.raises(ValueError, match=r"coco.json: shapes labeled hair, nail; .* --classes hair,nail$"):
        prepare(tmp_path)
    masks = prepare(tmp_path, "--classes", "nail,hair")
    assert open_train(tmp_path).classes == ["nail", "hair"]
    assert [mask.any(axis=(0, 1)).tolist() for mask in masks] == [
        [False, True], [True, False], [False, True], [False, False],
    ]  # fmt: skip
    assert np.array_equal(masks[1][..., 0], ring_mask())
    with pytest.raises(ValueError, match="have labels: --classes, not --index_classes"):
        prepare(tmp_path, "--index_classes", "hair,nail")


def test_labelme_beside_the_images(tmp_path):
    write_images(tmp_path / "data", 3)
    stream = io.BytesIO()
    Image.fromarray(ring_mask()[8:41, 10:50] > 0).save(stream, "PNG")  # as labelme 5.5: one bit
    coded = base64.b64encode(stream.getvalue()).decode()
    points = np.array(POLYGON).reshape(-1, 2).tolist()
    shapes = [
        [{"label": "nevus", "shape_type": "polygon", "points": points}],
        [{"label": "nevus", "shape_type": "mask", "points": [[10, 8], [49, 40]], "mask": coded}],
        [],
    ]
    for n, each in enumerate(shapes):
        content = {"version": "5.5.0", "shapes": each, "imagePath": f"..\\x\\photo {n}.png", "imageData": None}
        size = {"imageHeight": HEIGHT, "imageWidth": WIDTH} if n < 2 else {}
        write_json(tmp_path / f"data/train/images/photo {n}.json", content | size)
    write_json(tmp_path / "data/train/images/camera.json", {"lens": 3})
    masks = prepare(tmp_path)
    drawn = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(drawn).polygon([tuple(point) for point in points], outline=1, fill=1)
    assert np.array_equal(masks[0], np.asarray(drawn)) and np.array_equal(masks[1], ring_mask()) and not masks[2].any()
    notes = read_meta(tmp_path / "out")["notes"]
    assert any(note.startswith("not used: train/images (1 .json)") for note in notes)


def test_label_studio_as_its_sdk(tmp_path):
    for name in ("ring", "noise", "soft", "polygon"):
        save(tmp_path / "data/train/images" / f"{name}.png", picture(len(name)))
    (tmp_path / "data/train/export.json").write_bytes((LABELING / "label_studio.json").read_bytes())
    masks = dict(zip(sorted(("ring", "noise", "soft", "polygon")), prepare(tmp_path), strict=True))
    theirs = np.load(LABELING / "label_studio.npz")
    for name in ("ring", "noise", "soft"):
        assert np.array_equal(masks[name], theirs[name] > 127)
    converted = json.loads((LABELING / "label_studio_coco.json").read_text())["annotations"][0]["segmentation"]
    assert np.array_equal(masks["polygon"], reference.decode(reference.frPyObjects(converted, *SIZE))[..., 0])


CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta/>
<image id="0" name="sub/photo 0.png" width="64" height="48"><tag label="good"/>
  <mask label="lesion" source="manual" rle="{rle}" left="10" top="8" width="40" height="33" z_order="0"/></image>
<image id="1" name="photo 1.png" width="64" height="48">
  <polygon label="lesion" points="{points}"><attribute name="sure">yes</attribute></polygon></image>
</annotations>"""


def cvat():
    lengths = run_lengths.counts(ring_mask()[8:41, 10:50].ravel())
    points = ";".join(f"{x},{y}" for x, y in np.array(POLYGON).reshape(-1, 2))
    return CVAT.format(rle=", ".join(map(str, lengths)), points=points)


def test_cvat(tmp_path, capsys):
    write_images(tmp_path / "data", 2)
    (tmp_path / "data/train/masks").mkdir()
    (tmp_path / "data/train/masks/annotations.xml").write_text(cvat())
    masks = prepare(tmp_path)
    assert np.array_equal(masks[0], ring_mask())
    assert np.array_equal(masks[1], reference.decode(reference.frPyObjects([POLYGON], *SIZE))[..., 0])
    lines = check.check(folder.DATASET, tmp_path / "data", (24, 32), 0, tmp_path / "check.jpg")
    assert "    masks: 2 PNG gray, 0 and 255" in lines


def test_annotations_beside_masks_in_folders_without_splits(tmp_path):
    for n in range(12):
        save(tmp_path / "data/images" / f"photo {n}.png", picture(n))
        if n >= 4:
            save(tmp_path / "data/masks" / f"photo {n}.png", square(n))
    write_json(tmp_path / "data/annotations/part.json", coco_of())
    prepare(tmp_path)
    counts = read_meta(tmp_path / "out")["counts"]
    assert sum(counts.values()) == 12
    write_json(tmp_path / "data/annotations/again.json", coco_of())
    with pytest.raises(ValueError, match=r"part.json: photo 0.png: same id as .*again.json: photo 0.png; remove one"):
        prepare(tmp_path)


def bomb():
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    return f'<!DOCTYPE annotations [<!ENTITY l0 "ha">{laughs}]><annotations>&l11;</annotations>'


def damaged(change, **fields):
    content = coco_of()
    part = {"image": content["images"][0], "shape": content["annotations"][1], "all": content}[change]
    part.update(fields)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "it cannot be read .*JSONDecodeError.*; expected COCO"),
        ("a.json", "[" * 100_000, "RecursionError"),
        ("a.json", "\udcff", "cannot be read"),
        ("a.json", damaged("image", height=10**9), "more than the 128,000,000 accepted"),
        ("a.json", damaged("image", height="48"), "a size of '48' x 64"),
        ("a.json", damaged("shape", segmentation=None), "annotation 1 is a box without a mask"),
        ("a.json", damaged("shape", image_id=9), "of image 9, which is not among the images"),
        ("a.json", damaged("shape", segmentation={"size": [10**6, 10**6], "counts": [10**12]}), "a mask of 1000000x1"),
        ("a.json", damaged("shape", segmentation={"size": [48, 64], "counts": [5, 10**9]}), "do not add up"),
        ("a.json", damaged("shape", segmentation=[[0, 0, 1, 1e300, 2, 2]]), "far out of its image"),
        ("a.json", damaged("shape", segmentation=[[0, 0, float("nan"), 1, 2, 2]]), "far out of its image"),
        ("a.json", damaged("shape", segmentation=[["x", 0, 1, 1, 2, 2]]), "could not convert"),
        ("a.json", damaged("all", images=5), "TypeError"),
        ("a.json", '[{"image": "/a.png", "annotation_id": 1, "tag": []}]', "as JSON-MIN; export it as JSON"),
        ("a.xml", "<annotations><image", "ExpatError"),
        ("a.xml", bomb(), "declares entities"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>', "entities"),
        ("a.xml", cvat().replace('left="10"', 'left="60"'), "reaches out of its image"),
        ("a.xml", cvat().replace("polygon", "box"), "a box, which is no mask"),
    ],
)
def test_damage_is_named_in_one_line(tmp_path, name, text, message):
    write_images(tmp_path / "data", 2 if name == "a.xml" else 4)
    path = tmp_path / "data/train/masks" / name
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message) as caught:
        prepare(tmp_path)
    assert f"masks/{name}: " in str(caught.value) and "\n" not in str(caught.value)


def test_a_brush_that_is_a_number_takes_no_memory(tmp_path):
    tasks = json.loads((LABELING / "label_studio.json").read_text())[:1]
    tasks[0]["annotations"][0]["result"][0]["value"]["rle"] = 10**12
    write_json(tmp_path / "masks/a.json", tasks)
    with pytest.raises(ValueError, match=r"a.json: it cannot be read \(TypeError"):
        annotations.mask_files(open_folder(tmp_path, "masks"), [], ["lesion"])


def labelme():
    shape = {"label": "a", "shape_type": "polygon", "points": np.array(POLYGON).reshape(-1, 2).tolist()}
    return json.dumps({"shapes": [shape], "imagePath": "p.png", "imageHeight": HEIGHT, "imageWidth": WIDTH})


def test_no_mutation_ends_in_anything_but_a_user_error(tmp_path):
    label_studio = json.dumps(json.loads((LABELING / "label_studio.json").read_text())[3:])
    sources = [("a.json", json.dumps(coco_of())), ("a.json", labelme()), ("a.json", label_studio), ("a.xml", cvat())]
    (tmp_path / "masks").mkdir()
    random = np.random.default_rng(0)
    refused = drawn = 0
    for number in range(1200):
        name, text = sources[number % 4]
        values = re.findall(r"-?\d+(?:\.\d+)?|\w+", text)
        old = values[random.integers(len(values))]
        new = random.choice(["-1", "0", "1e999", "99999999999", "null", "[]", "{}", '"x"', "x", "NaN", "", "true"])
        (path := tmp_path / "masks" / name).write_text(text.replace(old, new, 1))
        try:
            masks, _ = annotations.mask_files(open_folder(tmp_path, "masks"), [], ["lesion"])
            for mask in masks:
                mask.read()
                drawn += 1
        except UserError as problem:
            refused += 1
            assert "\n" not in str(problem)
        path.unlink()
    assert refused > 300 and drawn > 300
