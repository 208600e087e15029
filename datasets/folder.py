"""Your own data: DIR/train, DIR/val, DIR/test with images/ and masks/ each, or just DIR/images and DIR/masks.

JPEG, PNG, BMP, TIFF or WebP files. Image and mask have the same name, or the mask's ends in _segmentation,
_Segmentation, _mask or _lesion. Only train must have masks. Without the split folders the images are divided by chance.

One class needs nothing more. Several classes lie

    in a mask file each, named <image>_<class>:            --classes nail,hair
    or in one, as values 1, 2, … (0 is background):        --index_classes nail,hair

In place of mask files, or of some, files of labeling tools may lie there, in annotations/ or beside the images: COCO,
LabelMe or Label Studio in JSON, CVAT in XML (docs/labelling.md). Their labels are the classes.

Several annotators: --annotators majority, with masks named <image>_<annotator>, such as photo_a.png and photo_b.png
(<image>_<class>_<annotator> of several classes), or the table and files of ISIC MultiAnnot++ (docs/annotators.md).

Masks are black and white. Where they are not, say what their values mean (docs/reading.md): --mask_values 1 makes 1 the
lesion, --ignore 255 makes background of an unsure border of that value; of masks with a palette these are indices.
"""

import argparse
import dataclasses
import re
from collections.abc import Sequence

from datasets.declaration import Declaration, Part
from imaging.masks import USUAL, Labels
from utils.arguments import names
from utils.errors import UserError

_WITHIN = {"within_images": r"(^|/)images/", "within_masks": r"(^|/)masks/"}
_SUFFIX = "(_segmentation|_Segmentation|_mask|_lesion|)"

DATASET = Declaration(
    name="folder",
    task=1,
    title="your own data (--folders DIR)",
    counts={},
    download="none",
    layouts=(
        {split: Part((split,), (split,), **_WITHIN, annotations=(split,)) for split in ("train", "val", "test")},
        {"all": Part(("images",), ("masks",), annotations=("images", "masks", "annotations"))},
    ),
    mask_suffixes={"lesion": _SUFFIX},
    terms="yours",
    citation="",
    homepage="datasets/folder.py, which describes the folders",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the masks of own data are."""
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument("--classes", type=names, default=["lesion"], help="own data: a mask file for each of these")
    classes.add_argument("--index_classes", type=names, default=[], help="own data: values of the one mask file")
    text = "own data: masks of several annotators, IMAGE_ANNOTATOR.png, and how they become one (docs/annotators.md)"
    parser.add_argument("--annotators", choices=("majority", "staple"), default="", help=text)
    parser.add_argument("--mask_values", type=_values, default=(), help="own data: values of a mask that are lesion")
    parser.add_argument("--ignore", type=_values, default=(), help="own data: unsure values, which become background")


def from_arguments(args: argparse.Namespace) -> Declaration:
    """The declaration by the options of `add_arguments`. UserError: two of them contradict each other."""
    if args.index_classes and args.mask_values:
        raise UserError("--index_classes says itself what the values are: leave --mask_values out")
    if args.index_classes and args.annotators:
        raise UserError("--annotators wants a mask file for each class: --classes in place of --index_classes")
    return declaration(args.classes, args.index_classes, Labels(args.mask_values, args.ignore), args.annotators)


def _values(text):
    """(1, 2) from "1,2". ArgumentTypeError: not whole numbers from 0 to 255."""
    found = text.split(",")
    if not all(value.strip().isdecimal() and int(value) <= 255 for value in found):
        raise argparse.ArgumentTypeError(f"'{text}': expected whole numbers from 0 to 255 with commas between")
    return tuple(map(int, found))


def declaration(
    classes: Sequence[str] = ("lesion",),
    index_classes: Sequence[str] = (),
    labels: Labels = USUAL,
    consensus: str = "",
) -> Declaration:
    """DATASET with masks of other classes: a file for each of `classes`, or one with the values of `index_classes`.

    labels: what the values of the mask files mean. consensus: of several annotators, as `Declaration` has it.
    """
    one = dataclasses.replace(DATASET, labels=labels, consensus=consensus)
    if index_classes:
        return dataclasses.replace(one, mask_suffixes={"classes": _SUFFIX}, index_classes=tuple(index_classes))
    if len(classes) == 1:
        return dataclasses.replace(one, mask_suffixes={classes[0]: f"(_{re.escape(classes[0])}|{_SUFFIX[1:]}"})
    return dataclasses.replace(one, mask_suffixes={name: f"_{re.escape(name)}" for name in classes})
