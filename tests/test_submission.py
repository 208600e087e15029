"""Submissions: what is in the archive, what the challenge's scorer says to it, what is found wrong with others."""

import tracemalloc
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from isic_challenge_scoring import task2
from isic_challenge_scoring.segmentation import SegmentationScore
from miniature import save
from tiny_run import ATTRIBUTES, bright, masks_of, save_data, save_run

import runs
import submission
from datasets.arrays import open_split
from imaging import mask_files
from inference.predictor import load_predictor

LARGE = (40, 50)  # of the originals, as tiny_run.save_data has them


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def five(thresholds=True):
    """A run of five classes, its best thresholds, and three test images whose rows are of rising brightness."""
    save_run("five", classes=5)
    if thresholds:
        chosen = dict(zip(ATTRIBUTES, (0.1, 0.3, 0.5, 0.7, 0.9), strict=True))
        runs.note(runs.BEST / "five", challenge_thresholds=chosen)
    images = np.random.default_rng(0).integers(90, 170, (3, 4, 5, 3), np.uint8)
    save_data(images, None, classes=ATTRIBUTES)
    return images


def test_attributes_at_the_size_of_the_originals_with_the_runs_thresholds(capsys):
    images = five()
    submission.main(["--run", "five"])
    out = Path("output/five/submission_test.zip")
    assert "15 masks of 3 images" in capsys.readouterr().out
    with zipfile.ZipFile(out) as archive:
        archive.extractall("found")
    names = [f"ISIC_{i:07}_attribute_{name}.png" for i in range(3) for name in ATTRIBUTES]
    assert sorted(path.name for path in Path("found").iterdir()) == sorted(names)
    predictor = load_predictor("five", threshold="challenge")
    split = open_split("data", "test")
    for i in range(3):
        expected = predictor.enlarge(predictor.probabilities(images[i : i + 1])[0], LARGE)[0]
        assert np.array_equal(mask_files.read_masks("found", split.ids[i], ATTRIBUTES), expected)
        values = cv2.imread(f"found/ISIC_{i:07}_attribute_streaks.png", cv2.IMREAD_UNCHANGED)
        assert values.dtype == np.uint8 and set(np.unique(values)) == {0, 255}
    assert task2.score(Path("found"), Path("found"))["overall"] == 1
    first = out.read_bytes()
    submission.main(["--run", "five"])
    assert out.read_bytes() == first


def test_lesions_as_the_challenge_opens_them(capsys):
    save_run("tiny")
    save_data(bright(10, 4), masks_of((0, 10), (0, 4)), split="val")
    with pytest.raises(
        SystemExit, match=r"error: run 'tiny' has no best threshold for lesion yet: python evaluate\.py"
    ):
        submission.main(["--run", "tiny", "--split", "val"])
    submission.main(["--run", "tiny", "--split", "val", "--threshold", "0.5", "--tta", "--clean", "--out", "a.zip"])
    submission.main(["--check", "a.zip", "--data", "data", "--split", "val"])
    assert capsys.readouterr().out.count("as the challenge wants it, 2 masks of 2 images") == 2
    assert SegmentationScore.from_zip_file(Path("a.zip"), Path("a.zip")).overall == 1


def test_what_is_found_wrong_does_not_take_the_name(monkeypatch):
    five()
    Path("a.zip").write_text("an older one")
    monkeypatch.setattr(mask_files, "png", lambda pixels: cv2.imencode(".png", pixels // 255)[1].tobytes())
    with pytest.raises(SystemExit, match=r"error: a\.zip: 15 problems\n.*values 1; expected 0 and 255\n(.*\n)+  and 5"):
        submission.main(["--run", "five", "--out", "a.zip"])
    assert Path("a.zip").read_text() == "an older one"
    assert [path.name for path in Path().iterdir() if path.suffix == ".zip"] == ["a.zip"]


def test_what_a_killed_submission_left_is_removed():
    five()
    left = Path(".writing_99999999_1.zip")  # no process has this number
    left.write_text("half an archive")
    submission.main(["--run", "five", "--out", "a.zip"])
    assert zipfile.is_zipfile("a.zip") and not left.exists()


WHITE = np.full((6, 8), 255, np.uint8)


def png(pixels, suffix=".png"):
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (png(WHITE[:5]), "5 × 8, its image is 6 × 8 (height × width)"),
        (png(WHITE // 3), "values 85; expected 0 and 255"),
        (png(np.arange(48, dtype=np.uint8).reshape(6, 8)), "values 0, 1, 2, 3, 4, …; expected 0 and 255"),
        (png(np.dstack([WHITE] * 3)), "not one channel of 8 bits"),
        (png(WHITE.astype(np.uint16)), "not one channel of 8 bits"),
        (png(WHITE, ".jpg"), "not a PNG"),
        (png(WHITE)[:40], "the file is cut off; copy or download it again"),
        (b"", "an empty file; the file is cut off; copy or download it again"),
    ],
)
def test_masks_that_are_none(data, problem):
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("ISIC_0000000_segmentation.png", data)
    assert submission.problems("a.zip", {"ISIC_0000000_segmentation.png": (6, 8)}) == [
        f"ISIC_0000000_segmentation.png: {problem}"
    ]


def test_names_of_an_archive_from_elsewhere(capsys):
    for i in range(3):
        save(Path(f"images/ISIC_{i:07}.jpg"), np.zeros((6, 8, 3), np.uint8))
    wanted = submission.expected(submission.image_sizes("images"), ["lesion"])
    assert wanted == {f"ISIC_{i:07}_segmentation.png": (6, 8) for i in range(3)}
    good = [f"masks/{name}" for name in wanted]
    arguments = ["--check", "theirs.zip", "--images", "images", "--task", "1"]

    def write(names, damage=False):
        with zipfile.ZipFile("theirs.zip", "w") as archive:
            for name in names:
                archive.writestr(name, png(WHITE))
        if damage:
            data = bytearray(Path("theirs.zip").read_bytes())
            data[data.index(b"IHDR") + 6] ^= 1
            Path("theirs.zip").write_bytes(data)

    write([*good, "__MACOSX/._ISIC_0000000_segmentation.png", ".DS_Store"])  # a folder inside does not matter
    submission.main(arguments)
    assert "3 masks of 3 images" in capsys.readouterr().out
    write([*good[1:], good[1].replace("masks", "more"), "ISIC_0000007.png"])
    assert submission.problems("theirs.zip", wanted) == [
        "more/ISIC_0000001_segmentation.png: a second mask of this name",
        "ISIC_0000007.png: not asked for",
        "ISIC_0000000_segmentation.png: missing",
    ]
    with pytest.raises(SystemExit, match=r"error: theirs\.zip: 3 problems"):
        submission.main(arguments)
    write(good, damage=True)
    assert "damaged inside the archive" in submission.problems("theirs.zip", wanted)[0]
    Path("theirs.zip").write_bytes(Path("theirs.zip").read_bytes()[:100])
    assert "is no whole zip archive" in submission.problems("theirs.zip", wanted)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check", "a.zip"], r"--check needs --data FOLDER, or --images PLACE and --task 1 or 2"),
        (["--check", "a.zip", "--images", "b"], r"--check needs --data FOLDER, or --images PLACE and --task 1 or 2"),
        (["--check", "a.zip", "--images", "b", "--task", "2"], r"b: no images there; name the folder or zip archive"),
        (["--check", "a.zip", "--data", "own"], r"masks of nail, hair: the challenge wants lesion, or pigment_network"),
        (["--run", "gone"], r"no run 'gone' in checkpoint_best/; there are: pretrained"),
    ],
)
def test_errors_in_one_line(arguments, message):
    save_data(bright(10), np.zeros((1, 4, 5, 2), np.uint8), root="own", classes=["nail", "hair"])
    with pytest.raises(SystemExit, match=f"error: {message}") as caught:
        submission.main(arguments)
    assert "\n" not in caught.value.code


def test_images_of_other_names_are_refused():
    with pytest.raises(ValueError, match="image photo: the challenge's images are named ISIC_ and seven digits"):
        submission.expected({"photo": (6, 8)}, ["lesion"])


def test_memory_does_not_grow_with_the_images():
    save_run("tiny", threshold=0.5)
    predictor, peaks = load_predictor("tiny"), []
    for count in (30, 90):
        save_data(bright(*range(1, 10), *[5] * (count - 9)), None, root=f"data{count}")
        split = open_split(f"data{count}", "test")
        split.sizes[:] = (700, 900)
        tracemalloc.start()
        submission.submit(predictor, split, Path(f"{count}.zip"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 8e6  # 60 masks more are 38 MB
