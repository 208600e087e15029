"""Files of labeling tools as mask files: COCO, LabelMe and Label Studio in JSON, CVAT "for images" in XML.

    found, notes = mask_files(files, images, ["lesion"])
    found[0].read()      # the bytes of a PNG: the union of the shapes that one of `files` has for an image

So what is drawn in a tool is paired, checked and kept as any other mask. Which format a file has is seen by its
contents; a file of none is left alone. The numbers in it are not trusted: sizes and lengths are checked before memory
is taken (imaging/run_lengths.py, imaging/polygons.py), and XML is read piece by piece, by expat itself, in which any
declaration of an entity is an error: entities could stand for each other (a few lines that expand to gigabytes) or for
a file of this computer, and CVAT writes none.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.parsers import expat

import numpy as np

from datasets.preparation.archives import File
from imaging import headers, masks, polygons, run_lengths
from imaging.headers import Size
from imaging.mask_files import png
from utils import errors
from utils.errors import UserError

MAX_BYTES = 200_000_000  # of one file: parsed, JSON takes some five times as much
_FORMATS = "COCO, LabelMe or Label Studio in JSON, or CVAT for images in XML"
_REMEDY = f"expected {_FORMATS}: export it again, or remove it"
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an uploaded file
Draw = Callable[[Size], np.ndarray]  # size of the image, (H, W) -> uint8 (H, W) of {0, 1}


@dataclass
class Annotated:
    """What one annotator drew on one image: its file as the tool names it, its size if said, (label, shape) pairs."""

    image: str
    size: tuple[Any, Any] | None
    shapes: list[tuple[str, Draw]] = field(default_factory=list)
    annotator: str = ""


def mask_files(
    files: Sequence[File], images: Sequence[File], classes: Sequence[str], by_annotator: bool = False
) -> tuple[list[File], list[str]]:
    """(a mask file for each annotated image and class, notes).

    files: of labeling tools, others among them are left alone. images: those of the data set. classes: the labels; of a
    single one the only label of the files may have another name. by_annotator: the names of the mask files end in that
    of the annotator. UserError: a damaged file, or several labels for one class.
    """
    stems = {image.stem: image for image in images}
    found = []
    notes = []
    kinds = {}  # by label of the file
    for file in files:
        kind, annotated = _read(file)
        if annotated:
            found += [(file, one) for one in annotated]
            kinds[file.label] = kind
            notes.append(f"masks of {file.label}: {kind}, {len(annotated)} images")
    labels = {label for _, one in found for label, _ in one.shapes}
    chosen = _labels(labels, classes, found)
    made = []
    for file, one in found:
        path = PurePosixPath(one.image.replace("\\", "/"))
        image = stems.get(path.stem) or stems.get(_UPLOADED.sub("", path.stem))
        stem = image.stem if image else path.stem
        for name in classes:
            ending = f"_{name}" if len(classes) > 1 else ""
            if by_annotator:
                ending += f"_{one.annotator or _annotator(file, kinds[file.label])}"
            label = f"{file.label}: {path.name}"
            inside = path.with_name(stem + ending + ".png")
            load = _loader(one, chosen[name], image)
            made.append(File(inside, label, file.size, file.stamp, load))
    return made, notes


def _annotator(file, kind):
    """Whose drawings a file holds that does not say so: its name, or of LabelMe, with a file an image, its folder's."""
    name = file.path.parent.name if kind == "LabelMe" else file.path.stem
    return re.sub(r"[\W_]", "", name) or "unknown"


def _labels(found, classes, files):
    """{class: the label of its shapes}. UserError: there are labels that are no class."""
    unknown = sorted(found - set(classes))
    if len(classes) == 1 and len(unknown) == len(found) == 1:
        return {classes[0]: unknown[0]}
    if unknown:
        shown = ", ".join(unknown[:8])
        where = next(file.label for file, one in files for label, _ in one.shapes if label == unknown[0])
        raise UserError(f"{where}: shapes labeled {shown}; say which labels are classes: --classes {','.join(unknown)}")
    return {name: name for name in classes}


def _loader(one, label, image):
    """A function that gives the PNG of one image's shapes with a label. UserError, without the file's name."""

    def load():
        size = one.size or headers.upright_size(image.read() if image else b"")
        size = run_lengths.checked_size(*size)
        mask = np.zeros(size, np.uint8)
        for name, draw in one.shapes:
            if name == label:
                mask |= _drawn(draw, size)
        return png(mask * np.uint8(255))

    return load


def _drawn(draw, size):
    try:
        return draw(size)
    except UserError:
        raise
    except (ValueError, TypeError, LookupError, OverflowError, binascii.Error) as problem:
        raise UserError(f"a damaged shape ({' '.join(str(problem).split())[:100]}); export it again") from None


# === Formats ===


def _read(file: File) -> tuple[str, list[Annotated]]:
    """(name of the format, its images); none of a file of another format. UserError names a damaged file."""
    try:
        if file.size > MAX_BYTES:
            raise UserError(f"{file.size:,} bytes, more than the {MAX_BYTES:,} accepted; export it in parts")
        data = file.read()
        with errors.unreadable("it", _REMEDY):
            if file.path.suffix.lower() == ".xml":
                return "CVAT", _cvat(data)
            content = json.loads(data.decode("utf-8-sig"))
            for kind, is_it, read in _JSON:
                if is_it(content):
                    return kind, list(read(content))
    except UserError as problem:
        raise UserError(f"{file.label}: {problem}") from None
    return "", []


def _points(values: Sequence, scale: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """float64 (N, 2) from [[x, y], …] or [x, y, x, y, …], times `scale`."""
    return np.array(values, np.float64).reshape(-1, 2) * scale


def _is_coco(content):
    return isinstance(content, dict) and "images" in content and "annotations" in content


def _coco(content) -> Iterator[Annotated]:
    labels = {category["id"]: str(category["name"]) for category in content.get("categories", ())}
    found = {}
    for image in content["images"]:
        found[image["id"]] = Annotated(str(image["file_name"]), (image["height"], image["width"]))
    for one in content["annotations"]:
        segmentation = one.get("segmentation")
        if one["image_id"] not in found:
            raise UserError(f"annotation {one.get('id')} is of image {one['image_id']}, which is not among the images")
        if not segmentation:
            raise UserError(f"annotation {one.get('id')} is a box without a mask; export polygons or masks")
        found[one["image_id"]].shapes.append((labels.get(one["category_id"], "lesion"), _coco_shape(segmentation)))
    return iter(found.values())


def _coco_shape(segmentation) -> Draw:
    """Of polygons [[x, y, x, y, …], …], or of run lengths by columns {"size": [H, W], "counts": list or text}."""
    if isinstance(segmentation, list):
        rings = [_points(ring) for ring in segmentation]
        return lambda size: polygons.coco(rings, size)
    height, width = segmentation["size"]
    given = segmentation["counts"]

    def draw(size):
        if (height, width) != tuple(size):
            raise UserError(f"a mask of {height}x{width} in an image of {size[0]}x{size[1]}; export it again")
        lengths = run_lengths.coco_counts(given) if isinstance(given, str) else given
        return run_lengths.from_counts(lengths, height * width).reshape(width, height).T

    return draw


def _is_labelme(content):
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def _labelme(content) -> Iterator[Annotated]:
    sides = (content.get("imageHeight"), content.get("imageWidth"))
    shapes = [(str(shape["label"]), _labelme_shape(shape)) for shape in content["shapes"]]
    name = PureWindowsPath(content["imagePath"]).name  # it is relative to the file, with either slash
    yield Annotated(name, None if None in sides else sides, shapes)


def _labelme_shape(shape) -> Draw:
    kind = shape.get("shape_type") or "polygon"
    points = _points(shape["points"])
    if kind != "mask":
        return lambda size: polygons.labelme(kind, points, size)
    picture = base64.b64decode(shape["mask"])

    def draw(size):
        left, top = points.min(axis=0).astype(int)
        part, _ = masks.mask(picture, None, None)
        mask = np.zeros(size, np.uint8)
        if min(left, top) < 0 or (part.shape + np.array([top, left]) > size).any():
            raise UserError("a mask that reaches out of its image; export it again")
        mask[top : top + part.shape[0], left : left + part.shape[1]] = part
        return mask

    return draw


def _is_label_studio(content):
    first = content[0] if isinstance(content, list) and content else None
    if isinstance(first, dict) and "annotation_id" in first and "data" not in first:
        raise UserError("an export of Label Studio as JSON-MIN; export it as JSON")
    return isinstance(first, dict) and "data" in first


def _label_studio(content) -> Iterator[Annotated]:
    for task in content:
        for one in task.get("annotations") or ():
            if one.get("was_cancelled"):
                continue
            results = [result for result in one["result"] if "value" in result]
            size = next(((r["original_height"], r["original_width"]) for r in results if "original_height" in r), None)
            by = one.get("completed_by", "")
            by = by.get("email") or by.get("id", "") if isinstance(by, dict) else by
            shapes = [shape for result in results for shape in _label_studio_shapes(result)]
            yield Annotated(_label_studio_image(task["data"]), size, shapes, re.sub(r"[\W_]", "", str(by)))


def _label_studio_image(data):
    """The image's file, from the address that a task has for it."""
    address = data.get("image") or next(
        value for value in data.values() if isinstance(value, str) and value.lower().endswith(headers.SUFFIXES)
    )
    parts = urlsplit(str(address))
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(PurePosixPath(parts.path).name)


def _label_studio_shapes(result) -> Iterator[tuple[str, Draw]]:
    value = result["value"]
    kind = result["type"]
    if kind not in ("brushlabels", "polygonlabels", "labels", "brush", "polygon"):
        if kind.endswith("labels"):
            raise UserError(f"a result of the kind {kind}; masks are made of brushlabels and polygonlabels")
        return  # an answer about the whole image
    labels = value.get(kind) or ["lesion"]
    height, width = result["original_height"], result["original_width"]
    if value.get("format") == "rle" or "rle" in value:
        packed = bytes(list(value["rle"]))  # of a number, bytes() would take that many

        def draw(size):
            if (height, width) != tuple(size):
                raise UserError(f"a brush of {height}x{width} in an image of {size[0]}x{size[1]}; export it again")
            return run_lengths.from_brush(packed, height, width)
    else:
        ring = _points(value["points"], (width / 100, height / 100))  # from percent

        def draw(size):
            return polygons.coco([ring], size)

    yield from ((str(label), draw) for label in labels)


_JSON: tuple[tuple[str, Callable, Callable], ...] = (
    ("COCO", _is_coco, _coco),
    ("LabelMe", _is_labelme, _labelme),
    ("Label Studio", _is_label_studio, _label_studio),
)


# === CVAT ===


def _cvat(data: bytes) -> list[Annotated]:
    """The images of "CVAT for images 1.1"; none of other XML."""
    found: list[Annotated] = []
    path: list[str] = []

    def refuse(*_):
        raise UserError("an XML file that declares entities, which no labeling tool writes; remove it")

    def begin(name, attributes):
        path.append(name)
        if path == ["annotations", "image"]:
            size = (int(attributes["height"]), int(attributes["width"]))
            found.append(Annotated(attributes["name"], size))
        elif path[:-1] == ["annotations", "image"] and name not in ("tag", "points", "polyline"):
            found[-1].shapes.append((attributes["label"], _cvat_shape(name, attributes)))

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda name: path.pop()
    parser.Parse(data, True)
    return found


def _cvat_shape(name, given) -> Draw:
    if name == "polygon":
        ring = _points([float(number) for pair in given["points"].split(";") for number in pair.split(",")])
        return lambda size: polygons.coco([ring], size)
    if name != "mask":
        raise UserError(f"a {name}, which is no mask; CVAT's masks and polygons are read")
    left, top, width, height = (int(given[side]) for side in ("left", "top", "width", "height"))
    lengths = [int(length) for length in given["rle"].split(",")]  # by rows, background first

    def draw(size):
        if min(left, top) < 0 or min(width, height) < 1 or left + width > size[1] or top + height > size[0]:
            raise UserError("a mask that reaches out of its image; export it again")
        mask = np.zeros(size, np.uint8)
        part = run_lengths.from_counts(lengths, width * height).reshape(height, width)
        mask[top : top + height, left : left + width] = part
        return mask

    return draw
