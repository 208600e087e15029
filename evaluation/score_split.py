"""One pass over a split: network, probabilities at the size that is scored, masks, counts.

    scored = score(probabilities(networks, split, options), split, truth_of, size_of, options, folder)

The network runs in the caller's thread; resizing, clean-up, counting and writing of masks overlap with it in others.
Images leave behind counts and histograms, so memory does not grow with their number.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import metrics
import runs
from evaluation import surface_distances
from evaluation.score_histogram import ScoreHistogram
from evaluation.summary import STEPS
from imaging import hair_removal, mask_files
from inference import exported, postprocess, quality
from inference.predictor import maps_function
from utils.threads import in_order


@dataclass
class Options:
    """How masks are made and what is measured.

    thresholds: (classes,), the probability from which a pixel counts. tta: test-time augmentation. clean: largest
    connected component, holes filled. batch_size: images at a time. boundary: also measure boundary distances.
    """

    thresholds: list[float]
    tta: bool = False
    clean: bool = False
    batch_size: int = 16
    boundary: bool = False

    @property
    def variant(self) -> str:
        """The name of the masks that are asked for, among those of `variants`."""
        return runs.variant(self.tta, self.clean)


@dataclass
class Scored:
    """What a pass leaves behind; all of it but `counts` is of the masks that were asked for.

    counts: {variant: Counts (images, classes)}. sizes: (images, 2), height and width of the masks. histograms: one a
    class and, for several classes, one of all together. at_thresholds: (classes, 5, thresholds), means over images
    before clean-up of Jaccard, Dice and the fractions of pixels tp, fp, fn. peaks: (images, classes), the largest
    probability of each image. features: (images, classes, values) of inference/quality.py. All four None where there
    are masks only. distances: {name: (images, classes)} of surface_distances.py, or None.
    """

    counts: dict[str, metrics.Counts]
    sizes: np.ndarray
    distances: dict[str, np.ndarray] | None
    histograms: list[ScoreHistogram] | None = None
    at_thresholds: np.ndarray | None = None
    peaks: np.ndarray | None = None
    features: np.ndarray | None = None


def score(maps, split, truth_of, size_of, options: Options, folder: Path) -> Scored | None:
    """Predict a split, write its masks into `folder`, PNG files of 0 and 255, and count.

    maps: image by image, as `probabilities` yields them. split: datasets.arrays.Split. truth_of:
    a function from the number of an image to its true mask, uint8 {0, 1} (H, W, classes), called in other threads;
    None for a split without masks, whose predictions get the size size_of(number). Returns Scored, or None without
    truth. Raises what reading the truth and writing the masks raise.
    """
    histograms = [ScoreHistogram() for _ in split.classes]
    folder.mkdir(parents=True, exist_ok=True)

    def work(item):
        number, maps = item
        truth = truth_of(number) if truth_of else None
        size = size_of(number) if truth is None else truth.shape[:2]
        large = [postprocess.resize(each, size) for each in maps]  # (H, W, classes)
        masks = variants(large, options)
        mask_files.write_masks(folder, split.ids[number], masks[options.variant], split.classes)
        if truth is None:
            return None
        for k, histogram in enumerate(histograms):
            histogram.update(large[-1][..., k], truth[..., k])
        features = [
            quality.features([each[..., k] for each in maps], threshold)
            for k, threshold in enumerate(options.thresholds)
        ]
        return measure(truth, masks, options), at_thresholds(truth, large[-1]), large[-1].max(axis=(0, 1)), features

    rows = []
    curves: Any = 0.0
    peaks = []
    features = []
    done = in_order(work, enumerate(maps), ahead=2 * options.batch_size)
    for result in tqdm(done, total=len(split.ids), unit="image", desc="predict", disable=None):
        if result:
            rows.append(result[0])
            curves += result[1] / len(split.ids)
            peaks.append(result[2])
            features.append(result[3])
    if not truth_of:
        return None
    if len(histograms) > 1:
        histograms.append(ScoreHistogram.together(histograms))
    found = {
        "histograms": histograms,
        "at_thresholds": curves,
        "peaks": np.stack(peaks),
        "features": np.array(features),
    }
    return dataclasses.replace(gather(rows), **found)


def probabilities(networks, split, options):
    """Yields, image by image, [bare] or with tta [bare, augmented], probabilities, float32 (h, w, classes) each.

    networks: [(network, its Settings), …], whose probabilities are averaged. split: datasets.arrays.Split.
    """
    images_only = dataclasses.replace(split, masks=None)
    batches = [_maps(network, settings, images_only, options) for network, settings in networks]
    for maps in zip(*batches, strict=True):
        yield from zip(*(sum(each) / len(maps) for each in zip(*maps, strict=True)), strict=True)


def _maps(network, settings, split, options):
    """Yields, batch by batch, [bare] or with tta [bare, augmented] of one network, float32 (B, h, w, classes) each."""
    if isinstance(network, exported.Exported):
        images = _pixels(split, settings, options.batch_size)
    else:
        import pipeline  # needs TensorFlow, which an export does without

        images = pipeline.evaluation(split, settings, options.batch_size).as_numpy_iterator()
    yield from map(maps_function(network, options.tta, settings.precision), images)


def _pixels(split, settings, batch_size):
    """Yields the images of a split in batches, uint8 (B, h, w, 3), without hairs where `remove_hair` says so."""
    for start in range(0, len(split.ids), batch_size):
        images = np.asarray(split.images[start : start + batch_size])
        yield np.stack([hair_removal.remove(image) for image in images]) if settings.remove_hair else images


def variants(maps: list[np.ndarray], options: Options) -> dict[str, np.ndarray]:
    """Masks, bool (H, W, classes), by how they were made: bare, clean and, from two maps, tta, tta+clean."""
    thresholds = np.asarray(options.thresholds, np.float32)
    masks = {}
    for name, cleaned, each in zip(("bare", "tta"), ("clean", "tta+clean"), maps, strict=False):
        masks[name] = each >= thresholds
        masks[cleaned] = postprocess.largest_components(masks[name])
    return masks


def measure(truth: np.ndarray, masks: dict[str, np.ndarray], options: Options) -> dict:
    """Of one image: {"size", "counts": {variant: Counts (1, classes)}, "distances": {name: (1, classes)} or None}."""
    counts = {name: metrics.counts(truth[None], mask[None]) for name, mask in masks.items()}
    distances = surface_distances.scores(truth[None], masks[options.variant][None]) if options.boundary else None
    return {"size": truth.shape[:2], "counts": counts, "distances": distances}


def at_thresholds(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Of one image: Jaccard, Dice and fractions of pixels tp, fp, fn at each threshold, (classes, 5, thresholds)."""
    curves = []
    for k in range(truth.shape[-1]):
        counts = metrics.threshold_counts(truth[None, ..., k], probabilities[None, ..., k], STEPS)
        scores = [metrics.score(name, counts, "none")[0] for name in ("jaccard", "dice")]
        curves.append([*scores, *(pixels[0] / truth[..., k].size for pixels in (counts.tp, counts.fp, counts.fn))])
    return np.array(curves)


def gather(rows: list[dict]) -> Scored:
    """The rows of all images, as `measure` gives them, as Scored."""
    counts = {name: metrics.concatenate([row["counts"][name] for row in rows]) for name in rows[0]["counts"]}
    names = rows[0]["distances"] or ()
    distances = {name: np.concatenate([row["distances"][name] for row in rows]) for name in names}
    return Scored(counts, np.array([row["size"] for row in rows]), distances or None)
