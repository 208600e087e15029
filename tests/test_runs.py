"""Facts of a run, beside the network and inside it."""

import os
import zipfile

import keras
import pytest

import config
import model
import runs


def save_network(path):
    inputs = keras.Input((8, 8, 3))
    network = keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))
    path.parent.mkdir(parents=True, exist_ok=True)
    network.save(path)
    return network


def test_runs_are_found_by_name_and_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no run; train one first"):
        runs.find()
    for age, name in ((0, "new"), (100, "old")):
        path = runs.BEST / name / "model.keras"
        save_network(path)
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    assert runs.find() == runs.BEST / "new" and runs.find("old") == runs.BEST / "old"
    (runs.BEST / "old").rename(tmp_path / "handed_on")
    assert runs.find(str(tmp_path / "handed_on")) == tmp_path / "handed_on"
    with pytest.raises(FileNotFoundError, match="no run 'old' in checkpoint_best/; there are: new"):
        runs.find("old")


def test_facts_are_added_and_replaced(tmp_path):
    assert runs.facts(tmp_path) == {}
    runs.note(tmp_path, classes=["lesion"], epoch=3)
    runs.note(tmp_path, epoch=4)
    assert runs.facts(tmp_path) == {"classes": ["lesion"], "epoch": 4}


def test_a_sealed_network_carries_its_settings(tmp_path):
    file = tmp_path / "model.keras"
    network = save_network(file)
    settings = config.Settings(run="r", normalize="gamma", threshold=0.3, options={"width": 4})
    runs.seal(file, settings, classes=["nævus"], size=[8, 8])
    assert runs.settings(file) == settings
    assert runs.facts(file) == {"classes": ["nævus"], "size": [8, 8]}
    loaded = model.load(file)  # still a network like any other
    for before, after in zip(network.get_weights(), loaded.get_weights(), strict=True):
        assert (before == after).all()
    runs.seal(file, settings, size=[9, 9])
    assert runs.facts(file) == {"size": [9, 9]}


def test_what_cannot_be_read_is_told(tmp_path):
    save_network(tmp_path / "bare.keras")
    with pytest.raises(ValueError, match=r"bare\.keras has no settings inside; put the settings\.yaml"):
        runs.settings(tmp_path / "bare.keras")
    (tmp_path / "cut.keras").write_bytes((tmp_path / "bare.keras").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cut\.keras is cut off or no saved network"):
        runs.facts(tmp_path / "cut.keras")
    with zipfile.ZipFile(tmp_path / "bare.keras", "a") as archive:
        archive.comment = b'{"settings": {"run": "r", "gone": 1}}'
    with pytest.raises(ValueError, match=r"bare\.keras: .*gone"):
        runs.settings(tmp_path / "bare.keras")
