"""A run as a file: what is in it, that it gives what the run gives, and what is refused."""

import contextlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import SIZE, bright, masks_of, save_run

import export
import predict
import runs
import submission
from compute import onnx_file
from datasets.arrays import Writer
from evaluation import evaluate_run
from inference import conversion
from predict import load_predictor
from utils.errors import UserError

ROOT = Path(__file__).parent.parent
FILE = Path("output/tiny/tiny.onnx")
BLOCKED = """
import sys

class NotInstalled:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled)
import predict
predict.main(sys.argv[1:])
"""


def save_splits(images, masks):
    """Prepared arrays whose three splits are the same images."""
    with Writer("data", {"dataset": "tiny", "task": 1}, SIZE, ("lesion",)) as writer:
        for split in ("train", "val", "test"):
            for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
                writer.add(split, f"ISIC_{i:07}", image, mask, (40, 50))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, its data, its export and a photograph."""
    folder = tmp_path_factory.mktemp("exported")
    with contextlib.chdir(folder):
        save_run("tiny")
        runs.note(runs.BEST / "tiny", classes=["lesion"], thresholds={"lesion": 0.25}, data={"licence": "CC0"})
        images = np.random.default_rng(0).integers(90, 170, (4, *SIZE, 3), np.uint8)  # probabilities of all sizes
        save_splits(images, masks_of((0, 10), (5, 15), (0, 8), (0, 3)))
        export.main(["--run", "tiny"])
        photograph = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
        cv2.imwrite("photo.png", cv2.GaussianBlur(photograph, (0, 0), 5))
        yield folder


@pytest.fixture(autouse=True)
def in_folder(place, monkeypatch):
    monkeypatch.chdir(place)


def test_the_file_holds_all_that_belongs_to_the_run():
    noted = onnx_file.metadata(FILE)
    assert noted["format"] == 1 and noted["run"] == "tiny" and noted["classes"] == ["lesion"]
    assert noted["thresholds"] == {"lesion": 0.25} and noted["settings"]["normalize"] == "unit"
    assert noted["data"]["licence"] == "CC0" and len(noted["data"]["fingerprint"]) == 64
    assert "medical device" in noted["notice"] and noted["licence"] == "MIT"
    check = noted["check"]
    assert check["images"] == 4 and check["largest_difference"] < 1e-5
    assert check["jaccard_keras"] == check["jaccard_export"] > 0
    assert "tiny.onnx" in runs.facts(runs.BEST / "tiny")["exports"]
    assert "tiny.onnx" in (runs.BEST / "tiny" / "README.md").read_text()
    assert {path.name for path in FILE.parent.iterdir()} >= {"tiny.onnx"} and not list(FILE.parent.glob(".writing*"))


@pytest.mark.parametrize("options", [[], ["--tta", "--clean", "--overlays", "--probabilities", "--threshold", "best"]])
def test_predict_writes_the_files_that_it_writes_for_the_run(options, tmp_path):
    if "best" in options:  # kept for masks that are made so
        runs.keep_thresholds(runs.BEST / "tiny", True, True, thresholds={"lesion": 0.4})
        export.main(["--run", "tiny"])
    for run, out in (("tiny", "keras"), (str(FILE), "onnx")):
        predict.main(["photo.png", "--run", run, "--out", str(tmp_path / out), *options])
    made = sorted(path.name for path in (tmp_path / "keras").glob("*.png"))
    assert len(made) == (3 if options else 1)
    for name in made:
        ours, theirs = (cv2.imread(tmp_path / out / name, -1).astype(int) for out in ("onnx", "keras"))
        assert np.abs(ours - theirs).max() <= 1 and ours.any()
    tables = [(tmp_path / out / "predictions.csv").read_text() for out in ("keras", "onnx")]
    assert tables[0] == tables[1]


def test_the_library_call():
    predictor = load_predictor(FILE)
    image = cv2.imread("photo.png")[..., ::-1].copy()
    masks, probabilities = predictor(image)
    theirs = load_predictor("tiny")(image)
    assert (masks == theirs[0]).all() and np.abs(probabilities - theirs[1]).max() < 1e-5
    assert predictor.name == "tiny_onnx" and predictor.size == SIZE and predictor.classes == ["lesion"]
    assert load_predictor(FILE, threshold="best").thresholds == [0.25]
    with pytest.raises(UserError, match=r"tiny\.onnx is an export, whose layers cannot be looked into"):
        predictor.pixels(image[None])


def test_neither_tensorflow_nor_keras_is_imported(tmp_path):
    command = [sys.executable, "-c", BLOCKED, "photo.png", "--run", str(FILE), "--tta", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out/photo_segmentation.png").is_file()


def test_evaluate_and_submission_take_it():
    ours = evaluate_run.evaluate(str(FILE), "test", at="network", tta=True)
    theirs = evaluate_run.evaluate("tiny", "test", at="network", tta=True)
    assert ours["per_image"] == theirs["per_image"] and ours["run"] == "tiny_onnx"
    assert len(list(Path("output/tiny_onnx").glob("*/metrics.json"))) == 1  # the run's own are not replaced
    for run in ("tiny", str(FILE)):
        submission.main(["--run", run, "--threshold", "0.5", "--out", f"{Path(run).suffix or 'keras'}.zip"])
    contents = []
    for name in ("keras.zip", ".onnx.zip"):
        with zipfile.ZipFile(name) as archive:
            contents.append({entry.filename: entry.CRC for entry in archive.infolist()})
    assert contents[0] == contents[1] and len(contents[0]) == 4


def test_what_differs_is_not_written(monkeypatch, tmp_path):
    onnx = conversion.FORMATS["onnx"]
    for shift in (1e-3, float("nan")):
        changed = onnx._replace(read=lambda path, shift=shift: lambda feeds: onnx.read(path)(feeds) + np.float32(shift))
        monkeypatch.setitem(conversion.FORMATS, "onnx", changed)
        with pytest.raises(SystemExit, match="not what Keras computes") as stopped:
            export.main(["--run", "tiny", "--out", str(tmp_path / "other.onnx")])
        assert "nothing was written" in str(stopped.value) and not list(tmp_path.iterdir())


def test_what_its_runtime_refuses_is_not_written(monkeypatch, tmp_path):
    def refuse(path):
        raise RuntimeError("Incompatible dimensions")

    monkeypatch.setitem(conversion.FORMATS, "onnx", conversion.FORMATS["onnx"]._replace(read=refuse))
    with pytest.raises(UserError, match=r"Incompatible dimensions.*choose another format: --to"):
        export.export("tiny", out=tmp_path / "other.onnx")
    assert not list(tmp_path.iterdir())


def test_int8_is_written_where_it_is_worth_it(monkeypatch, tmp_path):
    out = tmp_path / "small.onnx"
    monkeypatch.setattr(export, "INT8_SPEED", 1e9)
    with pytest.raises(UserError, match=r"int8 is not worth it: mean Jaccard .* times as fast"):
        export.export("tiny", int8=True, out=out)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(export, "INT8_SPEED", 0.0)
    monkeypatch.setattr(export, "INT8_JACCARD", 1.0)
    export.export("tiny", int8=True, out=out)
    noted = onnx_file.metadata(out)["int8"]
    assert noted["calibration_images"] == 4 and noted["speed"] > 0 and 0 <= noted["jaccard_int8"] <= 1
    assert load_predictor(out)("photo.png")[0].shape == (40, 50, 1)


@pytest.mark.parametrize("form", ["openvino", "saved_model", "litert"])
def test_other_formats(form, tmp_path):
    out = tmp_path / f"tiny{conversion.FORMATS[form].suffix}"
    export.main(["--run", "tiny", "--to", form, "--out", str(out)])
    assert out.exists()
    if form == "litert":
        with zipfile.ZipFile(out) as archive:
            noted = json.loads(archive.read("metadata.json"))
    elif form == "saved_model":
        noted = json.loads((out / "metadata.json").read_text())
    else:
        openvino = pytest.importorskip("openvino")
        noted = json.loads(openvino.Core().read_model(out).get_rt_info([onnx_file.KEY]).astype(str))
    assert noted["run"] == "tiny" and noted["check"]["largest_difference"] < 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run", str(FILE)], "is an export already"),
        (["--to", "litert", "--int8"], "leave --to out"),
        (["--out", "other.pb"], r"--out other\.pb: the name has to end in '\.onnx'"),
        (["--data", "none"], "none"),
    ],
)
def test_errors_in_one_line(options, message):
    with pytest.raises(SystemExit, match=message) as stopped:
        export.main(["--run", "tiny", *options] if "--run" not in options else options)
    assert str(stopped.value).startswith("error: ") and "\n" not in str(stopped.value)


def test_a_folder_that_is_there_is_left(tmp_path):
    with pytest.raises(UserError, match="is there already"):
        export.export("tiny", "saved_model", out=tmp_path)


def test_hairs_are_removed_where_the_run_was_trained_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_run("hairless", remove_hair=True)
    save_splits(bright(10, 5), masks_of((0, 10), (0, 5)))
    export.main(["--run", "hairless"])
    assert load_predictor("output/hairless/hairless.onnx").settings.remove_hair
