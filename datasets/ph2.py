"""PH2: 200 dermoscopic images with lesion masks (bitmaps, each in a folder of its own); no official splits."""

from datasets.declaration import Declaration, Part

_WITHIN = {"within_images": r"_Dermoscopic_Image/", "within_masks": r"_lesion/"}

DATASET = Declaration(
    name="ph2",
    task=1,
    title="PH2: lesion boundary",
    counts={"all": 200},
    download="by hand",
    layouts=tuple({"all": Part((name,), (name,), **_WITHIN)} for name in ("PH2 Dataset images", "PH2Dataset")),
    mask_suffixes={"lesion": "_lesion"},
    terms="research and education only",
    citation="Mendonça et al., PH2 - A dermoscopic image database for research and benchmarking, EMBC 2013",
    homepage="https://www.fc.up.pt/addi/ph2%20database.html",
)
