"""Files that are none, damaged, foreign, edited or of a newer format: one line that names them and says what to do."""

import json

import onnx
import pytest
from onnx import TensorProto, helper

from compute import onnx_file
from inference.exported import Exported
from utils.errors import UserError


def write(path, noted, kind=TensorProto.UINT8):
    """A network that casts images of 2 x 3 to float32, with these metadata (None: none)."""
    image = helper.make_tensor_value_info("image", kind, ["batch", 2, 3, 3])
    result = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2, 3, 3])
    node = helper.make_node("Cast", ["image"], ["probabilities"], to=TensorProto.FLOAT)
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(helper.make_graph([node], "cast", [image], [result]), opset_imports=opset, ir_version=9)
    if noted is not None:
        helper.set_model_props(model, {onnx_file.KEY: noted if isinstance(noted, str) else json.dumps(noted)})
    onnx.save(model, path)
    return path


def test_shapes_and_metadata(tmp_path):
    path = write(tmp_path / "a.onnx", {"format": 1, "classes": ["x", "y", "z"]})
    network = Exported(path)
    assert network.input_shape == (None, 2, 3, 3) and network.output_shape == (None, 2, 3, 3)
    assert not network.takes_edges and network.runtime == "ONNX Runtime"
    assert onnx_file.metadata(path)["classes"] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("noted", "message"),
    [
        (None, "is an ONNX file of another program"),
        ({"format": 2}, "has format 2, this version of the program reads up to 1: update it"),
        ({"classes": []}, "its metadata were edited"),
        ([1], "its metadata were edited"),
        ("{", "cannot be read"),
    ],
)
def test_metadata_of_others(noted, message, tmp_path):
    path = write(tmp_path / "b.onnx", noted)
    with pytest.raises(UserError, match=message) as caught:
        onnx_file.open_session(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_damage(tmp_path):
    path = write(tmp_path / "c.onnx", {"format": 1})
    data = path.read_bytes()
    for damaged in (b"", b"no network", data[: len(data) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"c\.onnx (cannot be read|is an ONNX file of another)"):
            Exported(path)
    with pytest.raises(FileNotFoundError, match=r"none\.onnx; make one: python export\.py"):
        Exported(tmp_path / "none.onnx")
    path = write(tmp_path / "float.onnx", {"format": 1}, TensorProto.FLOAT)
    with pytest.raises(UserError, match="its inputs were edited"):
        Exported(path)


def test_a_file_that_is_replaced_is_read_anew(tmp_path):
    path = write(tmp_path / "d.onnx", {"format": 1, "run": "first"})
    assert onnx_file.metadata(path)["run"] == "first"
    write(path, {"format": 1, "run": "the second"})
    assert onnx_file.metadata(path)["run"] == "the second"


def test_openvino_is_for_bfloat16_and_int8():
    assert onnx_file.wants_openvino({"settings": {"precision": "bfloat16"}})
    assert onnx_file.wants_openvino({"settings": {"precision": "float32"}, "int8": True})
    assert not onnx_file.wants_openvino({"settings": {"precision": "float32"}})
