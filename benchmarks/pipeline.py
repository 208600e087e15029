"""Images per second that the input pipeline delivers at 192 x 256, on two cores.

    python benchmarks/pipeline.py              # the default set with every normalisation (goal: 400), then each setting
    python benchmarks/pipeline.py --quick      # fewer passes

The default set is what the configurations of this repository draw from: mirroring, turns, rotation, zoom, shift, shear,
brightness, contrast, saturation and hue. Every other setting is measured alone and its cost given for one image.
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
from datasets.phantoms import phantom
from datasets.prepared import Split

SIZE, COUNT, BATCH = (192, 256), 640, 16
GEOMETRY = {"flip": True, "turn": True, "rotation": 45.0, "zoom": 0.2, "shift": 0.1, "shear": 10.0}
COLOUR = {"brightness": 0.1, "contrast": 0.2, "saturation": 0.2, "hue": 10.0}
DEFAULT = {**GEOMETRY, **COLOUR}
ALONE = {"geometry": GEOMETRY, "colour": COLOUR, "elastic": {"elastic": 0.05}}
ALONE |= {"geometry, elastic": {**GEOMETRY, "elastic": 0.05}, "color_constancy": {"color_constancy": 0.5}}
ALONE |= {"hair": {"hair": 10}, "blur": {"blur": 2.0}, "jpeg": {"jpeg": 60}, "cutout": {"cutout": 0.3}}
ALONE |= {"mixup": {"mixup": 0.4}, "cutmix": {"cutmix": 1.0}, "remove_hair": {"remove_hair": True}}


def speed(split, kind, options, passes):
    """Images per second, the median of some passes over the split after one that warms up."""
    settings = Settings(epochs=passes + 1, batch_size=BATCH, normalize=kind, **options)
    batches, seconds = iter(pipeline.training(split, settings)), []
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
    for kind in ("unit", "gamma", "minmax", "standardize"):
        print(f"{'default set, ' + kind:28} {speed(split, kind, DEFAULT, passes):7.0f}", flush=True)
    bare = speed(split, "unit", {}, passes)
    print(f"{'nothing, unit':28} {bare:7.0f}")
    for name, options in ALONE.items():
        rate = speed(split, "unit", options, passes)
        print(f"{name + ' alone, unit':28} {rate:7.0f}   {1000 / rate - 1000 / bare:5.2f} ms an image", flush=True)
    everything = {key: value for options in ALONE.values() for key, value in options.items()} | {"remove_hair": False}
    print(f"{'all but remove_hair, unit':28} {speed(split, 'unit', everything, passes):7.0f}")


if __name__ == "__main__":
    main()
