"""HAM10000: 10,015 dermoscopic images with lesion masks; no official splits.

Some 2,500 images show a lesion that another image shows too, and only HAM10000_metadata.csv (or .tab) says so: put it
beside the folders or archives, and seeded splits keep the images of a lesion together.
"""

from datasets.declaration import Archive, Declaration, Part

_FILES = "https://dataverse.harvard.edu/api/access/datafile"
_MASK_SUM = "sha256:6d88d7df8cc806c938932939d50c17fb9ad206c143343e4702c81cf3453c1e7a"

DATASET = Declaration(
    name="ham10000",
    task=1,
    title="HAM10000: lesion boundary",
    counts={"all": 10015},
    download="3 GB",
    layouts=(
        {
            "all": Part(
                ("HAM10000_images_part_1", "HAM10000_images_part_2"), ("HAM10000_segmentations_lesion_tschandl",)
            )
        },
        {"all": Part(("images",), ("masks",))},  # a common repackaging
    ),
    mask_suffixes={"lesion": "_segmentation"},
    terms="CC BY-NC 4.0",
    citation="Tschandl et al., The HAM10000 dataset, Scientific Data 5:180161, 2018; masks: Tschandl et al., "
    "Human-computer collaboration for skin cancer recognition, Nature Medicine 26, 2020",
    homepage="https://doi.org/10.7910/DVN/DBW86T",
    lesion_table=("HAM10000_metadata*", "image_id", "lesion_id"),
    archives=(
        Archive("HAM10000_images_part_1.zip", f"{_FILES}/3172585", None, None),
        Archive("HAM10000_images_part_2.zip", f"{_FILES}/3172584", None, None),
        Archive("HAM10000_segmentations_lesion_tschandl.zip", f"{_FILES}/3838943", 10_808_743, _MASK_SUM),
    ),
)
