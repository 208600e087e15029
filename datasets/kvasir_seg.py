"""Kvasir-SEG: 1,000 endoscopic images with polyp masks (JPEG masks, cut at 127); no official splits."""

from datasets.declaration import Archive, Declaration, Part

_WITHIN = {"within_images": r"(^|/)images/", "within_masks": r"(^|/)masks/"}

DATASET = Declaration(
    name="kvasir_seg",
    task=1,
    title="Kvasir-SEG: polyps",
    counts={"all": 1000},
    download="46 MB",
    layouts=tuple({"all": Part((name,), (name,), **_WITHIN)} for name in ("Kvasir-SEG", "kvasir-seg")),
    mask_suffixes={"polyp": ""},
    terms="research and education only",
    citation="Jha et al., Kvasir-SEG: A Segmented Polyp Dataset, MMM 2020, arXiv:1911.07069",
    homepage="https://datasets.simula.no/kvasir-seg/",
    archives=(Archive("kvasir-seg.zip", "https://datasets.simula.no/downloads/kvasir-seg.zip", None, None),),
    skin=False,
)
