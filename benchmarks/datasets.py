"""Speed and memory of the preparation of data sets. Prints a table; run it on a quiet machine.

    python benchmarks/datasets.py                                             large JPEGs, memory
    python benchmarks/datasets.py --archives DIR      and the whole of ISIC 2018 from archives

Large JPEGs: phantoms of 4000 × 3000 pixels, a few distinct ones linked under many names, to 192 × 256, by prepare()
and by a plain loop (open with PIL, resize, stack with NumPy), in turn; medians of the rounds. Goal: 7 times the loop.
Memory: peak of the resident set of a process that prepares 200, then 2,000 images of 576 × 768 to 384 × 512; goal:
flat, below 1 GiB. Archives: the seconds of the 2,194 + 100 + 300 pairs at 128 × 128; goal: 15. The same as TensorFlow
Dataset records: seconds to write them, and images and masks a second that come back in batches of 16.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

HOME = Path(__file__).resolve().parents[1]
sys.path[0] = str(HOME)
from datasets import isic2018, synthetic  # noqa: E402 (needs the line above)
from datasets.arrays import open_split  # noqa: E402
from datasets.preparation.prepare import prepare  # noqa: E402
from datasets.preparation.splits import Division  # noqa: E402

SIZE = (192, 256)  # height, width in pixels
TASK = isic2018.TASKS[1]
IMAGES = "ISIC2018_Task1-2_Test_Input"
MASKS = "ISIC2018_Task1_Test_GroundTruth"  # may come without masks
PEAK = """
import sys
from datasets import isic2018
from datasets.preparation.prepare import prepare
prepare(isic2018.TASKS[1], sys.argv[1], (384, 512))
print(next(line for line in open("/proc/self/status") if "VmHWM" in line).split()[1])
"""


def link_many(few, many, count, folders):
    """Folders of `count` files below `many`, all of them links to the files of `few`."""
    for folder in folders:
        (many / folder).mkdir(parents=True)
        files = sorted((few / folder).iterdir())
        for number in range(count):
            file = files[number % len(files)]
            os.link(file, many / folder / f"ISIC_{number:07d}{file.name[len('ISIC_0000000') :]}")
    return many


def pil_loop(root, folders):
    """The way of many scripts: open, resize, collect, stack."""
    for folder in folders:
        pixels = [np.array(Image.open(path).resize(SIZE[::-1])) for path in sorted((root / folder).iterdir())]
        np.stack(pixels)


def prepared(root):
    (root / "meta.json").unlink(missing_ok=True)  # else the second round has nothing to do
    prepare(TASK, root, SIZE)


def from_archives(root, archives):
    prepare(TASK, root, (128, 128), archives=archives)


def seconds(function, *arguments):
    """(on the clock, of processor time on all cores): the second does not depend on what else the machine does."""
    clock = time.perf_counter()
    processor = time.process_time()
    function(*arguments)
    return time.perf_counter() - clock, time.process_time() - processor


def large_jpegs(folder, count, rounds):
    synthetic.write(folder / "few", {"test": 4}, size=(3000, 4000))
    for name, folders in {"images": (IMAGES,), "images and masks": (IMAGES, MASKS)}.items():
        root = link_many(folder / "few", folder / name, count, folders)
        ours = []
        loop = []
        for _ in range(rounds):
            ours.append(seconds(prepared, root))
            loop.append(seconds(pil_loop, root, folders))
        clock, processor = np.median(ours, axis=0)
        loop_clock, loop_processor = np.median(loop, axis=0)
        print(
            f"4000x3000 JPEG, {name}: prepare {count / clock:.1f} images/s, PIL loop {count / loop_clock:.1f}, "
            f"ratio {loop_clock / clock:.1f} (of processor time {loop_processor / processor:.1f})"
        )


def memory(folder):
    synthetic.write(folder / "small", {"test": 10}, size=(576, 768))
    for count in (200, 2000):
        root = link_many(folder / "small", folder / str(count), count, (IMAGES, MASKS))
        done = subprocess.run([sys.executable, "-c", PEAK, root], cwd=HOME, capture_output=True, text=True, check=True)
        print(f"peak memory with {count} images: {int(done.stdout) / 1000:.0f} MB")


def records(folder, archives):
    from datasets import tfds_builders  # TensorFlow takes memory that is not the preparation's

    start = time.perf_counter()
    builder = tfds_builders.build("isic2018", TASK, folder, archives, Division())
    written = time.perf_counter() - start
    split = open_split(f"tfds:{folder}/{builder.name}@128x128", "train")
    start = time.perf_counter()
    order = np.random.default_rng(0).permutation(len(split.ids))
    for first in range(0, len(order), 16):
        batch = order[first : first + 16]
        split.images[batch], split.masks[batch]
    taken = time.perf_counter() - start
    print(f"records: written in {written:.1f} s, read at {len(order) / taken:.0f} images/s")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", metavar="DIR", help="folder of the official archives, to time these too")
    parser.add_argument("--count", type=int, default=100, help="large images in a round (default 100)")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        large_jpegs(Path(folder), args.count, args.rounds)
        memory(Path(folder))
        if args.archives:
            taken = [seconds(from_archives, Path(folder, f"real{n}"), args.archives)[0] for n in range(3)]
            print(f"real archives at 128x128: {statistics.median(taken):.1f} s")
            records(folder, args.archives)


if __name__ == "__main__":
    main()
