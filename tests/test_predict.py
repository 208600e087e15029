"""Masks for image files: size, orientation, measures, bad files, interruption, the library call."""

import csv
import dataclasses
import json
import os
import struct
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest

import config
import predict
import runs
from datasets.isic2018 import ATTRIBUTES
from imaging import palette
from inference import output_folder
from inference import predictor as inference
from inference.trust import Assessment
from predict import load_predictor as load
from runs import BEST
from utils.files import locked

SIZE = (12, 16)


def save_run(run="tiny", classes=1):
    """A run whose network finds bright red: logits 20 (red - 0.5) for every class."""
    inputs = keras.Input((*SIZE, 3))
    layer = keras.layers.Conv2D(classes, 1)
    outputs = layer(inputs)
    kernel = np.zeros((1, 1, 3, classes), "float32")
    kernel[0, 0, 0] = 20
    layer.set_weights([kernel, np.full(classes, -10, "float32")])
    (BEST / run).mkdir(parents=True)
    keras.Model(inputs, outputs).save(BEST / run / "model.keras")
    settings = config.Settings(run=run, data="gone", normalize="unit", batch_size=3)
    config.save(settings, BEST / run / "settings.yaml")


def picture(height=120, width=160, left=20, right=60, top=30, bottom=90):
    """Black but for a red rectangle."""
    image = np.zeros((height, width, 3), np.uint8)
    image[top:bottom, left:right, 0] = 255
    return image


def save(path, image):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


def lay_on_side(path):
    """Put an EXIF header into a JPEG: the camera was turned, show it rotated by 90 degrees clockwise."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)  # orientation, a short, one of them, 6
    tiff = b"MM\x00*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)
    block = b"Exif\x00\x00" + tiff
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:])


def rows_of(folder="predictions/tiny_images"):
    with open(Path(folder) / "predictions.csv", newline="") as file:
        return list(csv.DictReader(file))


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_masks_have_the_size_of_their_images():
    save_run()
    save("in/a.png", picture())
    save("in/b.jpg", picture(333, 501, 100, 400, 50, 300))
    save("in/c.bmp", picture(9, 7, 0, 0, 0, 0))  # smaller than the network's size, and nothing to find
    (Path("in") / "note.txt").write_text("not looked at")
    predict.main(["in"])
    out = Path("predictions/tiny_images")
    masks = {name: cv2.imread(out / f"{name}_segmentation.png", cv2.IMREAD_UNCHANGED) for name in "abc"}
    assert [mask.shape for mask in masks.values()] == [(120, 160), (333, 501), (9, 7)]
    assert all(set(np.unique(mask)) <= {0, 255} for mask in masks.values()) and not masks["c"].any()
    assert overlap(masks["a"] > 0, picture()[..., 0] > 0) > 0.85
    assert overlap(masks["b"] > 0, picture(333, 501, 100, 400, 50, 300)[..., 0] > 0) > 0.9
    assert sorted(os.listdir("predictions/tiny_images")) == sorted(
        [".lock", "run.json", "predictions.csv", *(f"{name}_segmentation.png" for name in "abc")]
    )


def test_the_table_measures_the_mask():
    save_run()
    save("a.png", picture())
    save("b.png", picture(9, 7, 0, 0, 0, 0))
    predict.main(["a.png", "b.png", "--out", "out"])
    first, second = rows_of("out")
    mask = cv2.imread("out/a_segmentation.png", cv2.IMREAD_UNCHANGED) > 0
    rows, columns = np.nonzero(mask)
    assert list(first) == output_folder.COLUMNS
    assert (first["image"], first["class"], first["height"], first["width"]) == ("a.png", "lesion", "120", "160")
    assert int(first["area"]) == mask.sum()
    assert float(first["area_percent"]) == pytest.approx(100 * mask.mean(), abs=1e-4)
    box = [int(first[name]) for name in ("left", "top", "box_width", "box_height")]
    assert box == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    assert first["components"] == "1" and 0.5 <= float(first["mean_confidence"]) <= 1
    assert second["area"] == second["components"] == "0" and second["left"] == second["mean_confidence"] == ""


def test_overlays_and_probability_maps():
    save_run()
    save("a.jpg", picture())
    predict.main(["a.jpg", "--overlays", "--out", "plain"])
    plain = cv2.imread("plain/a_overlay.png")
    assert np.abs(plain[60, 40].astype(int) - (0, 0, 255)).max() < 8  # the colors of the lesion are left
    predict.main(["a.jpg", "--tint", "--probabilities"])
    overlay, maps = (cv2.imread(f"predictions/tiny_images/a_{kind}.png", -1) for kind in ("overlay", "probability"))
    assert overlay.shape == (120, 160, 3) and maps.shape == (120, 160) and maps.dtype == np.uint8
    assert maps[60, 40] > 250 and maps[5, 5] < 5
    color = np.array(palette.rgb(palette.PREDICTION)[::-1])
    assert np.abs(overlay[60, 40, :2] - 0.25 * color[:2]).max() < 4 and overlay[5, 5].max() < 5  # tinted inside
    rim = np.abs(overlay - color.astype(int)).max(axis=-1) < 20
    assert rim.sum() > 100  # an outline


@pytest.mark.parametrize(("height", "width"), [(90, 160), (900, 1600), (160, 160)])
def test_exif_orientation_is_honoured(height, width):
    save_run()
    upright = np.zeros((width, height, 3), np.uint8)  # as the viewer shows it
    upright[: width // 2, : height // 2, 0] = 255
    path = save("turned.jpg", np.rot90(upright))
    lay_on_side(path)
    predict.main(["turned.jpg", "--overlays"])
    mask = cv2.imread("predictions/tiny_images/turned_segmentation.png", -1) > 0
    assert mask.shape == (width, height)
    assert overlap(mask, upright[..., 0] > 0) > 0.8
    assert cv2.imread("predictions/tiny_images/turned_overlay.png").shape == (width, height, 3)
    assert (rows_of()[0]["height"], rows_of()[0]["width"]) == (str(width), str(height))


@pytest.mark.parametrize("kind", ["grey", "alpha", "16 bits", "tiff"])
def test_other_kinds_of_pictures(kind):
    save_run()
    image = cv2.cvtColor(picture(), cv2.COLOR_RGB2BGR)
    white = image[..., 2]
    made = {"grey": white, "alpha": np.dstack([image, white]), "16 bits": image.astype(np.uint16) * 257, "tiff": image}
    name = "a.tif" if kind == "tiff" else "a.png"
    cv2.imwrite(name, made[kind])
    predict.main([name])
    assert overlap(cv2.imread("predictions/tiny_images/a_segmentation.png", -1) > 0, white > 0) > 0.85


def test_bad_files_are_named_and_skipped(capsys):
    save_run()
    for i in range(7):
        save(f"in/{i}.png", picture())
    Path("in/1.png").write_bytes(Path("in/1.png").read_bytes()[:100])
    Path("in/3.png").write_text("text")
    Path("in/5.png").write_bytes(b"")
    with pytest.raises(SystemExit) as caught:
        predict.main(["in"])
    lines = caught.value.code.splitlines()
    assert lines[0] == "error: 3 skipped"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["in/1.png", "in/3.png", "in/5.png"]
    assert "cut off" in lines[1] and "4 of 7 images" in capsys.readouterr().out
    assert [row["image"] for row in rows_of()] == [f"in/{i}.png" for i in (0, 2, 4, 6)]
    assert len(list(Path("predictions/tiny_images").glob("*_segmentation.png"))) == 4


def test_goes_on_after_an_interruption(monkeypatch, capsys):
    save_run()
    for i in range(8):
        save(f"in/{i}.png", picture())
    finish = predict.finish

    def interrupted(predictor, item, *others):
        if item[0].name == "5.png":
            raise KeyboardInterrupt
        return finish(predictor, item, *others)

    monkeypatch.setattr(predict, "finish", interrupted)
    with pytest.raises(SystemExit) as caught:
        predict.main(["in"])
    assert caught.value.code == 130 and "interrupted; the same command goes on" in capsys.readouterr().err
    with open("predictions/tiny_images/predictions.csv", "a") as file:
        file.write("in/5.png,lesion,12")  # half a row
    Path("predictions/tiny_images/0_segmentation.png").unlink()

    done = []

    def noted(predictor, item, *others):
        done.append(item[0].name)
        return finish(predictor, item, *others)

    monkeypatch.setattr(predict, "finish", noted)
    predict.main(["in"])
    assert sorted(done) == ["0.png", "5.png", "6.png", "7.png"]
    assert sorted(row["image"] for row in rows_of()) == [f"in/{i}.png" for i in range(8)]
    done.clear()
    predict.main(["in"])
    assert done == []
    predict.main(["in", "--overlays"])  # more files are wanted: all again
    assert len(done) == 8 and len(rows_of()) == 8


def mask(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_a_replaced_photograph_is_predicted_anew():
    save_run()
    save("in/a.png", picture())
    save("in/b.png", picture())
    out = Path("predictions/tiny_images")
    predict.main(["in", "--overlays"])
    kept = (out / "b_segmentation.png").stat().st_mtime_ns
    save("in/a.png", picture(60, 90, 0, 90, 0, 60))
    predict.main(["in"])
    assert mask(out / "a_segmentation.png").shape == (60, 90) and mask(out / "a_segmentation.png").all()
    assert not (out / "a_overlay.png").exists()  # of the photograph that is gone
    assert (out / "b_segmentation.png").stat().st_mtime_ns == kept and (out / "b_overlay.png").exists()
    Path("in/a.png").write_text("text")
    with pytest.raises(SystemExit, match=r"1 skipped\n  in/a\.png: not an image"):
        predict.main(["in"])
    assert not (out / "a_segmentation.png").exists() and [row["image"] for row in rows_of()] == ["in/b.png"]


def test_what_was_cut_off_is_predicted_anew():
    save_run()
    for name in "abc":
        save(f"in/{name}.png", picture())
    out = Path("predictions/tiny_images")
    predict.main(["in"])
    whole = (out / "predictions.csv").read_text()
    (out / "a_segmentation.png").write_bytes(b"")
    (out / "b_segmentation.png").write_bytes((out / "b_segmentation.png").read_bytes()[:-20])
    for cut in (1, 3):
        (out / "predictions.csv").write_text(whole[:-cut])  # the last number, or its end mark
        predict.main(["in"])
        assert sorted((out / "predictions.csv").read_text().splitlines()) == sorted(whole.splitlines())
        assert all(mask(out / f"{name}_segmentation.png") is not None for name in "abc")


def test_a_second_process_is_refused():
    save_run()
    save("a.png", picture())
    with locked("out", "ours"), pytest.raises(SystemExit, match="error: out/ is being written by another process"):
        predict.main(["a.png", "--out", "out"])
    predict.main(["a.png", "--out", "out"])
    assert len(rows_of("out")) == 1


def test_own_outputs_are_no_inputs():
    save_run()
    save("in/a.png", picture())
    save("in/more/b.png", picture())
    for _ in range(2):
        predict.main(["in", "--out", "in/masks"])
        predict.main(["in", "--out", "in/more/other"])
        predict.main(["."])
    assert sorted(path.as_posix() for path in Path().rglob("*_segmentation.png")) == [
        "in/masks/a_segmentation.png",
        "in/masks/more/b_segmentation.png",
        "in/more/other/a_segmentation.png",
        "in/more/other/more/b_segmentation.png",
        "predictions/tiny_images/in/a_segmentation.png",
        "predictions/tiny_images/in/more/b_segmentation.png",
    ]
    with pytest.raises(SystemExit, match=r"error: --out in is the folder of in/a\.png"):
        predict.main(["in", "--out", "in"])


def test_equal_names_of_several_folders():
    save_run()
    for name in ("one/p1/a.png", "one/p2/a.png", "two/p1/a.png", "two/b.png", "two/b.jpg"):
        save(name, picture())
    predict.main(["one", "two", "--out", "out"])
    assert [row["mask"] for row in rows_of("out")] == [
        "one/p1/a_segmentation.png",
        "p2/a_segmentation.png",
        "b.jpg_segmentation.png",
        "b.png_segmentation.png",
        "two/p1/a_segmentation.png",
    ]
    assert all((Path("out") / row["mask"]).is_file() for row in rows_of("out"))


@pytest.mark.parametrize("classes", [1, 5])
def test_a_name_that_can_be_read_is_a_name_that_works(classes, capsys):
    save_run(classes=classes)
    odd = [b"L\xe4sion_1.png", b"l" * 240 + b".png", "é".encode() * 120 + b".png", b"l" * 239 + b"m.png", b"a\nb.png"]
    data = save("a.png", picture()).read_bytes()
    Path("in").mkdir()
    for name in odd:
        Path("in", os.fsdecode(name)).write_bytes(data)
    Path("in", os.fsdecode(b"b\xe4d.png")).write_text("text")
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"error: 1 skipped\n  in/b\\xe4d\.png: not an image") as caught:
            predict.main(["in", "--out", "out", "--overlays", "--probabilities"])
        assert caught.value.code.encode()
        assert "5 of 6 images" in capsys.readouterr().out
        assert len(rows_of("out")) == 5 * classes
        assert len(list(Path("out").glob("*.png"))) == 3 * 5 * classes + 5 * (classes > 1)
    assert any(row["image"] == "in/L\\xe4sion_1.png" for row in rows_of("out"))


def test_what_is_no_image_leaves_the_table_alone():
    save_run()
    save("a.png", picture())
    Path("README.md").write_text("text")
    predict.main(["a.png", "--out", "out"])
    before = Path("out/predictions.csv").stat().st_mtime_ns
    with pytest.raises(SystemExit, match=r"1 skipped\n  README\.md: not an image"):
        predict.main(["README.md", "--out", "out"])
    assert Path("out/predictions.csv").stat().st_mtime_ns == before and len(rows_of("out")) == 1


def test_images_of_two_folders_in_one():
    save_run()
    for name in ("one/a.png", "two/b.png", "two/a.png"):
        save(name, picture())
    predict.main(["one", "--out", "out"])
    predict.main(["two/b.png", "--out", "out"])
    assert [row["image"] for row in rows_of("out")] == ["one/a.png", "two/b.png"]  # what was there stays
    predict.main([str(Path("one").resolve()), "--out", "out"])  # the same by another name
    with pytest.raises(SystemExit, match=r"out/ holds the mask of one/a\.png, that of two/a\.png would take its place"):
        predict.main(["two", "--out", "out"])
    assert len(rows_of("out")) == 2


def test_predictions_of_another_run_are_not_mixed_in():
    save_run("one")
    save_run("two")
    save("a.png", picture())
    predict.main(["a.png", "--run", "one", "--out", "out"])
    with pytest.raises(SystemExit, match=r"out/ holds predictions made with run one; choose another --out, or delete"):
        predict.main(["a.png", "--run", "two", "--out", "out"])
    for change, made in (("--threshold=0.4", r"thresholds \{'lesion': 0\.5\}"), ("--tta", "tta False")):
        with pytest.raises(SystemExit, match=f"holds predictions made with {made};"):
            predict.main(["a.png", "--run", "one", "--out", "out", change])
    (BEST / "one" / "model.keras").touch()
    with pytest.raises(SystemExit, match="holds predictions of an earlier training"):
        predict.main(["a.png", "--run", "one", "--out", "out"])
    with open("out/run.json") as file:
        assert json.load(file)["run"] == "one"


def test_five_attributes():
    save_run(classes=5)
    save("a.png", picture())
    predict.main(["a.png", "--overlays"])
    names = [f"a_attribute_{name}" for name in ATTRIBUTES]
    assert [row["class"] for row in rows_of()] == list(ATTRIBUTES)
    assert {path.name for path in Path("predictions/tiny_images").glob("*.png")} == {
        f"{name}{kind}.png" for name in names for kind in ("", "_overlay")
    } | {"a_overlay.png"}
    runs.note(BEST / "tiny", classes=["a", "b", "c", "d", "e"])
    predict.main(["a.png", "--overlays", "--out", "out", "--threshold", "0.999"])
    overlay = cv2.imread("out/a_overlay.png")
    assert (overlay == palette.rgb(palette.of_class(4))[::-1]).all(axis=-1).sum() > 100  # the last is on top


def test_classes_and_best_thresholds_are_those_of_the_run():
    save_run(classes=2)
    image = np.full((24, 32, 3), (140, 0, 0), np.uint8)  # probability 1 / (1 + exp(-20 (140/255 - 0.5))) = 0.727
    assert load("tiny")(image)[0].all()
    with pytest.raises(
        ValueError, match=r"run 'tiny' has no best threshold for class0, class1 yet: python evaluate\.py"
    ):
        load("tiny", threshold="best")
    runs.note(BEST / "tiny", classes=["nevus", "scale"], thresholds={"nevus": 0.7, "scale": 0.75})
    assert load("tiny").classes == ["nevus", "scale"]
    mask, probabilities = load("tiny", threshold="best")(image)
    np.testing.assert_allclose(probabilities, 0.727, atol=1e-3)
    assert mask[..., 0].all() and not mask[..., 1].any()
    save("a.png", image)
    predict.main(["a.png", "--threshold", "best"])
    assert [row["area_percent"] for row in rows_of()] == ["100.0000", "0.0000"]


def test_the_network_file_alone_is_enough(tmp_path):
    save_run()
    sealed = tmp_path / "handed_on.keras"
    sealed.write_bytes((BEST / "tiny" / "model.keras").read_bytes())
    with pytest.raises(ValueError, match=r"handed_on\.keras has no settings inside"):
        load(sealed)
    runs.seal(sealed, config.Settings(run="tiny", normalize="unit", threshold=0.9), classes=["spot"])
    alone = load(str(sealed))
    assert (alone.name, alone.classes, alone.thresholds, alone.size) == ("handed_on", ["spot"], [0.9], SIZE)
    np.testing.assert_array_equal(alone(picture())[1], load("tiny")(picture())[1])
    save("a.png", picture())
    predict.main(["a.png", "--run", str(sealed)])
    assert rows_of("predictions/handed_on_images")[0]["class"] == "spot"
    assert load(BEST / "tiny" / "model.keras").classes == ["lesion"]  # the folder has the settings


def test_a_path_or_a_list_is_as_good_as_an_array():
    save_run()
    predictor = load("tiny")
    image = picture(333, 501, 100, 400, 50, 300)
    path = save("a.png", image)
    expected = predictor(image)
    for found in (predictor(path), predictor("a.png"), *predictor([image, path])):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)
    assert predictor([]) == []
    Path("b.png").write_text("text")
    for wrong, message in (("b.png", r"b\.png: not an image"), (None, "or a path, received NoneType")):
        with pytest.raises(ValueError, match=message):
            predictor(wrong)
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        predictor("gone.png")


def test_classes_that_lead_out_of_the_folder_are_refused(tmp_path):
    save_run(classes=2)
    file = tmp_path / "evil.keras"
    file.write_bytes((BEST / "tiny" / "model.keras").read_bytes())
    save("in/a.png", picture())
    for name in ("/../../out/x", "..\\x", ".hidden", "a\0b", "", 3):
        runs.seal(file, config.Settings(run="tiny", normalize="unit"), classes=["spot", name])
        with pytest.raises(SystemExit, match=r"error: .*evil\.keras: .* cannot name an image or a class"):
            predict.main(["in", "--run", str(file), "--out", "out"])
    assert not list(tmp_path.rglob("*_x.png")) and not Path("out").exists()


def test_edited_notes_of_the_folder_are_named():
    save_run()
    save("a.png", picture())
    predict.main(["a.png", "--out", "out"])
    for file, text in (("predictions.csv", "image\n\0"), ("run.json", "[]"), ("run.json", "{")):
        kept = Path("out", file).read_bytes()
        Path("out", file).write_text(text)
        if file == "predictions.csv":
            predict.main(["a.png", "--out", "out"])  # no complete row in it: all again
            assert len(rows_of("out")) == 1
        else:
            with pytest.raises(
                SystemExit, match=r"error: out/run\.json cannot be read .*; choose another --out"
            ) as caught:
                predict.main(["a.png", "--out", "out"])
            assert "\n" not in caught.value.code
        Path("out", file).write_bytes(kept)
    table = Path("out/predictions.csv")
    table.write_text(table.read_text().replace("a.png", "a\0png"))
    with pytest.raises(SystemExit, match=r"out/predictions\.csv cannot be read .*null byte.*choose another --out"):
        predict.main(["a.png", "--out", "out"])


def test_clean_up_by_switch():
    save_run()
    image = picture()
    image[100:110, 100:110, 0] = 255
    parts = {}
    for clean in (None, True):
        parts[clean] = cv2.connectedComponents(load("tiny", clean=clean)(image)[0][..., 0].view(np.uint8))[0] - 1
    assert parts == {None: 2, True: 1}


def test_hair_is_removed_if_it_was_in_training(monkeypatch):
    save_run()
    settings = config.load(BEST / "tiny" / "settings.yaml")
    config.save(dataclasses.replace(settings, remove_hair=True), BEST / "tiny" / "settings.yaml")
    monkeypatch.setattr(inference.hair_removal, "remove", lambda image: np.full_like(image, (255, 0, 0)))
    assert load("tiny")(picture())[0].all()
    save("a.png", picture())
    predict.main(["a.png"])
    assert rows_of()[0]["area_percent"] == "100.0000"


def test_as_a_library():
    save_run()
    predictor = load("tiny")
    mask, probabilities = predictor(picture())
    assert mask.shape == probabilities.shape == (120, 160, 1)
    assert mask.dtype == bool and probabilities.dtype == np.float32
    assert np.array_equal(mask, probabilities >= 0.5) and overlap(mask[..., 0], picture()[..., 0] > 0) > 0.85
    save("a.png", picture())
    predict.main(["a.png"])
    assert np.array_equal(cv2.imread("predictions/tiny_images/a_segmentation.png", -1) > 0, mask[..., 0])
    with pytest.raises(ValueError, match=r"expected an RGB image, uint8 \(H, W, 3\), received float64 \(5, 5\)"):
        predictor(np.zeros((5, 5)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.png"], "error: gone.png: no image there"),
        (["empty"], "error: empty: no image there"),
        (["x/*.jpg"], r"error: x/\*.jpg: no image there"),
        (["a/p.png", "--out", "a"], "error: --out a is the folder of a/p.png: choose another one, such as a/masks"),
        (["pipe"], "error: pipe: no image there"),
        (["a", "--run", "other"], "error: no run 'other' in checkpoint_best/; there are: pretrained, .*tiny"),
        (["a", "--threshold", "5"], "error: threshold is 5.0, expected 0 to 1"),
    ],
)
def test_errors_in_one_line(arguments, message):
    save_run()
    save("a/p.png", picture())
    save("b/p.jpg", picture())
    Path("empty").mkdir()
    os.mkfifo("pipe")
    with pytest.raises(SystemExit, match=message) as caught:
        predict.main(arguments)
    assert "\n" not in caught.value.code


@pytest.mark.parametrize(("large", "at_once"), [(1, 1), (10**9, 2)])
def test_large_images_are_finished_one_at_a_time(tmp_path, monkeypatch, large, at_once):
    """Two of 100 million pixels, with overlays, took 4.4 GB at once; in turn they take 2.7 GB."""
    monkeypatch.setattr(predict, "LARGE", large)
    both = threading.Barrier(2)
    working = []
    most = []

    def enlarge(probabilities, size):
        working.append(size)
        if at_once == 2:
            both.wait(timeout=60)  # else one may be done before the other begins
        most.append(len(working))
        time.sleep(0.05)
        working.pop()
        return probabilities > 0.5, probabilities

    predictor = SimpleNamespace(enlarge=enlarge, classes=["lesion"], assess_maps=lambda *_: Assessment([None]))
    item = (tmp_path / "a.png", ("1", "2"), (4, 4), np.zeros((4, 4, 3), np.uint8), [np.zeros((4, 4, 1), np.float32)])
    work = [
        threading.Thread(target=predict.finish, args=(predictor, item, tmp_path, {"mask": [f"{n}.png"]})) for n in "ab"
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert max(most) == at_once
