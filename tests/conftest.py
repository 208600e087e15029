"""Shared by all tests: two logical CPU devices, to test MirroredStrategy without a GPU, and a tiny data set."""

import gc
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Tiny tensors are computed fastest by one thread, also in the processes that tests start.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
import pytest
import tensorflow as tf
from discs import write_discs

from compute import precision
from training import logger

USUAL = gc.get_threshold()
gc.set_threshold(50_000, 20, 20)  # building graphs makes many objects, through which Python would search often
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


LONGEST = (  # files
    *("test_special_steps", "test_model", "test_devices", "test_kills", "test_train", "test_precision"),
    *("test_conversion", "test_train_folds", "test_docs_commands"),
)


def pytest_collection_modifyitems(items):
    """The files that take longest come first, so that two test processes end at about the same time."""
    order = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONGEST)))


@pytest.fixture
def garbage_as_usual():
    """Garbage is collected as often as in any program, for tests that measure memory."""
    rare = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.set_threshold(*rare)


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


@pytest.fixture(scope="session", autouse=True)
def undrawn():
    """Trainings do not draw their log, which takes longer than a tiny epoch; gives the method that does."""
    draw = logger.Recorder.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logger.Recorder, "draw", lambda self, log: None)
        yield draw


@pytest.fixture
def drawn(undrawn, monkeypatch):
    """The trainings of this test draw their log."""
    monkeypatch.setattr(logger.Recorder, "draw", undrawn)


@pytest.fixture(scope="module")
def graphs_as_traced():
    """TensorFlow does not rewrite graphs before it runs them, which takes longer than a few steps of a tiny network."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
