import json

import pytest
import yaml

import config
from utils import study_settings

SOURCE = """\
epochs: 40
batch_size: 32
lr: 1e-4
load: false
scale: 0.5
val: 10.0
amp: true
bilinear: true
classes: 5
model: unet-convnext-attention
pretrained: true
freeze_encoder: false
scheduler: cosine
optimizer: adam
init: kaiming
t_max: 30
eta_min: 1e-6
weight_decay: 1e-8
momentum: 0.999
"""


def parsed(folder, *argv, **changes):
    file = folder / "exp_1.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(SOURCE), **changes}, sort_keys=False))
    return config.parse(["--config", str(file), *argv])


def test_the_studys_keys_are_read_and_told(tmp_path, capsys):
    settings, launch = parsed(tmp_path, "--epochs", "3", "--options.width", "24")
    assert (settings.run, settings.epochs, settings.batch_size, settings.learning_rate) == ("exp_1", 3, 32, 1e-4)
    assert settings.model == "attributes_convnext_unet" and settings.weights == "imagenet"
    assert settings.options == {"upsample": "bilinear", "classes": 5, "freeze_encoder": False, "width": 24}
    assert (settings.schedule, settings.period, settings.final_rate) == ("cosine", 30, 1e-6)
    assert (settings.optimizer, settings.weight_decay, settings.epsilon, settings.momentum) == ("adam", 1e-8, 1e-8, 0)
    assert (settings.initializer, settings.validation_share, settings.precision) == ("kaiming", 0.1, "bfloat16")
    assert (settings.loss, settings.clip, settings.flip) == ("batch_dice", 1.0, True)
    assert settings.data == "dataset_isic18_task2_128x128" and launch == config.Launch()
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2 + len(yaml.safe_load(SOURCE))
    for line in (
        "  lr: 1e-4 -> learning_rate: 0.0001",
        "  model: unet-convnext-attention -> model: attributes_convnext_unet",
        "  t_max: 30 -> period: 30 (then the rate stays the lowest, where PyTorch's would rise again)",
        "  load: false -> nothing",
        "  momentum: 0.999 -> nothing (only sgd and rmsprop have one)",
        "  scale: 0.5 -> data: dataset_isic18_task2_128x128 (images are brought to 128 x 128 when they are prepared)",
    ):
        assert line in told


@pytest.mark.parametrize("scheduler", study_settings.SCHEDULES)
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "adagrad"])
def test_every_schedule_and_optimiser_has_a_counterpart(tmp_path, scheduler, optimizer):
    settings, _ = parsed(tmp_path, scheduler=scheduler, optimizer=optimizer, model="unet", load="exp_0")
    assert settings.optimizer == optimizer and settings.model == "attributes_unet" and settings.weights is None
    assert settings.schedule == ("constant" if scheduler in ("none", "reduce_lr") else scheduler)
    watched = (4, "val_dice") if scheduler == "reduce_lr" else (0, "val_loss")
    assert (settings.plateau, settings.monitor) == watched
    assert settings.learning_rate == (1e-3 if scheduler == "onecycle" else 1e-4)
    assert settings.momentum == (0.999 if optimizer in ("sgd", "rmsprop") else 0)


def test_few_keys_are_enough(tmp_path):
    file = tmp_path / "few.yaml"
    file.write_text("model: unet-residual\noptimizer: adamw\n")
    settings, launch = config.parse([f"--config={file}", "--init", "mine", "--data", "there", "--run", "other"])
    assert (settings.run, settings.model, settings.data) == ("other", "attributes_residual_unet", "there")
    assert settings.weight_decay == 0.01 and launch.init == "mine"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scheduler": "poly"}, ["scheduler: poly has no counterpart", "cosine_restart"]),
        ({"model": "unet++"}, ["model: unet++ has no counterpart", "unet-residual"]),
        ({"amp": "yes please"}, ["amp: yes please has no counterpart; there are: true, false"]),
        ({"lr": "small"}, ["lr: small has no counterpart; expected a number"]),
        ({"load": "MODEL.pth"}, ["load: MODEL.pth has no counterpart", "model.py import"]),
        ({"val": 0}, ["validation_share is 0"]),
        ({"learning_rate": 1e-3}, ["lr", "did you mean learning_rate?"]),  # a file of both is neither
    ],
)
def test_a_value_without_counterpart_is_named(tmp_path, changes, words):
    with pytest.raises(SystemExit) as error:
        parsed(tmp_path, **changes)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_our_own_files_are_left_alone(tmp_path):
    file = tmp_path / "ours.yaml"
    file.write_text("model: unet\nepochs: 3\noptimizer: adam\n")
    argv = ["--config", str(file), "--epochs", "2"]
    assert study_settings.translated(argv) == argv
    assert json.loads(json.dumps(config.parse(argv)[0].options)) == {}
