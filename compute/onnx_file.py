"""An ONNX file as a function of arrays, by ONNX Runtime or OpenVINO, and the metadata in it; without TensorFlow.

session = open_session("isic18_cpu.onnx")   # the same one while the file is the same
session.metadata                            # what export.py noted, a dictionary
session.run({"image": images})              # {name: array} → the first output

OpenVINO is taken where it is installed and the products may be in bfloat16 or int8, which ONNX Runtime computes in
float32 or slower; ONNX Runtime else.
"""

import functools
import importlib.util
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils import errors
from utils.errors import UserError

SUFFIX = ".onnx"
KEY = "lesion_segmentation"  # of the metadata in the file's metadata_props
FORMAT = 1  # of the metadata; files of a higher one are refused
REMEDY = "copy the file again, or export the run again: python export.py"


class Session(NamedTuple):
    """A loaded file. metadata: what export.py noted. inputs, outputs: {name: (type, shape)}, None for the batch."""

    file: Path
    metadata: dict[str, Any]
    inputs: dict[str, tuple[str, list]]
    outputs: dict[str, tuple[str, list]]
    runtime: str
    run: Callable[[dict[str, np.ndarray]], np.ndarray]


def is_export(path: str | Path) -> bool:
    """Whether a path is that of an exported network."""
    return Path(path).suffix == SUFFIX


def metadata(path: str | Path) -> dict[str, Any]:
    """What export.py noted in a file. FileNotFoundError, UserError: as `open_session`."""
    return open_session(path).metadata


def open_session(path: str | Path) -> Session:
    """Load a file. FileNotFoundError: there is none. UserError: it is damaged, foreign, or of a newer format."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no exported network at {path}; make one: python export.py --run NAME")
    status = path.stat()
    return _opened(path.resolve(), path, status.st_mtime_ns, status.st_size)


def quiet_session(onnxruntime, path: Path):
    """ONNX Runtime's session of a file, without warnings: what is wrong is raised. onnxruntime: the module."""
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@functools.lru_cache(maxsize=4)  # settings, facts and network are asked for one after the other
def _opened(path, shown, modified, size):
    """The session of a file that was modified then and is of this size; `shown` is its path in messages."""
    try:
        import onnxruntime  # runs and scripts that have to do with no export do without it
    except ImportError:
        raise UserError(f"{shown} needs ONNX Runtime: pip install -r requirements-predict.txt") from None

    with errors.unreadable(shown, REMEDY):
        opened = quiet_session(onnxruntime, path)
        noted = opened.get_modelmeta().custom_metadata_map.get(KEY)
        found = None if noted is None else json.loads(noted)
    _check(found, shown)
    inputs = {each.name: (each.type, [None, *each.shape[1:]]) for each in opened.get_inputs()}
    outputs = {each.name: (each.type, [None, *each.shape[1:]]) for each in opened.get_outputs()}
    by_openvino = _openvino(path, found)
    if by_openvino:
        return Session(path, found, inputs, outputs, "OpenVINO", by_openvino)
    return Session(path, found, inputs, outputs, "ONNX Runtime", lambda feeds: opened.run(None, feeds)[0])


def _check(found, path):
    """UserError unless this is metadata that this version understands."""
    if found is None:
        raise UserError(f"{path} is an ONNX file of another program: only exports of python export.py can be used")
    if not isinstance(found, dict) or not isinstance(found.get("format"), int):
        raise UserError(f"{path}: its metadata were edited; {REMEDY}")
    if found["format"] > FORMAT:
        raise UserError(
            f"{path} has format {found['format']}, this version of the program reads up to {FORMAT}: update it"
        )


# === OpenVINO ===


def wants_openvino(found: dict[str, Any]) -> bool:
    """Whether a file is one for OpenVINO, where that is installed: its products may be in bfloat16 or int8."""
    return bool(found.get("int8")) or _bfloat16(found)


def _bfloat16(found):
    settings = found.get("settings")
    return isinstance(settings, dict) and settings.get("precision") == "bfloat16"


def _openvino(path, found):
    """A function from {name: array} to the first output, or None where ONNX Runtime is to be taken."""
    if not wants_openvino(found) or importlib.util.find_spec("openvino") is None:
        return None
    import openvino

    precision = "bf16" if _bfloat16(found) else "f32"  # where the CPU has no bfloat16 OpenVINO takes float32 by itself
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    request = compiled.create_infer_request()
    lock = threading.Lock()  # a request is one at a time

    def run(feeds):
        with lock:
            return np.array(request.infer(feeds)[0])  # a copy: the request's own is overwritten by the next

    return run
