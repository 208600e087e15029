"""Optimisers by hand."""

import keras
import numpy as np
import pytest

import config
import train
from optimizers import AdamL2


def test_adam_with_l2_by_hand():
    """Two steps as PyTorch's Adam with weight_decay takes them."""
    weight, gradients, rate, l2 = 2.0, (0.5, -0.25), 0.1, 0.3
    variable, optimizer = keras.Variable([weight]), AdamL2(rate, l2=l2, epsilon=1e-8)
    mean = square = 0.0
    for step, gradient in enumerate(gradients, start=1):
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [variable])
        gradient += l2 * weight
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        weight -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        assert float(variable.value[0]) == pytest.approx(weight, abs=1e-5)
    assert AdamL2.from_config(optimizer.get_config()).l2 == l2


def test_the_settings_decide():
    settings = config.Settings(weight_decay=3e-4, beta_1=0.5, schedule="cosine", final_rate=1e-6)
    optimizer = train.optimizer(settings, 100)
    assert (type(optimizer), optimizer.l2, optimizer.beta_1) == (AdamL2, pytest.approx(3e-4), 0.5)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 50, 100)]
    np.testing.assert_allclose(rates, (1e-4, (1e-4 + 1e-6) / 2, 1e-6), rtol=1e-5)
    optimizer = train.optimizer(config.Settings(optimizer="adamw", weight_decay=0.05), 100)
    assert (type(optimizer), optimizer.weight_decay) == (keras.optimizers.AdamW, 0.05)
    assert type(train.optimizer(config.Settings(), 100)) is keras.optimizers.Adam
    with pytest.raises(ValueError, match=r"final_rate 0\.001 is above learning_rate 0\.0001"):
        config.Settings(schedule="cosine", final_rate=1e-3)
    with pytest.raises(ValueError, match="final_rate is that of schedule cosine"):
        config.Settings(final_rate=1e-6)
