"""How fast scores are computed: the AS-Net script's way (pixels flattened, a Python loop, scikit-learn) against ours.

    python benchmarks/metrics.py [--images 60] [--repeats 3]

Both work, in turn, on the same probabilities and masks of 192 × 256 and must agree. Prints median seconds and their
ratio, then the median seconds for 1,000 masks (scaled up from --images) of each step of ours. Takes about a minute.
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import sklearn.metrics

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import metrics
from evaluation import surface_distances
from evaluation.score_histogram import ScoreHistogram

HEIGHT, WIDTH, BATCH = 192, 256, 16


def phantoms(images):
    """Truth, uint8 {0, 1}, and float32 probabilities of blurred, shifted discs: (N, H, W) each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    center = rng.uniform(0.3, 0.7, (images, 2)) * [HEIGHT, WIDTH]
    radius = rng.uniform(10, 80, (images, 1, 1)).astype(np.float32)
    far = [np.hypot(y - c[0], x - c[1]) for c in center.astype(np.float32)]
    inside = radius - np.stack(far)  # (N, H, W) pixels
    noise = rng.normal(0, 4, inside.shape).astype(np.float32)
    return (inside > 0).astype(np.uint8), 1 / (1 + np.exp(-(inside + noise + 2) / 3))


def script(truth, probabilities):
    """As the AS-Net code's evaluate.py: flatten, threshold pixel by pixel, scikit-learn on everything."""
    y_scores, y_true = probabilities.reshape(-1, 1), truth.reshape(-1, 1)
    roc_auc = sklearn.metrics.roc_auc_score(y_true, y_scores)
    sklearn.metrics.roc_curve(y_true, y_scores)
    sklearn.metrics.precision_recall_curve(y_true, y_scores)
    y_pred = np.empty(y_scores.shape[0])
    for i in range(y_scores.shape[0]):
        y_pred[i] = 1 if y_scores[i, 0] >= 0.5 else 0
    sklearn.metrics.confusion_matrix(y_true, y_pred)
    f1 = sklearn.metrics.f1_score(y_true, y_pred)
    return {"roc_auc": roc_auc, "jaccard": sklearn.metrics.jaccard_score(y_true, y_pred), "dice": f1}


def ours(truth, probabilities):
    """The same scores, and per-image means besides, batch by batch."""
    histogram = ScoreHistogram()
    parts = []
    for start in range(0, len(truth), BATCH):
        true, scores = truth[start : start + BATCH], probabilities[start : start + BATCH]
        parts.append(metrics.counts(true, scores >= 0.5))
        histogram.update(scores, true)
    c = metrics.concatenate(parts)
    for name in ("jaccard", "thresholded_jaccard", "sensitivity", "specificity"):
        metrics.score(name, c)
    histogram.roc_curve(), histogram.precision_recall_curve()
    pooled = {name: metrics.score(name, c, "pooled") for name in ("jaccard", "dice")}
    return {"roc_auc": histogram.roc_auc(), **pooled}


def seconds(function, *arguments):
    start = perf_counter()
    result = function(*arguments)
    return perf_counter() - start, result


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(argv)
    truth, probabilities = phantoms(options.images)

    times = {"script": [], "ours": []}
    for _ in range(options.repeats):
        for name, function in (("script", script), ("ours", ours)):
            taken, scores = seconds(function, truth, probabilities)
            times[name].append(taken)
            print(f"{name:8s} {taken:8.3f} s  " + "  ".join(f"{key} {value:.6f}" for key, value in scores.items()))
    slow, fast = median(times["script"]), median(times["ours"])
    print(f"{options.images} masks: script {slow:.3f} s, ours {fast:.3f} s, ratio {slow / fast:.0f}")

    print("seconds for 1,000 masks, each step alone:")
    histogram = ScoreHistogram()
    steps = {
        "counts": lambda: metrics.counts(truth, probabilities >= 0.5),
        "score histogram": lambda: histogram.update(probabilities, truth) or histogram.counts(),
        "counts at 99 thresholds": lambda: metrics.threshold_counts(truth, probabilities),
        "boundary scores": lambda: surface_distances.scores(truth, probabilities >= 0.5),
    }
    for name, step in steps.items():
        taken = median(seconds(step)[0] for _ in range(options.repeats))
        print(f"  {name:26s} {taken * 1000 / options.images:8.3f}")


if __name__ == "__main__":
    main()
