"""Training from TensorFlow Dataset records (tfds_builders.py), not arrays: an image is read when a batch needs it.

    split = open_records("tfds:records/ham10000_segmentation@192x256", "train")
    split.images[[5, 0, 7]]      # uint8 (3, 192, 256, 3), decoded now

The address is tfds:FOLDER/NAME@HEIGHTxWIDTH, FOLDER being the data_dir of TensorFlow Datasets; without it the default
one (TFDS_DATA_DIR, or ~/tensorflow_datasets). For sets that are too large for arrays: memory does not grow with the
number of images. An array of the same images is faster, because they need not be decoded again in each epoch.

A TFRecord file is a row of records, each a length (8 bytes), a checksum (4), the data and their checksum (4). The first
call reads all of them and writes where each begins, its id and its size into index_SPLIT.csv beside them.
"""

import csv
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from datasets.split import RECORDS, Split
from imaging import decode, headers
from imaging.masks import shrink_all
from utils.errors import UserError
from utils.files import replacing, require_file_names
from utils.threads import pool

_COLUMNS = ["id", "height", "width", "shard", "offset", "length"]


def open_records(address: str, name: str) -> Split:
    """Open a split of records as a `Split` of the address's size, whose arrays are `Rows`.

    FileNotFoundError: no such records. UserError: not an address, no such split, or records of another kind.
    """
    builder, size = _open(address)
    if name not in builder.info.splits:
        raise UserError(f"'{address}' has no split '{name}'; it has: {', '.join(builder.info.splits)}")
    shards = [Path(path) for path in builder.info.splits[name].filepaths]
    classes = builder.info.metadata["classes"]
    rows = _index(builder.data_path / f"index_{name}.csv", shards)
    require_file_names([*classes, *(row["id"] for row in rows)], builder.data_path / f"index_{name}.csv")
    where = [(int(row["shard"]), int(row["offset"]), int(row["length"])) for row in rows]
    sizes = np.array([(int(row["height"]), int(row["width"])) for row in rows], np.int64)
    shape = (len(rows), *size)
    images = Rows(shards, where, (*shape, 3), lambda fields: _image(fields, size))
    masks = Rows(shards, where, (*shape, len(classes)), lambda fields: shrink_all(_mask(fields), size))
    return Split(images, masks, [row["id"] for row in rows], sizes, classes)


def read_meta(address: str) -> dict[str, Any]:
    """What arrays.read_meta gives, of records."""
    builder, size = _open(address)
    counts = {name: split.num_examples for name, split in builder.info.splits.items()}
    return {**builder.info.metadata, "size": list(size), "counts": counts, "masks": list(counts)}


def mask_reader(address: str, name: str) -> Callable[[int], np.ndarray]:
    """What source_masks.source_masks gives, of records."""
    masks = open_records(address, name).masks
    full = Rows(masks.shards, masks.where, masks.shape, _mask)
    return full.row


class Rows:
    """Stands for an array uint8 (N, H, W, channels) of which rows are read from records when asked for.

    shards: the record files. where: (number of the shard, offset, length) of each of the N records. shape: of the
    array. make: a function from a record's fields to its row. Indexed by a number, a slice or an array of numbers.
    """

    dtype = np.dtype("uint8")

    def __init__(self, shards, where, shape, make):
        self.shards = shards
        self.where = where
        self.shape = shape
        self._make = make
        self._files = [open(shard, "rb") for shard in shards]  # noqa: SIM115 (open as long as the rows are in use)
        self._pool = pool()

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, numbers):
        if isinstance(numbers, slice):
            numbers = np.arange(len(self))[numbers]
        if np.ndim(numbers) == 0:
            return self.row(numbers)
        rows = list(self._pool.map(self.row, np.asarray(numbers).tolist()))
        return np.stack(rows) if rows else np.empty((0, *self.shape[1:]), np.uint8)

    def row(self, number):
        """uint8 (H, W, channels) of one record. UserError: it is damaged; the message names the file."""
        shard, offset, length = self.where[number]
        try:
            return self._make(_fields(os.pread(self._files[shard].fileno(), length, offset)))
        except (ValueError, IndexError, zlib.error) as error:
            raise UserError(f"{self.shards[shard]}, record at {offset}: {error}; prepare the records again") from None


def _open(address):
    """(the read-only builder of the records at an address, (H, W) of the images that are wanted)."""
    import tensorflow_datasets as tfds  # takes seconds, and only who reads records needs it

    match = re.fullmatch(rf"{RECORDS}(.+)@([1-9]\d*)x([1-9]\d*)", str(address))
    if not match:
        raise UserError(f"'{address}': expected tfds:FOLDER/NAME@HEIGHTxWIDTH, such as tfds:ph2_segmentation@192x256")
    folder = Path(match[1])
    if folder.parent == Path("."):
        folder = Path(tfds.core.constants.DATA_DIR).expanduser() / folder
    versions = [path.parent for path in folder.glob("*/dataset_info.json")]
    versions = [path for path in versions if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]  # not incomplete.…
    if not versions:
        raise FileNotFoundError(f"no records in '{folder}': write them with `python -m datasets NAME --records`")
    builder = tfds.builder_from_directory(max(versions, key=lambda path: tuple(map(int, path.name.split(".")))))
    if not {"image", "mask", "id"} <= set(builder.info.features) or not builder.info.metadata:
        raise UserError(f"'{folder}' is not one of the data sets of `python -m datasets`")
    return builder, (int(match[2]), int(match[3]))


def _index(path, shards):
    """Rows of index_SPLIT.csv, which is made if need be: where each record is, its id and the size of its image."""
    if not path.is_file():
        rows = [_COLUMNS]
        for shard, file in enumerate(shards):
            for offset, length, data in _scan(file):
                fields = _fields(data)
                rows.append([_bytes(fields["id"]).decode(), *headers.stored_size(_bytes(fields["image"]))])
                rows[-1] += [shard, offset, length]
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _scan(path):
    """(offset, length, data) of each record of a file. UserError: it is cut off."""
    with open(path, "rb") as file:
        while head := file.read(12):
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            offset = file.tell()
            data = file.read(length)
            if len(head) < 12 or len(data) < length or len(file.read(4)) < 4:
                raise UserError(f"{path} is cut off; prepare the records again")
            yield offset, length, data


def _fields(data):
    return tf.train.Example.FromString(data).features.feature


def _bytes(field):
    return field.bytes_list.value[0]


def _image(fields, size):
    """uint8 (H, W, 3) RGB, as it is stored: its mask was written for that."""
    return decode.image(_bytes(fields["image"]), size, upright=False)[0]


def _mask(fields):
    """uint8 (H0, W0, classes) of {0, 1}."""
    shape = fields["mask/shape"].int64_list.value
    return np.frombuffer(zlib.decompress(_bytes(fields["mask/value"])), np.uint8).reshape(shape)
