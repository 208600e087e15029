"""A run as one smaller file."""

import zipfile

import keras
import numpy as np
import pytest

import config
import model
import runs
from evaluation import release
from inference.predictor import load_predictor
from utils.errors import UserError


@pytest.fixture
def run(tmp_path, monkeypatch, discs):
    monkeypatch.chdir(tmp_path)
    folder = runs.BEST / "r"
    folder.mkdir(parents=True)
    network = model.build("unet", (32, 48, 3), width=4, depth=2)
    network.get_layer("head").bias.assign([2.0])  # clear masks, as those of a trained network
    network.save(folder / "model.keras")
    config.save(config.Settings(run="r", model="unet", data=str(discs), normalize="unit"), folder / "settings.yaml")
    runs.note(folder, classes=["lesion"], thresholds={"lesion": 0.4}, results={}, exports={})
    return folder


def test_kernels_are_halved_and_vectors_are_not(run):
    agreement = release.release("r", "out/lesion.keras")
    assert 0.999 <= agreement <= 1
    file = run.parents[1] / "out/lesion.keras"
    assert file.stat().st_size < 0.75 * (run / "model.keras").stat().st_size
    before = model.load(run / "model.keras").get_weights()
    after = model.load(file).get_weights()
    for old, new in zip(before, after, strict=True):
        expected = old.astype(np.float16).astype(np.float32) if old.ndim >= 2 else old
        np.testing.assert_array_equal(new, expected)
    assert runs.facts(file) == {"classes": ["lesion"], "thresholds": {"lesion": 0.4}}
    assert load_predictor(file, threshold="best").thresholds == [0.4]
    card = (run.parents[1] / "out/lesion.md").read_text(encoding="utf-8")
    assert card.startswith("# lesion\n") and "python predict.py IMAGES --run lesion" in card


def test_where_half_precision_changes_masks_kernels_stay_as_they_are(run, monkeypatch):
    agreements = iter([0.99, 1.0])
    monkeypatch.setattr(release, "compare", lambda run, file, settings: next(agreements))
    assert release.release("r", "lesion.keras") == 1
    file = run.parents[1] / "lesion.keras"
    for old, new in zip(model.load(run / "model.keras").get_weights(), model.load(file).get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    assert file.stat().st_size < (run / "model.keras").stat().st_size


def test_another_suffix_is_refused(run):
    with pytest.raises(UserError, match=r"lesion\.onnx: expected a name that ends in \.keras"):
        release.release("r", "lesion.onnx")
    assert not list(run.parents[1].glob("lesion*"))


def test_masks_of_run_and_file_are_compared(run, tmp_path):
    network = keras.models.load_model(run / "model.keras")
    settings = runs.settings(run)
    assert release.compare(run, run / "model.keras", settings) == 1
    network.get_layer("head").bias.assign([-100.0])
    network.save(tmp_path / "none.keras")
    runs.seal(tmp_path / "none.keras", settings)
    assert release.compare(run, runs.find(tmp_path / "none.keras"), settings) == 0


def test_every_file_of_the_network_is_kept(run, tmp_path):
    release.write(run / "model.keras", tmp_path / "half.keras", half=True)
    with zipfile.ZipFile(run / "model.keras") as before, zipfile.ZipFile(tmp_path / "half.keras") as after:
        assert after.namelist() == before.namelist()
        assert after.read("config.json") == before.read("config.json")
