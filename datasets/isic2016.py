"""ISIC 2016 challenge (ISBI), Part 1: lesion boundary, 900 + 379 dermoscopic images; no validation split."""

from datasets.declaration import Declaration, Part, archive_table

_ARCHIVES = archive_table(
    "https://isic-archive.s3.amazonaws.com/challenges/2016",
    """
ISBI2016_ISIC_Part1_Training_Data unknown md5:2029f387e62dcc062b1370b1efc1f7fb
ISBI2016_ISIC_Part1_Training_GroundTruth unknown md5:fbd77134298f3511479a37bac93109c7
ISBI2016_ISIC_Part1_Test_Data unknown md5:efebcaeaae751007401a40a60d391f93
ISBI2016_ISIC_Part1_Test_GroundTruth unknown md5:492a7711a2e19b96114cab6c96bd1ad5
""",
)

DATASET = Declaration(
    name="isic2016",
    task=1,
    title="ISIC 2016 Part 1: lesion boundary",
    counts={"train": 900, "test": 379},
    download="842 MB",
    layouts=(
        {
            "train": Part(("ISBI2016_ISIC_Part1_Training_Data",), ("ISBI2016_ISIC_Part1_Training_GroundTruth",)),
            "test": Part(("ISBI2016_ISIC_Part1_Test_Data",), ("ISBI2016_ISIC_Part1_Test_GroundTruth",)),
        },
    ),
    mask_suffixes={"lesion": "_Segmentation"},
    terms="CC0 1.0",
    citation="Gutman et al., Skin Lesion Analysis toward Melanoma Detection: ISBI 2016, arXiv:1605.01397",
    homepage="https://challenge.isic-archive.com/data/#2016",
    archives=tuple(_ARCHIVES.values()),
)
