"""TensorFlow Datasets built from miniatures, and training from their records."""

import shutil

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from miniature import SIZE, picture, save, square, write_isic2018, zip_folders
from PIL import Image
from raw_folders import CASES, number

import pipeline
from config import Settings
from datasets import __main__, folder, isic2018, tfds_builders
from datasets.arrays import open_split, read_meta
from datasets.preparation import download, prepare
from datasets.preparation.source_masks import source_masks
from datasets.preparation.splits import Division
from utils import files


def config(place):
    return {"download_config": tfds.download.DownloadConfig(manual_dir=place)}


@pytest.mark.parametrize(("make", "name", "counts"), CASES, ids=[case[0].__name__ for case in CASES])
def test_every_data_set(tmp_path, make, name, counts):
    make(tmp_path / "raw")
    unpacked = name in ("ph2", "busi", "folder")  # each as it is most often found
    place = tmp_path / "raw" if unpacked else zip_folders(tmp_path / "raw", tmp_path / "zips")
    loaded, info = tfds.load(
        f"{name}_segmentation", data_dir=tmp_path / "tfds", with_info=True, download_and_prepare_kwargs=config(place)
    )
    assert {split: len(data) for split, data in loaded.items()} == counts
    declared = __main__.TABLE[name]
    assert info.citation == declared.citation and info.redistribution_info.license == declared.terms
    assert info.metadata["classes"] == declared.classes and declared.classes[0] in info.features["mask"].doc.desc
    seen = set()
    for data in loaded.values():
        for example in tfds.as_numpy(data):
            n = number(example["id"].decode())
            seen.add(example["id"])
            assert example["image"].shape == (*SIZE, 3) and example["mask"].shape == (*SIZE, 1)
            assert np.abs(example["image"].astype(int) - picture(n)[..., ::-1]).mean() < 3
            lesion = np.zeros(SIZE) if b"normal" in example["id"] else square(n) // 255
            assert (example["mask"][..., 0] != lesion).mean() < 0.01  # the JPEG masks are not exact
    assert len(seen) == len(set(seen)) and len(seen) >= max(counts.values())


def test_several_classes_and_odd_pictures(tmp_path):
    raw = tmp_path / "raw" / "images"
    pixels = cv2.cvtColor(picture(1), cv2.COLOR_BGR2RGB)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    raw.mkdir(parents=True)
    Image.fromarray(pixels).save(raw / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(pixels).convert("CMYK").save(raw / "cmyk.jpg", quality=95)
    Image.fromarray(pixels).convert("L").save(raw / "gray.jpg", quality=95)
    Image.fromarray(pixels).convert("P").save(raw / "palette.png")
    values = np.zeros(SIZE, np.uint8)
    values[:8], values[20:30] = 2, 1
    for path in list(raw.iterdir()):
        save(tmp_path / "raw" / "masks" / f"{path.stem}_mask.png", values)
    own = folder.declaration(index_classes=["nail", "hair"])
    builder = tfds_builders.build("folder", own, tmp_path / "tfds", tmp_path / "raw", Division())
    assert builder.info.metadata["classes"] == ["nail", "hair"]
    examples = {e["id"].decode(): e for data in builder.as_dataset().values() for e in tfds.as_numpy(data)}
    assert set(examples) == {"turned", "cmyk", "gray", "palette"}
    for name, example in examples.items():
        assert np.array_equal(example["mask"], np.stack([values == 1, values == 2], axis=-1))
        expected = pixels.mean(-1, keepdims=True) if name == "gray" else pixels
        assert np.abs(example["image"] - expected.astype(int)).mean() < (25 if name in ("palette", "gray") else 6)


def test_download_where_nothing_lies_in_the_manual_directory(tmp_path, monkeypatch):
    write_isic2018(tmp_path / "raw", {"train": 2, "val": 1, "test": 1}, tasks=(1, 2))
    fetched = []

    def fetch(archives, to):
        fetched.extend(archives)
        zip_folders(tmp_path / "raw", to)

    monkeypatch.setattr(download, "fetch", fetch)
    loaded = tfds.load("isic2018_task2_segmentation", data_dir=tmp_path / "tfds")
    assert fetched == list(isic2018.TASKS[2].archives) and {split: len(d) for split, d in loaded.items()}["train"] == 2
    assert next(iter(loaded["train"]))["mask"].shape == (*SIZE, 5)
    with pytest.raises(AssertionError, match=r"https://www.fc.up.pt/addi"):  # by hand only: told where from
        tfds.load("ph2_segmentation", data_dir=tmp_path / "tfds")


def test_a_bad_file_stops_the_build(tmp_path):
    write_isic2018(tmp_path / "raw", {"train": 3})
    image = tmp_path / "raw" / "ISIC2018_Task1-2_Training_Input" / "ISIC_0000001.jpg"
    image.write_bytes(image.read_bytes()[:-50])
    arguments = ["isic2018", "--folders", str(tmp_path / "raw"), "--root", str(tmp_path / "tfds"), "--records"]
    with pytest.raises(ValueError, match=r"ISIC_0000001.jpg: the file is cut off"):
        __main__.main(arguments)


# === Reading ===


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(address of records, folder of arrays) of the same images."""
    place = tmp_path_factory.mktemp("records")
    write_isic2018(place / "raw", {"train": 13, "test": 2}, tasks=(1, 2))
    task = isic2018.TASKS[2]
    tfds_builders.build("isic2018_task2", task, place / "tfds", place / "raw", Division())
    prepare.prepare(task, place / "arrays", (24, 32), folders=place / "raw")
    return f"tfds:{place}/tfds/isic2018_task2_segmentation@24x32", place / "arrays"


@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_are_those_of_the_arrays(built, split):
    address, root = built
    for _ in range(2):  # the second time from the index that the first has written
        found, arrays = open_split(address, split), open_split(root, split)
        order = [found.ids.index(id) for id in arrays.ids]
        assert sorted(order) == list(range(len(arrays.ids))) and found.classes == arrays.classes
        assert np.array_equal(found.sizes[order], arrays.sizes)
        assert np.array_equal(found.images[order], arrays.images) and np.array_equal(found.masks[order], arrays.masks)
    truth = source_masks(address, split)
    expected = source_masks(root, split)
    assert all(np.array_equal(truth(place), expected(number)) for number, place in enumerate(order))


def test_rows_are_indexed_as_an_array(built):
    rows = open_split(built[0], "train").masks
    whole = rows[:]
    assert rows.shape == whole.shape == (13, 24, 32, 5) and len(rows) == 13 and rows.dtype == whole.dtype == np.uint8
    for index in (3, -1, np.int64(4), slice(2, 9, 3), [5, 5, 0], np.array([12, 1]), np.array([], int)):
        assert np.array_equal(rows[index], whole[index])
    with pytest.raises(IndexError):
        rows[13]


def test_training_batches_are_read_from_records(built):
    split = open_split(built[0], "train")
    settings = Settings(batch_size=4, epochs=1, normalize="unit", seed=3)
    batches = list(pipeline.training(split, settings))
    assert [len(images) for images, _ in batches] == [4, 4, 4, 1]
    expected = {image.tobytes(): mask for image, mask in zip(split.images[:], split.masks[:], strict=True)}
    for images, masks in batches:
        for image, mask in zip(np.rint(images * 255).astype(np.uint8), masks.numpy(), strict=True):
            assert np.array_equal(expected.pop(image.tobytes()), mask)
    assert not expected


def test_facts_of_records(built):
    meta, arrays = read_meta(built[0]), read_meta(built[1])
    for name in ("dataset", "task", "licence", "size", "classes", "counts", "masks"):
        assert meta[name] == arrays[name]


def test_the_command_writes_records_of_own_data(tmp_path, capsys):
    for n in range(20):
        save(tmp_path / "raw" / "images" / f"{n}.png", picture(n))
        save(tmp_path / "raw" / "masks" / f"{n}.png", square(n))
    root = tmp_path / "out"
    arguments = ["folder", "--folders", str(tmp_path / "raw"), "--root", str(root), "--size", "24x32"]
    __main__.main([*arguments, "--records", "--seed", "1"])
    printed = capsys.readouterr().out
    assert f"train.py --data tfds:{root}/folder_segmentation@24x32" in printed

    def ids(place):
        return {split: set(open_split(place, split).ids) for split in ("train", "val", "test")}

    address = f"tfds:{root}/folder_segmentation@24x32"
    first = ids(address)
    __main__.main([*arguments, "--seed", "1"])
    assert ids(root) == first
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.tfrecord*")}
    __main__.main([*arguments, "--records", "--seed", "1"])  # nothing changed
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.tfrecord*")} == before
    __main__.main([*arguments, "--records", "--seed", "2"])  # other settings replace the records
    __main__.main([*arguments, "--seed", "2"])
    assert ids(address) == ids(root) != first


def test_records_are_written_by_one_process_at_a_time(tmp_path):
    save(tmp_path / "raw/train/images/a.png", picture(1))
    save(tmp_path / "raw/train/masks/a.png", square(1))
    root = tmp_path / "out"
    arguments = ["folder", "--folders", str(tmp_path / "raw"), "--root", str(root), "--records"]
    with files.locked(root, "free"), pytest.raises(FileExistsError, match="is being written right now by another"):
        __main__.main(arguments)
    assert [path.name for path in root.iterdir()] == [".lock"]


def test_what_a_killed_build_left_is_not_read(built, tmp_path):
    kept = tmp_path / "kept"
    shutil.copytree(built[0][5:].partition("@")[0], kept)
    shutil.copytree(kept / "1.0.0", kept / "incomplete.ABC_1.0.0")
    shutil.copytree(kept / "1.0.0", kept / "0.9.0")
    for index in (kept / "1.0.0").glob("index_*.csv"):
        index.unlink()
    for shard in (kept / "1.0.0").glob("*test.tfrecord*"):
        shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"1\.0\.0/.* is cut off"):
        open_split(f"tfds:{kept}@24x32", "test")


def test_what_is_no_record_is_told(built, tmp_path):
    address, _ = built
    for wrong in ("tfds:ph2_segmentation", "tfds:@24x32", "tfds:x@24", "tfds:x@0x5"):
        with pytest.raises(ValueError, match="expected tfds:FOLDER/NAME@HEIGHTxWIDTH"):
            open_split(wrong, "train")
    with pytest.raises(FileNotFoundError, match=r"no records in .*nothing'.*python -m datasets NAME --records"):
        open_split(f"tfds:{tmp_path}/nothing@24x32", "train")
    with pytest.raises(ValueError, match="has no split 'val'; it has: train, test"):
        open_split(address, "val")
    shutil.copytree(address[5:].partition("@")[0], tmp_path / "cut")
    shard = next((tmp_path / "cut").glob("*/*train.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-9])
    for index in shard.parent.glob("index_*.csv"):
        index.unlink()
    with pytest.raises(ValueError, match=r"train.tfrecord.* is cut off; prepare the records again"):
        open_split(f"tfds:{tmp_path}/cut@24x32", "train")


def test_a_damaged_record_is_told(built, tmp_path):
    shutil.copytree(built[0][5:].partition("@")[0], tmp_path / "bad")
    split = open_split(f"tfds:{tmp_path}/bad@24x32", "test")
    shard = next((tmp_path / "bad").glob("*/*test.tfrecord*"))
    data = bytearray(shard.read_bytes())
    at = data.index(b"\xff\xd8\xff")
    data[at : at + 3] = b"abc"
    shard.write_bytes(data)
    with pytest.raises(ValueError, match=r"test.tfrecord.*, record at \d+: not an image .*; prepare the records again"):
        split.images[:]
