"""Predicted masks as files of labeling tools, beside the PNG files: `python predict.py --format coco`.

    coco         coco.json: all images, masks as COCO's compressed run lengths; pycocotools, CVAT and FiftyOne read it
    labelstudio  labelstudio.json: all images as tasks with predictions, masks as brush strokes, to be corrected there
    labelme      <name>.json: a file an image; polygons, or a mask where a polygon could not be exact (holes)
    geojson      <name>.geojson: a file an image; polygons along the edges of pixels, with holes; QuPath reads them

    dicom        <name>_segmentation.dcm: of DICOM photographs, as Segmentations that refer to them (docs/dicom.md)

All are made of predictions.csv and the PNG files that it names, image by image, so that they describe the whole folder
however often predict.py was interrupted, and memory does not grow with the number of images. All hold the masks to the
pixel.
"""

import base64
import csv
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import numpy as np
from tqdm import tqdm

from imaging import mask_files, polygons, run_lengths
from inference import dicom_segmentation, output_folder
from utils.errors import UserError
from utils.files import replacing
from utils.threads import in_order

FORMATS = ("coco", "labelme", "labelstudio", "geojson", "dicom")
LOCAL = "/data/local-files/?d="  # of Label Studio: a file below its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT
Drawn = list[tuple[str, np.ndarray]]  # (class, mask uint8 (H, W) of {0, 1}), one a class


def write(out: Path, formats: list[str], run: str) -> list[Path]:
    """Write the files of `formats` for all predictions in the folder `out`; returns them, of many a pattern.

    run: its name. OSError: a mask is missing, or the disk is full. UserError: of DICOM, see dicom_segmentation.py.
    """
    written = []
    for name in formats:
        if name in ("labelme", "geojson"):
            work, ending = (_labelme, ".json") if name == "labelme" else (_geojson, ".geojson")
            for _ in in_order(lambda image: _one_file(out, image, work, ending), _progress(out, name)):  # noqa: B023
                pass
            written.append(out / f"*{ending}")
        elif name == "dicom":
            _dicom(out, run)
            written.append(out / "*_segmentation.dcm")
        else:
            path = out / f"{name}.json"
            with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
                (_coco if name == "coco" else _label_studio)(file, out, run)
            written.append(path)
    return written


def _images(out) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """(path of an image, its rows of predictions.csv, one a class), in the order of the table."""
    with open(out / "predictions.csv", newline="", encoding="utf-8") as file:
        for image, rows in itertools.groupby(csv.DictReader(file), lambda row: row["image"]):
            yield image, list(rows)


def _progress(out, name):
    return tqdm(_images(out), unit="image", desc=name, disable=None)


def _masks(out, rows) -> Drawn:
    return [(row["class"], output_folder.read_mask(out / row["mask"])) for row in rows]


def _one_file(out, image, work, ending):
    path, rows = image
    target = out / _name(rows, ending)
    with replacing(target) as temporary:
        temporary.write_text(json.dumps(work(path, target, _masks(out, rows)), indent=2) + "\n", encoding="utf-8")


def _name(rows, ending):
    """The name of an image's file, from that of its first mask: the part before what says the class."""
    endings = [mask_files.mask_name("", [row["class"] for row in rows], k) for k in range(len(rows))]
    return rows[0]["mask"].removesuffix(endings[0]) + ending


def _relative(path, target):
    """An image's path as seen from the folder of a file; absolute where that is impossible, as on another drive."""
    try:
        return PurePosixPath(os.path.relpath(path, target.parent)).as_posix()
    except ValueError:
        return os.path.abspath(path)


# === A file an image ===


def _labelme(path: str, target: Path, drawn: Drawn) -> dict[str, Any]:
    shapes = []
    for name, mask in drawn:
        for part, left, top, polygon in polygons.centers(mask):
            shape: dict[str, Any] = {
                "label": name,
                "points": polygon,
                "group_id": None,
                "shape_type": "polygon",
                "flags": {},
            }
            if polygon is None:
                corners = [[left, top], [left + part.shape[1] - 1, top + part.shape[0] - 1]]
                picture = base64.b64encode(mask_files.png(part * np.uint8(255))).decode()
                shape |= {"points": corners, "shape_type": "mask", "mask": picture}
            shapes.append(shape)
    height, width = drawn[0][1].shape
    head = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": _relative(path, target), "imageData": None}
    return head | {"imageHeight": height, "imageWidth": width}


def _geojson(path: str, target: Path, drawn: Drawn) -> dict[str, Any]:
    features = []
    for name, mask in drawn:
        if not mask.any():
            continue
        geometry = {"type": "MultiPolygon", "coordinates": polygons.pixel_edges(mask)}
        properties = {"objectType": "annotation", "classification": {"name": name}, "image": _relative(path, target)}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def _dicom(out, run):
    """A Segmentation for each DICOM photograph. UserError: there is none."""

    def work(image):
        path, rows = image
        if dicom_segmentation.is_source(path):
            dicom_segmentation.write(out / _name(rows, "_segmentation.dcm"), path, _masks(out, rows), run)
            return True
        return False

    if not any(list(in_order(work, _progress(out, "dicom")))):
        raise UserError("--format dicom: no image is a DICOM file, to which a Segmentation could refer")


# === One file of all images ===


def _coco(file, out, run):
    """COCO: annotations are written as the images go by; the images, which are short, follow."""
    numbers: dict[str, int] = {}  # class -> category
    images = []
    count = 0
    file.write('{"annotations": [')
    for path, rows in _progress(out, "coco"):
        height, width = int(rows[0]["height"]), int(rows[0]["width"])
        name = _relative(path, out / "coco.json")
        images.append({"id": len(images) + 1, "file_name": name, "height": height, "width": width})
        for label, mask in _masks(out, rows):
            category = numbers.setdefault(label, len(numbers) + 1)
            if mask.any():
                count += 1
                one = {"id": count, "image_id": len(images), "category_id": category} | _coco_mask(mask)
                file.write((",\n" if count > 1 else "\n") + json.dumps(one))
    categories = [{"id": number, "name": label, "supercategory": ""} for label, number in numbers.items()]
    rest = {"images": images, "categories": categories, "info": {"description": f"masks predicted by {run}"}}
    file.write("],\n" + json.dumps(rest)[1:] + "\n")


def _coco_mask(mask):
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    runs = {"size": list(mask.shape), "counts": run_lengths.coco_text(run_lengths.counts(mask.T.ravel()))}
    return {"segmentation": runs, "area": int(mask.sum()), "bbox": [int(side) for side in box], "iscrowd": 0}


def _label_studio(file, out, run):
    """Tasks of Label Studio, each with the masks as its prediction."""
    begin = "[\n"
    for number, (path, rows) in enumerate(_progress(out, "labelstudio")):
        results = []
        for label, mask in _masks(out, rows):
            if mask.any():
                value = {"format": "rle", "rle": run_lengths.brush_bytes(mask), "brushlabels": [label]}
                one = {"id": f"{number}_{label}", "type": "brushlabels", "value": value, "origin": "prediction"}
                one |= {"from_name": "tag", "to_name": "image", "image_rotation": 0}
                results.append(one | {"original_width": mask.shape[1], "original_height": mask.shape[0]})
        task = {"data": {"image": LOCAL + quote(path)}, "predictions": [{"model_version": run, "result": results}]}
        file.write(begin + json.dumps(task))
        begin = ",\n"
    file.write("[]\n" if begin == "[\n" else "\n]\n")
