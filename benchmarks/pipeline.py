"""Images per second that the input pipeline delivers, augmented and normalised, at 192 x 256 (goal: 400 on two cores).

    python benchmarks/pipeline.py
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pipeline
from config import Settings
from datasets.prepared import Split

SIZE, COUNT = (192, 256), 640
SETS = {
    "no augmentation": {},
    "flips and turns": {"flip": True, "turn": True},
    "geometry": {"flip": True, "turn": True, "rotation": 45.0, "zoom": 0.2, "shift": 0.1},
    "geometry and colour": {
        **{"flip": True, "turn": True, "rotation": 45.0, "zoom": 0.2, "shift": 0.1},
        **{"brightness": 0.1, "contrast": 0.2, "saturation": 0.2, "hue": 10.0},
    },
}


def main():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (COUNT, *SIZE, 3), np.uint8)
    masks = random.integers(0, 2, (COUNT, *SIZE, 1), np.uint8)
    split = Split(images, masks, [str(i) for i in range(COUNT)], np.full((COUNT, 2), SIZE), ["lesion"])
    print("images/s, median of 5 passes over", COUNT, "images")
    for kind in ("unit", "gamma", "minmax", "standardize"):
        for name, options in SETS.items():
            batches = iter(pipeline.training(split, Settings(epochs=6, normalize=kind, **options)))
            steps, seconds = COUNT // 16, []
            for _ in range(6):  # the first pass warms up
                start = time.perf_counter()
                for _ in range(steps):
                    next(batches)
                seconds.append(time.perf_counter() - start)
            print(f"{kind:12} {name:20} {COUNT / statistics.median(seconds[1:]):7.0f}")


if __name__ == "__main__":
    main()
