"""Prepared arrays: the one format between raw data sets and training, written and read here.

    ROOT/data_train.npy   uint8 (N, H, W, 3) RGB            ROOT/mask_train.npy  uint8 (N, H, W, classes), values {0, 1}
    ROOT/index_train.csv  id,height,width: name and own size in pixels of each source image, in the arrays' order;
                          area: fraction of the source's mask that is lesion, of several classes their mean;
                          hash: the source's fingerprint (preparation/near_duplicates.py);
                          where some are copies (augmentation.py) also source: the name of the image that each copies
    ROOT/votes_train.npy  where masks are of several annotators, whose consensus the mask is: uint8 (N, H, W, classes),
                          bit k the mask of the image's annotator k; the index then has a column of their names
    ROOT/meta.json        dataset, task, size [H, W], classes, counts per split, splits with masks, version, and more

The same for val and test. A split without masks has no mask file. Reading:

    split = open_split("dataset_isic18", "train")
    split.images[0], split.masks[0], split.ids[0], split.sizes[0]

Writing, one pair at a time, so that memory does not grow with the number of images:

    with Writer("dataset_isic18", {"dataset": "isic2018", "task": 1}, size=(192, 256), classes=["lesion"]) as writer:
        writer.add("train", "ISIC_0000000", image, mask, original_size=(767, 1022))

Everything is written in a temporary folder inside ROOT. Leaving the block by an error removes it, and what ROOT held
before stays as it was. Leaving it in good order renames that folder to COMMITTED, at one stroke, and then moves its
files to ROOT; where a process dies before that is done, whoever reads or writes ROOT next does the rest.
"""

import contextlib
import csv
import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.preparation import near_duplicates
from datasets.split import FOLDS, RECORDS, Split
from utils import errors
from utils.errors import UserError
from utils.files import remove_leftovers, require_file_names, temporary_beside

VERSION = 1  # of the format; raise it when older folders must be prepared again
SPLITS = ("train", "val", "test")
COMMITTED = ".committed"  # folder of whole arrays that are on their way into place
LOOKED_AT = 16  # masks of a split whose values are looked at when it is opened
_INDEX_COLUMNS = ["id", "height", "width", "hash", "area", "source", "annotators"]


# === Reading ===


def read_meta(root: str | Path) -> dict[str, Any]:
    """The contents of ROOT/meta.json as a dict.

    FileNotFoundError: there is none, so nothing (or nothing whole) was prepared in `root`.
    UserError: it cannot be read, or was written in another version of the format.
    """
    if str(root).startswith(RECORDS):
        from datasets import tfds_records  # TensorFlow is slow to import, and arrays do without

        return tfds_records.read_meta(root)
    if str(root).startswith(FOLDS):
        from datasets import folds

        return folds.read_meta(root)
    _finish_commit(Path(root))
    path = Path(root) / "meta.json"
    remedy = f"run `python dataset_isic18.py --root {root}` or `python -m datasets NAME --root {root}` to write them"
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: '{root}' holds no prepared arrays; {remedy}")
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        version = meta["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error!r}); delete it and {remedy}") from None
    if version != VERSION:
        raise UserError(f"{path} has format version {version}, this program reads {VERSION}; {remedy}")
    return meta


def open_split(root: str | Path, name: str) -> Split:
    """Open split `name` ("train", "val", "test") of the prepared folder `root` as a `Split`; nothing is loaded yet.

    FileNotFoundError: no prepared arrays there. UserError: no such split (the message lists those there are), or
    the files do not agree with meta.json.
    """
    if str(root).startswith(RECORDS):
        from datasets import tfds_records

        return tfds_records.open_records(root, name)
    if str(root).startswith(FOLDS):
        from datasets import folds

        return folds.open_fold(root, name)
    root = Path(root)
    meta = read_meta(root)
    if name not in meta["counts"]:
        raise UserError(f"'{root}' has no split '{name}'; it has: {', '.join(meta['counts'])}")
    count = meta["counts"][name]
    size = meta["size"]
    classes = meta["classes"]
    images = _open_array(root / f"data_{name}.npy", (count, *size, 3))
    mask_path = root / f"mask_{name}.npy"
    has_masks = mask_path.is_file() or name in meta.get("masks", [])
    masks = _open_array(mask_path, (count, *size, len(classes))) if has_masks else None
    _require_zeros_and_ones(masks, mask_path)
    index = root / f"index_{name}.csv"
    with errors.unreadable(index, "prepare the data set again"):
        with open(index, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        ids = [row["id"] for row in rows]
        sizes = [(int(row["height"]), int(row["width"])) for row in rows]
        noted = rows[0] if rows else {}
        areas = np.array([float(row["area"]) for row in rows]) if "area" in noted else None
        prints = np.array([near_duplicates.from_text(row["hash"]) for row in rows]) if "hash" in noted else None
    if len(rows) != count:
        raise UserError(f"{index} has {len(rows)} rows, meta.json says {count}; prepare again")
    if min(map(min, sizes), default=1) < 1:
        raise UserError(f"{index} has a size below 1 pixel; was it edited? Prepare again")
    sources = _sources(rows, meta.get("augmented"), name)
    require_file_names(ids, index)
    require_file_names(classes, root / "meta.json")
    votes = annotators = None
    if name in meta.get("votes", []):
        votes = _open_array(root / f"votes_{name}.npy", (count, *size, len(classes)))
        annotators = _annotators(rows, index)
    shapes = np.array(sizes, np.int64).reshape(count, 2)
    return Split(images, masks, ids, shapes, classes, sources, votes, annotators, areas, prints)


def _annotators(rows, index):
    """Names of the annotators of each image, from the rows of its index."""
    names = [(row.get("annotators") or "").split() for row in rows]
    if not all(0 < len(each) <= 8 for each in names):  # bits of a byte
        raise UserError(f"{index} does not name the annotators of every image; prepare again")
    return names


def _sources(rows, augmented, split):
    """The `sources` of a Split from the rows of its index. augmented: what meta.json says of copies."""
    if rows and "source" in rows[0]:
        return [row["source"] for row in rows]
    if augmented and split == "train":  # of a version that did not note them; copies follow their image
        versions = augmented["copies"] + 1
        return [rows[number - number % versions]["id"] for number in range(len(rows))]
    return None


def _open_array(path, shape):
    try:
        array = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found though meta.json lists it; prepare the data set again") from None
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and prepare the data set again") from None
    if array.dtype != np.uint8 or array.shape != shape:
        raise UserError(
            f"{path} is {array.dtype} {array.shape}, meta.json says uint8 {shape}; prepare the data set again"
        )
    return array


def _require_zeros_and_ones(masks, path):
    """UserError where masks, of which some are looked at, hold other values, such as the 255 of mask files."""
    if masks is None or not len(masks):
        return
    rows = np.unique(np.linspace(0, len(masks) - 1, LOOKED_AT).astype(int))
    if (largest := masks[rows].max()) > 1:
        raise UserError(f"{path} holds {largest}, expected masks of 0 and 1; prepare the data set again")


# === Writing ===


class ArrayFile:
    """A uint8 .npy file that grows row by row: `append` as often as wanted, then `close`.

    path: the file, made new. row: shape of one row. The header is written by `close`, when the number of rows is known.
    """

    def __init__(self, path, row):
        self.row = tuple(row)
        self.count = 0
        self._file = open(path, "wb")  # noqa: SIM115 (closed by close)
        self._write_header()

    def _write_header(self):
        # numpy pads the header so that its length is the same for any number of rows
        self._file.seek(0)
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.count, *self.row)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, row):
        if row.dtype != np.uint8 or row.shape != self.row:
            raise UserError(f"a row must be uint8 {self.row}, received {row.dtype} {row.shape}")
        self._file.write(np.ascontiguousarray(row).data)
        self.count += 1

    def close(self):
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self):
        with contextlib.suppress(OSError):  # what a full disk kept in the buffer is not wanted
            self._file.close()


class Writer:
    """Writes a prepared folder pair by pair; a context manager (see the head of this file).

    root: the folder, made if need be. meta: what goes into meta.json besides size, classes, counts and version; the
    dict may be added to until the block ends. size: (H, W) of the arrays. classes: names of the mask channels.
    OSError: the disk is full; nothing half-written is left.
    """

    def __init__(self, root: str | Path, meta: dict[str, Any], size: tuple[int, int], classes: Sequence[str]):
        self.root = Path(root)
        self.meta = meta
        self.size = tuple(size)
        self.classes = list(classes)
        self._partial = temporary_beside(self.root / "arrays")
        self._arrays = {}  # file name -> ArrayFile
        self._index = {}  # split -> rows of the index

    def __enter__(self):
        remove_leftovers(self.root)
        self._partial.mkdir(parents=True)
        return self

    def add(  # noqa: PLR0913 (all that is known of an image)
        self,
        split: str,
        identifier: str,
        image: np.ndarray,
        mask: np.ndarray | None,
        original_size: tuple[int, int],
        source: str | None = None,
        area: float | None = None,
        bits: np.ndarray | None = None,
        votes: np.ndarray | None = None,
        annotators: Sequence[str] = (),
    ) -> None:
        """Append one pair to `split`.

        identifier: name of the source image. image: uint8 (H, W, 3) RGB. mask: uint8 (H, W, classes), values {0, 1},
        or None for all images of the split. original_size: (height, width) of the source image in pixels.
        source: name of the image that this one is a copy of. area: fraction of the source's mask that is lesion.
        bits: the source's fingerprint; by default both are those of `mask` and `image`. votes, annotators: of all
        images of the split or of none, the masks of several annotators, see `Split`, and their names.
        """
        with self._explain_disk_full():
            rows = self._index.setdefault(split, [])
            if rows and (mask is not None) != (f"mask_{split}" in self._arrays):
                raise UserError(
                    f"split '{split}': image {identifier} and those before it must all have a mask, or none"
                )
            self._append(f"data_{split}", image, 3)
            if mask is not None:
                self._append(f"mask_{split}", mask, len(self.classes))
            if votes is not None:
                self._append(f"votes_{split}", votes, len(self.classes))
            if area is None and mask is not None:
                area = mask.mean()
            if bits is None:
                bits = near_duplicates.fingerprint(image)
            noted = [near_duplicates.to_text(bits), "" if area is None else f"{area:.8f}"]
            rows.append((identifier, *original_size, *noted, source or identifier, " ".join(annotators)))

    def _append(self, name, row, channels):
        if name not in self._arrays:
            self._arrays[name] = ArrayFile(self._partial / f"{name}.npy", (*self.size, channels))
        self._arrays[name].append(row)

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                with self._explain_disk_full():
                    self._commit()
        finally:
            for array in self._arrays.values():
                array.discard()
            shutil.rmtree(self._partial, ignore_errors=True)

    def _commit(self):
        # 1. finish every file in the temporary folder
        for array in self._arrays.values():
            array.close()
        for split, rows in self._index.items():
            with open(self._partial / f"index_{split}.csv", "w", newline="", encoding="utf-8") as file:
                kept = [0, 1, 2, 3]
                kept += [4] if rows[0][4] else []  # where there are masks
                kept += [5] if any(row[5] != row[0] for row in rows) else []  # where there are copies
                kept += [6] if any(row[6] for row in rows) else []
                table = ([row[column] for column in kept] for row in [_INDEX_COLUMNS, *rows])
                csv.writer(file, lineterminator="\n").writerows(table)
        counts = {split: len(self._index[split]) for split in sorted(self._index, key=SPLITS.index)}
        meta = {**self.meta, "size": list(self.size), "classes": self.classes, "counts": counts}
        meta |= {"masks": [split for split in counts if f"mask_{split}" in self._arrays], "version": VERSION}
        votes = [split for split in counts if f"votes_{split}" in self._arrays]
        meta |= {"votes": votes} if votes else {}
        (self._partial / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
        # 2. from here on they count
        _finish_commit(self.root)
        os.replace(self._partial, self.root / COMMITTED)
        # 3. into place
        _finish_commit(self.root)

    @contextlib.contextmanager
    def _explain_disk_full(self):
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            message = f"disk full while writing into '{self.root}': free some space, or choose another --root"
            raise OSError(error.errno, message) from error


def _finish_commit(root):
    """Move the files of ROOT/COMMITTED, if there is such a folder, to ROOT, and remove what they replace."""
    committed = root / COMMITTED
    if not committed.is_dir():
        return
    for path in sorted(committed.iterdir(), key=lambda path: path.name == "meta.json"):  # meta.json last
        with contextlib.suppress(FileNotFoundError):  # another process is at it too
            os.replace(path, root / path.name)
    meta = json.loads((root / "meta.json").read_text(encoding="utf-8"))
    for split in SPLITS:
        if split not in meta["counts"]:
            (root / f"data_{split}.npy").unlink(missing_ok=True)
            (root / f"index_{split}.csv").unlink(missing_ok=True)
        if split not in meta["masks"]:
            (root / f"mask_{split}.npy").unlink(missing_ok=True)
        if split not in meta.get("votes", []):
            (root / f"votes_{split}.npy").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        committed.rmdir()
