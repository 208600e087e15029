"""What temperature scaling gains on images that the temperature was not found on, where both are of one kind.

    python benchmarks/calibration.py [--run RUN] [--split val] [--images 100] [--draws 100]

The images of a split are divided again and again: on so many the temperature is found, on the others the expected
calibration error is measured before and after, all at the network's size, of the first class. Goal: half.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.arrays import open_split
from evaluation.score_histogram import ScoreHistogram
from inference.arguments import add_run
from predict import load_predictor
from utils.arguments import positive

BATCH = 16


def histogram(probabilities, truth):
    """Of images (N, h, w)."""
    found = ScoreHistogram()
    found.update(probabilities, truth)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run(parser)
    parser.add_argument("--split", default="val", help="of the run's data (default: val)")
    parser.add_argument("--images", type=positive, default=100, help="on which the temperature is found (default: 100)")
    parser.add_argument("--draws", type=positive, default=100)
    given = parser.parse_args()
    predictor = load_predictor(given.run)
    split = open_split(predictor.settings.data, given.split)
    count = len(split.ids)
    if count <= given.images:
        sys.exit(f"error: {count} images in split {given.split}: name fewer with --images")
    batches = [
        predictor.probabilities(
            np.stack([predictor.fit(np.asarray(image)) for image in split.images[start : start + BATCH]])
        )
        for start in tqdm(range(0, count, BATCH), "predict", unit="batch", disable=None)
    ]
    probabilities = np.concatenate(batches)[..., 0]
    truth = np.asarray(split.masks[:])[..., 0] > 0
    rows = []
    for seed in tqdm(range(given.draws), "draws", disable=None):
        order = np.random.default_rng(seed).permutation(count)
        found, others = (
            histogram(probabilities[part], truth[part]) for part in (order[: given.images], order[given.images :])
        )
        temperature = found.temperature()
        scores = (others.expected_calibration_error(temperature=each) for each in (1.0, temperature))
        rows.append([temperature, *scores])
    temperatures, before, after = np.array(rows).T
    print(f"{given.images} images to find the temperature, {count - given.images} to measure, {given.draws} draws")
    print(f"temperature                 {temperatures.mean():.2f} ± {temperatures.std():.2f}")
    ratio = after.mean() / before.mean()
    print(f"expected calibration error  {before.mean():.4f} before, {after.mean():.4f} after, {ratio:.2f} of it")
    print(f"smaller after               in {100 * np.mean(after < before):.0f} % of the draws")


if __name__ == "__main__":
    main()
