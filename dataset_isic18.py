"""Step 1: bring ISIC 2018 into prepared arrays, uint8 at training size, ready for train.py.

    python dataset_isic18.py                                    the official folders, unpacked in dataset_isic18/
    python dataset_isic18.py --archives DIR                     the official .zip files in DIR, read without unpacking
    python dataset_isic18.py --download                         fetch those first, into dataset_isic18/archives (14 GB)
    python dataset_isic18.py --synthetic 300                    phantoms drawn by the program, to try things out
    python dataset_isic18.py --splits configs/isic18_splits.csv --archives DIR     the division of docs/results.md
    python dataset_isic18.py --task 2 --root dataset_isic18_task2 --archives DIR      the five attributes

The official names are ISIC2018_Task1-2_Training_Input, ISIC2018_Task1_Training_GroundTruth and so on, as folders or
with .zip behind. A split without masks becomes images only; one that is not there is left out; the summary names both.

It writes into --root (default dataset_isic18): data_train.npy, mask_train.npy, index_train.csv, the same for val and
test, and meta.json (format: datasets/arrays.py); and check.jpg, some pairs with their outlines: look at it. A second
call with nothing changed returns at once; other settings or files replace the arrays as a whole; an interrupted call
leaves what was there before.

Every file is checked (docs/reading.md): a damaged one, an image without mask, a mask of another size stops the program
with the file's name (--on_error stop), or is left out and listed at the end (--on_error skip). Near-duplicates of an
image in another split are listed; --drop_leaks leaves those out of training.

Time: some 70 ms of one core for a pair of 4000 × 3000 pixels, so two or three minutes for all 3,694 on two cores.
For the other data sets see `python -m datasets`.
"""

import argparse

from datasets import isic2018, synthetic
from datasets.preparation.command_line import add_arguments, draw, run
from datasets.preparation.splits import Division
from utils import errors
from utils.arguments import positive, snake_case


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=int, choices=(1, 2), default=1, help="1: lesion; 2: five attributes (default 1)")
    sources = add_arguments(parser, root="dataset_isic18")
    sources.add_argument("--synthetic", type=positive, metavar="N", help="draw N phantoms to train, N/5 val, N/3 test")
    return parser.parse_args(snake_case(argv))


def main(argv=None):
    args = parse_arguments(argv)
    if args.synthetic:
        draw(args.synthetic, args)
    tasks = synthetic.TASKS if args.synthetic else isic2018.TASKS
    run([tasks[args.task]], args, Division(args.seed))


if __name__ == "__main__":
    with errors.in_one_line("interrupted; what was prepared before is untouched"):
        main()
