"""Step 1: bring ISIC 2018 into prepared arrays, uint8 at training size, ready for train.py.

    python dataset_isic18.py                                    the official folders, unpacked in dataset_isic18/
    python dataset_isic18.py --archives DIR                     the official .zip files in DIR, read without unpacking
    python dataset_isic18.py --download                         fetch those first, into dataset_isic18/archives (14 GB)
    python dataset_isic18.py --synthetic 300                    phantoms drawn by the program, to try things out
    python dataset_isic18.py --task 2 --root dataset_isic18_task2 --archives DIR      the five attributes

The official names are ISIC2018_Task1-2_Training_Input, ISIC2018_Task1_Training_GroundTruth and so on, as folders or
with .zip behind. A split without masks becomes images only; a split that is not there is left out, and both are told.

It writes into --root (default dataset_isic18): data_train.npy, mask_train.npy, index_train.csv, the same for val and
test, and meta.json (format: datasets/prepared.py). A second call with nothing changed returns at once; other settings
or files replace the arrays as a whole; an interrupted call leaves what was there before.

Every file is checked: a cut-off or damaged one, an image without mask, a mask of another size or with colors stops the
program with the file's name (--on-error stop), or is left out and listed at the end (--on-error skip).

Time: about 20 s for the 2594 + 100 + 1000 images at full size on 16 cores, some minutes on two.
"""

import argparse
import re
import sys
from pathlib import Path

from datasets import download, isic2018, synthetic
from datasets.prepare import describe, prepare


def parse_size(text):
    """(height, width) in pixels from "192x256"."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    size = match and (int(match[1]), int(match[2]))
    if not size or min(size) < 8 or max(size) > 8192:
        raise argparse.ArgumentTypeError(f"'{text}': expected HEIGHTxWIDTH in pixels, such as 192x256, from 8 to 8192")
    return size


def positive(text):
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': expected a whole number of at least 1")
    return int(text)


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=int, choices=(1, 2), default=1, help="1: lesion; 2: five attributes (default 1)")
    parser.add_argument("--size", type=parse_size, default=(192, 256), help="HEIGHTxWIDTH in pixels (default 192x256)")
    parser.add_argument("--root", default="dataset_isic18", help="folder of the arrays (default dataset_isic18)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--archives", metavar="DIR", help="folder of the official .zip files")
    where.add_argument("--download", action="store_true", help="fetch the .zip files into ROOT/archives")
    where.add_argument("--synthetic", type=positive, metavar="N", help="draw N phantoms to train, N/5 val, N/3 test")
    parser.add_argument("--mirror", metavar="URL", help="with --download: where the .zip files lie instead")
    parser.add_argument("--seed", type=int, default=0, help="of the phantoms (default 0)")
    parser.add_argument("--on-error", choices=("stop", "skip"), default="stop", help="what to do at a bad file")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_arguments(argv)
    declaration = isic2018.TASKS[args.task]
    archives = args.archives
    if args.download:
        archives = Path(args.root) / "archives"
        download.fetch(declaration.archives, archives, args.mirror)
    elif args.synthetic:
        counts = {"train": args.synthetic, "val": max(1, args.synthetic // 5), "test": max(1, args.synthetic // 3)}
        synthetic.write(args.root, counts, size=tuple(2 * side for side in args.size), seed=args.seed)
    meta, written = prepare(declaration, args.root, args.size, archives, args.on_error)
    if not written:
        print("nothing changed since the arrays were prepared")
    print("\n".join(describe(meta, args.root)))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what was prepared before is untouched")
