"""The campaign's own judgement: what is a fault and what is none. The campaign itself is `make campaign`, no test."""

import random
import time
from pathlib import Path

import pytest
from robustness import children, damage, judges, mutations

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\nKeyError: 0\n'


@pytest.mark.parametrize(
    ("status", "said", "fault"),
    [
        (1, "12 images\nerror: data/a.png: damaged; copy it again\n", None),
        (2, "usage: model.py\nmodel.py: error: a.png does not fit\n", None),
        (1, "error: 2 skipped\n  data/a.png: damaged\n  data/b.png: damaged\n", None),
        (1, "error: damaged\n", "names no file: error: damaged"),
        (1, "error: a.png is damaged\nand more\n", "more than one line: and more"),
        (1, TRACEBACK, "traceback: KeyError: 0"),
        (1, "", "no word of what is wrong"),
        (-9, "error: a.png", "died of signal 9"),
    ],
)
def test_a_refusal_is_one_line_that_names_the_file(status, said, fault):
    assert judges.words(status, said, ("a.png",)) == fault


@pytest.mark.parametrize(
    ("answer", "strict", "verdict"),
    [
        ((0, "done", [1]), True, ("same", None)),
        ((0, "done", [2]), False, ("other", None)),
        ((0, "done", [2]), True, ("other", "other numbers without a word")),
        ((0, TRACEBACK, [1]), False, ("same", "traceback, and status 0: KeyError: 0")),
        ((1, "error: a.png: cut off", None), True, ("refused", None)),
        ((1, "error: cut off", None), True, ("refused", "names no file: error: cut off")),
    ],
)
def test_verdicts(answer, strict, verdict):
    assert judges.case(answer, [1], strict, ("a.png",), None) == verdict


def test_what_is_left_in_the_folder_is_a_fault():
    assert judges.case((0, "", [1]), [1], True, ("a",), "left .writing_1") == ("same", "left .writing_1")
    assert judges.case((1, "error: a", None), [1], True, ("a",), "lost b") == ("refused", "lost b")


def test_lost_changed_and_half_written_files_are_found(tmp_path):
    for name in ("a", "b/c", "b/.lock", "d.log"):
        Path(tmp_path, name).parent.mkdir(exist_ok=True)
        Path(tmp_path, name).write_text("before")
    before = judges.contents(tmp_path, ("*.log",))
    assert set(before) == {"a", "b/c"} and judges.half_written(tmp_path) is None
    assert judges.lost(before, judges.contents(tmp_path, ("*.log",))) is None
    (tmp_path / "a").unlink()
    (tmp_path / "b/c").write_text("after")
    (tmp_path / "b/.writing_1_2.png").touch()
    assert judges.lost(before, judges.contents(tmp_path)) == "lost a, changed b/c"
    assert judges.half_written(tmp_path) == "left b/.writing_1_2.png"


def test_folders_are_compared_file_by_file(tmp_path):
    for folder, files in (("one", {"a": "1", "b": "2", "c": "3"}), ("two", {"a": "1", "b": "0", "d": "4"})):
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    assert judges.differences(tmp_path / "one", tmp_path / "two") == "missing c; more d; other b"
    assert judges.differences(tmp_path / "one", tmp_path / "two", ("b", "c", "d")) is None


def test_damage_is_drawn_by_the_seed_and_always_damages():
    for is_text, data in ((False, bytes(range(200))), (True, b"a: 1\nb: [2, x]\nc: true\n")):
        found = [damage.damaged(data, random.Random(seed), is_text) for seed in range(300)]
        assert found == [damage.damaged(data, random.Random(seed), is_text) for seed in range(300)]
        assert all(new != data for new, _ in found)
        assert len({name for _, done in found for name in done}) >= 12


def test_children_end_as_scripts_do(tmp_path):
    def broken():
        raise KeyError("no file")

    def refuse():
        raise SystemExit("error: a.png")

    log = tmp_path / "log"
    assert (outcome := children.run(lambda: print("done"), log)).status == 0 and outcome.said == "done\n"
    assert (outcome := children.run(refuse, log)).status == 1 and outcome.said == "error: a.png\n"
    assert (outcome := children.run(broken, log)).status == 1 and outcome.said.startswith("Traceback")
    assert children.run(lambda: bytes(2 * children.MEMORY), log).said.endswith("MemoryError\n")
    assert children.run(lambda: time.sleep(60), log, seconds=0.2).status == -9


def test_the_doors_are_a_whole_campaign():
    assert sum(door.share for door in mutations.DOORS) == mutations.MOST == 10_000
