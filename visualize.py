"""Pictures of runs and data: training curves, samples, errors, one image in full, what a network looks at, classes.

    python visualize.py curves --run RUN [RUN ...]               # several runs in one figure
    python visualize.py predict --run RUN --split val --index 78 # one image: truth and prediction of each class
    python visualize.py predict --run RUN --id ISIC_0016072 --threshold best     # of the val split
    python visualize.py samples --run RUN                        # image, truth, prediction, contours
    python visualize.py errors --run RUN --order worst           # missed and wrongly added pixels tinted
    python visualize.py attention --run RUN [IMAGES]             # the gates inside the network
    python visualize.py gradcam --run RUN [IMAGES]               # which places speak for the lesion
    python visualize.py labels --data dataset_isic18             # what AdSTNet's head learns of each mask
    python visualize.py distribution --data dataset_isic18       # how often each class is there; prints a table too

`curves` reads `output/RUN/log.csv`, which train.py writes, and tells the settings in its title. `predict` runs the
network on one image of prepared data and shows probabilities, masks and scores of each class. `distribution` reads the
masks of prepared data: of which class those are that are not empty, how many images have any, each one's share of the
pixels. The others need a run scored by evaluate.py, of whose images they show the --count best, median or worst
(--order): they read `output/RUN/metrics.json` and `per_image.csv`, the masks in `predictions/RUN/` and the prepared
arrays. `attention` and `gradcam` also take image files, folders and patterns, and then need the run alone. `labels`
needs no run: it shows --count training images of prepared data. Each writes one picture, `output/RUN/COMMAND….png`
(`output/labels.png`, `output/distribution.png`) or --out FILE (.png, .pdf or .svg), in two seconds, those that run a
network in ten.

Attention: every gate that multiplies a map by a sigmoid, by place in the network, averaged over channels (attention
U-Nets, LF-Net); of AS-Net the two gates of each spatial step together, and the mean map of each channel step.
Grad-CAM (Selvaraju et al. 2017, for masks as Vinogradova et al. 2020) works for any network; a column each for the maps
at its bottom and after each decoder step, or for those of --layers (`python model.py NETWORK` lists them).
"""

import argparse
import json
import math
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import cv2
import numpy as np
import pandas as pd

import runs
from datasets.arrays import open_split, read_meta
from datasets.class_statistics import class_shares
from figures import classes as class_figures
from figures import style
from imaging import files
from utils import errors
from utils.arguments import positive
from utils.errors import UserError


def chosen_rows(run, order, count):
    """Rows (label, image, truth, prediction) of the best, median or worst images of a scored run, and the split.

    FileNotFoundError, UserError: the run is not scored, has not so many images, or was scored on other data.
    """
    output, remedy = Path("output") / run, f"python evaluate.py --run {run}"
    if not (output / "metrics.json").exists():
        raise FileNotFoundError(f"{output / 'metrics.json'}: the run is not scored yet; {remedy} does it")
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    table = pd.read_csv(output / "per_image.csv", dtype={"id": str})
    if table["id"].is_unique:
        scores = table.set_index("id")["jaccard"]
    else:  # of several classes all pixels together, as evaluate.py ranks images; 0/0 is NaN
        pixels = table.groupby("id", sort=False)[["tp", "fp", "fn"]].sum()
        scores = pixels["tp"] / pixels.sum(axis=1)
    split = open_split(metrics["data"], metrics["split"])
    if list(scores.index) != list(split.ids):
        raise UserError(f"{metrics['data']}: not the images of {output / 'per_image.csv'}; {remedy} scores it anew")
    chosen = [(order, i) for i in style.pick(scores, order, count)]
    rows = list(style.sample_rows(split, chosen, scores.to_numpy(), Path("predictions") / run))
    return rows, split, f"{run}: {order} of {len(scores)} images of {metrics['split']}"


def sheet(arguments, out):
    """Samples or errors of a scored run."""
    rows, split, title = chosen_rows(arguments.run, arguments.order, arguments.count)
    draw = {"samples": style.sample_sheet, "errors": style.error_sheet}[arguments.command]
    draw(rows, out, split.classes, title)


def own_pictures(patterns, size):
    """(name, image uint8 (h, w, 3)) of each file. UserError names the one that cannot be read."""
    for path in files.find_images(patterns):
        try:
            yield path.name, files.decode_upright(path.read_bytes(), size)[0]
        except (UserError, cv2.error) as problem:
            raise UserError(f"{path}: {problem}") from None


def heat(arguments, out):
    """Attention or Grad-CAM, of image files or of images of a scored run."""
    from inference import explain  # needs TensorFlow, which takes seconds to import
    from inference.predictor import load_predictor

    predictor = load_predictor(arguments.run)
    if arguments.images:
        pictures = own_pictures(arguments.images, predictor.size)
        title = arguments.run
    else:
        rows, _, title = chosen_rows(arguments.run, arguments.order, arguments.count)
        pictures = [(label, image) for label, image, _, _ in rows]
    name = arguments.name or predictor.classes[0]
    if name not in predictor.classes:
        raise UserError(f"{arguments.run} has no class {name!r}; there are: {', '.join(predictor.classes)}")
    k = predictor.classes.index(name)
    rows = []
    for label, picture in pictures:
        image = predictor.fit(picture)
        mask, pixels = predictor(image)[0][..., k], predictor.pixels(image[None])  # (H, W), (1, H, W, channels)
        if arguments.command == "attention":
            maps = explain.attention(predictor.network, pixels)
        else:
            maps = explain.gradcam(predictor.network, pixels, k, arguments.layers)
        rows.append((label, image, mask, maps))
    what = "attention" if arguments.command == "attention" else f"Grad-CAM of {name}"
    style.heat_sheet(rows, out, f"{title}, {what}")


def labels(arguments, out):
    """AdSTNet's labels of images at even distances in the training split."""
    from models.adstnet import labels_from_mask

    split = open_split(arguments.data, "train")
    if split.masks is None:
        raise UserError(f"{arguments.data}: the train split has no masks to make labels of")
    chosen = range(0, len(split.ids), max(1, len(split.ids) // arguments.count))[: arguments.count]
    masks = [split.masks[i][..., 0] for i in chosen]
    rows = [
        (split.ids[i], split.images[i], mask, *labels_from_mask(mask)) for i, mask in zip(chosen, masks, strict=True)
    ]
    style.label_sheet(rows, out)


def distribution(arguments, out):
    """How often each class is there in the splits of prepared data; prints a table."""
    shares = {}
    for name in read_meta(arguments.data)["counts"]:
        split = open_split(arguments.data, name)
        if split.masks is not None and len(split.ids):
            shares[name] = class_shares(split.masks)
            classes = split.classes
    if not shares:
        raise UserError(f"{arguments.data}: no split has masks to count")
    rows = [
        {"split": name, "class": label, "images": images, "of images": images / each.images, "of pixels": pixels}
        for name, each in shares.items()
        for label, images, pixels in [
            *zip(classes, each.having, each.pixels, strict=True),
            ("any", each.any, math.nan),
        ]
    ]
    table = pd.DataFrame(rows).to_string(index=False, float_format=lambda share: f"{share:.2%}", na_rep="")
    class_figures.distribution(shares, classes, out, f"Classes of {arguments.data}")
    print(table)


def prediction(arguments, out):
    """One image of prepared data in full: probabilities, truth and prediction of each class, with scores."""
    import metrics
    from inference import predictor as inference  # needs TensorFlow, which takes seconds to import

    predictor = inference.load_predictor(arguments.run, arguments.threshold)
    data = arguments.data or predictor.settings.data
    split = open_split(data, arguments.split)
    inference.check_fit(predictor.network, split, data)
    number = position(split, arguments, data)
    id, image = split.ids[number], np.asarray(split.images[number])
    masks, probabilities = predictor(image)
    truth, notes = None if split.masks is None else np.asarray(split.masks[number], bool), []
    for k, threshold in enumerate(predictor.thresholds):
        peak = f"largest {probabilities[..., k].max():.2f}, threshold {threshold:g}"
        notes.append(peak if truth is None else f"{verdict(metrics, truth[..., k], masks[..., k])}\n{peak}")
    out = out or Path("output") / predictor.name / f"predict_{id}.png"
    title = f"{predictor.name}: {id}, number {number} of {arguments.split}"
    class_figures.prediction(image, truth, masks, probabilities, predictor.classes, notes, out, title)
    for name, note in zip(predictor.classes, notes, strict=True):
        print(f"{name}: {', '.join(note.splitlines())}")
    return out


def position(split, arguments, data):
    """The number of the image that --index or --id asks for. UserError: there is none such."""
    if arguments.id is None:
        if not 0 <= arguments.index < len(split.ids):
            last = len(split.ids) - 1
            raise UserError(f"--index {arguments.index}: {arguments.split} of {data} has the images 0 to {last}")
        return arguments.index
    if arguments.id not in split.ids:
        raise UserError(f"no image {arguments.id} in {arguments.split} of {data}; index_{arguments.split}.csv has all")
    return split.ids.index(arguments.id)


def verdict(metrics, truth, mask):
    """How a mask (H, W) fits the truth, in words."""
    if not truth.any():
        return f"not there, {100 * mask.mean():.1f} % marked" if mask.any() else "not there, none marked"
    counts = metrics.counts(truth[None], mask[None])
    return f"Jaccard {metrics.jaccard(counts):.3f}, Dice {metrics.dice(counts):.3f}"


def curves_title(names):
    """Names of runs; of one that is still there also its settings, of several those in which they differ."""
    found = {name: runs.settings(runs.BEST / name) for name in names if (runs.BEST / name / "settings.yaml").is_file()}
    if len(names) == 1:
        return runs.title(found[names[0]]) if found else names[0]
    told = [runs.told(settings) for settings in found.values()]
    differ = [key for key in dict.fromkeys(key for each in told for key in each) if len({e.get(key) for e in told}) > 1]
    lines = [
        f"{name}: " + ", ".join(f"{key} {each.get(key, 'default')}" for key in differ)
        for name, each in zip(found, told, strict=True)
    ]
    return "\n".join([", ".join(names), *lines * bool(differ)])


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    lines = commands.add_parser("curves", help="training curves of one run or several")
    lines.add_argument("--run", nargs="+", required=True)
    helps = {
        "samples": "images, truth, prediction and contours of a scored run",
        "errors": "missed and wrongly added pixels",
        "attention": "the gates inside the network, as heat",
        "gradcam": "which places speak for the lesion, as heat",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--run", required=True)
        command.add_argument("--order", choices=style.ORDERS, default="worst")
        command.add_argument("--count", type=positive, default=8, help="rows, one an image (default 8)")
        if name in ("attention", "gradcam"):
            command.add_argument("images", nargs="*", help="image files, folders, 'patterns*.jpg' instead")
            command.add_argument("--class", dest="name", help="which one's mask is explained (default: the first)")
    command.add_argument("--layers", nargs="+", default=(), help="whose maps are weighted (default: of each step)")
    command = commands.add_parser("labels", help="image, mask, core and edge label of AdSTNet")
    command.add_argument("--data", default="dataset_isic18", help="prepared folder (default dataset_isic18)")
    command.add_argument("--count", type=positive, default=4, help="rows, one an image (default 4)")
    command = commands.add_parser("predict", help="one image: probabilities, truth and prediction of each class")
    command.add_argument("--run", help="name of a run (default: the newest)")
    command.add_argument("--split", default="val", help="train, val (default) or test")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--index", type=int, default=0, help="number of the image in the split, from 0 (default)")
    which.add_argument("--id", help="its id instead")
    command.add_argument("--data", help="prepared folder (default: the run's)")
    command.add_argument("--threshold", type=runs.threshold, help="a number, best or challenge (default: the run's)")
    command = commands.add_parser("distribution", help="how often each class is there in prepared data")
    command.add_argument("--data", default="dataset_isic18", help="prepared folder (default dataset_isic18)")
    for command in commands.choices.values():
        command.add_argument("--out", type=Path, help="the picture to write (default: in output/RUN)")
    return parser.parse_args(argv)


@errors.in_one_line()
def main(argv=None):
    arguments = parse_arguments(argv)
    if arguments.command == "curves":
        out = arguments.out or Path("output") / arguments.run[0] / "curves.png"
        logs = [Path("output") / run / "log.csv" for run in arguments.run]
        style.curves(logs, out, curves_title(arguments.run))
    elif arguments.command == "predict":
        out = prediction(arguments, arguments.out)
    elif arguments.command == "distribution":
        out = arguments.out or Path("output") / "distribution.png"
        distribution(arguments, out)
    elif arguments.command == "labels":
        out = arguments.out or Path("output") / "labels.png"
        labels(arguments, out)
    else:
        name = arguments.command + ("" if getattr(arguments, "images", None) else f"_{arguments.order}")
        out = arguments.out or Path("output") / arguments.run / f"{name}.png"
        (sheet if arguments.command in ("samples", "errors") else heat)(arguments, out)
    print(out)


if __name__ == "__main__":
    main()
