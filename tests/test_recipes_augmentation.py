"""The recipe of CONTRIBUTING.md for a new augmentation: one function in one file, and it is everywhere."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from discs import write_discs
from project_copy import copy_project, put_before

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
FILE = "imaging/augmentations.py"
BEFORE = "# === Covering and mixing ===\n"  # where in the file's order it is put
TOY = '''\
@augmentation("image", 0.0, 0, 64, preview=20.0)
def noise(images, deviation, seed):
    """Add Gaussian noise of this standard deviation, in values 0 to 255."""
    return images + deviation * tf.random.stateless_normal(tf.shape(images), seed)


'''
# What the copy of the project has to do with the toy, in one process that imports TensorFlow once.
SCRIPT = """
import contextlib, dataclasses, io
import numpy as np
import augmentation, config, pipeline, train
from datasets.arrays import open_split
from imaging.augmentations import Augmentations, augment

shown = io.StringIO()
with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
    config.parse(["--help"])
assert "--noise" in shown.getvalue()
assert "standarddeviation,invalues0to255;0to64" in "".join(shown.getvalue().split())
settings, _ = config.parse(["--config", "toy.yaml"])
assert settings.noise == 12.5
try:
    config.parse(["--noise", "65"])
except SystemExit as error:
    assert "noise is 65.0, expected 0 to 64" in str(error)
else:
    raise AssertionError("65 is out of range")

drawn = [title for title, _ in augmentation.panels(*augmentation.examples("data"))]
assert drawn.index("jpeg: 98") + 1 == drawn.index("noise: 20.0") == drawn.index("cutout: 0.5") - 1
augmentation.main(["--preview", "--data", "data", "--out", "sheet.png"])

batches = []
for deviation in (12.5, 0.0):
    chosen = dataclasses.replace(settings, normalize="unit", noise=deviation)
    batches.append(next(iter(pipeline.training(open_split("data", "train"), chosen)))[0].numpy())
assert 12 < 255 * (batches[0] - batches[1]).std() < 13
train.main(["--config", "toy.yaml"])

images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), "uint8")
old = Augmentations(flip=True, rotation=20.0, hue=9.0, cutout=0.5)
np.save("old.npy", augment(images, images[..., :1] > 99, old, (3, 4))[0])
"""


@pytest.fixture
def project(tmp_path):
    """A copy of the project's code."""
    copy_project(tmp_path)
    return tmp_path


def test_an_augmentation_is_one_function_in_one_file(project):
    put_before(project / FILE, BEFORE, TOY)
    write_discs(project / "data", counts={"train": 8, "val": 2})
    network = {"model": "unet", "options": {"width": 4, "depth": 2}, "loss": "bce", "epochs": 1, "batch_size": 8}
    (project / "toy.yaml").write_text(yaml.safe_dump({**network, "data": "data", "noise": 12.5}))
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (project / "sheet.png").stat().st_size > 10_000
    assert yaml.safe_load((project / "checkpoint_best/toy/settings.yaml").read_text())["noise"] == 12.5
    assert "| noise | 12.5 |" in (project / "checkpoint_best/toy/README.md").read_text()
    assert_draws_are_those_without_the_toy(project / "old.npy")


def assert_draws_are_those_without_the_toy(file):
    import numpy as np

    from imaging.augmentations import Augmentations, augment

    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), "uint8")
    old = Augmentations(flip=True, rotation=20.0, hue=9.0, cutout=0.5)
    assert np.array_equal(np.load(file), augment(images, images[..., :1] > 99, old, (3, 4))[0])
