"""Files are whole or not there."""

import pytest

import runs
from utils.files import replacing


def test_replacing_keeps_the_old_file_after_an_error(tmp_path):
    path = tmp_path / "new" / "scores.json"
    with replacing(path) as temporary:
        temporary.write_text("old")
        assert temporary.suffix == ".json" and not path.exists()
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in path.parent.iterdir()] == ["scores.json"]


def test_facts_of_a_run_are_added_to(tmp_path):
    assert runs.facts(tmp_path) == {}
    runs.note(tmp_path, classes=["lesion"], thresholds={"lesion": 0.5})
    runs.note(tmp_path, thresholds={"lesion": 0.4})
    assert runs.facts(tmp_path) == {"classes": ["lesion"], "thresholds": {"lesion": 0.4}}
