"""Optimizers and schedules by hand."""

import keras
import numpy as np
import pytest

import config
from config import Settings
from training import optimizers, schedules


def rates(*steps, an_epoch=1, unfrozen=False, **settings):
    """The rates of these updates by the settings."""
    made = schedules.build(Settings(**{"learning_rate": 1e-2, **settings}), an_epoch, unfrozen)
    return [float(made(step)) if callable(made) else made for step in steps]


def cosine(high, low, share):
    return low + (high - low) * (1 + np.cos(np.pi * share)) / 2


# === Optimizers ===


def by_pytorch(name, weight, gradients, rate, decay, momentum):
    """Updates of one weight as PyTorch's documentation writes them; the weight after each."""
    mean = square = buffer = 0.0
    for step, gradient in enumerate(gradients, start=1):
        if name == "adamw":
            weight -= rate * decay * weight
        else:
            gradient += decay * weight
        if name in ("adam", "adamw"):
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            weight -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        elif name == "adagrad":
            square += gradient**2
            weight -= rate * gradient / (np.sqrt(square) + 1e-10)
        else:
            square = 0.99 * square + 0.01 * gradient**2
            buffer = momentum * buffer + (gradient if name == "sgd" else gradient / (np.sqrt(square) + 1e-8))
            weight -= rate * buffer
        yield weight


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop", "adagrad"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_optimizers_are_pytorchs(name, decay):
    momentum = {"momentum": 0.8} if name in ("sgd", "rmsprop") else {}
    settings = Settings(optimizer=name, weight_decay=decay, learning_rate=0.1, epsilon=1e-8, **momentum)
    made = optimizers.build(settings, 1)
    copy = type(made).from_config(made.get_config())  # as JAAL-Net makes its second one
    for optimizer in (made, copy):
        variable, gradients = keras.Variable([2.0]), (0.5, -0.25, 0.125)
        for gradient, weight in zip(gradients, by_pytorch(name, 2.0, gradients, 0.1, decay, 0.8), strict=True):
            optimizer.apply([keras.ops.convert_to_tensor([gradient])], [variable])
            assert float(variable.value[0]) == pytest.approx(weight, abs=2e-5)


def test_the_settings_decide():
    settings = Settings(weight_decay=3e-4, beta_1=0.5, schedule="cosine", final_rate=1e-6, clip=1.0)
    optimizer = optimizers.build(settings, 2)
    assert (type(optimizer), optimizer.l2, optimizer.beta_1) == (optimizers.AdamL2, pytest.approx(3e-4), 0.5)
    assert optimizer.global_clipnorm == 1.0
    assert type(optimizers.build(Settings(), 1)) is keras.optimizers.Adam
    assert optimizers.build(Settings(optimizer="adamw", weight_decay=0.05), 1).weight_decay == 0.05


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schedule": "cosine", "final_rate": 1e-3}, r"final_rate 0\.001 is above learning_rate 0\.0001"),
        ({"final_rate": 1e-6}, "final_rate is only for schedule cosine and cosine_restart"),
        ({"momentum": 0.9}, "momentum is only for optimizer sgd and rmsprop"),
        ({"schedule": "exp", "period": 3}, "period is only for schedule cosine and cosine_restart and step"),
        ({"schedule": "cosine", "period": 3, "warmup_steps": 5}, "cosine without period"),
        ({"freeze_epochs": 50}, "expected fewer than the 50 epochs"),
        ({"freeze_epochs": 1, "options": {"freeze_encoder": True}}, "use one"),
        ({"schedule": "step", "plateau": 3}, "schedule step lowers it already"),
    ],
)
def test_settings_that_do_not_belong_together(wrong, message):
    with pytest.raises(ValueError, match=message):
        config.Settings(**wrong)


# === Schedules ===


def test_schedules_by_hand():
    high, low = 1e-2, 1e-4
    # cosine: at every update, over all; after a rise; with a period epoch by epoch, and then no more
    found = rates(0, 50, 100, schedule="cosine", epochs=10, an_epoch=10, final_rate=low)
    np.testing.assert_allclose(found, [high, (high + low) / 2, low], rtol=1e-5)
    found = rates(0, 2, 4, 52, 100, schedule="cosine", epochs=10, an_epoch=10, warmup_steps=4)
    np.testing.assert_allclose(found, [0, high / 2, high, high / 2, 0], atol=1e-8)
    found = rates(0, 2, 3, 8, 11, 12, 30, schedule="cosine", an_epoch=3, period=4, final_rate=low)
    shares = (0, 0, 1 / 4, 2 / 4, 3 / 4, 1, 1)
    np.testing.assert_allclose(found, [cosine(high, low, share) for share in shares], rtol=1e-4)
    # cosine_restart: 10 epochs, then 20, then 40, from the highest rate each time
    found = rates(*(7 * e for e in (0, 5, 9, 10, 20, 29, 30, 69, 70)), schedule="cosine_restart", an_epoch=7)
    shares = (0, 5 / 10, 9 / 10, 0, 10 / 20, 19 / 20, 0, 39 / 40, 0)
    np.testing.assert_allclose(found, [cosine(high, 0, share) for share in shares], rtol=1e-3)
    assert rates(6, schedule="cosine_restart", an_epoch=7) == pytest.approx([high])
    # step and exp: by factors, after whole epochs
    found = rates(0, 29, 30, 59, 60, schedule="step", an_epoch=3)
    np.testing.assert_allclose(found, [1e-2, 1e-2, 1e-3, 1e-3, 1e-4], rtol=1e-5)
    np.testing.assert_allclose(rates(3, 4, schedule="step", period=2, decay=0.5, an_epoch=2), [1e-2, 5e-3], rtol=1e-5)
    np.testing.assert_allclose(rates(2, 3, 6, schedule="exp", an_epoch=3), [1e-2, 9.5e-3, 9.025e-3], rtol=1e-5)
    assert rates(0, 99) == [high, high]


def test_onecycle_is_pytorchs():
    """Of 10 updates the third has the highest rate: what torch.optim.lr_scheduler.OneCycleLR gives."""
    found = rates(*range(10), schedule="onecycle", epochs=2, an_epoch=5)
    expected = [cosine(high, low, share) for low, high, share in [(1e-2, 4e-4, 0), (1e-2, 4e-4, 0.5)]]
    expected += [cosine(1e-2, 4e-8, k / 7) for k in range(8)]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_each_phase_has_its_own_schedule():
    phases = {"schedule": "cosine", "epochs": 10, "freeze_epochs": 4, "unfreeze_factor": 0.1, "final_rate": 1e-4}
    np.testing.assert_allclose(rates(0, 40, an_epoch=10, **phases), [1e-2, 1e-4], rtol=1e-5)
    np.testing.assert_allclose(rates(0, 30, 60, an_epoch=10, unfrozen=True, **phases), [1e-3, 5.05e-4, 1e-5], rtol=1e-4)
    assert rates(0, unfrozen=True, freeze_epochs=4, unfreeze_factor=0.5) == [5e-3]
