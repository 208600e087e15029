"""The images to look at first: a list, worst at the top, and a sheet of their pictures.

    write(out, images, classes, 0.1)     # out/review.csv, out/review.jpg; returns the rows

Ranked by predictions.csv of a folder: first the images that are flagged as unusual, then by the lowest of the Jaccards
that are expected of an image's masks.
"""

import csv
import io
import math
from pathlib import Path

import cv2
import numpy as np

from imaging import files, overlays, palette
from inference import image_range, output_folder
from inference.predictor import Predictor
from utils import errors
from utils.errors import UserError
from utils.files import readable, replacing
from utils.threads import in_order

TABLE, SHEET = "review.csv", "review.jpg"
COLUMNS = ["rank", "image", "predicted_jaccard", "unusual"]
MOST = 60  # pictures of a sheet
TILE = 320  # pixels of a picture's side
STRIP = 48  # pixels below it, for two lines
LETTERS = 14  # their size, pixels
UNKNOWN = 2.0  # in place of a Jaccard; above all of them
ACROSS = 5
GAP = 8


def require(predictor: Predictor) -> None:
    """UserError where nothing is kept with a run by which its masks could be ranked."""
    if not predictor.trust.limits and not any(predictor.trust.models):
        raise UserError(
            f"--review: run '{predictor.name}' has nothing to rank masks by:"
            f" python evaluate.py --run {predictor.name} --split val finds it on 30 validation images or 100 training"
            " images or more, for all but an ensemble of folds, in whose place one of its folds can be reviewed"
        )


def write(out: Path, images: dict[Path, str], classes: list[str], fraction: float) -> list[list[str]]:
    """Write TABLE and SHEET into a folder of predictions; returns the rows of the table, COLUMNS.

    images: those of which some are listed, {path: name} as imaging.files.find_images gives it; others in the folder are
    left out. fraction: of them, above 0 to 1, at least one image.
    """
    ranked = _ranked(out / "predictions.csv", {readable(path.resolve()): path for path in images})
    chosen = ranked[: max(1, math.ceil(fraction * len(ranked)))]
    rows = [
        [str(rank), readable(path), "" if jaccard is None else f"{jaccard:.4f}", why]
        for rank, (path, jaccard, why) in enumerate(chosen, 1)
    ]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    with replacing(out / TABLE) as path:
        path.write_text(text.getvalue(), encoding="utf-8")

    def tile(item):
        rank, (path, jaccard, why) = item
        masks = [out / mask for mask in output_folder.file_names(images[path], classes)["mask"]]
        expected = "" if jaccard is None else f": predicted Jaccard {jaccard:.2f}"
        lines = [
            f"{rank}. {readable(path.stem)}{expected}",
            *why.split(image_range.SEPARATOR),
        ]  # of no reason an empty one
        return _tile(path, masks, lines)

    tiles = list(in_order(tile, enumerate(chosen[:MOST], 1)))
    with replacing(out / SHEET) as path:
        path.write_bytes(cv2.imencode(".jpg", sheet(tiles)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return rows


def _ranked(table, images):
    """(path, lowest expected Jaccard or None, reasons) of the images {text in tables: path}, worst first."""
    found: dict[Path, tuple] = {}
    with errors.unreadable(table, output_folder.REMEDY), open(table, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            path = images.get(readable(Path(row["image"]).resolve()))
            if path is None:
                continue
            expected = float(row["predicted_jaccard"] or UNKNOWN)
            found[path] = (min(expected, found.get(path, (UNKNOWN,))[0]), row["unusual"])
    order = sorted(found, key=lambda path: (not found[path][1], found[path][0]))
    return [(path, None if found[path][0] == UNKNOWN else found[path][0], found[path][1]) for path in order]


def _tile(path, masks, lines):
    """The picture of an image with its masks outlined and lines of text below, uint8 (TILE + STRIP, TILE, 3)."""
    tile = np.full((TILE + STRIP, TILE, 3), 255, np.uint8)
    try:
        image, _ = files.decode_upright(path.read_bytes(), (TILE, TILE))
    except (OSError, UserError):  # changed since it was predicted
        return overlays.caption(tile, [lines[0], "cannot be read any more"], LETTERS)
    scale = min(TILE / image.shape[0], TILE / image.shape[1])
    size = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    for k, mask in enumerate(masks):
        found = cv2.resize(output_folder.read_mask(mask), size[::-1], interpolation=cv2.INTER_NEAREST)
        image = overlays.outline(image, found, palette.of_class(k) if len(masks) > 1 else palette.PREDICTION)
    top, left = (TILE - size[0]) // 2, (TILE - size[1]) // 2
    tile[top : top + size[0], left : left + size[1]] = image
    return overlays.caption(tile, lines, LETTERS)


def sheet(tiles: list[np.ndarray]) -> np.ndarray:
    """Pictures of one size side by side, ACROSS in a row, white between them."""
    across = min(ACROSS, len(tiles))
    down = -(-len(tiles) // ACROSS)
    height, width = (side + GAP for side in tiles[0].shape[:2])
    result = np.full((down * height + GAP, across * width + GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = GAP + number // ACROSS * height, GAP + number % ACROSS * width
        result[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return result
