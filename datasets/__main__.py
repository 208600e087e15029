"""Any data set into prepared arrays, ready for train.py.

    python -m datasets                                              list them
    python -m datasets ph2 --folders DIR                            the folders as they come from its homepage
    python -m datasets isic2017 --archives DIR --size 256x256       the official .zip files, read without unpacking
    python -m datasets kvasir_seg --download                        fetch them first
    python -m datasets folder --folders data --root dataset_mine    your own: data/train/images, data/train/masks, …
    python -m datasets check data                                   what would be read of it and how, and a picture
    python -m datasets synthetic --count 300                        phantoms drawn by the program
    python -m datasets --combine isic2018,ph2 --folders DIR         several together, in DIR as folders or .zip files
    python -m datasets ham10000 --folders DIR --records             TensorFlow Dataset records in place of arrays

Files are checked and arrays written as dataset_isic18.py does it, which is the command for ISIC 2018 Task 1 and 2.

Official splits are kept. Where there are none, --seed divides the images 80/10/10 by lesion area, near-duplicates in
the same split; --folds 5 --fold 2 makes the second of five folds the test images, the third the validation images.
--splits FILE, a CSV with the columns id and split, divides any data set as it says and leaves other images out.
Near-duplicates across given splits are listed; --drop_leaks leaves them out of training.

Own data of several classes: --classes nail,hair for a mask file each (IMAGE_nail.png), --index_classes nail,hair for
one mask file with the values 1 and 2. --mask_values 1 --ignore 255 for masks that are not black and white. Own test
images need no masks.

--records writes a TensorFlow Dataset below ROOT: `tfds.load("ham10000_segmentation", data_dir=ROOT)` after `import
datasets.tfds_builders`, or `python train.py --data tfds:ROOT/ham10000_segmentation@192x256`, which reads as it goes.
"""

import argparse
import sys

from datasets import folder
from datasets.preparation import check
from datasets.preparation.command_line import add_arguments, draw, fetched, run
from datasets.preparation.prepare import being_written
from datasets.preparation.splits import FOLDS, Division
from datasets.registry import TABLE
from utils import errors
from utils.arguments import names, positive, snake_case
from utils.files import locked


def listing() -> str:
    """The table of data sets as text."""
    rows = [("name", "images", "download", "terms", "what")]
    for name, one in TABLE.items():
        rows.append((name, " + ".join(map(str, one.counts.values())) or "any", one.download, one.terms, one.title))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def parse_arguments(argv):
    parser = argparse.ArgumentParser(
        "python -m datasets", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name", nargs="?", choices=TABLE, metavar="NAME", help=f"{', '.join(TABLE)}; without: list them"
    )
    parser.add_argument("--combine", type=names, metavar="NAME,NAME", help="several data sets in place of NAME")
    add_arguments(parser, root=None)
    parser.add_argument("--folds", type=positive, help=f"number of folds, without official splits (default {FOLDS})")
    parser.add_argument("--fold", type=positive, default=1, help="the one to test on, from 1 (default 1)")
    folder.add_arguments(parser)
    parser.add_argument("--count", type=positive, default=300, help="phantoms to train on (default 300)")
    parser.add_argument("--records", action="store_true", help="TensorFlow Dataset records in place of arrays")
    args = parser.parse_args(snake_case(argv))
    chosen = args.combine or ([args.name] if args.name else [])
    if args.combine and args.name:
        parser.error(f"either {args.name} or --combine")
    if unknown := [name for name in chosen if name not in TABLE]:
        parser.error(f"no data set {unknown[0]}; there are: {', '.join(TABLE)}")
    folds = args.folds or FOLDS
    if folds < 3 or args.fold > folds:
        parser.error(f"--fold {args.fold} of --folds {folds}: expected a fold from 1 on, of at least 3")
    if args.records and (args.combine or args.drop_leaks or args.on_error == "skip"):
        parser.error("--records writes one data set as it is, without --combine, --drop_leaks and --on_error skip")
    if args.splits and (args.combine or args.folds or args.records):
        parser.error("--splits is for the arrays of one data set, without --combine, --folds and --records")
    args.root = args.root or f"dataset_{'_'.join(chosen)}"
    return args, chosen


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["check"]:
        check.main(argv[1:])
        return
    args, chosen = parse_arguments(argv)
    if not chosen:
        print(listing())
        return
    own = folder.from_arguments(args)
    declarations = [own if name == "folder" else TABLE[name] for name in chosen]
    if "synthetic" in [one.name for one in declarations]:
        draw(args.count, args)
    division = Division(args.seed, args.folds, args.fold)
    if args.records:
        write_records(chosen[0], declarations[0], args, division)
    else:
        run(declarations, args, division)


def write_records(name, declaration, args, division):
    """Fetch if asked to, write the records, and print what there is."""
    from datasets import tfds_builders  # TensorFlow Datasets takes seconds to import

    source = fetched([declaration], args) or args.folders or args.root
    with locked(args.root, being_written(args.root)):
        builder = tfds_builders.build(name, declaration, args.root, source, division)
    counts = ", ".join(f"{split} {info.num_examples}" for split, info in builder.info.splits.items())
    height, width = args.size
    print(f"{builder.data_path}: {counts}; {', '.join(declaration.classes)}")
    print(f"next: python train.py --data tfds:{args.root}/{builder.name}@{height}x{width}")


if __name__ == "__main__":
    with errors.in_one_line("interrupted; what was prepared before is untouched"):
        main()
