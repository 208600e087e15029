"""models/torch_legacy.py: files in PyTorch's old format, made here byte by byte, and hostile ones."""

import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest

from models import torch_legacy
from utils.errors import UserError


class Persistent(tuple):
    """A reference to a storage."""


class Tensor:
    def __init__(self, storage, offset, shape, stride):
        self.arguments = (storage, offset, shape, stride, False, OrderedDict())


class Global:
    """What is pickled as the global `module.name`."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Writer(pickle._Pickler):
    """Writes references to names of modules that are not installed."""

    def persistent_id(self, thing):
        return tuple(thing) if isinstance(thing, Persistent) else None

    def save(self, thing, save_persistent_id=True):
        if isinstance(thing, Global):
            self.write(pickle.GLOBAL + f"{thing.module}\n{thing.name}\n".encode())
        elif isinstance(thing, Tensor):
            self.save(Global("torch._utils", "_rebuild_tensor_v2"))
            self.save(thing.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(thing, save_persistent_id)


def pickled(thing):
    file = io.BytesIO()
    Writer(file, 2).dump(thing)
    return file.getvalue()


HEAD = pickled(torch_legacy.MAGIC) + pickled(torch_legacy.PROTOCOL) + pickled({"little_endian": True})
FLOATS = Global("torch", "FloatStorage")


def storage(elements, key="1", kind="storage"):
    return Persistent((kind, FLOATS, key, "cpu", elements, None))


def file_of(state, values=(), key="1", elements=None):
    body = struct.pack("<q", len(values) if elements is None else elements) + np.asarray(values, "<f4").tobytes()
    return HEAD + pickled(state) + pickled([key]) + body


def test_strides_and_offsets_are_honored(tmp_path):
    path = tmp_path / "a.pth"
    state = {"rows": Tensor(storage(8), 1, (2, 3), (3, 1)), "columns": Tensor(storage(8), 0, (2, 4), (1, 2))}
    path.write_bytes(file_of(state, range(8)))
    tensors = torch_legacy.read(path)
    np.testing.assert_array_equal(tensors["rows"], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(tensors["columns"], [[0, 2, 4, 6], [1, 3, 5, 7]])


class Malice:
    def __reduce__(self):
        return os.system, ("touch malice",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (HEAD + pickle.dumps(Malice(), 2), r"system has no business"),
        (pickle.dumps(Malice(), 2), r"system has no business"),
        (HEAD + pickled({"w": Global("builtins", "eval")}), r"builtins\.eval has no business"),
        (HEAD + pickled({"w": Global("torch", "load")}), r"torch\.load has no business"),
        (HEAD + pickled({"w": Global("collections", "namedtuple")}), r"namedtuple has no business"),
        (file_of({"w": Tensor(storage(4, kind="module"), 0, (4,), (1,))}, range(4)), "module is no storage"),
        (file_of({"w": Tensor(storage(4), 0, (5,), (1,))}, range(4)), "reaches beyond its storage of 4"),
        (file_of({"w": Tensor(storage(4), 2, (2, 2), (1, 1))}, range(4)), "reaches beyond its storage of 4"),
        (file_of({"w": Tensor(storage(4), -1, (2,), (1,))}, range(4)), "reaches beyond its storage"),
        (file_of({"w": Tensor(storage(4), 3, (2,), (-1,))}, range(4)), "reaches beyond its storage"),
        (file_of({"w": Tensor(storage(4), 0, (4,), (1,))}, range(4), elements=2**60), "buffer is smaller|memory"),
        (pickled(1) + pickled(2) + pickled({}), "another magic number"),
        (b"", "old format"),
        (b"PK\x03\x04 a zip archive", "old format"),
    ],
)
def test_nothing_but_a_state_dictionary_is_read(tmp_path, monkeypatch, content, why):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"(?s)a.pth is no state dictionary.*({why})"):
        torch_legacy.read(path)
    assert os.listdir(tmp_path) == ["a.pth"]


def test_another_content_than_the_published_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(file_of({}))
    with pytest.raises(UserError, match=r"a\.pth is not the file that was published"):
        torch_legacy.read(path, "0" * 64)
