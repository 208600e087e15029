"""State dictionaries in PyTorch's file format of before 2020 (no zip archive), read without PyTorch.

Such a file is five pickles (magic number, protocol, sizes of types, state dictionary, names of the storages) and then
the storages themselves, each its number of elements (int64) and its raw values. Pickles can run anything: the
unpickler here admits the four names that a state dictionary of plain tensors needs and calls none of PyTorch's own.
"""

import hashlib
import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from utils.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save's old format
PROTOCOL = 1001


class _Storage(NamedTuple):
    dtype: str
    key: str
    elements: int


class _Strided(NamedTuple):
    """A tensor before its values are read: `shape` and `stride` in elements from `offset` in a storage."""

    storage: _Storage
    offset: int
    shape: tuple
    stride: tuple


def _rebuild_tensor(storage, offset, shape, stride, *_):
    return _Strided(storage, offset, shape, stride)


ADMITTED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} has no business in a state dictionary") from None

    def persistent_load(self, key):
        kind, dtype, name, _, elements, *_ = key
        if kind != "storage":
            raise pickle.UnpicklingError(f"{kind} is no storage")
        return _Storage(dtype, name, elements)


def read(path: str | Path, sha256: str | None = None) -> dict[str, np.ndarray]:
    """Read the tensors of a file.

    Args:
        path: the file.
        sha256: of its content, in hexadecimal digits; None: not compared.

    Returns: {name: array of float32 or int64} with PyTorch's axes.

    Raises: FileNotFoundError; UserError if the content is another one, damaged, or more than a state dictionary.
    """
    path = Path(path)
    content = path.read_bytes()
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{path} is not the file that was published (its SHA-256 differs): install its package again")
    try:
        return _tensors(io.BytesIO(content))
    except Exception as error:  # unpickling raises whatever the content provokes
        raise UserError(f"{path} is no state dictionary in PyTorch's old format: {error}") from error


def _tensors(file: BinaryIO) -> dict[str, np.ndarray]:
    # 1. head
    magic, protocol, _ = (_Unpickler(file).load() for _ in range(3))
    if (magic, protocol) != (MAGIC, PROTOCOL):
        raise pickle.UnpicklingError("it begins with another magic number")
    # 2. tensors without values, and the order of the storages
    state = _Unpickler(file).load()
    order = _Unpickler(file).load()
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in state.values()}
    # 3. values
    storages = {}
    for key in order:
        (elements,) = struct.unpack("<q", file.read(8))
        dtype = np.dtype(dtypes[key])
        storages[key] = np.frombuffer(file.read(elements * dtype.itemsize), dtype, elements)
    return {name: _view(tensor, storages[tensor.storage.key]) for name, tensor in state.items()}


def _view(tensor: _Strided, values: np.ndarray) -> np.ndarray:
    """The tensor as an array; ValueError where it reaches beyond its storage."""
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=True))
    if tensor.offset < 0 or min((*tensor.shape, *tensor.stride), default=0) < 0 or last >= len(values):
        raise ValueError(f"a tensor of {tensor.shape} reaches beyond its storage of {len(values)} values")
    stride = [step * values.itemsize for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, stride, writeable=False)
