"""What train.py costs beside the network's own steps: start, waiting for data, memory.

    python benchmarks/training.py [--data FOLDER] [--config configs/isic18_unet16.yaml]     # 2 minutes on two CPU cores

1. Seconds from the start of the process to the end of the first step (goal: 25), an epoch of U-Net 16 at 128 x 128 with
   the configuration's augmentation, and the fraction of its time that was spent waiting for data (goal: 3 %).
2. Memory of a process after 100 and up to 2,000 steps, a checkpoint each 50, validation and figures each 200;
   for the number of steps this is a smaller network on smaller images.

Each is a process of its own that calls train.py. Without --data the images are phantoms.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.arrays import Writer
from datasets.phantoms import phantom

ROOT = Path(__file__).resolve().parents[1]
STEPS = (100, 500, 1000, 2000)
SMALL = {"model": "unet", "options": "{width: 4, depth: 3}", "epochs": "10", "save_every": "50", "batch_size": "4"}


def write_phantoms(root, size, train, val, distinct=64):
    """A prepared folder of phantoms, some of them many times."""
    drawn = [phantom(seed, size, size) for seed in range(distinct)]
    with Writer(root, {"dataset": "phantoms", "task": 1}, size=(size, size), classes=["lesion"]) as writer:
        for split, count in (("train", train), ("val", val)):
            for i in range(count):
                one = drawn[i % distinct]
                writer.add(split, f"{split}_{i:05}", one.image, one.lesion[..., None], (size, size))
    return root


def train(argv):
    """A process of train.py, in which after each step the clock and the memory are written down."""
    import psutil

    import train
    from training import steps as training_steps

    step = training_steps.Loop.step
    process = psutil.Process()
    begun = psutil.Process().create_time()
    times = []
    memory = {}

    def watched(self, *batch, **options):
        values = step(self, *batch, **options)
        if not times:
            float(values[0])  # waits for it
        times.append(time.time())
        if len(times) in STEPS:
            memory[len(times)] = process.memory_info().rss
        return values

    training_steps.Loop.step = watched
    rows = train.train(*train.config.parse(argv))
    np.savez("measured.npz", first=times[0] - begun, memory=[*memory.values()],
             waiting=rows[-1]["waiting"], rate=rows[-1]["images_per_second"])  # fmt: skip


def measured(config, **changes):
    """What `train` saved, of a new process with this configuration and these changes."""
    argv = ["--config", str(config), "--run", "measured"]
    argv += [text for name, value in changes.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, __file__, "--within", *argv]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"})
    if done.returncode:
        raise SystemExit(f"train.py failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {name: value.tolist() for name, value in np.load("measured.npz").items()}


def main():
    if sys.argv[1:2] == ["--within"]:
        return train(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=lambda path: Path(path).resolve(), help="prepared folder (default: phantoms)")
    parser.add_argument("--config", type=Path, default=ROOT / "configs/isic18_unet16.yaml")
    args = parser.parse_args()
    config = args.config.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("large").mkdir()
        with contextlib.chdir("large"):
            data = args.data or write_phantoms(Path("data"), 128, 1600, 32)
            one = measured(config, data=data, epochs=1)
        print(f"start to first step  {one['first']:6.1f} s   goal 25")
        print(f"waiting for data     {one['waiting']:6.1%}     goal 3 %, at {one['rate']:.1f} images/s", flush=True)
        Path("small").mkdir()
        with contextlib.chdir("small"):
            two = measured(config, data=write_phantoms(Path("data"), 32, 800, 16), **SMALL)
        for steps, size in zip(STEPS, two["memory"], strict=True):
            print(f"memory after {steps:5} steps {size / 2**20:6.0f} MiB, {(size - two['memory'][0]) / 2**20:+.0f}")


if __name__ == "__main__":
    main()
