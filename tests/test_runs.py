"""Facts of a run, beside the network and inside it."""

import os
import zipfile
from pathlib import Path

import keras
import pytest

import config
import model
import runs
from utils.errors import UserError


def save_network(path):
    inputs = keras.Input((8, 8, 3))
    network = keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))
    path.parent.mkdir(parents=True, exist_ok=True)
    network.save(path)
    return network


def test_runs_are_found_by_name_and_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "SHIPPED", tmp_path / "nothing shipped")
    with pytest.raises(FileNotFoundError, match=r"holds no run, and .*lesion\.keras is missing; train one first"):
        runs.find()
    for age, name in ((0, "new"), (100, "old")):
        path = runs.BEST / name / "model.keras"
        save_network(path)
        config.save(config.Settings(run=name), path.with_name("settings.yaml"))
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    assert runs.find() == runs.BEST / "new"
    for old in ("old", "checkpoint_best/old", "checkpoint_best/old/", "checkpoint_best/old/model.keras"):
        assert runs.find(old) == runs.BEST / "old" and runs.name_of(old) == "old"
    (runs.BEST / "old").rename(tmp_path / "handed_on")
    assert runs.find(str(tmp_path / "handed_on")) == tmp_path / "handed_on"
    assert runs.network_file(runs.find("handed_on")) == Path("handed_on/model.keras")
    for gone in ("old", "checkpoint_best/old"):
        with pytest.raises(FileNotFoundError, match=f"no run '{gone}' in checkpoint_best/; there are: new, pretrained"):
            runs.find(gone)
    with pytest.raises(FileNotFoundError, match=r"no saved network at gone\.keras"):
        runs.find("gone.keras")


def test_the_pretrained_network_stands_in_where_none_was_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "SHIPPED", tmp_path / "pretrained")
    shipped = tmp_path / "pretrained/lesion.keras"
    save_network(shipped)
    runs.seal(shipped, config.Settings(run="recipe", threshold=0.4), classes=["lesion"])
    assert runs.find() == runs.find("pretrained") == runs.find(shipped) == shipped
    assert runs.name_of(shipped) == "pretrained" and runs.settings(shipped).threshold == 0.4
    with pytest.raises(FileNotFoundError, match="no run 'mine' in checkpoint_best/; there are: pretrained"):
        runs.find("mine")
    own = runs.BEST / "mine/model.keras"
    save_network(own)
    config.save(config.Settings(run="mine"), own.with_name("settings.yaml"))
    assert runs.find() == own.parent and runs.find("pretrained") == shipped
    with pytest.raises(UserError, match="run 'pretrained': only the networks shipped here begin with pretrained"):
        config.Settings(run="pretrained")


def test_a_file_that_stands_alone_is_a_run_of_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_network(tmp_path / "v1.2.keras")
    found = runs.find("v1.2.keras")
    assert found == runs.network_file(found) == Path("v1.2.keras") and runs.name_of(found) == "v1.2"
    config.save(config.Settings(run="r", threshold=0.3), tmp_path / "settings.yaml")
    runs.note(tmp_path, classes=["spot"])
    assert runs.find("v1.2.keras") == found  # another network than that of the folder, but its settings hold
    assert runs.settings(found).threshold == 0.3 and runs.facts(found) == {"classes": ["spot"]}


def test_names_of_runs_that_have_only_an_output():
    for name in ("unet+as_net", "v1.2", "adstnet_head"):
        assert runs.name_of(name) == runs.name_of(f"output/{name}") == name


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


def test_what_cannot_be_read_is_named(tmp_path):
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


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("run.json", "{"),
        ("run.json", "[1]"),
        ("run.json", '{"classes": "lesion"}'),
        ("run.json", '{"classes": ["../lesion"]}'),
        ("run.json", '{"thresholds": {"lesion": "high"}}'),
        ("run.json", '{"thresholds": {"lesion": 2}}'),
        ("run.json", '{"results": 3}'),
        ("run.json", b"\xff\xfe"),
        ("settings.yaml", "run: [1"),
        ("settings.yaml", "- 1"),
        ("settings.yaml", "batch_size: many"),
        ("settings.yaml", b"\xff\xfe"),
        ("settings.yaml", "learning_rate: !!timestamp x"),
    ],
)
def test_edited_files_are_named_in_one_line(tmp_path, file, text):
    (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        (runs.facts if file == "run.json" else runs.settings)(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / file)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "comment", [b"\xff", b"{", b"[1]", b'{"classes": ["a"]}', b'{"settings": 1}', b'{"settings": {"epochs": "x"}}']
)
def test_an_edited_seal_is_named_in_one_line(tmp_path, comment):
    file = tmp_path / "x.keras"
    save_network(file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = comment
    with pytest.raises(UserError, match=r"x\.keras") as caught:
        runs.settings(file)
    assert "\n" not in str(caught.value)


def test_titles_of_several_runs_do_not_run_out_of_the_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, changes in (("a", {}), ("b", {"options": {f"option_{i}": i for i in range(40)}, "epochs": 3})):
        config.save(config.Settings(run=name, **changes), runs.BEST / name / "settings.yaml")
    lines = runs.titles(["a", "b"]).splitlines()
    assert lines[0] == "a, b" and lines[1].startswith("a: ") and len(lines) > 3
    assert max(map(len, lines)) <= runs.WIDTH


@pytest.mark.parametrize(
    ("member", "old", "new"),
    [
        ("config.json", b'"Conv2D"', b'"Conv9D"'),
        ("config.json", b'"filters"', b'"folders"'),
        ("config.json", b"{", b"["),
        ("config.json", b'"layers"', b'"lawyers"'),
        ("model.weights.h5", b"\x89HDF", b"\x00HDF"),
    ],
)
def test_an_edited_network_is_named_in_one_line(tmp_path, member, old, new):
    save_network(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert old in contents[member]
    contents[member] = contents[member].replace(old, new)
    with zipfile.ZipFile(tmp_path / "y.keras", "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    with pytest.raises(UserError, match=r"y\.keras cannot be read \(") as caught:
        model.load(tmp_path / "y.keras")
    assert "\n" not in str(caught.value)
