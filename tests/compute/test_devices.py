"""Several devices, and several machines, compute what one does: on logical CPU devices and the loopback address."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml
from discs import write_discs

import loss
import train
from compute.updates import GlobalBatchOptimizer
from config import Launch, Settings
from training import checkpoints
from training import steps as training_steps

ROOT = Path(__file__).parents[2]
TINY = {
    **{"model": "unet", "options": {"width": 2, "depth": 1}, "normalize": "unit", "loss": "bce + dice"},
    **{"epochs": 1, "batch_size": 4, "optimizer": "sgd", "learning_rate": 0.1, "flip": True, "seed": 2},
    **{"encoder_rate": 0.3, "sync_batch_norm": True, "precision": "float32"},  # in the processes of the workers too
}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def odd():
    """17 and 5 images: batches of 4 leave one image over, for two or three devices."""
    return str(write_discs(Path("odd"), size=(16, 16), counts={"train": 17, "val": 5}, seed=1))


def both(data, **changes):
    """Train on one and on two devices; returns the pairs of checkpoints and of logs."""
    for run, devices in (("one", "cpu"), ("two", "cpu:2")):
        train.train(Settings(**{**TINY, "data": data, "run": run, **changes}), Launch(devices=devices))
    return [checkpoints.load(Path("checkpoint", run)) for run in ("one", "two")]


def check_same(one, two):
    """Weights, optimizer and every column of the log."""
    for group, arrays in one[1].items():
        for a, b in zip(arrays, two[1][group], strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5, err_msg=group)
    for a, b in zip(one[0]["rows"], two[0]["rows"], strict=True):
        for name in set(a) - {"seconds", "images_per_second", "waiting"}:
            assert a[name] == pytest.approx(b[name], abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"clip": 0.5}, {"loss": "lovasz", "accumulate": 2, "ema": 0.9}])
def test_two_devices_are_one(odd, changes):
    """Five steps, the last of one image: one device has none. Batch norm synchronised."""
    check_same(*both(odd, **changes))


@pytest.mark.parametrize("name", loss.LOSSES)
def test_every_loss_is_the_same_on_two_devices(name):
    """Five steps of a convolution, batches of 4, 3 and 1 images with two classes, by plain gradient descent."""
    random, ends = np.random.default_rng(0), []
    batches = [random.random((count, 8, 8, 3), np.float32) for count in (4, 3, 4, 4, 1)]
    masks = [(x[..., :2] > 0.6).astype("float32") for x in batches]
    for strategy in (tf.distribute.get_strategy(), train.devices.strategy(Launch(devices="cpu:2"))):
        with strategy.scope():
            inputs = keras.Input((8, 8, 3))
            layer = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(seed=1))
            network = keras.Model(inputs, layer(inputs))
            network.compile(GlobalBatchOptimizer(keras.optimizers.SGD(0.2)), jit_compile=False)
            network.optimizer.build(network.trainable_variables)
            steps = training_steps.Loop(network, Settings(model="unet", loss=name), strategy)
            for place, pair in enumerate(zip(map(tf.constant, batches), map(tf.constant, masks), strict=True)):
                steps.step(*pair, place, 5, 1.0)
        ends.append(([w.numpy() for w in network.weights], steps.results()))
    (one, log), (two, log2) = ends
    assert log2 == pytest.approx(log, abs=1e-5)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_two_devices_in_half_precision(odd):
    one, two = both(odd, precision="float16")
    assert two[1]["optimizer0"][0] == one[1]["optimizer0"][0]  # steps in which nothing overflowed
    for name in ("loss", "val_loss"):
        assert one[0]["rows"][0][name] == pytest.approx(two[0]["rows"][0][name], rel=0.01)


def test_each_device_may_have_its_own_batch_norm(odd):
    one, two = both(odd, sync_batch_norm=False)
    assert np.isfinite(np.concatenate([a.ravel() for a in two[1]["network"]])).all()
    differences = [np.abs(a - b).max() for a, b in zip(one[1]["network"], two[1]["network"], strict=True)]
    assert 1e-5 < max(differences) < 0.5


def test_devices_that_are_not_there():
    for devices, words in (("7", "numbers of the 0 GPUs"), ("cpu:x", "cpu:2"), ("gpu", "expected all")):
        with pytest.raises(ValueError, match=re.escape(words)):
            train.devices.strategy(Launch(devices=devices))
    with pytest.raises(ValueError, match="--worker must be 0 to 1"):
        train.devices.strategy(Launch(workers="a:1,b:1", worker=2))


# === Several machines ===


TRAIN = "from training import logger; logger.Recorder.draw = lambda *_: None; import train; train.main()"


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(count, run, *more, by_environment=False):
    """Start the processes of a run, which know of each other by --workers or by TF_CONFIG."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(count)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", TRAIN, "--config", "tiny.yaml", "--run", run, *more]
    pipes, processes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}, []
    for i in range(count):
        own, printed = environment, ["--workers", ",".join(workers), "--worker", str(i)]
        if by_environment:
            printed = []
            own = {
                **own,
                "TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}),
            }
        processes.append(subprocess.Popen([*command, *printed], env=own, **pipes))
    return processes


def saves(processes, run):
    """Wait until a run, that was just started, has saved."""
    before = checkpoints.files(Path("checkpoint", run))
    while checkpoints.files(Path("checkpoint", run)) == before:
        assert all(process.poll() is None for process in processes), processes[0].communicate()[0][-3000:]
        time.sleep(0.02)


def ends(processes, seconds=90):
    printed = [process.communicate(timeout=seconds)[0] for process in processes]
    for process, text in zip(processes, printed, strict=True):
        assert process.returncode == 0, text[-3000:]
    return printed


@pytest.mark.slow
def test_machines_are_one_and_end_together(odd):
    """Two workers, of which one is killed, then the other, then one gets Ctrl-C; then three: as one process."""
    settings = {**TINY, "data": odd, "epochs": 6}
    Path("tiny.yaml").write_text(yaml.safe_dump(settings))
    for lost, more in ((1, []), (0, ["--resume"])):
        processes = start(2, "lost", "--save_every", "1", *more)
        saves(processes, "lost")
        processes[lost].kill()
        left = processes[1 - lost]
        printed = left.communicate(timeout=60)[0]
        assert left.returncode == 1, printed[-3000:]
        assert f"worker {1 - lost}: one of the workers {lost} (127.0.0.1:" in printed
        assert "is gone; start all of them again with --resume" in printed

    processes = start(2, "lost", "--save_every", "1", "--resume", by_environment=True)
    saves(processes, "lost")
    processes[1].send_signal(signal.SIGINT)
    for process in processes:
        printed = process.communicate(timeout=60)[0]
        assert process.returncode == 130 and "go on with the same command and --resume" in printed, printed[-3000:]
    assert not checkpoints.load(Path("checkpoint/lost"))[0]["finished"]
    processes = start(3, "lost", "--resume", by_environment=True)
    train.train(Settings(**settings, run="one"), Launch(devices="cpu"))
    ends(processes)
    check_same(*(checkpoints.load(Path("checkpoint", run)) for run in ("one", "lost")))
    assert len(pd.read_csv("output/lost/log.csv")) == 6
