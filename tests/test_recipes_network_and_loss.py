"""The recipes of CONTRIBUTING.md for a new network and a new loss: a file or class and a line, and they are everywhere.

Both are put into one copy of the project and tried in one process, which imports TensorFlow once.
"""

import pytest
import yaml
from discs import write_discs
from project_copy import copy_project, put_before, run_code

pytestmark = pytest.mark.slow
NETWORK = '''\
"""Two convolutions: the smallest network that there is."""

import keras

from models import layers


def plain_cnn(input_shape, classes=1, width=4, name="plain_cnn"):
    """Two 3x3 convolutions: (B, H, W, C) -> float32 logits (B, H, W, classes)."""
    inputs = keras.Input(layers.check_size(input_shape, 1, name), name="image")
    x = layers.conv_norm_relu(inputs, width, "encoder0")  # (B, H, W, width)
    return keras.Model(inputs, layers.logits(x, classes), name=name)
'''
NETWORK_LINE = (
    '    "plain_cnn": Network("models.plain_cnn:plain_cnn", "nobody", (32, 48, 3), "unit", 1, encoder="encoder"),\n'
)
LOSS = '''\
@keras.saving.register_keras_serializable(PACKAGE)
class Brier(_Loss):
    """Mean squared difference of probabilities and masks, times `weight`."""

    parameters = ("weight",)

    def __init__(self, weight=1.0, **kwargs):
        super().__init__(**kwargs)
        self.weight = _positive("weight", weight)

    def per_image(self, masks, logits):
        return self.weight * ops.mean((ops.sigmoid(logits) - masks) ** 2, axis=(1, 2, 3))  # (B,)


'''
LOSS_LINE = '    "brier": Brier,\n'
CODE = """
import model, train, evaluate

model.main(["plain_cnn"])
train.main(["--config", "toy.yaml"])
train.main(["--config", "toy.yaml", "--run", "other", "--model", "unet", "--loss", "bce"])
for run in ("toy", "other"):
    evaluate.main(["--run", run, "--split", "test", "--at", "network"])
evaluate.main(["--compare", "toy", "other"])
train.main(["--help"])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with both, after CODE; (folder, what was printed)."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    (folder / "models" / "plain_cnn.py").write_text(NETWORK)
    put_before(folder / "model.py", '    "unext": Network(', NETWORK_LINE)
    put_before(folder / "loss.py", "# === Overlap losses ===\n", LOSS)
    put_before(folder / "loss.py", '    "structure": Structure,\n', LOSS_LINE)
    write_discs(folder / "data", counts={"train": 8, "val": 2, "test": 3})
    chosen = {"data": "data", "model": "plain_cnn", "options": {"width": 2}, "loss": "bce + 0.5*brier(weight=2)"}
    (folder / "toy.yaml").write_text(yaml.safe_dump({**chosen, "epochs": 1, "batch_size": 4}))
    return folder, run_code(folder, CODE)


def test_a_network_is_one_file_and_one_line(project):
    folder, printed = project
    assert "encoder0_conv" in printed  # python model.py plain_cnn
    assert "plain_cnn" in printed.split("networks (--model):")[1].split("Losses")[0]
    for file in (
        "checkpoint_best/toy/README.md",
        "output/toy/test_network/report.md",
        "output/compare_toy_other/report.md",
    ):
        assert "plain_cnn" in (folder / file).read_text(), file


def test_a_loss_is_one_class_and_one_line(project):
    folder, printed = project
    assert "brier" in printed.split("Losses (--loss):")[1]
    spec = "bce + 0.5*brier(weight=2)"
    for file in ("checkpoint_best/toy/README.md", "output/compare_toy_other/report.md"):
        assert spec in (folder / file).read_text(), file
    losses = [(folder / f"output/{run}/log.csv").read_text().splitlines()[1].split(",")[1] for run in ("toy", "other")]
    assert float(losses[0]) != float(losses[1])
