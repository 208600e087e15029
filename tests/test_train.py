import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml

import config
import model
import train
from datasets.prepared import Writer, open_split
from tests.conftest import write_discs

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


def weights(path):
    network = keras.saving.load_model(path)
    return [np.array(w) for w in network.get_weights() + [v.numpy() for v in network.optimizer.variables]]


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
        *("checkpoint/tiny/epoch_0008.keras", "checkpoint/tiny/settings.yaml"),
        *("checkpoint_best/tiny/model.keras", "checkpoint_best/tiny/settings.yaml"),
        *("output/tiny/log.csv", "output/tiny/progress.png"),
    }
    settings = config.load("checkpoint_best/tiny/settings.yaml")
    assert (settings.run, settings.normalize, settings.epochs) == ("tiny", "unit", 8)
    assert "best epoch" in capsys.readouterr().out
    # the best network is the one of the best epoch, and loads where nothing of this project was imported
    code = "import keras; m = keras.saving.load_model('checkpoint_best/tiny/model.keras'); print(m.output_shape)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip().endswith("(None, 32, 48, 1)")
    assert not model.load("checkpoint_best/tiny/model.keras").compiled


def test_a_run_that_died_goes_on_as_if_it_had_not(discs, monkeypatch):
    argv = write_config(discs, schedule="cosine")
    train.main([*argv, "--run", "whole"])

    class Killed(BaseException):
        pass

    end = train.Recorder.on_epoch_end

    def dies(self, epoch, logs=None):
        if epoch == 2:
            raise Killed
        end(self, epoch, logs)

    monkeypatch.setattr(train.Recorder, "on_epoch_end", dies)
    with pytest.raises(Killed):
        train.main([*argv, "--run", "died"])
    monkeypatch.setattr(train.Recorder, "on_epoch_end", end)
    keras.utils.set_random_seed(99)  # nothing may depend on the state of the process
    train.main([*argv, "--run", "died", "--resume"])
    whole, died = (weights(f"checkpoint/{run}/epoch_0003.keras") for run in ("whole", "died"))
    assert len(whole) == len(died) > 40
    for a, b in zip(whole, died, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    logs = [pd.read_csv(f"output/{run}/log.csv") for run in ("whole", "died")]
    pd.testing.assert_frame_equal(*(log.drop(columns=["seconds", "images_per_second"]) for log in logs), atol=1e-6)
    assert "is finished, all 3 epochs" in refused([*argv, "--run", "died", "--resume"])
    assert "exists: go on with --resume" in refused([*argv, "--run", "died"])
    assert "trained with learning_rate 0.01, now it is 0.1" in refused(
        [*argv, "--run", "died", "--resume", "--learning_rate", "0.1"]
    )


def test_moving_average_is_validated_kept_and_resumed(discs, monkeypatch):
    steps, seen, end = 3, [], train.Recorder.on_epoch_end
    monkeypatch.setattr(train.Average, "EVERY", steps)  # once an epoch

    def listens(self, epoch, logs=None):
        seen.append([w.copy() for w in self.model.get_weights()])
        end(self, epoch, logs)
        if self.settings.run == "died" and epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.Recorder, "on_epoch_end", listens)
    argv = write_config(discs, ema=0.9, monitor="epoch")
    train.main([*argv, "--run", "whole"])
    best = model.load("checkpoint_best/whole/model.keras").get_weights()
    last = keras.saving.load_model("checkpoint/whole/epoch_0003.keras").get_weights()
    assert {p.name for p in Path("checkpoint/whole").glob("*.keras")} == {"epoch_0003.keras", "average_0003.keras"}

    keras.utils.set_random_seed(TINY["seed"])
    expected = train.compiled(config.parse(argv)[0], open_split(discs, "train"), 1).get_weights()
    for update, weights in enumerate(seen, start=1):
        keep = min(0.9**steps, update / (update + 10))
        expected = [keep * average + (1 - keep) * weight for average, weight in zip(expected, weights, strict=True)]
    for average, by_hand, raw, weight in zip(best, expected, last, seen[-1], strict=True):
        np.testing.assert_allclose(average, by_hand, atol=1e-5)
        np.testing.assert_array_equal(raw, weight)

    with pytest.raises(KeyboardInterrupt):
        train.main([*argv, "--run", "died"])
    train.main([*argv, "--run", "died", "--resume"])
    for a, b in zip(best, model.load("checkpoint_best/died/model.keras").get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.slow
def test_two_devices_train_as_one(discs, monkeypatch):
    """17 images in batches of 8: the last batch, of one image, would leave a device without any."""
    write_discs(Path("odd"), counts={"train": 17, "val": 8}, seed=1)
    argv = write_config("odd", epochs=2)
    train.main([*argv, "--run", "one"])
    pair = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    monkeypatch.setattr(train, "devices", lambda: pair)
    train.main([*argv, "--run", "two"])
    one, two = (pd.read_csv(f"output/{run}/log.csv") for run in ("one", "two"))
    assert np.isfinite(two.drop(columns="epoch")).all(axis=None)
    np.testing.assert_allclose(one.val_loss, two.val_loss, rtol=0.1)  # batch norm sees half a batch
    for array in weights("checkpoint/two/epoch_0002.keras"):
        assert np.isfinite(array).all()


@pytest.mark.slow
def test_train_and_evaluate_on_the_jax_backend(discs):
    argv = write_config(discs, epochs=2, loss="bce + batch_dice", schedule="cosine")
    code = (
        "import sys, train, evaluate, predict, visualize, numpy as np\n"
        f"train.main({argv!r})\n"
        "evaluate.main(['--run', 'tiny', '--split', 'test', '--at', 'network'])\n"
        "mask, _ = predict.Predictor('tiny')(np.zeros((50, 60, 3), 'uint8'))\n"
        "assert mask.shape == (50, 60, 1)\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    assert len(pd.read_csv("output/tiny/log.csv")) == 2
    assert Path("output/tiny/metrics.json").is_file()


def test_a_loss_that_is_not_finite_stops_the_run(discs):
    assert "the loss is nan" in refused(write_config(discs, learning_rate=10.0, loss="1e38*bce", model="ham10000_unet"))


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
        if fused:
            train.fuse_batch_norm(network)
        network.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        loss = network.train_on_batch(x, y)
        assert "BatchNormalization" in network.to_json()
        variances = [w.numpy() for w in network.non_trainable_variables if "variance" in w.path]
        others = [w.numpy() for w in network.weights if "variance" not in w.path]
        results.append(([loss, *others], variances))
    for plain, fused in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(plain, fused, atol=1e-5)
    # the running variance: over 2048 values at full size, 128 at the bottom, the fused one divides by one less
    for plain, fused in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(plain, fused, rtol=1 / 127)


def test_refusals(discs, tmp_path):
    argv = write_config(discs)
    assert "nothing to resume" in refused([*argv, "--resume"])
    assert "no network named 'unett'" in refused([*argv, "--model", "unett"])
    assert "no option widht" in refused([*argv, "--options", "{widht: 4}"])
    assert "dataset_isic18.py" in refused([*argv, "--data", "nowhere"])
    assert "bce" in refused([*argv, "--loss", "bcee"])
    assert "the masks are (32, 48, 1)" in refused([*argv, "--options.classes", "5"])
    odd = write_discs(tmp_path / "odd", size=(30, 48), counts={"train": 2, "val": 1})
    assert "32" in refused([*argv, "--data", str(odd)])
    with Writer("bare", {"dataset": "discs", "task": 1}, size=(32, 48), classes=["lesion"]) as writer:
        for split, mask in (("train", np.zeros((32, 48, 1), "uint8")), ("val", None)):
            writer.add(split, split, np.zeros((32, 48, 3), "uint8"), mask, (32, 48))
    assert "the val split has no masks" in refused([*argv, "--data", "bare"])
    assert "several maps" in refused([*argv, "--model", "adstnet", "--options", "{width: 4, depth: 2}"])
    assert not list(Path().glob("checkpoint*"))
