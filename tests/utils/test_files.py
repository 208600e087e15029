"""Atomic file replacement."""

import errno
import os
import subprocess
import sys
import threading

import pytest

import runs
from utils import files
from utils.files import locked, remove_leftovers, replacing


def test_replacing_keeps_the_old_file_after_an_error(tmp_path):
    path = tmp_path / "new" / "scores.json"
    with replacing(path) as temporary:
        temporary.write_text("old")
        assert temporary.suffix == ".json" and not path.exists()
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in path.parent.iterdir()] == ["scores.json"]


def test_a_long_name_can_be_replaced(tmp_path):
    path = tmp_path / ("n" * 250 + ".png")
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_many_may_replace_one_file(tmp_path):
    """Each writer has a file of its own, in threads and in other processes."""
    with replacing(tmp_path / "a.txt") as one, replacing(tmp_path / "a.txt") as two:
        one.write_text("one")
        two.write_text("two")
    assert (tmp_path / "a.txt").read_text() == "one"
    names = [files.temporary_beside("a.txt").name for _ in range(3)]
    code = "from utils.files import temporary_beside as f; print(*[f('a.txt').name for _ in range(3)])"
    home = os.path.dirname(os.path.dirname(files.__file__))
    names += subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True).stdout.split()
    threads = [threading.Thread(target=lambda: names.append(files.temporary_beside("a.txt").name)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 9


def test_only_what_dead_processes_left_is_removed(tmp_path):
    with replacing(tmp_path / "mine.txt") as mine:
        mine.write_text("mine")
        parent = tmp_path / f".writing_{os.getppid()}_0.txt"
        dead = tmp_path / ".writing_99999999_0"
        earlier = tmp_path / f".writing_{os.getpid()}_0.txt"  # of a process that had our number before
        old = tmp_path / ".writing_model.keras"  # of an older version
        for path in (parent, earlier, old, tmp_path / "other.txt"):
            path.write_text("x")
        dead.mkdir()
        (dead / "half").write_text("x")
        remove_leftovers(tmp_path)
        assert set(tmp_path.iterdir()) == {mine, parent, tmp_path / "other.txt"}
    remove_leftovers(tmp_path / "nothing")


def test_facts_of_a_run_are_added_to(tmp_path):
    assert runs.facts(tmp_path) == {}
    runs.note(tmp_path, classes=["lesion"], thresholds={"lesion": 0.5})
    runs.note(tmp_path, thresholds={"lesion": 0.4})
    assert runs.facts(tmp_path) == {"classes": ["lesion"], "thresholds": {"lesion": 0.4}}


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.txt'"), replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_locked_folder_is_refused(tmp_path):
    new = tmp_path / "new"
    for _ in range(2):
        with locked(new, "ours"), pytest.raises(FileExistsError, match="busy"), locked(new, "busy"):
            pass
