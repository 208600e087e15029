"""AdSTNet's labels made from masks, a second on one core (goal: 400 masks of 256 × 256; the original: 1.6).

python benchmarks/adstnet_labels.py
"""

import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.adstnet import labels_from_mask

MASKS = Path(__file__).resolve().parents[1] / "tests" / "reference" / "adstnet_labels.npz"


def main():
    cv2.setNumThreads(1)
    masks = np.load(MASKS)["masks"]  # (8, 256, 256)
    rates = []
    for _ in range(20):
        start = time.perf_counter()
        for mask in masks:
            labels_from_mask(mask)
        rates.append(len(masks) / (time.perf_counter() - start))
    print(f"{statistics.median(rates):.0f} masks/s, median of {len(rates)} rounds over {len(masks)} masks")


if __name__ == "__main__":
    main()
