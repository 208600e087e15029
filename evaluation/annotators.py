"""A network among several annotators: how well it agrees with each, and they with each other.

    result["annotators"] = measure(split, read, predictions, table)     # in metrics.json; see `measure` for its keys

Agreement is the Jaccard (or Dice) of two masks of one image, with the challenge's rule for empty ones; of several
classes their mean. For each image that several annotators drew there are the mean over all pairs of annotators, and the
mean of the network over all annotators: a network that draws as annotators do agrees with them as they do with each
other. The difference has an interval by the paired bootstrap over images. Their consensus contains each annotator,
so annotators agree with it better than with each other, and than any network; that comparison is left to the report's
other scores.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import metrics
from evaluation import bootstrap
from evaluation.report_formats import Heading, Table, Text
from imaging import mask_files
from utils.files import replacing
from utils.threads import in_order

SCORES = ("jaccard", "dice")
LABELS = ("Jaccard", "Dice")
FILE = "annotators.csv"


def measure(split, read: Callable[[int], np.ndarray], predictions: Path, output: Path) -> dict | None:
    """Compare predicted masks with those of each annotator of a split; writes FILE into `output`, a row an image.

    split: datasets.split.Split with annotators. read: from the number of an image to the masks of its annotators, uint8
    (annotators, H, W, classes) of {0, 1}. predictions: folder of the predicted masks. Returns None where no image has
    two annotators, else
    {"images": with several, "annotators", "among": {score: mean over images of the mean over pairs of annotators},
     "network": {score: the same of the network and each annotator}, "difference", "intervals": {"among", "network",
     "difference": {score: [low, high]}}, "above": fraction of images on which the network's Jaccard is at least the
     annotators', "each": {annotator: {"images", "network": {score}, "others": {score}, …}}}.
    """

    def work(number):
        masks = read(number)
        found = mask_files.read_masks(predictions, split.ids[number], split.classes, masks.shape[1:3])
        return agreement(np.concatenate([masks, found[None].astype(np.uint8)]))

    several = [number for number, names in enumerate(split.annotators) if len(names) > 1]
    if not several:
        return None
    pairs = tqdm(in_order(work, several), "annotators", len(several), unit="image", disable=None)
    rows = []
    each: dict[str, list] = {}  # annotator -> [network's scores, mean of the others' scores] of each image
    for number, scores in zip(several, pairs, strict=True):  # (scores, annotators + 1, annotators + 1)
        names = split.annotators[number]
        count = len(names)
        network = scores[:, :count, count]
        upper = np.triu_indices(count, 1)
        rows.append(np.stack([scores[:, *upper].mean(axis=1), network.mean(axis=1)]))  # (2, scores)
        for k, name in enumerate(names):
            others = np.delete(scores[:, k, :count], k, axis=1).mean(axis=1)
            each.setdefault(name, []).append([network[:, k], others])
    table = np.array(rows)  # (images, 2, scores)
    _write(output / FILE, split, several, table)
    return _summary(table, each)


def agreement(masks: np.ndarray) -> np.ndarray:
    """The SCORES of each two masks, (scores, N, N), symmetric; masks: uint8 (N, H, W, classes) of {0, 1}."""
    count = len(masks)
    found = np.ones((len(SCORES), count, count))
    for a, b in itertools.combinations(range(count), 2):
        pixels = metrics.counts(masks[a][None], masks[b][None])
        found[:, a, b] = found[:, b, a] = [metrics.score(name, pixels) for name in SCORES]
    return found


def _write(path, split, several, table):
    ids = [split.ids[number] for number in several]
    names = [" ".join(split.annotators[number]) for number in several]
    columns = {"id": ids, "annotators": names}
    for place, who in enumerate(("among_annotators", "network")):
        columns |= {f"{name}_{who}": table[:, place, k] for k, name in enumerate(SCORES)}
    with replacing(path) as temporary:
        pd.DataFrame(columns).to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")


def _summary(table, each):
    """The result of `measure` from (images, 2, scores) and {annotator: [(2, scores), …]}."""
    images = len(table)
    differences = table[:, 1] - table[:, 0]  # (images, scores)
    columns = np.concatenate([table[:, 0], table[:, 1], differences], axis=1)
    means = columns.mean(axis=0).reshape(3, len(SCORES))
    drawn = (bootstrap.sums(columns) / images).reshape(-1, 3, len(SCORES))
    parts = ("among", "network", "difference")
    result: dict = {"images": images, "annotators": len(each)}
    result |= {part: dict(zip(SCORES, means[k].tolist(), strict=True)) for k, part in enumerate(parts)}
    result["intervals"] = {
        part: {name: bootstrap.interval(drawn[:, k, s]) for s, name in enumerate(SCORES)}
        for k, part in enumerate(parts)
    }
    result["above"] = float(np.mean(differences[:, 0] >= 0))
    result["each"] = {}
    for name, found in sorted(each.items()):
        network, others = np.mean(found, axis=0).tolist()
        scores = {"network": dict(zip(SCORES, network, strict=True)), "others": dict(zip(SCORES, others, strict=True))}
        result["each"][name] = {"images": len(found), **scores}
    return result


# === In the report ===


def verdict(found: dict) -> str:
    """Where the network lies among the annotators, in a sentence."""
    low, high = found["intervals"]["difference"]["jaccard"]
    means = f"{found['network']['jaccard']:.3f} against {found['among']['jaccard']:.3f} in mean Jaccard"
    if low > 0:
        return f"The network agrees with the annotators better than they do with each other: {means}."
    if high < 0:
        return f"The network agrees with the annotators less than they do with each other: {means}."
    return f"The network lies within the annotators: it agrees with them as they do with each other, {means}."


def blocks(result: dict) -> list:
    """The section of the report, from the contents of metrics.json."""
    found = result["annotators"]
    labels = {"among": "annotators among each other", "network": "network with annotators", "difference": "difference"}
    rows = []
    for part, label in labels.items():
        cells = []
        for name in SCORES:
            low, high = found["intervals"][part][name]
            cells += [f"{found[part][name]:.4f}", f"{low:.3f} to {high:.3f}"]
        rows.append([label, *cells])
    note = (
        f"Means over the {found['images']} images with several of the {found['annotators']} annotators, of all pairs "
        f"of an image; 95 % intervals: bootstrap of the images, paired. On {100 * found['above']:.0f} % of the images "
        "the network's Jaccard is at least that among annotators."
    )
    header = ["", "Jaccard", "95 % interval", "Dice", "95 % interval"]
    each = [
        [name, str(one["images"]), *(f"{one[who][score]:.4f}" for who in ("network", "others") for score in SCORES)]
        for name, one in found["each"].items()
    ]
    columns = ["annotator", "images", *(f"{score}, {who}" for who in ("network", "others") for score in LABELS)]
    more = (
        "Network: the network's agreement with this annotator; others: that of the other annotators of the same images."
    )
    return [
        Heading("Several annotators"),
        Text(verdict(found)),
        Table(header, rows, note),
        Table(columns, each, f"{more} The scores above are against the consensus of all."),
    ]
