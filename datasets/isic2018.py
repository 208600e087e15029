"""ISIC 2018 challenge, Task 1 (lesion boundary) and Task 2 (five dermoscopic attributes): 2594 + 100 + 1000 images."""

from datasets.declaration import Declaration, Part, archive_table

# name of the archive without .zip, bytes, sum; for Task 2 neither exact sizes nor sums were published
_ARCHIVES = archive_table(
    "https://isic-archive.s3.amazonaws.com/challenges/2018",
    """
ISIC2018_Task1-2_Training_Input 11165358566
    sha256:80f98572347a2d7a376227fa9eb2e4f7459d317cb619865b8b9910c81446675f
ISIC2018_Task1-2_Validation_Input 239231159
    sha256:0ea920fcfe512d12a6e620b50b50233c059f67b10146e1479c82be58ff15a797
ISIC2018_Task1-2_Test_Input 2370457338
    sha256:e59ae1f69f4ed16f09db2cb1d76c2a828487b63d28f6ab85997f5616869b127d
ISIC2018_Task1_Training_GroundTruth 27402895
    sha256:99f8b2bb3c4d6af483362010715f7e7d5d122d9f6c02cac0e0d15bef77c7604c
ISIC2018_Task1_Validation_GroundTruth 759706
    sha256:f6911e9c0a64e6d687dd3ca466ca927dd5e82145cb2163b7a1e5b37d7a716285
ISIC2018_Task1_Test_GroundTruth 9680101
    sha256:2e8f6edce454a5bdee52485e39f92bd6eddf357e81f39018d05512175238ef82
ISIC2018_Task2_Training_GroundTruth_v3 unknown unknown
ISIC2018_Task2_Validation_GroundTruth unknown unknown
ISIC2018_Task2_Test_GroundTruth unknown unknown
""",
)
_IMAGES = {
    "train": "ISIC2018_Task1-2_Training_Input",
    "val": "ISIC2018_Task1-2_Validation_Input",
    "test": "ISIC2018_Task1-2_Test_Input",
}
_MASKS = {
    1: {
        "train": "ISIC2018_Task1_Training_GroundTruth",
        "val": "ISIC2018_Task1_Validation_GroundTruth",
        "test": "ISIC2018_Task1_Test_GroundTruth",
    },
    2: {
        "train": "ISIC2018_Task2_Training_GroundTruth_v3",
        "val": "ISIC2018_Task2_Validation_GroundTruth",
        "test": "ISIC2018_Task2_Test_GroundTruth",
    },
}
ATTRIBUTES = ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")


def _declaration(task, title, mask_suffixes):
    return Declaration(
        name="isic2018",
        task=task,
        title=title,
        counts={"train": 2594, "val": 100, "test": 1000},
        download="14 GB",
        layouts=({split: Part((_IMAGES[split],), (_MASKS[task][split],)) for split in _IMAGES},),
        mask_suffixes=mask_suffixes,
        terms="CC BY-NC 4.0",
        citation="Codella et al., Skin Lesion Analysis Toward Melanoma Detection 2018, arXiv:1902.03368; "
        "Tschandl et al., The HAM10000 dataset, Scientific Data 5:180161, 2018",
        homepage="https://challenge.isic-archive.com/data/#2018",
        archives=tuple(_ARCHIVES[name] for name in (*_IMAGES.values(), *_MASKS[task].values())),
    )


TASKS = {
    1: _declaration(1, "ISIC 2018 Task 1: lesion boundary", {"lesion": "_segmentation"}),
    2: _declaration(2, "ISIC 2018 Task 2: dermoscopic attributes", {a: f"_attribute_{a}" for a in ATTRIBUTES}),
}
DATASET = TASKS[1]  # TASKS[2] is that of isic2018_task2.py
CLASSES = {task: declaration.classes for task, declaration in TASKS.items()}  # names of the mask channels
