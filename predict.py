"""Masks and overlays for images of any size, by a trained run.

    python predict.py photo.jpg --run isic18_cpu      # → predictions/isic18_cpu_images/photo_segmentation.png
    python predict.py folder/ 'more/*.png' --out masks --overlays
    python predict.py folder/ --probabilities --threshold best      # also <name>_probability.png, 0 to 255
    python predict.py photo.jpg --run handed/on/model.keras         # or its folder, or checkpoint_best/RUN
    python predict.py folder/ --format coco         # also coco.json for labeling tools: docs/labelling.md
    python predict.py photo.jpg --run FILE.onnx     # an export (export.py): without TensorFlow, there in a second
    python predict.py folder/ --review 0.1          # and which tenth of the images to look at first: docs/trust.md

Any format OpenCV reads; a camera's EXIF orientation is honored. Writes into `--out` (default: predictions/RUN_images/)

    <name>_segmentation.png    mask, 0 and 255, of the size of its image (attributes: <name>_attribute_<class>.png)
    <name>_overlay.png         with --overlays: the image, the mask outlined, with --tint tinted, too (one a class, and
                               one with the outlines of all, each in its color)
    predictions.csv            a row an image and class: its path, class, height, width, and what imaging/mask_shape.py
                               measures: area, box, connected components, perimeter, asymmetry, border irregularity,
                               mean confidence; its mask, and the image file's size and time of change; the Jaccard
                               that the mask is expected to have, and in words why the image is unlike those that the
                               run was trained on, both where evaluate.py --split val has found what it takes
    review.csv, review.jpg     with --review: the images to look at first, the worst at the top
    run.json                   what made them

Threshold, test-time augmentation (--tta) and the clean-up of the masks to their largest connected component (--clean)
are the run's own unless given here (--no_tta, --no_clean); `--threshold best` is the one that evaluate.py found best on
the validation images, for each class by itself, `challenge` for all attributes together. Folders are searched with all
below, and what is below keeps its folders in `--out`; hidden files, and what these programs wrote, are left out. Of two
images of one name the folder's name is added. Files that cannot be read are named at the end, and the exit status is
then 1; all others are done. After an interruption the same command goes on where it stopped: an image is done as long
as its file is the one that was read. Reading and writing overlap with the network, and memory does not grow with the
number of images.

As a library:

    from predict import load_predictor
    predictor = load_predictor("isic18_cpu")        # or a model.keras, an .onnx; None is the newest run
    masks, probabilities = predictor(image)         # uint8 (H, W, 3) RGB → bool and float32 (H, W, classes)
    masks, probabilities = predictor("photo.jpg")   # or a path, or a list of either, for a list of results
    predictor.assess(image)                         # how far to trust them: .jaccards, .reasons
    predictor.classes, predictor.thresholds, predictor.size, predictor.settings
"""

import argparse
import contextlib
import itertools
import math
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from imaging import files, mask_files, mask_shape, overlays, palette
from inference import arguments, hand_off, output_folder, review
from inference.predictor import Predictor, load_predictor
from utils import errors
from utils.arguments import fraction, snake_case
from utils.errors import UserError
from utils.files import locked, readable, remove_leftovers
from utils.threads import in_order

# === Writing ===


SHOWN = 20  # images of a review that are printed
LARGE = 20_000_000  # pixels of an image from which on one at a time is finished: 100 million take 2 GB with an overlay
_large = threading.Lock()


def finish(predictor, item, out, names, tint=False):
    """Write the wanted files of one image. Returns its rows of predictions.csv, one a class.

    item: (path, version, size, image as the network got it, its maps as of Predictor.maps). names: {kind of file: a
    name a class}. tint: also the inside of the mask in overlays.
    """
    with _large if math.prod(item[2]) > LARGE else contextlib.nullcontext():
        return _finish(predictor, item, out, names, tint)


def _finish(predictor, item, out, names, tint):
    path, version, size, image, maps = item
    assessed = predictor.assess_maps(image, maps)
    masks, probabilities = predictor.enlarge(maps[-1], size)  # (H, W, classes)
    if "overlay" in names:
        image, _ = files.decode_upright(path.read_bytes())
    rows = []
    for k, name in enumerate(predictor.classes):
        mask = np.ascontiguousarray(masks[..., k])  # (H, W)
        scores = np.ascontiguousarray(probabilities[..., k])  # (H, W)
        if "overlay" in names:
            below = overlays.tint(image, mask, strength=0.25) if tint else image
            outlined = overlays.outline(below, mask)
            mask_files.write_png(out / names["overlay"][k], overlays.caption(outlined, assessed.lines(k)))
        if "probability" in names:
            mask_files.write_png(out / names["probability"][k], np.round(scores * 255).astype(np.uint8))
        mask_files.write_png(out / names["mask"][k], mask * np.uint8(255))
        measures = [rounded(value) for value in mask_shape.describe(mask, scores).values()]
        trusted = [rounded(assessed.jaccards[k]), assessed.why]
        rows.append([readable(path), name, *size, *measures, readable(names["mask"][k]), *version, *trusted])
    if "overlay" in names and len(predictor.classes) > 1:
        for k in range(len(predictor.classes)):
            image = overlays.outline(image, masks[..., k], palette.of_class(k))
        mask_files.write_png(out / names["overlay"][-1], overlays.caption(image, assessed.lines()))
    return rows


def rounded(value):
    """A number as predictions.csv has it: four digits after the point, nothing where it is not defined."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else value


# === All images ===


def find_images(patterns: Iterable[str | Path], out: Path) -> dict[Path, str]:
    """As imaging.files.find_images, {path: name}, without what these programs wrote."""
    return files.find_images(patterns, skip=lambda folder: output_folder.is_own(folder, out))


def predict(
    predictor: Predictor,
    images: Iterable[str | Path],
    out: Path,
    overlays: bool = False,
    probability_maps: bool = False,
    batch_size: int | None = None,
    tint: bool = False,
) -> dict[Path, str]:
    """Predict image files into the folder `out`. Returns the files that could not be read: {path: message}.

    images: {path: name} as `find_images` gives it, or what it takes: paths, folders, patterns. batch_size: images at a
    time, None for the run's. tint: the masks in overlays, which else are outlined alone. UserError: the folder holds
    predictions of something else, or the images. FileExistsError: another process writes to it.
    """
    if not isinstance(images, dict):
        images = find_images(images, out)
    output_folder.require_apart(images, out)
    with locked(out, f"{out}/ is being written by another process right now; choose another --out, or wait for it"):
        kinds = ["mask"] + ["overlay"] * overlays + ["probability"] * probability_maps
        return _predict(predictor, images, out, kinds, tint, batch_size or predictor.settings.batch_size)


def _predict(predictor, images, out, kinds, tint, batch_size):
    output_folder.claim(out, predictor)
    remove_leftovers(out)
    names = {path: output_folder.file_names(name, predictor.classes) for path, name in images.items()}
    ahead = 2 * batch_size
    bad = {}

    def read(path):
        try:
            version = output_folder.version(path)
            image, size = predictor.read(path)
            return path, version, size, image
        except (UserError, OSError) as problem:
            bad[path] = readable(str(problem))
            return None

    def write(item):
        return finish(predictor, item, out, {kind: names[item[0]][kind] for kind in kinds}, tint)

    with contextlib.closing(output_folder.Table(out, names, predictor.classes, kinds)) as table:
        left = [path for path in images if path not in table.done]
        pictures = (picture for picture in in_order(read, left, ahead) if picture)
        tables = in_order(write, through_network(predictor, pictures, batch_size), ahead)
        for rows in tqdm(tables, total=len(left), unit="image", desc="predict", disable=None):
            table.add(rows)
    return {path: bad[path] for path in images if path in bad}


def through_network(predictor, pictures, batch_size):
    """(path, version, size, image) of each picture → the same and its maps, float32 (h, w, classes) each."""
    pictures = iter(pictures)
    while batch := list(itertools.islice(pictures, batch_size)):
        maps = predictor.maps(np.stack([picture[-1] for picture in batch]))
        for picture, *each in zip(batch, *maps, strict=True):
            yield (*picture, each)


def _print_review(rows, out):
    """The first images of a review as text."""
    print(f"to look at first: {len(rows)} images, {out}/{review.TABLE}, {review.SHEET}")
    for rank, name, jaccard, why in rows[:SHOWN]:
        expected = f"{float(jaccard):.2f}" if jaccard else "   -"
        print(f"{rank:>4}  {expected}  {name}{f'  ({why})' if why else ''}")
    if len(rows) > SHOWN:
        print(f"      ... {len(rows) - SHOWN} more")


# === Command line ===


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Masks for images of any size, by a trained run.")
    parser.add_argument("images", nargs="+", help="images, folders of images, 'patterns*.jpg'")
    arguments.add_run(parser)
    arguments.add_masks(parser)
    parser.add_argument("--out", type=Path, help="folder to write into (default: predictions/RUN_images)")
    parser.add_argument("--overlays", action="store_true", help="also pictures of the image with its mask")
    parser.add_argument("--tint", action="store_true", help="overlays are tinted inside the mask, too")
    parser.add_argument("--probabilities", action="store_true", help="also maps of the probability, 0 to 255")
    text = "also files for labeling tools (docs/labelling.md), or DICOM; may be given again"
    parser.add_argument("--format", action="append", choices=hand_off.FORMATS, default=[], help=text)
    text = "also list this fraction of the images, those to look at first: review.csv, review.jpg"
    parser.add_argument("--review", type=fraction, metavar="FRACTION", help=text)
    return parser


@errors.in_one_line("interrupted; the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> None:
    given = parser().parse_args(snake_case(argv))
    predictor = load_predictor(given.run, given.threshold, given.tta, given.clean)
    if given.review:
        review.require(predictor)
    out = given.out or Path("predictions") / f"{predictor.name}_images"
    images = find_images(given.images, out)
    bad = predict(
        predictor, images, out, given.overlays or given.tint, given.probabilities, given.batch_size, given.tint
    )
    print(f"{len(images) - len(bad)} of {len(images)} images: {out}/, table {out}/predictions.csv")
    if given.format and len(bad) < len(images):
        print(f"for labeling tools: {', '.join(map(str, hand_off.write(out, given.format, predictor.name)))}")
    if given.review and len(bad) < len(images):
        read = {path: name for path, name in images.items() if path not in bad}
        _print_review(review.write(out, read, predictor.classes, given.review), out)
    if bad:
        sys.exit("\n".join([f"error: {len(bad)} skipped", *(f"  {why}" for why in bad.values())]))


if __name__ == "__main__":
    main()
