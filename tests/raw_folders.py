"""Miniatures of the real data sets' raw folders: their odd names, folders and junk, a few small pictures each."""

from pathlib import Path

import numpy as np
from miniature import SIZE, picture, save, square
from PIL import Image

COUNT = 20


def junk(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"junk")


def isic2016(root):
    for part, count in (("Training", 12), ("Test", 5)):
        for n in range(count):
            save(root / f"ISBI2016_ISIC_Part1_{part}_Data" / f"ISIC_{n:07d}.jpg", picture(n))
            save(root / f"ISBI2016_ISIC_Part1_{part}_GroundTruth" / f"ISIC_{n:07d}_Segmentation.png", square(n))


def isic2017(root):
    for part, count in (("Training", 12), ("Validation", 3), ("Test_v2", 5)):
        for n in range(count):
            save(root / f"ISIC-2017_{part}_Data" / f"ISIC_{n:07d}.jpg", picture(n))
            save(root / f"ISIC-2017_{part}_Data" / f"ISIC_{n:07d}_superpixels.png", picture(n + 1))
            save(root / f"ISIC-2017_{part}_Part1_GroundTruth" / f"ISIC_{n:07d}_segmentation.png", square(n))
        junk(root / f"ISIC-2017_{part}_Data" / f"ISIC-2017_{part}_Data_metadata.csv")


def ham10000(root):
    for n in range(COUNT):
        save(root / f"HAM10000_images_part_{1 + n % 2}" / f"ISIC_{n:07d}.jpg", picture(n))
        save(root / "HAM10000_segmentations_lesion_tschandl" / f"ISIC_{n:07d}_segmentation.png", square(n))
    masks = root / "HAM10000_segmentations_lesion_tschandl"
    junk(masks / "__MACOSX" / "._ISIC_0000000_segmentation.png", masks / ".DS_Store")


def ham10000_repackaged(root):
    for n in range(COUNT):
        save(root / "images" / f"ISIC_{n:07d}.jpg", picture(n))
        save(root / "masks" / f"ISIC_{n:07d}_segmentation.png", square(n))


def ph2(root):
    for n in range(COUNT):
        id = f"IMD{n:03d}"
        folder = root / "PH2 Dataset images" / id
        save(folder / f"{id}_Dermoscopic_Image" / f"{id}.bmp", picture(n))
        mask = folder / f"{id}_lesion" / f"{id}_lesion.bmp"
        mask.parent.mkdir()
        Image.fromarray(square(n)).convert("RGB" if n == 7 else "1").save(mask)  # one is RGB, the others have 1 bit
        save(folder / f"{id}_roi" / f"{id}_R1.bmp", square(n + 5))
    junk(root / "PH2 Dataset images" / "PH2_dataset.txt")


def busi(root):
    for n in range(COUNT):
        kind = ("benign", "malignant", "normal")[n % 3]
        name = root / "Dataset_BUSI_with_GT" / kind / f"{kind} ({n})"
        save(Path(f"{name}.png"), picture(n))
        mask = square(n) if kind != "normal" else np.zeros(SIZE, np.uint8)
        if n == 3:  # several tumors, each with a mask of its own
            upper, lower = mask.copy(), mask.copy()
            upper[12:], lower[:12] = 0, 0
            save(Path(f"{name}_mask_1.png"), lower)
            mask = upper
        save(Path(f"{name}_mask.png"), mask)


def kvasir_seg(root):
    for n in range(COUNT):
        save(root / "Kvasir-SEG" / "images" / f"cju{n:03d}.jpg", picture(n))
        save(root / "Kvasir-SEG" / "masks" / f"cju{n:03d}.jpg", square(n))  # JPEG masks
    junk(root / "Kvasir-SEG" / "kavsir_bboxes.json")


def folder(root):
    endings = ("_segmentation", "_Segmentation", "_mask", "_lesion", "")
    for split, count in (("train", 12), ("test", 5)):
        for n in range(count):
            save(root / split / "images" / f"my photo {n}.png", picture(n))
            save(root / split / "masks" / f"my photo {n}{endings[n % 5]}.png", square(n))


def folder_without_splits(root):
    for n in range(COUNT):
        save(root / "images" / f"{n}.bmp", picture(n))
        save(root / "masks" / f"{n}.png", square(n))


DIVIDED = {"train": 16, "val": 2, "test": 2}
CASES = [
    (isic2016, "isic2016", {"train": 12, "test": 5}),
    (isic2017, "isic2017", {"train": 12, "val": 3, "test": 5}),
    (ham10000, "ham10000", DIVIDED),
    (ham10000_repackaged, "ham10000", DIVIDED),
    (ph2, "ph2", DIVIDED),
    (busi, "busi", DIVIDED),
    (kvasir_seg, "kvasir_seg", DIVIDED),
    (folder, "folder", {"train": 12, "test": 5}),
    (folder_without_splits, "folder", DIVIDED),
]


def number(id):
    return int("".join(filter(str.isdigit, id)))
