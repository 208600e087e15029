import pytest
import yaml

import config
from utils import attribute_study

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


def imported(folder, *argv, **changes):
    """The settings that a file of the study's amounts to, through the file that is written of it."""
    theirs, ours = folder / "exp_1.yaml", folder / "mine" / "first.yaml"
    theirs.write_text(yaml.safe_dump({**yaml.safe_load(SOURCE), **changes}, sort_keys=False))
    config.main(["import", str(theirs), "--out", str(ours)])
    assert [path.name for path in ours.parent.iterdir()] == ["first.yaml"]
    return config.parse(["--config", str(ours), *argv])


def test_the_studys_keys_are_translated_and_printed(tmp_path, capsys):
    settings, launch = imported(tmp_path, "--epochs", "3", "--options.width", "24")
    assert (settings.run, settings.epochs, settings.batch_size, settings.learning_rate) == ("first", 3, 32, 1e-4)
    assert settings.model == "attributes_convnext_unet" and settings.weights == "imagenet"
    assert settings.options == {"upsample": "bilinear", "classes": 5, "freeze_encoder": False, "width": 24}
    assert (settings.schedule, settings.period, settings.final_rate) == ("cosine", 30, 1e-6)
    assert (settings.optimizer, settings.weight_decay, settings.epsilon, settings.momentum) == ("adam", 1e-8, 1e-8, 0)
    assert (settings.initializer, settings.validation_fraction, settings.precision) == ("kaiming", 0.1, "bfloat16")
    assert (settings.loss, settings.clip, settings.flip) == ("batch_dice", 1.0, True)
    assert settings.data == "dataset_isic18_task2_128x128" and launch == config.Launch()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3 + len(yaml.safe_load(SOURCE))
    for line in (
        "  lr: 0.0001 -> learning_rate: 0.0001",
        "  model: unet-convnext-attention -> model: attributes_convnext_unet",
        "  t_max: 30 -> period: 30 (then the rate stays the lowest, where PyTorch's would rise again)",
        "  load: false -> nothing",
        "  momentum: 0.999 -> nothing (only sgd and rmsprop have one)",
        "  scale: 0.5 -> data: dataset_isic18_task2_128x128 (images are brought to 128 x 128 when they are prepared)",
    ):
        assert line in printed


@pytest.mark.parametrize("scheduler", attribute_study.SCHEDULES)
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "adagrad"])
def test_every_schedule_and_optimizer_has_a_counterpart(tmp_path, scheduler, optimizer):
    settings, _ = imported(tmp_path, scheduler=scheduler, optimizer=optimizer, model="unet", load="exp_0")
    assert settings.optimizer == optimizer and settings.model == "attributes_unet" and settings.weights is None
    assert settings.schedule == ("constant" if scheduler in ("none", "reduce_lr") else scheduler)
    watched = (4, "val_dice") if scheduler == "reduce_lr" else (0, "val_loss")
    assert (settings.plateau, settings.monitor) == watched
    assert settings.learning_rate == (1e-3 if scheduler == "onecycle" else 1e-4)
    assert settings.momentum == (0.999 if optimizer in ("sgd", "rmsprop") else 0)


def test_few_keys_are_enough(tmp_path):
    file = tmp_path / "few.yaml"
    file.write_text("model: unet-residual\noptimizer: adamw\n")
    config.main(["import", str(file), "--out", str(tmp_path / "ours.yaml")])
    settings, launch = config.parse([f"--config={tmp_path / 'ours.yaml'}", "--init", "mine", "--data", "there"])
    assert (settings.run, settings.model, settings.data) == ("ours", "attributes_residual_unet", "there")
    assert settings.weight_decay == 0.01 and launch.init == "mine"


def test_the_run_to_begin_with_is_kept(tmp_path):
    assert imported(tmp_path, load="exp_0")[1].init == "exp_0"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scheduler": "poly"}, ["scheduler: poly has no counterpart", "cosine_restart"]),
        ({"model": "unet++"}, ["model: unet++ has no counterpart", "unet-residual"]),
        ({"amp": "yes please"}, ["amp: yes please has no counterpart; there are: true, false"]),
        ({"lr": "small"}, ["exp_1.yaml: lr: small has no counterpart; expected a number"]),
        ({"load": "MODEL.pth"}, ["load: MODEL.pth has no counterpart", "model.py import"]),
        ({"val": 0}, ["validation_fraction is 0"]),
        (
            {"learning_rate": 1e-3},
            ["exp_1.yaml is not in the keys of the attribute study"],
        ),  # a file of both is neither
    ],
)
def test_a_value_without_counterpart_is_named(tmp_path, changes, words):
    with pytest.raises(SystemExit) as error:
        imported(tmp_path, **changes)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_our_own_files_are_none_of_the_studys(tmp_path):
    file = tmp_path / "ours.yaml"
    file.write_text("model: unet\nepochs: 3\noptimizer: adam\n")
    assert config.parse(["--config", str(file), "--epochs", "2"])[0].epochs == 2
    with pytest.raises(SystemExit, match=r"ours\.yaml is not in the keys of the attribute study"):
        config.main(["import", str(file), "--out", str(tmp_path / "mine.yaml")])
    with pytest.raises(SystemExit, match="is the file itself: name another one"):
        config.main(["import", str(file), "--out", str(file)])
    assert not (tmp_path / "mine.yaml").exists()


@pytest.mark.parametrize("content", [{"lr": 1e-3}, {"model": "unet-attention", "epochs": 3}])
def test_training_names_the_command_that_translates(tmp_path, content):
    file = tmp_path / "theirs.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(SystemExit) as error:
        config.parse(["--config", str(file)])
    assert f"python config.py import {file} --out mine.yaml" in str(error.value)
