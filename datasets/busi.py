"""BUSI: 780 breast ultrasound images, benign, malignant and normal (empty masks); no official splits.

An image with several tumors has several masks, NAME_mask.png, NAME_mask_1.png …: the mask is their union.
"""

from datasets.declaration import Declaration, Part

_WITHIN = {"within_images": r"\)\.png$", "within_masks": r"_mask(_\d+)?\.png$"}

DATASET = Declaration(
    name="busi",
    task=1,
    title="BUSI: breast tumors in ultrasound",
    counts={"all": 780},
    download="by hand",
    layouts=tuple({"all": Part((name,), (name,), **_WITHIN)} for name in ("Dataset_BUSI_with_GT", "Dataset_BUSI")),
    mask_suffixes={"tumor": r"_mask(_\d+)?"},
    terms="see https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
    citation="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28:104863, 2020",
    homepage="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
    skin=False,
)
