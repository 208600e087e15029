"""ISIC 2017 challenge, Part 1: lesion boundary, 2000 + 150 + 600 dermoscopic images.

1,800 of the training images are in the training set of ISIC 2018 too: never train on one and test on the other.
"""

from datasets.declaration import Declaration, Part, archive_table

_ARCHIVES = archive_table(
    "https://isic-archive.s3.amazonaws.com/challenges/2017",
    """
ISIC-2017_Training_Data unknown md5:a14a7e622c67a358797ae59abb8a0b0c
ISIC-2017_Training_Part1_GroundTruth unknown md5:77fdbeb6fbec4139937224416b250f4c
ISIC-2017_Validation_Data unknown md5:8d6419d942112f709894c0d82f6c9038
ISIC-2017_Validation_Part1_GroundTruth unknown md5:64d3e68fa2deeb8a5e89aa8dec2efd44
ISIC-2017_Test_v2_Data unknown md5:5f6a0b5e1f2972bd1f5ea02680489f09
ISIC-2017_Test_v2_Part1_GroundTruth unknown md5:b1742de6bd257faca3b2b21a4aa3b781
""",
)

DATASET = Declaration(
    name="isic2017",
    task=1,
    title="ISIC 2017 Part 1: lesion boundary",
    counts={"train": 2000, "val": 150, "test": 600},
    download="12 GB",
    layouts=(
        {
            "train": Part(("ISIC-2017_Training_Data",), ("ISIC-2017_Training_Part1_GroundTruth",)),
            "val": Part(("ISIC-2017_Validation_Data",), ("ISIC-2017_Validation_Part1_GroundTruth",)),
            "test": Part(("ISIC-2017_Test_v2_Data",), ("ISIC-2017_Test_v2_Part1_GroundTruth",)),
        },
    ),
    mask_suffixes={"lesion": "_segmentation"},
    terms="CC0 1.0",
    citation="Codella et al., Skin Lesion Analysis Toward Melanoma Detection 2017, arXiv:1710.05006",
    homepage="https://challenge.isic-archive.com/data/#2017",
    archives=tuple(_ARCHIVES.values()),
)
