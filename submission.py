"""Masks for the ISIC 2018 challenge, Task 1 or 2, in one validated zip archive.

    python submission.py --run attributes_cpu                        # the test images of the run's data
    python submission.py --run isic18_cpu --split val --tta --threshold 0.5
    python submission.py --run FILE.onnx --data dataset_isic18      # by an export (export.py)
    python submission.py --check theirs.zip --data dataset_isic18    # an archive of any tool, against prepared data
    python submission.py --check theirs.zip --images ISIC2018_Task1-2_Test_Input.zip --task 2    # or against the images

Reads `checkpoint_best/RUN/` and the prepared arrays, whose index knows the size of each original image. Writes
`output/RUN/submission_SPLIT.zip` (or --out FILE) with a mask of the original's size, 0 and 255, for each image:
`ISIC_XXXXXXX_segmentation.png`, or `ISIC_XXXXXXX_attribute_NAME.png` for each of the five attributes. Thresholds are
those with which evaluate.py found the validation images' score, as the challenge ranks, highest; test-time augmentation
and clean-up are the run's own; all three may be given here.

The archive is written under a temporary name and then read again as a stranger would: it must hold every mask and
nothing else, each once, as a PNG of one channel, of the size of its image, of 0 and 255 alone. Only then does it take
its name. `--check` does the same with an archive from elsewhere, in whatever folder its masks lie inside. All threads
write and read; memory does not grow with the number of images.
"""

import argparse
import re
import zipfile
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from tqdm import tqdm

from datasets.arrays import open_split
from datasets.isic2018 import ATTRIBUTES, CLASSES
from datasets.preparation import archives, load_pairs
from imaging import headers, mask_files
from inference import arguments
from inference.predictor import check_fit, load_predictor
from utils import errors
from utils.arguments import snake_case
from utils.errors import UserError
from utils.files import remove_leftovers, replacing
from utils.threads import in_order

SHOWN = 10  # problems in a message


# === What must be in it ===


def expected(sizes, classes):
    """{file name: (height, width)} of all masks. sizes: {id: (height, width)} of the images.

    UserError: images or classes that are none of the challenge's.
    """
    if list(classes) not in CLASSES.values():
        raise UserError(f"masks of {', '.join(classes)}: the challenge wants lesion, or {', '.join(ATTRIBUTES)}")
    if wrong := [image for image in sizes if not re.fullmatch(r"ISIC_\d{7}", image)]:
        raise UserError(f"image {wrong[0]}: the challenge's images are named ISIC_ and seven digits")
    return {mask_files.mask_name(image, classes, k): size for image, size in sizes.items() for k in range(len(classes))}


def prepared_sizes(split):
    """{id: (height, width)} of the originals of a prepared split."""
    return dict(zip(split.ids, map(tuple, split.sizes.tolist()), strict=True))


def image_sizes(source):
    """{id: (height, width)} of the images in a folder or zip archive, from their headers."""
    source = Path(source)
    opened = archives.open_archive if source.suffix == ".zip" else archives.open_folder
    files = opened(source.parent, source.stem if source.suffix == ".zip" else source.name)
    if not files:
        raise FileNotFoundError(f"{source}: no images there; name the folder or zip archive of the original images")
    sizes = in_order(lambda file: load_pairs.read(file, headers.upright_size), files)
    bar = tqdm(sizes, total=len(files), unit="image", desc="sizes", disable=None)
    return {file.stem: size for file, size in zip(files, bar, strict=True)}


# === Validation ===


def problems(path: str | Path, wanted: dict[str, tuple[int, int]]) -> list[str]:
    """What is wrong with an archive of masks, a list of lines; empty where nothing is.

    wanted: {file name: (height, width)}. Folders inside, and what macOS adds, do not matter, as for the challenge.
    """
    try:
        archive = archives.opened(path)
    except (UserError, OSError) as error:
        return [str(error)]
    with archive:
        found: dict[str, zipfile.ZipInfo] = {}
        wrong = []
        for entry in archive.infolist():
            name = PurePosixPath(entry.filename).name
            if entry.filename.endswith("/") or entry.filename.startswith("__MACOSX") or name == ".DS_Store":
                continue
            if name not in wanted:
                wrong.append(f"{entry.filename or 'an entry without a name'}: not asked for")
            elif found.setdefault(name, entry) is not entry:
                wrong.append(f"{entry.filename}: a second mask of this name")
        wrong += [f"{name}: missing" for name in wanted if name not in found]
        results = in_order(lambda name: mask_problem(archive, found[name], wanted[name]), found)
        bar = tqdm(results, total=len(found), unit="mask", desc="check", disable=None)
        return wrong + [f"{name}: {problem}" for name, problem in zip(found, bar, strict=True) if problem]


def mask_problem(archive, entry, size):
    """What is wrong with one mask, or None. size: (height, width) it must have."""
    if entry.file_size > archives.MAX_BYTES:
        return f"{entry.file_size:,} bytes, no mask has so many"
    try:
        data = archives.read_entry(archive, entry)
        found = headers.stored_size(data)
    except UserError as error:
        return str(error)
    if not data.startswith(b"\x89PNG"):
        return "not a PNG"
    if found != size:
        return f"{found[0]} × {found[1]}, its image is {size[0]} × {size[1]} (height × width)"
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return "cannot be decoded"
    if pixels.ndim > 2 or pixels.dtype != np.uint8:
        return "not one channel of 8 bits"
    if cv2.sumElems(pixels)[0] != 255 * cv2.countNonZero(pixels):
        values = np.unique(pixels)
        shown = [*map(str, values[:5]), "…"] if len(values) > 5 else map(str, values)
        return f"values {', '.join(shown)}; expected 0 and 255"
    return None


def require_none(found, path):
    """UserError that lists problems, if there are any."""
    if found:
        more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise UserError("\n  ".join([f"{path}: {len(found)} problems", *found[:SHOWN], *more]))


# === Making ===


def submit(predictor, split, out, batch_size=None):
    """Predict a split into a new zip archive, a Path, and validate it; returns the number of masks.

    predictor: inference.predictor.Predictor. split: datasets.split.Split, with masks or without. UserError: not the
    challenge's images or classes. What is written in error, or interrupted, does not take the archive's name.
    """
    sizes = prepared_sizes(split)
    wanted = expected(sizes, predictor.classes)
    remove_leftovers(Path(out).parent)  # of a process that was killed
    with replacing(out) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:  # PNG files do not become smaller
            for name, data in masks(predictor, split, sizes, batch_size):
                archive.writestr(zipfile.ZipInfo(name), data)  # of no date: the same masks give the same file
        require_none(problems(temporary, wanted), out)
    return len(wanted)


def masks(predictor, split, sizes, batch_size=None):
    """Yields (file name, PNG bytes) of every mask of a split, in order."""
    from evaluation import score_split  # needs TensorFlow, as the network does; --check needs neither

    settings = predictor.settings
    classes = predictor.classes
    batch_size = batch_size or settings.batch_size
    options = score_split.Options(predictor.thresholds, settings.tta, settings.clean, batch_size)
    maps = score_split.probabilities([(predictor.network, settings)], split, options)

    def work(item):
        image, probabilities = item
        files = []
        for k in range(len(classes)):  # one by one: at its own size an image has up to 30 million pixels
            mask = predictor.mask(probabilities[-1], k, sizes[image])
            files.append((mask_files.mask_name(image, classes, k), mask_files.png(mask * np.uint8(255))))
        return files

    done = in_order(work, zip(split.ids, maps, strict=True), ahead=2 * batch_size)
    for files in tqdm(done, total=len(split.ids), unit="image", desc="predict", disable=None):
        yield from files


# === Command line ===


def parser():
    parser = argparse.ArgumentParser(description="Masks for the ISIC 2018 challenge in one zip archive.")
    arguments.add_run(parser)
    parser.add_argument("--data", help="folder of prepared arrays (default: the run's)")
    parser.add_argument("--split", default="test", help="train, val or test (default)")
    arguments.add_masks(parser, default_threshold="challenge")
    parser.add_argument("--out", type=Path, help="archive to write (default: output/RUN/submission_SPLIT.zip)")
    parser.add_argument("--check", type=Path, metavar="ZIP", help="only validate an archive of any tool")
    parser.add_argument("--images", type=Path, help="with --check, instead of --data: folder or zip of the originals")
    parser.add_argument("--task", type=int, choices=(1, 2), help="with --images: 1 lesion, 2 five attributes")
    return parser


def check(given):
    """Validate an archive of any tool; returns a line that says so, or raises UserError with what is wrong."""
    if bool(given.images) == bool(given.data) or bool(given.images) != bool(given.task):
        raise UserError("--check needs --data FOLDER, or --images PLACE and --task 1 or 2")
    if given.images:
        sizes = image_sizes(given.images)
        classes = CLASSES[given.task]
    else:
        split = open_split(given.data, given.split)
        sizes = prepared_sizes(split)
        classes = split.classes
    wanted = expected(sizes, classes)
    require_none(problems(given.check, wanted), given.check)
    return f"{given.check}: as the challenge wants it, {len(wanted)} masks of {len(sizes)} images"


def make(given):
    """Make a submission; returns a summary of it as text."""
    predictor = load_predictor(given.run, given.threshold, given.tta, given.clean)
    data = given.data or predictor.settings.data
    split = open_split(data, given.split)
    check_fit(predictor.network, split, data)
    out = given.out or Path("output") / predictor.name / f"submission_{given.split}.zip"
    count = submit(predictor, split, out, given.batch_size)
    chosen = ", ".join(f"{t:g} ({name})" for name, t in zip(predictor.classes, predictor.thresholds, strict=True))
    size = f"{count} masks of {len(split.ids)} images, {out.stat().st_size / 1e6:.1f} MB"
    return f"{out}: as the challenge wants it, {size}\nthresholds: {chosen}"


@errors.in_one_line("interrupted; no archive was written")
def main(argv: list[str] | None = None) -> None:
    given = parser().parse_args(snake_case(argv))
    print(check(given) if given.check else make(given))


if __name__ == "__main__":
    main()
