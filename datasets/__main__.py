"""Any data set into prepared arrays, ready for train.py.

    python -m datasets                                              list them
    python -m datasets ph2 --folders DIR                            the folders as they come from its homepage
    python -m datasets isic2017 --archives DIR --size 256x256       the official .zip files, read without unpacking
    python -m datasets kvasir_seg --download                        fetch them first
    python -m datasets folder --folders data --root dataset_mine    your own: data/train/images, data/train/masks, …

Official splits are kept; where there are none, images are divided 80/10/10 by lesion area with --seed. Files are
checked and arrays written as dataset_isic18.py does it, which is the command for ISIC 2018 Task 1 and 2.
"""

import argparse

from datasets.command import add_arguments, exit_with_message, run
from datasets.table import TABLE


def listing():
    """The table of data sets as text."""
    rows = [("name", "images", "download", "terms", "what")]
    for name, one in TABLE.items():
        rows.append((name, " + ".join(map(str, one.counts.values())) or "any", one.download, one.licence, one.title))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m datasets", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = parser.add_subparsers(dest="name", metavar="NAME")
    for name, one in TABLE.items():
        add_arguments(names.add_parser(name, help=one.title), root=f"dataset_{name}")
    args = parser.parse_args(argv)
    if args.name:
        run(TABLE[args.name], args)
    else:
        print(listing())


if __name__ == "__main__":
    exit_with_message(main)
