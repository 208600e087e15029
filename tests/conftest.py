"""Shared by all tests: two logical CPU devices, to test MirroredStrategy without a GPU, and a tiny data set."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import pytest
import tensorflow as tf
from discs import write_discs

from compute import precision
from figures import training_curves

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    """The default precision is float32, whatever the CPU knows, and so is what a test leaves behind."""
    monkeypatch.setattr(precision, "CPUINFO", Path("none"))
    yield
    precision.use("float32")


@pytest.fixture(scope="session")
def discs(tmp_path_factory):
    """Prepared folder of 20, 6 and 5 images of 32 x 48; not to be written to."""
    return write_discs(tmp_path_factory.mktemp("data") / "discs")


@pytest.fixture(scope="module")
def undrawn():
    """Trainings do not draw their log, which takes longer than a tiny epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_curves, "curves", lambda log, path, title="": None)
        yield


@pytest.fixture(scope="module")
def graphs_as_traced():
    """TensorFlow does not rewrite graphs before it runs them, which takes longer than a few steps of a tiny network."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
