"""Source masks: masks at their own size, the same as those that were prepared."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from miniature import SIZE, mask_path, picture, save, square, write_isic2018, zip_folders

from datasets import isic2018, registry
from datasets.arrays import Writer, open_split
from datasets.preparation import prepare
from datasets.preparation.source_masks import source_masks


@pytest.fixture
def root(tmp_path):
    write_isic2018(tmp_path / "isic", {"train": 4, "test": 3}, tasks=(1, 2))
    return tmp_path / "isic"


@pytest.mark.parametrize("kind", ["folders", "archives"])
def test_masks_at_their_own_size(root, tmp_path, kind):
    place = root if kind == "folders" else zip_folders(root, tmp_path / "zips")
    prepare.prepare(isic2018.TASKS[1], tmp_path / "out", (24, 32), **{kind: place})
    masks = source_masks(tmp_path / "out", "test")
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(masks, [0, 1, 2] * 20))
    for number, mask in enumerate(read):
        assert mask.dtype == np.uint8 and mask.shape == (*SIZE, 1)
        assert np.array_equal(mask[..., 0], square(4 + number % 3) // 255)


def test_several_classes(root):
    prepare.prepare(isic2018.TASKS[2], root, (24, 32))
    mask = source_masks(root, "train")(1)
    assert mask.shape == (*SIZE, 5)
    for channel in range(5):
        assert np.array_equal(mask[..., channel], square(1 + 2 * channel) // 255)


def test_images_divided_by_chance_are_found_too(tmp_path):
    for n in range(20):
        save(tmp_path / "raw" / "images" / f"{n}.png", picture(n))
        save(tmp_path / "raw" / "masks" / f"{n}.png", square(n))
    prepare.prepare(registry.TABLE["folder"], tmp_path / "out", (24, 32), folders=tmp_path / "raw")
    for split in ("train", "val", "test"):
        masks = source_masks(tmp_path / "out", split)
        for number, id in enumerate(open_split(tmp_path / "out", split).ids):
            assert np.array_equal(masks(number)[..., 0], square(int(id)) // 255)


def test_what_is_missing_is_told(root, tmp_path):
    out = tmp_path / "out"
    prepare.prepare(isic2018.TASKS[1], out, (24, 32), folders=root)
    masks = source_masks(out, "test")
    mask_path(root, "ISIC_0000005", "test").unlink()
    with pytest.raises(FileNotFoundError, match=r"0000005_segmentation.png; bring it back, or prepare .* anew"):
        masks(1)
    with pytest.raises(FileNotFoundError, match=r"come from .*isic; bring it back.*1 masks .*ISIC_0000005"):
        source_masks(out, "test")
    mask_path(root, "ISIC_0000004", "test").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"ISIC_0000004_segmentation.png: not an image"):
        masks(0)
    shutil.rmtree(root)
    with pytest.raises(FileNotFoundError, match=r"come from .*isic; bring it back, .*no such folder"):
        source_masks(out, "test")


def test_splits_and_folders_without_source_masks(root, tmp_path):
    shutil.rmtree(mask_path(root, "x", "test").parent)
    prepare.prepare(isic2018.TASKS[1], root, (24, 32))
    with pytest.raises(ValueError, match=r"the test split of .* has no masks"):
        source_masks(root, "test")
    with Writer(tmp_path / "drawn", {"dataset": "drawn", "task": 1}, (4, 4), ["lesion"]) as writer:
        writer.add("test", "a", np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 1), np.uint8), (4, 4))
    with pytest.raises(FileNotFoundError, match="drawn' does not say where its masks came from"):
        source_masks(tmp_path / "drawn", "test")
