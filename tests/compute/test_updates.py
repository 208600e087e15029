"""Updates of the weights: some are made in part."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from compute.updates import GlobalBatchOptimizer
from config import Settings
from training import optimizers

GRADIENTS = ([0.5, -2.0], [-0.25, 1.0], [0.125, 0.5])


def after(optimizer, variables):
    """The values of variables after updates by GRADIENTS, compiled."""
    optimizer.build(variables)

    @tf.function(autograph=False)
    def update(gradient):
        optimizer.apply([gradient] * len(variables), variables)

    for gradient in GRADIENTS:
        update(tf.constant(gradient))
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop", "adagrad"])
def test_a_factor_is_one_of_the_learning_rate(name):
    """The weight decays, and momentum adds up, as with an optimizer of a tenth of the rate."""
    momentum = {"momentum": 0.8} if name in ("sgd", "rmsprop") else {}
    settings = {"optimizer": name, "weight_decay": 0.3, "schedule": "exp", **momentum}

    def made(rate):
        return optimizers.build(Settings(learning_rate=rate, **settings), 1)

    slow, fast = (keras.Variable([2.0, -1.0], name=name) for name in ("slow", "fast"))
    optimizer = GlobalBatchOptimizer(made(0.1), factors={slow.path: 0.1})
    copy = GlobalBatchOptimizer.from_config(optimizer.get_config())
    assert copy.factors == optimizer.factors
    found = after(optimizer, [slow, fast])
    for rate, value in zip((0.01, 0.1), found, strict=True):
        (expected,) = after(made(rate), [keras.Variable([2.0, -1.0])])
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-6)


def test_gradients_are_limited_together():
    """The norm of both gradients counts, whatever is made of the update."""
    slow, fast = (keras.Variable([0.0], name=name) for name in ("slow", "fast"))
    optimizer = GlobalBatchOptimizer(keras.optimizers.SGD(1.0, global_clipnorm=1.0), factors={slow.path: 0.5})
    optimizer.build([slow, fast])
    optimizer.apply([tf.constant([3.0]), tf.constant([4.0])], [slow, fast])
    np.testing.assert_allclose([slow.numpy()[0], fast.numpy()[0]], [-0.3, -0.8], rtol=1e-6)
