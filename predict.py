"""Masks and overlays for images of any size, by a trained run.

    python predict.py photo.jpg --run isic18_cpu      # → predictions/isic18_cpu_images/photo_segmentation.png
    python predict.py folder/ 'more/*.png' --out masks --overlays
    python predict.py folder/ --probabilities --threshold best      # also <name>_probability.png, 0 to 255
    python predict.py photo.jpg --run handed/on/model.keras         # or its folder, or checkpoint_best/RUN

Any format OpenCV reads; a camera's EXIF orientation is honoured. Writes into `--out` (default: predictions/RUN_images/)

    <name>_segmentation.png    mask, 0 and 255, of the size of its image (attributes: <name>_attribute_<class>.png)
    <name>_overlay.png         with --overlays: the image, the mask tinted and outlined (one a class)
    predictions.csv            a row an image and class: its path, class, height, width, and what imaging/mask_shape.py
                               measures: area, box, connected components, perimeter, asymmetry, border irregularity,
                               mean confidence
    run.json                   what made them

Threshold, test-time augmentation (--tta) and the clean-up of the masks to their largest connected component (--clean)
are the run's own unless given here (--no_tta, --no_clean); `--threshold best` is the one that evaluate.py found best on
the validation images, for each class by itself, `challenge` for all attributes together. Files that cannot be read are
named at the end, and the exit status is then 1; all others are done. After an interruption the same command goes on
where it stopped. Reading and writing overlap with the network, and memory does not grow with the number of images.

As a library:

    from predict import load_predictor
    predictor = load_predictor("isic18_cpu")        # or a model.keras; None is the newest run
    masks, probabilities = predictor(image)         # uint8 (H, W, 3) RGB → bool and float32 (H, W, classes)
    masks, probabilities = predictor("photo.jpg")   # or a path, or a list of either, for a list of results
    predictor.classes, predictor.thresholds, predictor.size, predictor.settings
"""

import argparse
import contextlib
import csv
import itertools
import json
import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np
from tqdm import tqdm

from imaging import files, mask_files, mask_shape, overlays
from inference import arguments
from inference.predictor import Predictor, load_predictor
from utils import errors
from utils.arguments import snake_case
from utils.errors import UserError
from utils.files import read_json, replacing
from utils.threads import in_order

COLUMNS = ["image", "class", "height", "width", *mask_shape.COLUMNS]


# === Writing ===


def outputs(path: Path, classes: list[str], overlays: bool, probability_maps: bool) -> dict[str, list[str]]:
    """Names of the files made for one image, one a class: {"mask": […], "overlay": […], "probability": […]}."""
    masks = [mask_files.mask_name(path.stem, classes, k) for k in range(len(classes))]
    stems = [path.stem] if len(classes) == 1 else [name.removesuffix(".png") for name in masks]
    names = {"mask": masks, "overlay": [], "probability": []}
    if overlays:
        names["overlay"] = [f"{stem}_overlay.png" for stem in stems]
    if probability_maps:
        names["probability"] = [f"{stem}_probability.png" for stem in stems]
    return names


def finish(predictor, path, size, probabilities, out, names):
    """Write every file of one image. Returns its rows of predictions.csv, one a class."""
    masks, probabilities = predictor.enlarge(probabilities, size)  # (H, W, classes)
    if names["overlay"]:
        image, _ = files.decode_upright(path.read_bytes())
    rows = []
    for k, name in enumerate(predictor.classes):
        mask = np.ascontiguousarray(masks[..., k])  # (H, W)
        scores = np.ascontiguousarray(probabilities[..., k])  # (H, W)
        if names["overlay"]:
            tinted = overlays.tint(image, mask, strength=0.25)
            mask_files.write_png(out / names["overlay"][k], overlays.outline(tinted, mask))
        if names["probability"]:
            mask_files.write_png(out / names["probability"][k], np.round(scores * 255).astype(np.uint8))
        mask_files.write_png(out / names["mask"][k], mask * np.uint8(255))
        measures = [rounded(value) for value in mask_shape.describe(mask, scores).values()]
        rows.append([path.as_posix(), name, *size, *measures])
    return rows


def rounded(value):
    """A number as predictions.csv has it: four digits after the point, nothing where it is not defined."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else value


class Table:
    """predictions.csv, which grows by the rows of an image at a time; `done` has the images of earlier calls.

    complete: {image: whether its files are all there}; where they are not its rows are taken out, as are those of an
    image of which some are missing. UserError: the folder holds masks of other images of the same names, or the table
    cannot be read.
    """

    def __init__(self, path: Path, complete: dict[Path, bool], classes: list[str]):
        rows = self._read(path)
        count = Counter(row[0] for row in rows)
        by_location = {image.resolve(): there for image, there in complete.items()}
        kept = [row for row in rows if count[row[0]] == len(classes) and by_location.get(Path(row[0]).resolve(), True)]
        self.done = {Path(row[0]).resolve() for row in kept}
        wanted = {image.stem: image for image in complete}
        for image in (Path(row[0]) for row in kept):
            if image.stem in wanted and image.resolve() not in by_location:
                raise UserError(
                    f"{path.parent}/ holds the mask of {image}, that of {wanted[image.stem]} would take its place;"
                    " choose another --out"
                )
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *kept])
        self._file = open(path, "a", newline="", encoding="utf-8")  # noqa: SIM115 (closed by close)

    @staticmethod
    def _read(path):
        """The rows of an earlier call that are complete, without the head."""
        if not path.exists():
            return []
        with (
            errors.unreadable(path, "choose another --out, or delete the folder"),
            open(path, newline="", encoding="utf-8") as file,
        ):
            return [row for row in csv.reader(file) if len(row) == len(COLUMNS)][1:]

    def add(self, rows):
        csv.writer(self._file, lineterminator="\n").writerows(rows)
        self._file.flush()

    def close(self):
        self._file.close()


def claim(out: Path, predictor: Predictor) -> None:
    """Note in run.json what makes the predictions of a folder. UserError: they come from something else."""
    note = out / "run.json"
    mine = {
        "run": predictor.name,
        "thresholds": dict(zip(predictor.classes, predictor.thresholds, strict=True)),
        "saved": predictor.file.stat().st_mtime_ns,
        "tta": predictor.settings.tta,
        "clean": predictor.settings.clean,
    }
    theirs = read_json(note, "choose another --out, or delete the folder") if note.exists() else mine
    if theirs != mine:
        other = [f"{name} {value}" for name, value in theirs.items() if name != "saved" and value != mine.get(name)]
        made = f"made with {', '.join(other)}" if other else "of an earlier training"
        raise UserError(f"{out}/ holds predictions {made}; choose another --out, or delete the folder")
    with replacing(note) as path:
        path.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")


# === All images ===


def predict(
    predictor: Predictor,
    paths: list[Path],
    out: Path,
    overlays: bool = False,
    probability_maps: bool = False,
    batch_size: int | None = None,
) -> dict[Path, str]:
    """Predict image files into the folder `out`. Returns the files that could not be read: {path: message}.

    batch_size: images at a time, None for the run's. UserError: the folder holds predictions of something else.
    """
    out.mkdir(parents=True, exist_ok=True)
    claim(out, predictor)
    names = {path: outputs(path, predictor.classes, overlays, probability_maps) for path in paths}
    complete = {path: all((out / name).exists() for kind in names[path].values() for name in kind) for path in paths}
    batch_size = batch_size or predictor.settings.batch_size
    ahead = 2 * batch_size
    bad = {}

    def read(path):
        try:
            image, size = predictor.read(path)
            return path, size, image
        except (UserError, OSError) as problem:
            bad[path] = str(problem)
            return None

    def write(item):
        path, size, probabilities = item
        return finish(predictor, path, size, probabilities, out, names[path])

    with contextlib.closing(Table(out / "predictions.csv", complete, predictor.classes)) as table:
        left = [path for path in paths if path.resolve() not in table.done]
        pictures = (picture for picture in in_order(read, left, ahead) if picture)
        tables = in_order(write, through_network(predictor, pictures, batch_size), ahead)
        for rows in tqdm(tables, total=len(left), unit="image", desc="predict", disable=None):
            table.add(rows)
    return {path: bad[path] for path in paths if path in bad}


def through_network(predictor, pictures, batch_size):
    """(path, size, image) of each picture → (path, size, probabilities (h, w, classes)), a batch at a time."""
    pictures = iter(pictures)
    while batch := list(itertools.islice(pictures, batch_size)):
        paths, sizes, images = zip(*batch, strict=True)
        yield from zip(paths, sizes, predictor.probabilities(np.stack(images)), strict=True)


# === Command line ===


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Masks for images of any size, by a trained run.")
    parser.add_argument("images", nargs="+", help="images, folders of images, 'patterns*.jpg'")
    arguments.add_run(parser)
    arguments.add_masks(parser)
    parser.add_argument("--out", type=Path, help="folder to write into (default: predictions/RUN_images)")
    parser.add_argument("--overlays", action="store_true", help="also pictures of the image with its mask")
    parser.add_argument("--probabilities", action="store_true", help="also maps of the probability, 0 to 255")
    return parser


@errors.in_one_line("interrupted; the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> None:
    given = parser().parse_args(snake_case(argv))
    paths = files.find_images(given.images)
    predictor = load_predictor(given.run, given.threshold, given.tta, given.clean)
    out = given.out or Path("predictions") / f"{predictor.name}_images"
    bad = predict(predictor, paths, out, given.overlays, given.probabilities, given.batch_size)
    print(f"{len(paths) - len(bad)} of {len(paths)} images: {out}/, table {out}/predictions.csv")
    if bad:
        sys.exit("\n".join([f"error: {len(bad)} skipped", *(f"  {why}" for why in bad.values())]))


if __name__ == "__main__":
    main()
