"""What evaluate.py keeps of a run to trust its masks, from validation images to predictions, files and exports."""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from small_network import small

import config
import evaluate
import export
import predict
import runs
from datasets.arrays import Writer
from evaluation import model_card
from evaluation import trust as evaluation_trust
from evaluation.evaluate_run import evaluate as score
from inference import image_range, trust
from inference.predictor import load_predictor

COUNTS = {"train": 110, "val": 40, "test": 12}
SIZE = (16, 16)


def disc(random):
    """A dark disc on light skin, more or less clear, and its mask with an outline that is not sure."""
    y, x = random.uniform(5, 11, 2)
    radius = random.uniform(2, 5)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(rows - y, columns - x)
    contrast = random.uniform(0.1, 1)
    dark = contrast / (1 + np.exp(distance - radius))[..., None]
    image = (1 - dark) * (220, 180, 160) + dark * (90, 60, 50) + random.normal(0, 8, (*SIZE, 3))
    return image.clip(0, 255).astype("uint8"), (distance < radius + random.normal(0, 0.4)).astype("uint8")[..., None]


def network(gain=30.0):
    """Logits that fall with the lightness of red, too steep for what can be known."""
    inputs = keras.Input((*SIZE, 3))
    layer = keras.layers.Conv2D(1, 1)
    outputs = layer(inputs)
    layer.set_weights([np.array([[[[-gain], [0], [0]]]], "float32"), np.array([gain * 0.68], "float32")])
    return keras.Model(inputs, outputs)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data and a run that was scored on its validation images, with test-time augmentation."""
    folder = tmp_path_factory.mktemp("trust")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        random = np.random.default_rng(0)
        with Writer("data", {"dataset": "discs", "task": 1}, SIZE, ["lesion"]) as writer:
            for split, count in COUNTS.items():
                for number in range(count):
                    writer.add(split, f"{split}_{number:03}", *disc(random), SIZE)
        run = runs.BEST / "discs"
        run.mkdir(parents=True)
        network().save(run / "model.keras")
        settings = config.Settings(run="discs", data="data", normalize="unit", batch_size=8, tta=True)
        config.save(settings, run / "settings.yaml")
        before = load_predictor("discs")
        image = np.load("data/data_test.npy")[0]
        masks = before(image)
        result = score("discs", "val", at="network")
        yield {"folder": folder, "val": result, "before": masks, "image": image}


@pytest.fixture(autouse=True)
def in_folder(place, monkeypatch):
    monkeypatch.chdir(place["folder"])


def save_images(folder, count=10):
    Path(folder).mkdir(exist_ok=True)
    for number, image in enumerate(np.load("data/data_test.npy")[:count]):
        cv2.imwrite(f"{folder}/{number:02}.png", image[..., ::-1])
    cv2.imwrite(f"{folder}/inverted.png", 255 - image[..., ::-1])


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_on_validation_images_all_is_fitted_and_kept(place):
    kept = runs.facts("checkpoint_best/discs")["trust"]
    assert set(kept) == {"tta", "images"} and kept["images"]["images"] == 110
    assert kept["tta"]["temperatures"]["lesion"] > 1.2  # the network is too sure of itself
    model = kept["tta"]["quality"]["lesion"]
    assert (model["images"], model["threshold"], model["clean"]) == (40, 0.5, False)
    estimates = np.array([float(row["predicted_jaccard"]) for row in rows_of("output/discs/val_network/per_image.csv")])
    assert model["least"] == pytest.approx(np.quantile(estimates, 0.01), abs=1e-4)
    unclear = place["val"]["unusual"]["reasons"].get(image_range.UNCLEAR, 0)
    assert unclear == np.count_nonzero(estimates < model["least"]) <= 1
    assert runs.facts("checkpoint_best/discs/model.keras")["trust"] == kept  # sealed in the file, too
    part = place["val"]["calibration"]
    before, after = (part["classes"]["lesion"][when]["expected_calibration_error"] for when in ("before", "after"))
    assert part["fitted_here"] and after < 0.9 * before
    assert place["val"]["quality"]["out_of_fold"]
    assert place["val"]["quality"]["classes"]["lesion"]["rankings"]["estimate"]["spearman"] > 0.3
    assert (
        set(place["val"]["unusual"]) == {"images", "reasons", "jaccard"}
        and place["val"]["subgroups"]["area"]["images"] == 40
    )


def test_an_image_is_unclear_where_its_one_mask_is_not_expected_to_be_good():
    image = np.zeros((8, 8, 3), np.uint8)
    found = trust.Trust([1.0], [{"least": 0.5}], {})
    assert found.reasons(image, [0.1], [0.49]) == ["lesion less clear than in the validation images"]
    assert found.reasons(image, [0.1], [0.5]) == []
    several = trust.Trust([1.0] * 2, [{"names": []}, None], {})  # need not be in an image
    assert several.reasons(image, [0.1] * 2, [0.1, None]) == []
    assert trust.Trust([1.0], [None], {}).reasons(image, [0.1], [None]) == []


def test_no_mask_changes_and_probabilities_are_calibrated(place):
    masks, probabilities = load_predictor("discs")(place["image"])
    assert np.array_equal(masks, place["before"][0])
    temperature = runs.facts("checkpoint_best/discs")["trust"]["tta"]["temperatures"]["lesion"]
    logits = np.log(place["before"][1] / (1 - place["before"][1])) / temperature
    assert probabilities == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-4)
    for threshold in (0.2, 0.8):  # masks stay those of the network's own probabilities
        found = load_predictor("discs", threshold=threshold)(place["image"])[0]
        assert np.array_equal(found, place["before"][1] >= np.float32(threshold))


def test_on_other_images_what_is_kept_is_applied(capsys):
    kept = runs.facts("checkpoint_best/discs")["trust"]
    result = score("discs", "test", at="network")
    assert not result["calibration"]["fitted_here"] and not result["quality"]["out_of_fold"]
    assert result["calibration"]["classes"]["lesion"]["temperature"] == kept["tta"]["temperatures"]["lesion"]
    assert runs.facts("checkpoint_best/discs")["trust"] == kept
    rows = rows_of("output/discs/test_network/per_image.csv")
    predictor = load_predictor("discs")
    found = [predictor.assess(image) for image in np.load("data/data_test.npy")]
    assert [float(row["predicted_jaccard"]) for row in rows] == pytest.approx([f.jaccards[0] for f in found], abs=1e-5)
    assert [row["unusual"] for row in rows] == [each.why for each in found]
    report = Path("output/discs/test_network/report.md").read_text(encoding="utf-8")
    for words in ("Calibration", "Predicted quality of each mask", "Unusual images", "For whom", "trust.png"):
        assert words in report
    card = Path("checkpoint_best/discs/README.md").read_text(encoding="utf-8")
    assert (
        "## Reliability" in card
        and "On the 12 images of `test_network` above." in card
        and "expected calibration error" in card
    )


def test_unclear_lesions_are_flagged_in_evaluations_and_predictions():
    shutil.copytree("checkpoint_best/discs", "checkpoint_best/unclear")
    score("unclear", "test", at="network")
    estimates = [float(row["predicted_jaccard"]) for row in rows_of("output/unclear/test_network/per_image.csv")]
    least = max(estimates) - 1e-4
    facts = runs.facts("checkpoint_best/unclear")
    facts["trust"]["tta"]["quality"]["lesion"]["least"] = least
    runs.note("checkpoint_best/unclear", trust=facts["trust"])
    found = score("unclear", "test", at="network")["unusual"]["reasons"][image_range.UNCLEAR]
    assert found == sum(estimate < least for estimate in estimates) > 0
    flagged = [image_range.UNCLEAR in row["unusual"] for row in rows_of("output/unclear/test_network/per_image.csv")]
    predictor = load_predictor("unclear")
    assert flagged == [image_range.UNCLEAR in predictor.assess(x).reasons for x in np.load("data/data_test.npy")]


def test_the_bare_network_has_its_own_and_none_before():
    shutil.copytree("checkpoint_best/discs", "checkpoint_best/both")
    assert load_predictor("both", tta=False).trust.models == [None]
    score("both", "val", at="network", tta=False)
    kept = runs.facts("checkpoint_best/both")["trust"]
    assert set(kept) == {"tta", "bare", "images"}
    assert "disagreement" not in kept["bare"]["quality"]["lesion"]["names"]
    assert load_predictor("both", tta=False).assess(np.load("data/data_test.npy")[0]).jaccards[0] is not None
    assert kept["tta"] == runs.facts("checkpoint_best/discs")["trust"]["tta"]


def test_predictions_say_it_and_the_review_lists_the_worst_first(capsys):
    save_images("photos")
    predict.main(["photos", "--run", "discs", "--out", "out", "--overlays", "--review", "0.5"])
    rows = {Path(row["image"]).stem: row for row in rows_of("out/predictions.csv")}
    assert "no skin-like colors" in rows["inverted"]["unusual"]
    review = rows_of("out/review.csv")
    assert [row["rank"] for row in review] == ["1", "2", "3", "4", "5", "6"]  # of 11 images
    flagged = [row for row in review if row["unusual"]]
    assert review[: len(flagged)] == flagged and "photos/inverted.png" in [row["image"] for row in flagged]
    others = [float(row["predicted_jaccard"]) for row in rows.values() if not row["unusual"]]
    listed = [float(row["predicted_jaccard"]) for row in review if not row["unusual"]]
    assert listed == sorted(others)[: len(listed)]
    assert cv2.imread("out/review.jpg").shape[1] > 3 * 320
    assert "to look at first: 6 images" in capsys.readouterr().out
    assert cv2.imread("out/00_overlay.png")[-1].mean() < cv2.imread("photos/00.png")[-1].mean()  # the text's dark band


def test_predictions_of_before_are_not_mixed_with_those_of_after():
    save_images("others", 2)
    shutil.copytree("checkpoint_best/discs", "checkpoint_best/again")
    predict.main(["others", "--run", "again", "--out", "mixed"])
    facts = json.loads(Path("checkpoint_best/again/run.json").read_text())
    facts["trust"]["tta"]["temperatures"]["lesion"] = 3.0
    Path("checkpoint_best/again/run.json").write_text(json.dumps(facts))
    with pytest.raises(SystemExit, match="made before the run was evaluated last; choose another --out"):
        predict.main(["others", "--run", "again", "--out", "mixed"])


def test_a_review_needs_a_run_that_was_evaluated():
    save_images("others", 2)
    run = runs.BEST / "new"
    run.mkdir()
    network().save(run / "model.keras")
    config.save(config.Settings(run="new", data="data", normalize="unit"), run / "settings.yaml")
    with pytest.raises(SystemExit, match=r"run 'new' has nothing to rank masks by: python evaluate.py --run new"):
        predict.main(["others", "--run", "new", "--out", "none", "--review", "0.1"])
    with pytest.raises(SystemExit):
        predict.main(["others", "--run", "discs", "--review", "0"])
    predict.main(["others", "--run", "new", "--out", "none"])
    assert [row["predicted_jaccard"] for row in rows_of("none/predictions.csv")] == [""] * 3


def test_an_export_says_the_same():
    path = Path("discs.onnx")
    export.main(["--run", "discs", "--out", str(path)])
    image = np.load("data/data_test.npy")[3]
    ours, theirs = load_predictor("discs"), load_predictor(path)
    assert theirs.trust == ours.trust
    assert theirs(image)[1] == pytest.approx(ours(image)[1], abs=1e-3)
    found, expected = theirs.assess(image), ours.assess(image)
    assert found.jaccards == pytest.approx(expected.jaccards, abs=1e-3) and found.reasons == expected.reasons


@pytest.mark.parametrize(
    "edit",
    [
        lambda kept: kept["tta"]["temperatures"].update(lesion=0),
        lambda kept: kept["tta"]["temperatures"].update(lesion="warm"),
        lambda kept: kept["tta"]["quality"]["lesion"].pop("weights"),
        lambda kept: kept["tta"]["quality"]["lesion"].pop("threshold"),
        lambda kept: kept["tta"]["quality"]["lesion"].update(names=["beauty"]),
        lambda kept: kept["tta"]["quality"]["lesion"].update(intercept=float("nan")),
        lambda kept: kept.update(tta=[]),
        lambda kept: kept["images"].pop("whitening"),
        lambda kept: kept["images"]["ranges"].pop("detail"),
        lambda kept: kept["images"]["whitening"].pop(),
        lambda kept: kept["images"]["quantiles"].pop(),
    ],
)
def test_edited_facts_are_named(edit):
    shutil.copytree("checkpoint_best/discs", "checkpoint_best/edited")
    try:
        facts = json.loads(Path("checkpoint_best/edited/run.json").read_text())
        edit(facts["trust"])
        Path("checkpoint_best/edited/run.json").write_text(json.dumps(facts))
        with pytest.raises(ValueError, match=r"edited.*was it edited"):
            trust.of_run(runs.find("edited"), ["lesion"], True, False, [0.5])
    finally:
        shutil.rmtree("checkpoint_best/edited")


def test_a_model_of_quality_is_of_masks_at_the_runs_own_threshold_and_clean_up():
    shutil.copytree("checkpoint_best/discs", "checkpoint_best/other")
    kept = runs.facts("checkpoint_best/other")["trust"]
    assert (kept["tta"]["quality"]["lesion"]["threshold"], kept["tta"]["quality"]["lesion"]["clean"]) == (0.5, False)
    for changed in ({"threshold": 0.2}, {"clean": True}, {"threshold": 1.0}):
        result = score("other", "val", at="network", **changed)
        assert result["quality"]["out_of_fold"] if changed != {"threshold": 1.0} else "quality" not in result
        assert runs.facts("checkpoint_best/other")["trust"] == kept
        assert load_predictor("other", **changed).trust.models == [None]
        assert "quality" not in score("other", "test", at="network", **changed)
    assert load_predictor("other").trust.models == [kept["tta"]["quality"]["lesion"]]


def test_a_run_that_is_trained_on_meanwhile_keeps_nothing(monkeypatch, capsys):
    shutil.copytree("checkpoint_best/discs", "checkpoint_best/trained")
    before = Path("checkpoint_best/trained/run.json").read_bytes()
    assess = evaluation_trust.assess

    def slow(*given):
        found = assess(*given)
        network(gain=20.0).save("checkpoint_best/trained/model.keras")
        return found

    monkeypatch.setattr(evaluation_trust, "assess", slow)
    result = score("trained", "val", at="network")
    assert not result["best_thresholds"]["kept"] and "trained on in the meantime" in capsys.readouterr().out
    assert Path("checkpoint_best/trained/run.json").read_bytes() == before


def test_the_model_card_takes_the_newest_evaluation_of_the_runs_own_data(tmp_path):
    shutil.copytree("checkpoint_best/discs", "checkpoint_best/card")
    shutil.copytree("data", tmp_path / "others")

    def shown():
        text = Path("checkpoint_best/card/README.md").read_text(encoding="utf-8")
        return re.search(r"On the (\d+) images of `(\S+)` above", text).groups()

    score("card", "test", at="network")
    score("card", "test", at="network", tta=False)  # of these masks no model is known
    assert shown() == ("12", "test_network")
    score("card", "test", data=str(tmp_path / "others"), at="network")
    assert shown() == ("12", "test_network")
    assert list(runs.facts("checkpoint_best/card")["results"])[-1] != "test_network"
    score("card", "test", at="network")
    assert list(runs.facts("checkpoint_best/card")["results"])[-1] == "test_network"


def test_the_model_card_of_a_fold_takes_the_test_images_of_what_was_divided():
    part = {"images": 5, "quality": {"classes": {}}}
    test = part | {"data": "data", "split": "test"}
    val = part | {"data": "folds:1/5:data", "split": "val"}
    card = model_card.reliability({"test": test, "val": val}, "folds:1/5:data")
    assert "On the 5 images of `test` above." in card


def test_names_that_are_no_text_are_in_the_review():
    Path("odd").mkdir()
    image = np.load("data/data_test.npy")[0]
    name = os.fsencode("odd/caf") + b"\xe9.png"
    Path(os.fsdecode(name)).write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    predict.main(["odd", "--run", "discs", "--out", "odd_out", "--review", "1"])
    assert rows_of("odd_out/review.csv")[0]["image"] == "odd/caf\\xe9.png"
    tile = cv2.imread("odd_out/review.jpg")[8:328, 8:328, ::-1]
    expected = cv2.resize(image, (320, 320), interpolation=cv2.INTER_AREA)
    assert np.median(np.abs(tile.astype(int) - expected)) < 12  # the picture, not an empty tile


def test_evaluation_on_validation_images_mends_what_was_edited():
    shutil.copytree("checkpoint_best/discs", "checkpoint_best/mended")
    facts = json.loads(Path("checkpoint_best/mended/run.json").read_text())
    kept = facts["trust"]
    facts["trust"] = {"images": {"ranges": {}}}  # as another version may have left it
    Path("checkpoint_best/mended/run.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"mended.*Evaluate the run on its validation images again"):
        score("mended", "test", at="network")
    score("mended", "val", at="network")
    assert runs.facts("checkpoint_best/mended")["trust"]["images"] == kept["images"]


def test_data_that_are_not_of_skin_have_no_skin_tones(tmp_path):
    meta = json.loads(Path("data/meta.json").read_text())
    assert "subgroups" in score("discs", "test", at="network")
    shutil.copytree("data", tmp_path / "busi")
    (tmp_path / "busi/meta.json").write_text(json.dumps(meta | {"dataset": "busi"}))
    assert "subgroups" not in score("discs", "test", data=str(tmp_path / "busi"), at="network")


def test_two_classes_have_a_temperature_each_and_no_groups(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    classes = ["a", "b"]
    with Writer("data", {"dataset": "discs", "task": 2}, (32, 16), classes) as writer:
        for number in range(30):
            image = random.integers(0, 256, (32, 16, 3), np.uint8)
            writer.add("val", str(number), image, (image[..., :2] > 128).astype("uint8"), (32, 16))
    run = runs.BEST / "two"
    run.mkdir(parents=True)
    keras.utils.set_random_seed(0)
    small_network = small("unet", (32, 16, 3))
    outputs = keras.layers.Conv2D(2, 1)(small_network.layers[-2].output)
    keras.Model(small_network.input, outputs).save(run / "model.keras")
    config.save(config.Settings(run="two", data="data", normalize="unit", batch_size=8), run / "settings.yaml")
    evaluate.main(["--run", "two", "--at", "network", "--no_tta"])
    kept = runs.facts(run)["trust"]
    assert set(kept["bare"]["temperatures"]) == {"a", "b"} and "images" not in kept  # no training images are there
    assert not any("least" in model for model in kept["bare"]["quality"].values())
    result = json.loads(Path("output/two/val_network/metrics.json").read_text())
    assert set(result["calibration"]["classes"]) == {"a", "b"} and "subgroups" not in result
