"""A folder for each evaluation: none overwrites another, all are found again; what is noted with the run is true."""

import dataclasses
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny_run import SIZE, bright, masks_of, network, save_data, save_run

import config
import evaluate
import runs
import visualize
from evaluation import evaluations, score_split
from inference.predictor import load_predictor


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def scores_of(folder):
    return json.loads(Path("output", folder, "metrics.json").read_text())["per_image"]["jaccard"]


def two_splits():
    save_data(bright(10, 10), masks_of((0, 10), (5, 15)), split="val")
    save_data(bright(10), masks_of((0, 5)), root="data2")
    save_run("tiny", tta=True)


def test_no_evaluation_overwrites_another(capsys):
    two_splits()
    for options in ([], ["--no_tta"], ["--clean", "--threshold", "0.4"], ["--data", "data2", "--split", "test"]):
        evaluate.main(["--run", "tiny", "--at", "network", *options])
    names = ["test_data2_network", "val_network", "val_network_no_tta", "val_network_threshold_0.4_clean"]
    assert sorted(path.name for path in Path("output/tiny").iterdir()) == ["report.html", *names]
    assert sorted(path.name for path in Path("predictions/tiny").iterdir()) == names
    assert scores_of("tiny/val_network") == pytest.approx(2 / 3) and scores_of("tiny/test_data2_network") == 0.5
    page = Path("output/tiny/report.html").read_text(encoding="utf-8")
    assert all(f'<a href="{name}/report.html">' in page for name in names)
    assert list(runs.facts(runs.BEST / "tiny")["results"]) == [names[1], names[2], names[3], names[0]]  # as evaluated
    card = (runs.BEST / "tiny/README.md").read_text(encoding="utf-8")
    assert all(f"| {name} (" in card for name in names)
    capsys.readouterr()
    evaluate.main(["--list"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["tiny/val_network", "0", "2", "0.5", "yes", "no"] in [line[:6] for line in lines]


def test_the_same_evaluation_again_leaves_nothing_of_the_first():
    two_splits()
    evaluate.main(["--run", "tiny", "--at", "network"])
    Path("output/tiny/val_network/errors_worst.png").write_bytes(b"an earlier picture")
    save_data(bright(10), masks_of((0, 10)), split="val", root="other")
    for name in os.listdir("data"):
        Path("data", name).unlink()
    for name in os.listdir("other"):
        Path("other", name).rename(Path("data", name))
    evaluate.main(["--run", "tiny", "--at", "network"])
    assert os.listdir("predictions/tiny/val_network") == ["ISIC_0000000_segmentation.png"]
    assert os.listdir("output/tiny/val_network/worst") == ["01_ISIC_0000000.png"]
    assert not Path("output/tiny/val_network/errors_worst.png").exists()


def test_test_images_are_the_same_however_the_others_are_divided():
    own = config.Settings(data="folds:0.1@3:mine")
    assert evaluations.name_of("test", own, dataclasses.replace(own, data="mine")) == "test"
    assert evaluations.name_of("test", own, dataclasses.replace(own, data="other", tta=True)) == "test_other_tta"


def test_an_evaluation_is_found_by_run_split_and_name():
    two_splits()
    for options in (["--no_tta"], ["--data", "data2", "--split", "test"]):
        evaluate.main(["--run", "tiny", "--at", "network", *options])
    output = Path("output/tiny")
    assert evaluations.find("tiny") == output / "test_data2_network"
    assert (
        evaluations.find("tiny", "val") == evaluations.find("tiny/val_network_no_tta") == output / "val_network_no_tta"
    )
    visualize.main(["samples", "--run", "tiny", "--evaluation", "val_network_no_tta", "--count", "1"])
    assert (output / "val_network_no_tta/samples_worst.png").is_file()
    with pytest.raises(
        FileNotFoundError, match=r"tiny/gone: not scored yet; there are: tiny/val_network_no_tta, tiny/t"
    ):
        evaluations.find("tiny/gone")
    with pytest.raises(FileNotFoundError, match=r"python evaluate\.py --run tiny --split train does it"):
        evaluations.find("tiny", "train")
    for name in ("metrics.json", "per_image.csv"):  # as a former version left them, newer than the others
        Path(output, name).write_bytes((output / "val_network_no_tta" / name).read_bytes())
    os.utime(output / "metrics.json", (2e9, 2e9))
    assert evaluations.find("tiny") == output and evaluations.masks_of(output) == Path("predictions/tiny")


def test_a_comparison_takes_what_all_have_and_begins_with_what_differs():
    two_splits()
    save_run("other", level=0.6)
    for run, options in (
        ("tiny", []),
        ("tiny", ["--no_tta"]),
        ("other", []),
        ("other", ["--split", "test", "--data", "data2"]),
    ):
        evaluate.main(["--run", run, "--at", "network", *options])
    evaluate.main(["--compare", "tiny", "other"])
    lines = Path("output/compare_tiny_other/report.md").read_text(encoding="utf-8").splitlines()
    assert lines[2] == "2 images of data, split val, scored at the network size."
    assert lines[4].startswith("Not all runs were scored in one way (test-time augmentation): the differences are not")
    evaluate.main(["--compare", "tiny/val_network", "tiny/val_network_no_tta"])
    report = Path("output/compare_tiny_val_network_tiny_val_network_no_tta/report.md")
    assert "(test-time augmentation)" in report.read_text("utf-8")
    evaluate.main(["--compare", "tiny/val_network_no_tta", "other"])
    with pytest.raises(SystemExit, match=r"output/tiny: not scored yet; python evaluate\.py --run tiny --split test"):
        evaluate.main(["--compare", "tiny", "other", "--split", "test"])


def test_means_over_seeds():
    save_data(bright(10), masks_of((0, 10)))
    for seed in (1, 2):
        save_run(f"run{seed}", seed=seed)
        evaluate.main(["--run", f"run{seed}", "--split", "test", "--at", "network"])
    save_run("alone", seed=3, epochs=7)
    evaluate.main(["--run", "alone", "--split", "test", "--at", "network"])
    path = Path("output/run2/test_network/metrics.json")
    result = json.loads(path.read_text())
    result["per_image"]["jaccard"] = 0.9
    path.write_text(json.dumps(result))
    text = evaluations.overview()
    line = next(line for line in text.splitlines() if line.startswith("mean of"))
    assert line.startswith("mean of run1, run2 ") and "1,2" in line and "0.950 ± 0.071" in line
    assert text.count("mean of") == 1


# === What is noted with a run ===


def test_thresholds_are_kept_for_each_way_of_making_masks():
    save_data(bright(10, 10), masks_of((0, 10), (0, 10)), split="val")
    save_run("tiny", tta=True)
    run = runs.BEST / "tiny"
    with pytest.raises(
        SystemExit, match=r"yet: python evaluate\.py --run tiny --split val --tta --no_clean finds it, or"
    ):
        evaluate.main(["--run", "tiny", "--threshold", "best", "--at", "network"])
    evaluate.main(["--run", "tiny", "--at", "network"])
    kept = runs.facts(run)["thresholds"]
    grey = np.full((2, *SIZE, 3), 140, np.uint8)
    grey[:, :2] = 160
    for name in os.listdir("data"):
        Path("data", name).unlink()
    save_data(grey, masks_of((0, 10), (0, 10)), split="val")
    with pytest.raises(ValueError, match="--no_tta --no_clean finds it"):
        load_predictor("tiny", "best", tta=False)
    evaluate.main(["--run", "tiny", "--at", "network", "--no_tta"])
    assert runs.facts(run)["thresholds"] == kept and load_predictor("tiny", "best").thresholds == [kept["lesion"]]
    other = load_predictor("tiny", "best", tta=False).thresholds
    assert 0.73 < other[0] < 0.93 and other != [kept["lesion"]]
    assert load_predictor(run / "model.keras", "challenge", tta=False).thresholds == other
    Path("alone.keras").write_bytes((run / "model.keras").read_bytes())
    assert load_predictor("alone.keras", "best", tta=False).thresholds == other  # sealed inside


def test_nothing_is_noted_on_a_network_that_was_trained_in_the_meantime(monkeypatch, capsys):
    save_data(bright(10), masks_of((0, 10)), split="val")
    save_run("tiny")
    file = runs.BEST / "tiny" / "model.keras"
    score = score_split.score

    def score_while_training(*arguments):
        network(level=0.7).save(file)
        return score(*arguments)

    monkeypatch.setattr(score_split, "score", score_while_training)
    evaluate.main(["--run", "tiny", "--at", "network"])
    assert "tiny was trained on in the meantime: nothing is noted" in capsys.readouterr().out
    assert runs.facts(file.parent) == {}
    assert "They are not kept with the run" in Path("output/tiny/val_network/report.md").read_text(encoding="utf-8")


def test_the_head_of_an_earlier_training_is_not_taken_for_this_ones():
    save_data(bright(10), masks_of((0, 10)), split="val")
    save_run("tiny", model="unet16")
    folder = runs.BEST / "tiny"
    inner = network()
    keras.Model(inner.input, {"binary": inner.output}, name="adstnet").save(folder / "training.keras")
    with pytest.raises(SystemExit, match="run 'tiny' was not trained with a head"):
        evaluate.main(["--run", "tiny", "--at", "network", "--part", "head"])
    config.save(config.Settings(run="tiny", model="adstnet", data="data", normalize="unit"), folder / "settings.yaml")
    evaluate.main(["--run", "tiny", "--at", "network", "--part", "head"])
    assert scores_of("tiny_head/val_network") == 1
