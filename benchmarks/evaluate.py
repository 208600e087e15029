"""What evaluate.py takes beyond the network's own time, and what the AS-Net code's way of scoring takes.

    python benchmarks/evaluate.py [--images 1000] [--asnet_images 100]

Goal: 1,000 masks of 192 × 256 in 2 seconds beyond the network. The data set is made up in a temporary folder; the
network is a blur and a threshold, so that its own time is small beside what is measured. Seconds are for 1,000 images;
processor time is what to look at where other programs share the cores. `scored` is the pass over the images, with
masks written, and every number of metrics.json; figures, pictures and reports come on top. Also: the pass when masks of
768 × 1024 are scored, and the bootstrap of all scores from counts (goal: 2 seconds).
"""

import argparse
import contextlib
import io
import itertools
import math
import sys
import tempfile
import time
from pathlib import Path

import cv2
import keras
import numpy as np
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    jaccard_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import config
import evaluate
import metrics
import pipeline
import runs
from datasets.arrays import Writer, open_split
from evaluation import score_split, summary, write_results
from inference import probabilities as inference_probabilities
from utils.arguments import snake_case

SIZE = (192, 256)


def make_data(count):
    """Soft-edged dark blobs on bright skin with noise, and their masks."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    with Writer("data", {"dataset": "blobs", "task": 1}, SIZE, ["lesion"]) as writer:
        for i in range(count):
            waves = cv2.GaussianBlur(generator.normal(0, 100, SIZE).astype(np.float32), (0, 0), 10)
            x, y, radius = generator.uniform((60, 50, 10), (196, 142, 80))
            depth = radius - np.hypot(columns - x, rows - y) + 3 * waves  # pixels inside the border
            shade = 200 - 120 / (1 + np.exp(-depth / 4)) + generator.normal(0, 12, SIZE)  # (H, W)
            image = np.repeat(np.clip(shade, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
            writer.add("test", f"BLOB_{i:05d}", image, (depth > 0).astype(np.uint8)[..., None], SIZE)


def blur_network():
    """Logits 30 (0.55 - x) of the blurred image: right but for the borders."""
    inputs = keras.Input((*SIZE, 3))
    blur = keras.layers.Conv2D(1, 5, padding="same")
    outputs = blur(inputs)
    blur.set_weights([np.full((5, 5, 3, 1), -30 / 75, np.float32), np.full(1, 16.5, np.float32)])
    return keras.Model(inputs, outputs)


def asnet_scores(truth, scores):
    """The scores as the AS-Net script computes them: all pixels in one array, thresholded in a loop, scikit-learn."""
    roc_curve(truth, scores)
    roc_auc_score(truth, scores)
    precision, recall, _ = precision_recall_curve(truth, scores)
    np.trapezoid(precision[::-1], recall[::-1])
    predicted = np.empty(scores.shape[0])
    for i in range(scores.shape[0]):
        predicted[i] = 1 if scores[i] >= 0.5 else 0
    confusion_matrix(truth, predicted)
    jaccard_score(truth, predicted)
    f1_score(truth, predicted)


def best_of(work, times=3):
    """The least clock and processor seconds of several calls, after one that warms up if there are several."""
    spent = []
    for _ in range(times + (times > 1)):
        clock, processor = time.perf_counter(), time.process_time()
        work()
        spent.append((time.perf_counter() - clock, time.process_time() - processor))
    return np.min(spent[-times:], axis=0)  # (2,)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--asnet_images", type=int, default=100)
    arguments = parser.parse_args(snake_case())
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        make_data(arguments.images)
        run = runs.BEST / "blobs"
        run.mkdir(parents=True)
        settings = config.Settings(run="blobs", data="data", normalize="unit", batch_size=16)
        config.save(settings, run / "settings.yaml")
        network = blur_network()
        split = open_split("data", "test")
        network.save(run / "model.keras")
        thousands = arguments.images / 1000

        # 1. the network alone, on one batch again and again
        probabilities = inference_probabilities.probability_function(network)
        batch = next(iter(pipeline.evaluation(split, settings)))[0]
        batches = range(math.ceil(arguments.images / settings.batch_size))
        alone = best_of(lambda: [probabilities(batch) for _ in batches]) / thousands

        # 2. all of evaluate.py: loading, reading, network, counts, histogram, masks, figures, reports
        with contextlib.redirect_stdout(io.StringIO()):
            total = best_of(lambda: evaluate.evaluate("blobs", "test", at="network")) / thousands

        # 3. the scores alone; masks of four times the height and width; the bootstrap
        options = score_split.Options([0.5])

        def scored(truth_of, folder):
            maps = score_split.probabilities([(network, settings)], split, options)
            return score_split.score(maps, split, truth_of, None, options, Path(folder))

        def scores():
            write_results.contents({}, scored(lambda i: np.asarray(split.masks[i]), "small"), options, split.classes)

        def enlarged(number):
            return cv2.resize(split.masks[number], (1024, 768), interpolation=cv2.INTER_NEAREST)[..., None]

        beyond = best_of(scores) / thousands - alone
        counts = metrics.Counts(*np.random.default_rng(0).integers(1, 99, (4, 1000, 1)))
        large = best_of(lambda: scored(enlarged, "large"), 1) / thousands
        bootstrap = best_of(lambda: summary.draws(counts))

        # 4. the AS-Net way, the network's time left out
        part = itertools.islice(pipeline.evaluation(split, settings, 1), arguments.asnet_images)
        pairs = [(masks.numpy().ravel(), probabilities(images).ravel()) for images, masks in part]
        truth, found = (np.concatenate(side) for side in zip(*pairs, strict=True))  # (pixels,)
        asnet = best_of(lambda: asnet_scores(truth, found), times=1) * 1000 / arguments.asnet_images
        print("seconds for 1,000 images      clock  processor")
        print(f"network alone              {alone[0]:8.2f} {alone[1]:10.2f}")
        print(f"scored, beyond the network {beyond[0]:8.2f} {beyond[1]:10.2f}   goal 2.00")
        print(f"all files, beyond it       {(total - alone)[0]:8.2f} {(total - alone)[1]:10.2f}")
        print(f"pass at 768 × 1024         {large[0]:8.2f} {large[1]:10.2f}")
        print(f"bootstrap, 10,000 draws    {bootstrap[0]:8.2f} {bootstrap[1]:10.2f}   goal 2.00")
        print(f"AS-Net way, beyond         {asnet[0]:8.2f} {asnet[1]:10.2f}   {asnet[1] / beyond[1]:.0f} times as long")


if __name__ == "__main__":
    main()
