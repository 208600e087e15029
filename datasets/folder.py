"""Your own data: DIR/train, DIR/val, DIR/test with images/ and masks/ each, or just DIR/images and DIR/masks.

JPEG, PNG, BMP, TIFF or WebP files. Image and mask have the same name, or the mask's ends in _segmentation,
_Segmentation, _mask or _lesion. Only train must have masks. Without the split folders the images are divided by chance.

One class needs nothing more. Several classes lie

    in a mask file each, named <image>_<class>:            --classes nail,hair
    or in one, as values 1, 2, … (0 is background):        --index_classes nail,hair

Masks are black and white. Where they are not, say what their values mean (docs/reading.md): --mask_values 1 makes 1 the
lesion, --ignore 255 makes background of an unsure border of that value; of masks with a palette these are indices.
"""

import dataclasses
import re
from collections.abc import Sequence

from datasets.declaration import Declaration, Part
from imaging.masks import USUAL, Labels

_WITHIN = {"within_images": r"(^|/)images/", "within_masks": r"(^|/)masks/"}
_SUFFIX = "(_segmentation|_Segmentation|_mask|_lesion|)"

DATASET = Declaration(
    name="folder",
    task=1,
    title="your own data (--folders DIR)",
    counts={},
    download="none",
    layouts=(
        {split: Part((split,), (split,), **_WITHIN) for split in ("train", "val", "test")},
        {"all": Part(("images",), ("masks",))},
    ),
    mask_suffixes={"lesion": _SUFFIX},
    terms="yours",
    citation="",
    homepage="datasets/folder.py, which describes the folders",
)


def declaration(
    classes: Sequence[str] = ("lesion",), index_classes: Sequence[str] = (), labels: Labels = USUAL
) -> Declaration:
    """DATASET with masks of other classes: a file for each of `classes`, or one with the values of `index_classes`.

    labels: what the values of the mask files mean.
    """
    one = dataclasses.replace(DATASET, labels=labels)
    if index_classes:
        return dataclasses.replace(one, mask_suffixes={"classes": _SUFFIX}, index_classes=tuple(index_classes))
    if len(classes) == 1:
        return dataclasses.replace(one, mask_suffixes={classes[0]: f"(_{re.escape(classes[0])}|{_SUFFIX[1:]}"})
    return dataclasses.replace(one, mask_suffixes={name: f"_{re.escape(name)}" for name in classes})
