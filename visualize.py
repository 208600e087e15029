"""Pictures of runs and data: training curves, samples, errors, one image in full, explanations of a network, classes.

    python visualize.py curves --run RUN [RUN ...]               # several runs in one figure
    python visualize.py predict --run RUN --split val --index 78 # one image: truth and prediction of each class
    python visualize.py predict --run RUN --id ISIC_0016072 --threshold best     # of the val split
    python visualize.py samples --run RUN                        # image, truth, prediction, contours
    python visualize.py errors --run RUN --order worst           # false negatives and false positives tinted
    python visualize.py attention --run RUN [IMAGES]             # the gates inside the network
    python visualize.py gradcam --run RUN [IMAGES]               # which positions contribute to the lesion
    python visualize.py labels --data dataset_isic18             # what AdSTNet's head learns of each mask
    python visualize.py distribution --data dataset_isic18       # how often each class is there; prints a table too

RUN is the name of a run or the path of its folder, such as checkpoint_best/RUN. `curves` reads `output/RUN/log.csv`,
which train.py writes, and shows the settings in its title. `predict` runs the network on one image of prepared data and
shows probabilities, masks and scores of each class. `distribution` reads the masks of prepared data: of which class
those are that are not empty, how many images have any, and how many of the pixels each class has. The others need a run
scored by evaluate.py, of whose images they show the --count best, median or worst (--order), by the newest evaluation
or --evaluation NAME: they read `metrics.json` and `per_image.csv` in `output/RUN/EVALUATION/`, the masks in
`predictions/RUN/EVALUATION/` and the prepared arrays. `attention` and `gradcam` also take image files, folders and
patterns, and then need the run alone. `labels` needs no run: it shows --count training images of prepared data. Each
writes one picture, COMMAND….png into `output/RUN/`, of a scored run into `output/RUN/EVALUATION/` (`output/labels.png`,
`output/distribution.png`), or --out FILE (.png, .pdf or .svg), in two seconds, those that run a network in ten.

Attention: every gate that multiplies a map by a sigmoid, averaged over its channels, in the order of the network
(attention U-Nets, LF-Net); of AS-Net the two gates of each spatial step together, and the mean map of each channel
step. Grad-CAM (Selvaraju et al. 2017, for masks as Vinogradova et al. 2020) works for any network; a column each for
the maps at its bottom and after each decoder step, or for those of --layers (`python model.py NETWORK` lists them).
"""

import argparse
import math
from pathlib import Path

import cv2
import numpy as np

import metrics
import runs
from datasets.arrays import open_split, read_meta
from datasets.class_statistics import class_statistics
from evaluation import samples
from imaging import files
from inference.arguments import add_run, add_threshold
from inference.predictor import check_fit, load_predictor
from utils import errors
from utils.arguments import positive, snake_case
from utils.errors import UserError
from utils.lazy import lazily
from utils.startup import start_tensorflow

with lazily():  # after the command line has been read
    import pandas as pd

    from evaluation import evaluations
    from figures import classes as class_figures
    from figures import sheets, training_curves

# === Scored runs ===


def chosen_rows(evaluation, order, count):
    """Rows (label, image, truth, prediction) of the best, median or worst images of a scored run, split and title.

    evaluation: folder in output/. FileNotFoundError, UserError: the run was scored on other data, or files are damaged.
    """
    result = evaluations.read(evaluation)
    table = evaluation / "per_image.csv"
    with errors.unreadable(table, "python evaluate.py writes it anew"):
        scores = image_scores(table)
    if result["split"] is None:
        raise UserError(
            f"{evaluation}: mask files were scored there, of which there are no images; {evaluation}/worst has pictures"
        )
    split = open_split(result["data"], result["split"])
    if list(scores.index) != list(split.ids):
        raise UserError(f"{result['data']}: not the images of {table}; python evaluate.py scores it anew")
    chosen = [(order, i) for i in samples.pick(scores, order, count)]
    rows = list(samples.sample_rows(split, chosen, scores.to_numpy(), evaluations.masks_of(evaluation)))
    name = evaluation.relative_to(evaluations.OUTPUT).as_posix()
    return rows, split, f"{name}: {order} of {len(scores)} images of {result['split']}"


def scored(given):
    """The folder of the evaluation that --run and --evaluation ask for."""
    name = runs.name_of(given.run)
    return evaluations.find(f"{name}/{given.evaluation}" if given.evaluation else name)


def image_scores(path):
    """Jaccard of each image, by its id, from per_image.csv; of several classes that of all pixels together."""
    table = pd.read_csv(path, dtype={"id": str}, keep_default_na=False, na_values={"jaccard": [""]})
    if table["id"].is_unique:
        return table.set_index("id")["jaccard"]
    pixels = table.groupby("id", sort=False)[["tp", "fp", "fn"]].sum()
    return pixels["tp"] / pixels.sum(axis=1)  # as evaluate.py ranks images; 0/0 is NaN


def sheet(given):
    """Samples or errors of a scored run; returns the picture's path."""
    evaluation = scored(given)
    out = given.out or evaluation / f"{given.command}_{given.order}.png"
    rows, split, title = chosen_rows(evaluation, given.order, given.count)
    draw = {"samples": sheets.sample_sheet, "errors": sheets.error_sheet}[given.command]
    draw(rows, out, split.classes, title)
    return out


# === Explanations ===


def own_pictures(patterns, size):
    """(name, image uint8 (h, w, 3)) of each file. UserError names the one that cannot be read."""
    for path in files.find_images(patterns):
        try:
            yield path.name, files.decode_upright(path.read_bytes(), size)[0]
        except (UserError, cv2.error) as problem:
            raise UserError(f"{path}: {problem}") from None


def heat(given):
    """Attention or Grad-CAM, of image files or of images of a scored run; returns the picture's path."""
    start_tensorflow()
    from inference import explain

    predictor = load_predictor(given.run)
    if given.images:
        pictures = own_pictures(given.images, predictor.size)
        title = predictor.name
        file = Path("output") / predictor.name / f"{given.command}.png"
    else:
        evaluation = scored(given)
        rows, _, title = chosen_rows(evaluation, given.order, given.count)
        pictures = [(label, image) for label, image, _, _ in rows]
        file = evaluation / f"{given.command}_{given.order}.png"
    name = given.name or predictor.classes[0]
    if name not in predictor.classes:
        raise UserError(f"{predictor.name} has no class {name!r}; there are: {', '.join(predictor.classes)}")
    k = predictor.classes.index(name)
    rows = []
    for label, picture in pictures:
        image = predictor.fit(picture)
        mask = predictor(image)[0][..., k]  # (H, W)
        pixels = predictor.pixels(image[None])  # (1, H, W, channels)
        if given.command == "attention":
            maps = explain.attention(predictor.network, pixels)
        else:
            maps = explain.gradcam(predictor.network, pixels, k, given.layers)
        rows.append((label, image, mask, maps))
    what = "attention" if given.command == "attention" else f"Grad-CAM of {name}"
    out = given.out or file
    sheets.heat_sheet(rows, out, f"{title}, {what}")
    return out


# === Prepared data ===


def labels(given):
    """AdSTNet's labels of images at even distances in the training split; returns the picture's path."""
    start_tensorflow()
    from models.adstnet import labels_from_mask

    out = given.out or Path("output") / "labels.png"
    split = open_split(given.data, "train")
    if split.masks is None:
        raise UserError(f"{given.data}: the train split has no masks to make labels of")
    rows = []
    for i in range(0, len(split.ids), max(1, len(split.ids) // given.count))[: given.count]:
        mask = split.masks[i][..., 0]
        rows.append((split.ids[i], split.images[i], mask, *labels_from_mask(mask)))
    sheets.label_sheet(rows, out)
    return out


def distribution(given):
    """How often each class is there in the splits of prepared data; prints a table, returns the picture's path."""
    statistics = {}
    for name in read_meta(given.data)["counts"]:
        split = open_split(given.data, name)
        if split.masks is not None and len(split.ids):
            statistics[name] = class_statistics(split.masks)
            classes = split.classes
    if not statistics:
        raise UserError(f"{given.data}: no split has masks to count")
    rows = []
    for name, each in statistics.items():
        counts = [*zip(classes, each.having, each.pixels, strict=True), ("any", each.any, math.nan)]
        for label, images, pixels in counts:
            of_images = images / each.images
            row = {"split": name, "class": label, "images": images, "of images": of_images, "of pixels": pixels}
            rows.append(row)
    out = given.out or Path("output") / "distribution.png"
    class_figures.distribution(statistics, classes, out, f"Classes of {given.data}")
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.2%}".format, na_rep=""))
    return out


def prediction(given):
    """One image of prepared data in full: probabilities, truth and prediction of each class; prints their scores.

    Returns the picture's path.
    """
    predictor = load_predictor(given.run, given.threshold)
    data = given.data or predictor.settings.data
    split = open_split(data, given.split)
    check_fit(predictor.network, split, data)
    number = position(split, given, data)
    image = np.asarray(split.images[number])
    masks, probabilities = predictor(image)
    truth = None if split.masks is None else np.asarray(split.masks[number], bool)
    notes = []
    for k, threshold in enumerate(predictor.thresholds):
        peak = f"largest {probabilities[..., k].max():.2f}, threshold {threshold:g}"
        notes.append(peak if truth is None else f"{verdict(truth[..., k], masks[..., k])}\n{peak}")
    out = given.out or Path("output") / predictor.name / f"predict_{split.ids[number]}.png"
    title = f"{predictor.name}: {split.ids[number]}, number {number} of {given.split}"
    class_figures.prediction(image, truth, masks, probabilities, predictor.classes, notes, out, title)
    for name, note in zip(predictor.classes, notes, strict=True):
        print(f"{name}: {', '.join(note.splitlines())}")
    return out


def position(split, given, data):
    """The number of the image that --index or --id asks for. UserError: there is none such."""
    if given.id is None:
        if not 0 <= given.index < len(split.ids):
            last = len(split.ids) - 1
            raise UserError(f"--index {given.index}: {given.split} of {data} has the images 0 to {last}")
        return given.index
    if given.id not in split.ids:
        raise UserError(f"no image {given.id} in {given.split} of {data}; index_{given.split}.csv has all")
    return split.ids.index(given.id)


def verdict(truth, mask):
    """How a mask, bool (H, W), fits the truth, in words."""
    if not truth.any():
        return f"not there, {100 * mask.mean():.1f} % predicted" if mask.any() else "not there, none predicted"
    counts = metrics.counts(truth[None], mask[None])
    return f"Jaccard {metrics.score('jaccard', counts):.3f}, Dice {metrics.score('dice', counts):.3f}"


# === Training curves ===


def curves(given):
    """Training curves of runs; returns the picture's path."""
    names = [runs.name_of(run) for run in given.run]
    out = given.out or Path("output") / names[0] / "curves.png"
    training_curves.curves([Path("output") / name / "log.csv" for name in names], out, runs.titles(names))
    return out


# === Command line ===


def parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def add(name, draw, text, place="in output/RUN"):
        command = commands.add_parser(name, help=text)
        command.set_defaults(command=name, draw=draw)
        command.add_argument("--out", type=Path, help=f"the picture to write (default: {place})")
        return command

    add("curves", curves, "training curves of one run or several").add_argument("--run", nargs="+", required=True)
    for name, text in (
        ("samples", "images, truth, prediction and contours of a scored run"),
        ("errors", "false negatives and false positives"),
    ):
        add_order(add(name, sheet, text))
    for name, text in (
        ("attention", "the gates inside the network, as heat"),
        ("gradcam", "which positions contribute to the lesion, as heat"),
    ):
        command = add(name, heat, text)
        add_order(command)
        command.add_argument("images", nargs="*", help="image files, folders, 'patterns*.jpg' instead")
        command.add_argument("--class", dest="name", help="which one's mask is explained (default: the first)")
    command.add_argument("--layers", nargs="+", default=(), help="whose maps are weighted (default: of each step)")

    command = add("labels", labels, "image, mask, core and edge label of AdSTNet", "output/labels.png")
    command.add_argument("--data", default="dataset_isic18", help="prepared folder (default dataset_isic18)")
    command.add_argument("--count", type=positive, default=4, help="rows, one an image (default 4)")
    command = add("predict", prediction, "one image: probabilities, truth and prediction of each class")
    add_run(command)
    add_threshold(command)
    command.add_argument("--split", default="val", help="train, val (default) or test")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--index", type=int, default=0, help="number of the image in the split, from 0 (default)")
    which.add_argument("--id", help="its id instead")
    command.add_argument("--data", help="prepared folder (default: the run's)")
    text = "how often each class is there in prepared data"
    command = add("distribution", distribution, text, "output/distribution.png")
    command.add_argument("--data", default="dataset_isic18", help="prepared folder (default dataset_isic18)")
    return parser


def add_order(command):
    """Add which images of a scored run are shown."""
    add_run(command, required=True)
    command.add_argument("--evaluation", help="its folder in output/RUN, such as test_no_tta (default: the newest)")
    command.add_argument("--order", choices=samples.ORDERS, default="worst")
    command.add_argument("--count", type=positive, default=8, help="rows, one an image (default 8)")


@errors.in_one_line()
def main(argv: list[str] | None = None) -> None:
    given = parser().parse_args(snake_case(argv))
    print(given.draw(given))


if __name__ == "__main__":
    main()
