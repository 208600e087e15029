"""Images per second that the input pipeline delivers at 192 x 256, on two cores.

    python benchmarks/pipeline.py              # the default set with every normalization (goal: 400), then each setting
    python benchmarks/pipeline.py --quick      # fewer passes

The default set is mirroring, turns, rotation, zoom, shift, shear, brightness, contrast, saturation and hue: one warp
and one color matrix. Every other setting is measured alone.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pipeline
from config import Settings
from datasets.arrays import Split
from datasets.phantoms import phantom

SIZE = (192, 256)
COUNT = 640
BATCH = 16
GEOMETRY = {"flip": True, "turn": True, "rotation": 45.0, "zoom": 0.2, "shift": 0.1, "shear": 10.0}
COLOR = {"brightness": 0.1, "contrast": 0.2, "saturation": 0.2, "hue": 10.0}
DEFAULT = GEOMETRY | COLOR
ALONE = {
    **{"elastic": 0.05, "color_constancy": 0.5, "hair": 10, "blur": 2.0, "jpeg": 60, "cutout": 0.3},
    **{"mixup": 0.4, "cutmix": 1.0, "remove_hair": True},
}


def speed(split, kind, options, passes):
    """Images per second, the median of some passes over the split after one that warms up."""
    settings = Settings(epochs=passes + 1, batch_size=BATCH, normalize=kind, **options)
    batches = iter(pipeline.training(split, settings))
    seconds = []
    for _ in range(passes + 1):
        start = time.perf_counter()
        for _ in range(COUNT // BATCH):
            next(batches)
        seconds.append(time.perf_counter() - start)
    return COUNT / statistics.median(seconds[1:])


def main():
    parser = argparse.ArgumentParser(description="Images per second of the input pipeline.")
    parser.add_argument("--quick", action="store_true", help="two passes instead of five")
    passes = 2 if parser.parse_args().quick else 5
    pictures = [phantom(seed, *SIZE) for seed in range(32)]
    images = np.stack([p.image for p in pictures] * (COUNT // 32))
    masks = np.stack([p.lesion for p in pictures] * (COUNT // 32))[..., None]
    split = Split(images, masks, [str(i) for i in range(COUNT)], np.full((COUNT, 2), SIZE), ["lesion"])
    print(f"images/s, median of {passes} passes over {COUNT} images of {SIZE[0]} x {SIZE[1]}")

    def show(title, options, kind="unit"):
        rate = speed(split, kind, options, passes)
        print(f"{f'{title}, {kind}':30} {rate:7.0f} {1000 / rate:7.2f} ms an image", flush=True)

    for kind in ("unit", "gamma", "minmax", "standardize"):
        show("default set", DEFAULT, kind)
    show("default set and elastic", DEFAULT | {"elastic": ALONE["elastic"]})
    show("everything but remove_hair", DEFAULT | ALONE | {"remove_hair": False})
    show("nothing", {})
    show("geometry alone", GEOMETRY)
    show("color alone", COLOR)
    for name, value in ALONE.items():
        show(f"{name} alone", {name: value})


if __name__ == "__main__":
    main()
