"""Step 3: score a trained run on one split of prepared arrays.

    python evaluate.py                                   # the newest run, validation images
    python evaluate.py --run isic18_cpu --split test
    python evaluate.py --run isic18_cpu --data dataset_ph2 --split test     # on another prepared folder
    python evaluate.py --run isic18_cpu --split test --no-tta --no-clean    # the bare network, whatever the run says

Reads `checkpoint_best/RUN/model.keras` and `settings.yaml`, and the arrays of the run's data folder. Writes

    output/RUN/performances.txt        every score, to be read by people
    output/RUN/metrics.json            the same for programs (undefined scores are null)
    output/RUN/per_image.csv           counts and scores of each image and class
    output/RUN/ROC.png                 output/RUN/Precision_recall.png
    output/RUN/sample_results.png      the best, the median and the worst image
    predictions/RUN/<id>_segmentation.png     masks, 0 and 255, at the size of the prepared arrays

There are two kinds of scores. `pooled`: all pixels of all images counted together, as AS-Net reports. `per_image`:
each image scored by itself, then the mean, as the ISIC challenge ranks; thresholded Jaccard is 0 for an image whose
Jaccard is below 0.65. Where a mask is empty the challenge's rule holds: sensitivity 1 without positives, specificity 1
without negatives, Jaccard and Dice 1 where truth and prediction are both empty. A split without masks is predicted, not
scored.

Images go by in batches and leave behind counts and a histogram, so memory does not grow with their number. What
scoring takes beyond the network's own time is measured by benchmarks/evaluate.py.
"""

import argparse
import dataclasses
import json
import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np
import pandas as pd
from tqdm import tqdm

import inference
import metrics
import model
import pipeline
import runs
import visualize
from datasets.command import positive
from datasets.prepared import open_split

POOLED = ("jaccard", "dice", "accuracy", "sensitivity", "specificity", "precision")
PER_IMAGE = ("jaccard", "thresholded_jaccard", "dice", "accuracy", "sensitivity", "specificity")
LABELS = {
    "roc_auc": "ROC AUC",
    "average_precision": "Precision-recall AUC (average precision)",
    "jaccard": "Jaccard",
    "thresholded_jaccard": "Thresholded Jaccard (0 below 0.65)",
    "dice": "Dice (F1)",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity (recall)",
    "specificity": "Specificity",
    "precision": "Precision",
}


# === Prediction ===


def check_fit(network, split, root):
    """ValueError where the network and the prepared arrays differ in size or number of classes."""
    (height, width), found = network.input_shape[1:3], split.images.shape[1:3]
    if (height, width) != found:
        raise ValueError(
            f"the network was made for images of {height} × {width}, those in {root} are {found[0]} × {found[1]};"
            f" prepare them anew: python dataset_isic18.py --size {height}x{width}"
        )
    if network.output_shape[-1] != len(split.classes):
        classes = ", ".join(split.classes)
        raise ValueError(
            f"the network gives {network.output_shape[-1]} masks an image, {root} has {len(split.classes)} ({classes});"
            " name data of the same task with --data"
        )


def predict(network, split, settings, folder, batch_size=None):
    """Predict a split batch by batch and write its masks, PNG files of 0 and 255, into `folder`.

    Yields, in the order of the images, (slice of the images, probabilities (B, H, W, classes), masks bool of the same
    shape). Files are written by other threads while the network computes; at most two batches are held at a time.
    """
    probabilities_of = inference.predictor(network, settings.tta)
    folder.mkdir(parents=True, exist_ok=True)
    images_only = dataclasses.replace(split, masks=None)
    done, writing = 0, []
    with (
        ThreadPoolExecutor(2) as pool,
        tqdm(total=len(split.ids), unit="image", desc="predict", disable=None) as progress,
    ):
        for images in pipeline.evaluation(images_only, settings, batch_size).as_numpy_iterator():
            probabilities = probabilities_of(images)  # (B, H, W, classes)
            masks = probabilities >= settings.threshold
            if settings.clean:
                masks = np.stack([inference.largest_parts(mask) for mask in masks])
            for job in writing:
                job.result()  # an error of the disk ends the run here
            batch = slice(done, done + len(masks))
            names = zip(split.ids[batch], masks, strict=True)
            writing = [pool.submit(visualize.write_masks, folder, name, mask, split.classes) for name, mask in names]
            yield batch, probabilities, masks
            done = batch.stop
            progress.update(len(masks))
        for job in writing:
            job.result()


# === Scores ===


def score(network, split, settings, folder, batch_size=None):
    """Predict and count.

    Returns counts (images, classes) and score histograms, one a class and, for several classes, a last one of all
    classes together; (None, None) for a split without masks.
    """
    counts, histograms = [], [metrics.ScoreHistogram() for _ in split.classes]
    together = metrics.ScoreHistogram() if len(split.classes) > 1 else None
    for batch, probabilities, masks in predict(network, split, settings, folder, batch_size):
        if split.masks is not None:
            truth = split.masks[batch]  # (B, H, W, classes)
            counts.append(metrics.counts(truth, masks))
            for k, histogram in enumerate(histograms):
                histogram.update(probabilities[..., k], truth[..., k])
            if together:
                together.update(probabilities, truth)
    if split.masks is None:
        return None, None
    return metrics.concatenate(counts), histograms + ([together] if together else [])


def pooled_scores(counts, histogram):
    """All pixels counted together; what is 0/0 there (no lesion pixel at all) is undefined, NaN."""
    areas = {"roc_auc": histogram.roc_auc(), "average_precision": histogram.average_precision()}
    scores = {name: getattr(metrics, name)(counts, "pooled", empty=math.nan) for name in POOLED}
    confusion = {name: int(pixels.sum()) for name, pixels in counts._asdict().items()}
    return {**areas, **scores, "confusion_matrix": confusion}


def per_image_scores(counts):
    """Means over images (and classes), empty masks by the challenge's rule."""
    return {name: getattr(metrics, name)(counts, "image") for name in PER_IMAGE}


def empty_masks(counts):
    """How many of the true masks (images × classes) hold no pixel."""
    return int(np.count_nonzero(counts.tp + counts.fn == 0))


def summarize(counts, histograms, classes):
    """The scores of metrics.json: {"empty_masks", "pooled", "per_image"} of all classes together.

    With several classes also "classes": the same of each, and "class_mean": means of the classes' pooled scores.
    `pooled` then counts the pixels of all classes together, as the overall score of ISIC 2018 Task 2 does.
    """
    result = _summary(counts, histograms[-1])
    if len(classes) > 1:
        single = [metrics.Counts(*(field[:, k : k + 1] for field in counts)) for k in range(len(classes))]
        each = {name: _summary(*parts) for name, *parts in zip(classes, single, histograms[:-1], strict=True)}
        names = ("roc_auc", "average_precision", *POOLED)
        result["class_mean"] = {name: _mean([scores["pooled"][name] for scores in each.values()]) for name in names}
        result["classes"] = each
    return result


def _summary(counts, histogram):
    return {
        "empty_masks": empty_masks(counts),
        "pooled": pooled_scores(counts, histogram),
        "per_image": per_image_scores(counts),
    }


def _mean(values):
    """Mean of what is defined, else NaN."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def image_table(counts, split):
    """One row an image and class: id, class, tp, fp, fn, tn (pixels), scores, whether the true mask is empty."""
    images, classes = counts.tp.shape
    columns = {"id": np.repeat(split.ids, classes), "class": np.tile(split.classes, images)}
    columns |= {name: pixels.ravel() for name, pixels in counts._asdict().items()}
    columns |= {name: getattr(metrics, name)(counts, "none").ravel() for name in PER_IMAGE}
    columns["precision"] = metrics.precision(counts, "none", empty=math.nan).ravel()
    return pd.DataFrame(columns | {"empty_mask": columns["tp"] + columns["fn"] == 0})


# === Files ===


def write_text(path, text):
    """Write a text file under a temporary name, then rename."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def report(result, classes):
    """The text of performances.txt."""
    height, width = result["size"]
    masks = result["images"] * len(classes)
    lines = [
        f"Run {result['run']}, split {result['split']} of {result['data']}",
        f"{result['images']} images of {height} × {width} pixels, threshold {result['threshold']:g}"
        + ", averaged over mirrored and turned copies" * result["tta"]
        + ", masks reduced to their largest part without holes" * result["clean"],
        f"Empty true masks: {result['empty_masks']} of {masks} (sensitivity 1; Jaccard and Dice 1 if nothing is"
        " predicted there, else 0)",
    ]
    columns = {classes[0]: result}
    if len(classes) > 1:
        mean = {"pooled": result["class_mean"], "per_image": result["per_image"]}
        columns = {**result["classes"], "mean": mean, "together": result}
    for title, kind, names in (
        ("Pooled: all pixels of all images counted together", "pooled", ("roc_auc", "average_precision", *POOLED)),
        ("Per image: each image scored by itself, then the mean", "per_image", PER_IMAGE),
    ):
        lines += ["", title, _line("", [name.replace("_", " ") for name in columns])]
        lines += [_line(LABELS[name], [_number(c[kind][name]) for c in columns.values()]) for name in names]
    lines += ["", "Confusion matrix, pixels", _line("", ["predicted", "not predicted"])]
    for name, scores in columns.items():
        if "confusion_matrix" in scores["pooled"]:
            c, name = scores["pooled"]["confusion_matrix"], name.replace("_", " ")
            lines += [_line(f"true {name}", [c["tp"], c["fn"]]), _line(f"not {name}", [c["fp"], c["tn"]])]
    return "\n".join(lines) + "\n"


def _line(label, cells):
    return f"{label:<42}" + "".join(f"{cell:>18}" for cell in cells)


def _number(value):
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def _without_nan(value):
    """The same with None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def draw(output, result, split, histograms, scores, predictions):
    """ROC.png, Precision_recall.png and sample_results.png. scores: (images,) Jaccard, the mean of the classes."""
    summaries = result.get("classes", {split.classes[0]: result})
    roc, precision_recall = {}, {}
    for (name, summary), histogram in zip(summaries.items(), histograms, strict=False):  # not that of all classes
        name, pooled = name.replace("_", " "), summary["pooled"]
        if math.isnan(pooled["roc_auc"]):  # only one kind of pixels: there is no curve
            continue
        false_rates, true_rates, _ = histogram.roc_curve()
        precisions, recalls, _ = histogram.precision_recall_curve()
        tp, fp, fn, tn = pooled["confusion_matrix"].values()
        roc[name] = (false_rates, true_rates, pooled["roc_auc"])
        share = (tp + fn) / (tp + fp + fn + tn)
        precision_recall[name] = (recalls, precisions, pooled["average_precision"], share)
    visualize.roc(roc, output / "ROC.png")
    visualize.precision_recall(precision_recall, output / "Precision_recall.png")

    chosen = [(order, visualize.pick(scores, order)[0]) for order in visualize.ORDERS]
    rows = visualize.sample_rows(split, chosen, scores, predictions)
    title = f"{result['run']}: best, median and worst of {result['images']} images ({result['split']})"
    visualize.sample_sheet(rows, output / "sample_results.png", split.classes, title)


# === Command line ===


def evaluate(run=None, split="val", data=None, threshold=None, batch_size=None, tta=None, clean=None):
    """Score one split with a run of checkpoint_best/ and write every file.

    run: None is the newest. data, threshold, batch_size, tta, clean: None means the run's own. Returns the contents of
    metrics.json, or None for a split without masks. Raises ValueError and FileNotFoundError that say what to do.
    """
    # 1. open the run and the data
    folder = runs.find(run)
    settings = runs.settings(folder)
    changes = {"data": data, "threshold": threshold, "tta": tta, "clean": clean}
    settings = dataclasses.replace(settings, **{name: value for name, value in changes.items() if value is not None})
    images = open_split(settings.data, split)
    network = model.load(folder / "model.keras")
    check_fit(network, images, settings.data)

    # 2. predict, count
    predictions, output = Path("predictions") / folder.name, Path("output") / folder.name
    counts, histograms = score(network, images, settings, predictions, batch_size)
    print(f"masks       {predictions}/")
    if counts is None:
        print(f"{settings.data} has no masks for split {split!r}: predicted {len(images.ids)} images, nothing to score")
        return None

    # 3. write scores and figures
    output.mkdir(parents=True, exist_ok=True)
    result = {"run": folder.name, "data": str(settings.data), "split": split, "images": len(images.ids)}
    result |= {"size": list(images.images.shape[1:3]), "threshold": settings.threshold}
    result |= {"tta": settings.tta, "clean": settings.clean}
    result |= summarize(counts, histograms, images.classes)
    table = image_table(counts, images)
    write_text(output / "per_image.csv", table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
    draw(output, result, images, histograms, metrics.jaccard(counts, "none").mean(axis=1), predictions)
    write_text(output / "performances.txt", report(result, images.classes))
    result = _without_nan(result)
    write_text(output / "metrics.json", json.dumps(result, indent=2) + "\n")
    print(f"scores      {output}/performances.txt, metrics.json, per_image.csv")
    print(f"figures     {output}/ROC.png, Precision_recall.png, sample_results.png\n")
    print((output / "performances.txt").read_text(encoding="utf-8"), end="")
    return result


def main(argv=None):
    parser = argparse.ArgumentParser(description="Score a trained run on one split of prepared arrays.")
    parser.add_argument("--run", help="name of a folder in checkpoint_best/ (default: the newest)")
    parser.add_argument("--split", default="val", help="train, val (default) or test")
    parser.add_argument("--data", help="folder of prepared arrays (default: the run's)")
    parser.add_argument("--threshold", type=float, help="from which probability on a pixel counts (default: the run's)")
    parser.add_argument("--batch_size", type=positive, help="images at a time (default: the run's)")
    flag = {"action": argparse.BooleanOptionalAction, "default": None}
    parser.add_argument("--tta", **flag, help="average over mirrored and turned copies (default: the run's)")
    parser.add_argument("--clean", **flag, help="keep each mask's largest part, fill its holes (default: the run's)")
    try:
        evaluate(**vars(parser.parse_args(argv)))
    except (ValueError, OSError) as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
