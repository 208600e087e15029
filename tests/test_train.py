import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml
from discs import write_discs

import config
import model
import pipeline
import runs
import train
from compute import batch_norm
from datasets.arrays import Writer, open_split
from training import checkpoints, initial_weights, trainer, weight_average
from training import steps as training_steps

TINY = {
    **{"model": "unet", "options": {"width": 4, "depth": 2}, "loss": "bce + dice", "normalize": "unit"},
    **{"epochs": 3, "batch_size": 8, "learning_rate": 1e-2, "flip": True, "turn": True, "seed": 2},
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_config(data, **changes):
    Path("tiny.yaml").write_text(yaml.safe_dump({**TINY, "data": str(data), **changes}))
    return ["--config", "tiny.yaml"]


def last(run):
    """State and arrays of the last checkpoint of a run."""
    return checkpoints.load(Path("checkpoint", run))


def refused(argv):
    with pytest.raises(SystemExit) as error:
        train.main(argv)
    return str(error.value)


def test_a_run_learns_and_writes_what_it_promises(discs, capsys):
    train.main(write_config(discs, epochs=8, schedule="cosine", warmup_steps=4))
    log = pd.read_csv("output/tiny/log.csv")
    assert list(log.epoch) == list(range(1, 9))
    assert {"loss", "dice", "jaccard", "val_loss", "val_dice", "val_jaccard", "learning_rate"} <= set(log)
    assert log.loss.iloc[-1] < 0.75 * log.loss.iloc[0]
    assert log.val_dice.max() > 0.9
    assert log.learning_rate.iloc[-1] < 1e-4 < log.learning_rate.max() <= 1e-2
    written = {str(p) for p in Path().rglob("*") if p.is_file()} - {"tiny.yaml"}
    assert written == {
        *("checkpoint/tiny/step_00000021.npz", "checkpoint/tiny/step_00000024.npz"),
        *("checkpoint/tiny/settings.yaml", "checkpoint/tiny/lock"),
        *("checkpoint_best/tiny/model.keras", "checkpoint_best/tiny/settings.yaml"),
        *("checkpoint_best/tiny/run.json", "checkpoint_best/tiny/README.md"),
        *("output/tiny/log.csv", *(str(path) for path in Path("output/tiny/tensorboard").iterdir())),
    }
    facts = runs.facts("checkpoint_best/tiny")
    assert facts["classes"] == ["lesion"] and facts["size"] == [32, 48] and facts["images"] == {"train": 20, "val": 6}
    assert facts["data"] == {"dataset": "discs", "task": 1} and facts["versions"]["keras"] == keras.__version__
    best = log.loc[log.val_loss.idxmin()]
    assert facts["epoch"] == best.epoch and facts["scores"]["val_loss"] == pytest.approx(best.val_loss)
    settings = config.load("checkpoint_best/tiny/settings.yaml")
    assert (settings.run, settings.normalize, settings.epochs) == ("tiny", "unit", 8)
    assert "best epoch" in capsys.readouterr().out
    # the best network is the one of the best epoch, and loads where nothing of this project was imported
    code = "import keras; m = keras.saving.load_model('checkpoint_best/tiny/model.keras'); print(m.output_shape)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip().endswith("(None, 32, 48, 1)")
    assert not model.load("checkpoint_best/tiny/model.keras").compiled


def test_moving_average_is_validated_and_kept(discs, monkeypatch):
    steps, seen, end_epoch = 3, [], trainer.Training.end_epoch
    monkeypatch.setattr(weight_average.Average, "EVERY", steps)  # once an epoch

    def listens(self, number):
        seen.append([w.copy() for w in self.network.get_weights()])
        end_epoch(self, number)

    monkeypatch.setattr(trainer.Training, "end_epoch", listens)
    argv = write_config(discs, ema=0.9, monitor="epoch")
    train.main(argv)
    best = model.load("checkpoint_best/tiny/model.keras").get_weights()
    state, arrays = last("tiny")
    keras.utils.set_random_seed(TINY["seed"])
    expected = train.compiled(config.parse(argv)[0], open_split(discs, "train")).get_weights()
    for update, weights in enumerate(seen, start=1):
        keep = min(0.9**steps, update / (update + 10))
        expected = [keep * average + (1 - keep) * weight for average, weight in zip(expected, weights, strict=True)]
    for average, by_hand, kept in zip(best, expected, arrays["average"], strict=True):
        np.testing.assert_allclose(average, by_hand, atol=1e-5)
        np.testing.assert_array_equal(average, kept)
    for raw, weight in zip(arrays["network"], seen[-1], strict=False):
        np.testing.assert_array_equal(raw, weight)
    assert state["rows"][-1]["val_loss"] == runs.facts("checkpoint_best/tiny")["scores"]["val_loss"]


def test_early_stopping_and_plateau(discs, monkeypatch):
    losses = iter([0.9, 0.8, 0.85, 0.84, 0.83, 0.7])
    monkeypatch.setattr(
        training_steps.Loop, "validate", lambda *_: {"val_loss": next(losses), "val_dice": 0.0, "val_jaccard": 0.0}
    )
    argv = write_config(discs, epochs=9, patience=3, plateau=2, plateau_factor=0.1, model="unet", batch_size=16)
    train.main(argv)
    log = pd.read_csv("output/tiny/log.csv")
    assert len(log) == 5  # three without a better one than 0.8
    np.testing.assert_allclose(log.learning_rate, [0.01, 0.01, 0.01, 0.01, 0.001], rtol=1e-6)
    assert "is finished, 5 epochs" in refused([*argv, "--resume"])


@pytest.mark.parametrize(("accumulate", "size"), [(3, 4), (2, 8)])
def test_accumulated_steps_are_one_large_step(discs, accumulate, size):
    """20 images: updates of 12 and 8, and of 16 and 4. Without batch norm, which sees single batches."""
    argv = write_config(discs, model="ham10000_unet", epochs=1, clip=0.5, flip=False, turn=False)
    train.main([*argv, "--run", "large", "--batch_size", str(accumulate * size)])
    train.main([*argv, "--run", "small", "--batch_size", str(size), "--accumulate", str(accumulate)])
    (_, large), (_, small) = last("large"), last("small")
    for a, b in zip(large["network"], small["network"], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    assert large["optimizer0"][0] == small["optimizer0"][0] == 2


def test_a_run_begins_with_the_weights_of_another(discs, capsys):
    argv = write_config(discs, epochs=1)
    train.main([*argv, "--run", "first"])
    capsys.readouterr()
    settings = config.parse([*argv, "--options", "{width: 4, depth: 3}"])[0]
    network = train.compiled(settings, open_split(discs, "train"))
    before = {w.path: w.numpy() for w in network.weights}
    initial_weights.take_over(network, "first")
    printed = capsys.readouterr().out
    first = {w.path: w.numpy() for w in model.load("checkpoint_best/first/model.keras").weights}
    taken = 0
    for weight in network.weights:
        fits = weight.path in first and first[weight.path].shape == weight.shape
        np.testing.assert_array_equal(weight.numpy(), (first if fits else before)[weight.path])
        assert fits != (f"  new: {weight.path} " in printed)
        taken += fits
    assert 0 < taken < len(before) and f"{taken} of {len(before)} weights from" in printed
    assert "give one of them" in refused([*argv, "--init", "first", "--resume"])
    assert "no run 'second'" in refused([*argv, "--run", "third", "--init", "second"])


@pytest.mark.slow
def test_on_the_jax_backend_a_network_is_evaluated_and_predicts_but_is_not_trained(discs):
    argv = write_config(discs, epochs=1, loss="bce + batch_dice", options={"width": 2, "depth": 1})
    train.main(argv)
    code = (
        "import sys, train, evaluate, predict, numpy as np\n"
        "evaluate.main(['--run', 'tiny', '--split', 'test', '--at', 'network'])\n"
        "mask, _ = predict.Predictor('tiny')(np.zeros((50, 60, 3), 'uint8'))\n"
        "assert mask.shape == (50, 60, 1)\n"
        f"train.main([*{argv!r}, '--run', 'other'])\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(Path(__file__).parents[1])}
    environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # compile faster
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "training needs Keras's TensorFlow backend, not jax: set KERAS_BACKEND=tensorflow" in done.stderr
    assert done.returncode == 1 and Path("output/tiny/test_network/metrics.json").is_file(), done.stderr[-3000:]
    assert not Path("checkpoint/other").exists()


def test_the_settings_stay_as_they_are(discs):
    settings = config.parse(write_config(discs, epochs=1, class_weights="balanced", normalize=None))[0]
    before = dataclasses.replace(settings)
    train.train(settings)
    assert settings == before and settings.normalize is None and settings.precision == "auto"
    saved = config.load("checkpoint_best/tiny/settings.yaml")
    assert (saved.normalize, saved.class_weights, saved.precision) == ("unit", [1.0], "float32")


def test_a_loss_that_is_not_finite_stops_the_run(discs):
    argv = write_config(discs, learning_rate=10.0, loss="1e38*bce", model="ham10000_unet")
    message = refused(argv)
    split, settings = open_split(discs, "train"), config.parse(argv)[0]
    epoch, step = map(int, re.search(r"epoch (\d+), step (\d+) of 3: the loss is (?:nan|inf)", message).groups())
    assert ", ".join(pipeline.batch_ids(split, settings, 3 * (epoch - 1) + step - 1)) in message
    assert "last good checkpoint: none" in message and epoch == 1


def test_data_without_a_val_split(discs, capsys):
    write_discs(Path("bare"), counts={"train": 20})
    argv = write_config("bare", epochs=1, validation_fraction=0.25)
    train.main(argv)
    assert (
        "bare has no val split: 5 of its 20 training images validate (validation_fraction 0.25)"
        in capsys.readouterr().out
    )
    assert runs.facts("checkpoint_best/tiny")["images"] == {"train": 15, "val": 5}
    settings = runs.settings("checkpoint_best/tiny")
    assert settings.data == f"folds:0.25@{settings.seed}:bare"
    assert "is finished, 1 epochs" in refused([*argv, "--resume"])  # the same division


def test_weights_that_cannot_be_fetched_name_the_remedy(discs, monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    offline.__name__ = "VGG16"
    argv = write_config(discs, model="as_net", options={})
    write_discs(Path("fits"), size=(32, 64), counts={"train": 2, "val": 1})
    assert "--weights none" in refused([*argv, "--data", "fits"])


def test_fused_batch_norm_is_the_same_step():
    random = np.random.default_rng(0)
    x, y = random.random((8, 16, 16, 3), np.float32), random.integers(0, 2, (8, 16, 16, 1)).astype("float32")
    results = []
    for fused in (False, True):
        keras.utils.set_random_seed(0)
        network = model.build("unet", (16, 16, 3), width=4, depth=2)
        forward = batch_norm.training_pass(network)
        with tf.GradientTape() as tape:
            outputs = forward(tf.constant(x), tf.ones(8)) if fused else network(x, training=True)
            loss = tf.reduce_mean((outputs - y) ** 2)
        keras.optimizers.SGD(0.1).apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        assert not {"FusedBatchNormalization"} & {type(layer).__name__ for layer in network.layers}
        variances = [w.numpy() for w in network.non_trainable_variables if "variance" in w.path]
        others = [w.numpy() for w in network.weights if "variance" not in w.path]
        results.append(([loss, *others], variances))
    for plain, fused in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(plain, fused, atol=1e-5)
    # the running variance: over 2048 values at full size, 128 at the bottom, the fused one divides by one less
    for plain, fused in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(plain, fused, rtol=1 / 127)


def test_the_encoder_alone_learns_more_slowly(discs):
    settings = config.Settings(**TINY, data=str(discs), encoder_rate=0.1)
    network = train.compiled(settings, open_split(discs, "train"))
    factors = network.optimizer.factors
    slower = {weight.path.split("/")[0] for weight in network.trainable_weights if weight.path in factors}
    assert set(factors.values()) == {0.1}
    assert slower and all(name.startswith("encoder") for name in slower)
    assert not any(w.path.startswith("encoder") for w in network.trainable_weights if w.path not in factors)


def test_refusals(discs, tmp_path):
    argv = write_config(discs)
    assert "nothing to resume" in refused([*argv, "--resume"])
    assert "no network named 'unett'" in refused([*argv, "--model", "unett"])
    assert "no option widht" in refused([*argv, "--options", "{widht: 4}"])
    assert "dataset_isic18.py" in refused([*argv, "--data", "nowhere"])
    assert "unknown loss 'bcee'" in refused([*argv, "--loss", "bcee"])
    no_encoder = [*argv, "--model", "lf_net", "--options", "{}", "--encoder_rate", "0.1"]
    assert "lf_net has no encoder apart from the rest; these have: as_net" in refused(no_encoder)
    assert "the masks are (32, 48, 1)" in refused([*argv, "--options.classes", "5"])
    odd = write_discs(tmp_path / "odd", size=(30, 48), counts={"train": 2, "val": 1})
    assert "height must be a multiple of 4, got 30" in refused([*argv, "--data", str(odd)])
    with Writer("bare", {"dataset": "discs", "task": 1}, size=(32, 48), classes=["lesion"]) as writer:
        for split, mask in (("train", np.zeros((32, 48, 1), "uint8")), ("val", None)):
            writer.add(split, split, np.zeros((32, 48, 3), "uint8"), mask, (32, 48))
    assert "the val split has no masks" in refused([*argv, "--data", "bare"])
    assert not list(Path().glob("checkpoint*/*/*.*"))
