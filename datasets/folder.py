"""Your own data: DIR/train, DIR/val, DIR/test with images/ and masks/ each, or just DIR/images and DIR/masks.

JPEG, PNG or BMP files. Image and mask have the same name, or the mask's ends in _segmentation, _Segmentation, _mask or
_lesion. Only train must have masks. Without the split folders the images are divided 80/10/10.
"""

from datasets.declaration import Declaration, Part

_WITHIN = {"within_images": r"(^|/)images/", "within_masks": r"(^|/)masks/"}

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
    mask_suffixes={"lesion": "(_segmentation|_Segmentation|_mask|_lesion|)"},
    licence="yours",
    citation="",
    homepage="datasets/folder.py, which describes the folders",
    archives=(),
)
