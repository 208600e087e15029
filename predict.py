"""Masks and overlays for images of any size, by a trained run.

    python predict.py photo.jpg --run isic18_cpu      # → predictions/isic18_cpu_images/photo_segmentation.png
    python predict.py folder/ 'more/*.png' --out masks --overlays
    python predict.py folder/ --probabilities --threshold best      # also <name>_probability.png, 0 to 255
    python predict.py photo.jpg --run handed/on/model.keras         # the network's file alone

Any format OpenCV reads; a camera's EXIF orientation is honoured. Writes into `--out` (default: predictions/RUN_images/)

    <name>_segmentation.png    mask, 0 and 255, of the size of its image (attributes: <name>_attribute_<class>.png)
    <name>_overlay.png         with --overlays: the image, the mask tinted green and outlined (one a class)
    predictions.csv            a row an image and class: its path, class, height, width, and what shape.py measures:
                               area, box, parts, perimeter, asymmetry, border irregularity, mean confidence
    run.json                   what made them

Threshold, mean over poses (--tta) and clean-up of the masks (--clean) are the run's own unless given here; `--threshold
best` is the one that evaluate.py found best on the validation images, for each class by itself, `challenge` for all
attributes together. Files that cannot be read are named at the end, and the exit status is then 1; all others are
done. After an interruption the same command goes on where it stopped. Reading and writing overlap with the network, and
memory does not grow with the number of images.

As a library:

    predictor = load_predictor("isic18_cpu")        # or a model.keras; None is the newest run
    mask, probabilities = predictor(image)          # uint8 (H, W, 3) RGB → bool and float32 (H, W, classes)
    predictor.classes, predictor.thresholds, predictor.size, predictor.settings
"""

import argparse
import contextlib
import csv
import dataclasses
import itertools
import json
import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import cv2
import numpy as np
from tqdm import tqdm

import model
import pipeline
import runs
from datasets.isic2018 import ATTRIBUTES
from imaging import files, hair_removal, mask_files, mask_shape
from inference import probabilities as inference_probabilities
from utils import errors
from utils.arguments import positive
from utils.errors import UserError
from utils.files import replacing
from utils.threads import in_order

COLUMNS = ["image", "class", "height", "width", *mask_shape.COLUMNS]


def load_predictor(run=None, threshold=None, tta=None, clean=None):
    """A trained run as a function of images, see Predictor."""
    return Predictor(run, threshold, tta, clean)


class Predictor:
    """A trained run as a function of images: uint8 (H, W, 3) RGB of any size → masks and probabilities of that size.

    run: name of a run, None for the newest; or the path of its folder, or of its `.keras` file, which has all it takes
    inside and may be alone. threshold: a number, "best" or "challenge", as found on validation. threshold, tta, clean:
    None for the run's own. FileNotFoundError: no such run; the message lists those there are.

    Attributes: name; file, of the network; settings; classes, names of the masks; thresholds, one a class;
    size (H, W) that the network sees; network.
    """

    def __init__(self, run=None, threshold=None, tta=None, clean=None):
        self.file = Path(run) if Path(run or "").suffix == ".keras" else runs.find(run) / "model.keras"
        in_folder = (self.file.parent / "settings.yaml").is_file()
        place = self.file.parent if in_folder else self.file
        self.name = place.name if in_folder else place.stem  # a run may be named v1.2
        self.network = model.load(self.file)
        changes = {name: value for name, value in {"tta": tta, "clean": clean}.items() if value is not None}
        self.settings = dataclasses.replace(runs.settings(place), **changes)
        self.size = self.network.input_shape[1:3]
        facts = runs.facts(place)
        self.classes = facts.get("classes") or usual_classes(self.network.output_shape[-1])
        wanted = self.settings.threshold if threshold is None else threshold
        self.thresholds = runs.thresholds(self.name, facts, self.classes, wanted)
        self._probabilities = inference_probabilities.predictor(
            self.network, self.settings.tta, self.settings.precision
        )

    def fit(self, image):
        """uint8 (h, w, 3) RGB of any size → that of the network, without hairs if the run was trained so."""
        image = files.shrink(image, self.size)
        return hair_removal.remove(image) if self.settings.remove_hair else image

    def pixels(self, images):
        """uint8 (B, H, W, 3), as `fit` gives them → what the network wants to see, float32 (B, H, W, channels)."""
        return np.asarray(pipeline.normalize(images, self.settings.normalize))

    def probabilities(self, images):
        """uint8 (B, H, W, 3), as `fit` gives them → float32 (B, H, W, classes)."""
        return self._probabilities(self.pixels(images))

    def enlarge(self, probabilities, size):
        """Probabilities (h, w, classes) at another size, (H, W): float32 (H, W, classes), and bool masks likewise."""
        resized = inference_probabilities.resize(probabilities, size)
        masks = resized >= np.float32(self.thresholds)
        return resized, inference_probabilities.largest_parts(masks) if self.settings.clean else masks

    def mask(self, probabilities, k, size):
        """The mask of class number k alone, bool (H, W), from probabilities (h, w, classes); as `enlarge` makes it."""
        mask = inference_probabilities.resize(probabilities[..., k : k + 1], size)[..., 0] >= np.float32(
            self.thresholds[k]
        )
        return inference_probabilities.largest_part(mask) if self.settings.clean else mask

    def __call__(self, image):
        """uint8 (H, W, 3) RGB → bool masks (H, W, classes), float32 probabilities of the same shape."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UserError(f"expected an RGB image, uint8 (H, W, 3), received {image.dtype} {image.shape}")
        probabilities, masks = self.enlarge(self.probabilities(self.fit(image)[None])[0], image.shape[:2])
        return masks, probabilities


def usual_classes(count):
    """Names of the masks of a run that has not noted them."""
    return {1: ["lesion"], 5: list(ATTRIBUTES)}.get(count, [f"class{k}" for k in range(count)])


# === Writing ===


def outputs(path, classes, overlays, probability_maps):
    """Names of the files made for one image, one a class: {"mask": […], "overlay": […], "probability": […]}."""
    masks = [mask_files.mask_name(path.stem, classes, k) for k in range(len(classes))]
    stems = [path.stem] if len(classes) == 1 else [name.removesuffix(".png") for name in masks]
    overlays = [f"{stem}_overlay.png" for stem in stems] if overlays else []
    maps = [f"{stem}_probability.png" for stem in stems] if probability_maps else []
    return {"mask": masks, "overlay": overlays, "probability": maps}


def finish(predictor, path, size, probabilities, out, names):
    """Write every file of one image. Returns its rows of predictions.csv, one a class."""
    probabilities, masks = predictor.enlarge(probabilities, size)  # (H, W, classes)
    image = files.decode_upright(path.read_bytes())[0] if names["overlay"] else None
    rows = []
    for k, name in enumerate(predictor.classes):
        mask, scores = (np.ascontiguousarray(maps[..., k]) for maps in (masks, probabilities))  # (H, W)
        if names["overlay"]:
            tinted = mask_files.overlay(image, mask, strength=0.25)
            mask_files.write_png(out / names["overlay"][k], mask_files.contour_overlay(tinted, mask))
        if names["probability"]:
            mask_files.write_png(out / names["probability"][k], np.round(scores * 255).astype(np.uint8))
        mask_files.write_png(out / names["mask"][k], mask * np.uint8(255))
        measures = [rounded(value) for value in mask_shape.describe(mask, scores).values()]
        rows.append([path.as_posix(), name, *size, *measures])
    return rows


def rounded(value):
    """A number as predictions.csv has it: four digits after the point, nothing where it is not defined."""
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else value


class Table:
    """predictions.csv, which grows by the rows of an image at a time; `done` has the images of earlier calls.

    wanted: {image: whether its files are all there}; where they are not its rows are taken out, as are those of an
    image of which some are missing. UserError: the folder holds masks of other images of the same names.
    """

    def __init__(self, path, wanted, classes):
        rows = []
        if path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)][1:]
        count, whole = Counter(row[0] for row in rows), {image.resolve(): there for image, there in wanted.items()}
        kept = [row for row in rows if count[row[0]] == len(classes) and whole.get(Path(row[0]).resolve(), True)]
        self.done = {Path(row[0]).resolve() for row in kept}
        names = {image.stem: image for image in wanted}
        for image in (Path(row[0]) for row in kept):
            if image.stem in names and image.resolve() not in whole:
                raise UserError(
                    f"{path.parent}/ holds the mask of {image}, that of {names[image.stem]} would take its place;"
                    " choose another --out"
                )
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *kept])
        self._file = open(path, "a", newline="", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def add(self, rows):
        csv.writer(self._file, lineterminator="\n").writerows(rows)
        self._file.flush()

    def close(self):
        self._file.close()


# === The whole ===


def predict(predictor, paths, out, overlays=False, probability_maps=False, batch_size=None):
    """Predict image files into the folder `out`, a Path. Returns the files that could not be read: {path: why}."""
    out.mkdir(parents=True, exist_ok=True)
    claim(out, predictor)
    names = {path: outputs(path, predictor.classes, overlays, probability_maps) for path in paths}
    wanted = {path: all((out / name).exists() for kind in names[path].values() for name in kind) for path in paths}
    bad, batch_size = {}, batch_size or predictor.settings.batch_size
    workers, ahead = os.cpu_count() or 2, 2 * batch_size

    def read(path):
        try:
            image, size = files.decode_upright(path.read_bytes(), predictor.size)
            return path, size, predictor.fit(image)
        except (UserError, OSError, cv2.error) as problem:
            bad[path] = " ".join(str(problem).split())

    def write(item):
        path, size, probabilities = item
        return finish(predictor, path, size, probabilities, out, names[path])

    with (
        contextlib.closing(Table(out / "predictions.csv", wanted, predictor.classes)) as table,
        ThreadPoolExecutor(workers) as readers,
        ThreadPoolExecutor(workers) as writers,
    ):
        left = [path for path in paths if path.resolve() not in table.done]
        pictures = (picture for picture in in_order(readers, read, left, ahead) if picture)
        tables = in_order(writers, write, through_network(predictor, pictures, batch_size), ahead)
        for rows in tqdm(tables, total=len(left), unit="image", desc="predict", disable=None):
            table.add(rows)
    return {path: bad[path] for path in paths if path in bad}


def through_network(predictor, pictures, batch_size):
    """(path, size, image) of each picture → (path, size, probabilities (h, w, classes)), a batch at a time."""
    pictures = iter(pictures)
    while batch := list(itertools.islice(pictures, batch_size)):
        paths, sizes, images = zip(*batch, strict=True)
        yield from zip(paths, sizes, predictor.probabilities(np.stack(images)), strict=True)


def claim(out, predictor):
    """Note in run.json what makes the predictions of a folder. UserError: they come from something else."""
    thresholds = dict(zip(predictor.classes, predictor.thresholds, strict=True))
    mine = {"run": predictor.name, "thresholds": thresholds, "saved": predictor.file.stat().st_mtime_ns}
    mine |= {"tta": predictor.settings.tta, "clean": predictor.settings.clean}
    note = out / "run.json"
    theirs = json.loads(note.read_text(encoding="utf-8")) if note.exists() else mine
    if theirs != mine:
        other = [f"{name} {value}" for name, value in theirs.items() if name != "saved" and value != mine.get(name)]
        made = f"made with {', '.join(other)}" if other else "of an earlier training"
        raise UserError(f"{out}/ holds predictions {made}; choose another --out, or delete the folder")
    with replacing(note) as path:
        path.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")


@errors.in_one_line("interrupted; the same command goes on where it stopped")
def main(argv=None):
    parser = argparse.ArgumentParser(description="Masks for images of any size, by a trained run.")
    parser.add_argument("images", nargs="+", help="images, folders of images, 'patterns*.jpg'")
    parser.add_argument(
        "--run", help="folder of checkpoint_best/ (default: the newest), or a model.keras of such a one"
    )
    parser.add_argument("--out", type=Path, help="folder to write into (default: predictions/RUN_images)")
    parser.add_argument("--overlays", action="store_true", help="also pictures of the image with its mask")
    parser.add_argument("--probabilities", action="store_true", help="also maps of the probability, 0 to 255")
    parser.add_argument("--threshold", type=runs.threshold, help="a number, best or challenge (default: the run's)")
    flag = {"action": argparse.BooleanOptionalAction, "default": None}
    parser.add_argument("--tta", **flag, help="average over mirrored and turned copies (default: the run's)")
    parser.add_argument("--clean", **flag, help="keep each mask's largest part, fill its holes (default: the run's)")
    parser.add_argument("--batch_size", type=positive, help="images at a time (default: the run's)")
    given = parser.parse_args(argv)
    paths = files.find_images(given.images)
    predictor = load_predictor(given.run, given.threshold, given.tta, given.clean)
    out = given.out or Path("predictions") / f"{predictor.name}_images"
    bad = predict(predictor, paths, out, given.overlays, given.probabilities, given.batch_size)
    print(f"{len(paths) - len(bad)} of {len(paths)} images: {out}/, table {out}/predictions.csv")
    if bad:
        sys.exit("\n".join([f"error: {len(bad)} skipped", *(f"  {path}: {why}" for path, why in bad.items())]))


if __name__ == "__main__":
    main()
