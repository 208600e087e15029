"""The optimizer of the settings: Keras's own, and what PyTorch has and Keras has not.

PyTorch's weight decay is, but for AdamW, so many times each weight added to its gradient (L2). Its RMSprop and Adagrad
add epsilon to the root, Keras's under it, so Keras gets the square. Of SGD and RMSprop with momentum the update of
a step is the same while the rate stays; when it changes, Keras's momentum remembers updates, PyTorch's gradients.
"""

import keras
from keras import ops

from training import schedules


class L2:
    """For an optimizer, before its class: adds `l2` times each weight to its gradient, after clipping.

    The decoupled form, AdamW, shrinks all weights alike; here the decay too is divided by what Adam divides by.
    """

    def __init__(self, learning_rate=1e-3, l2=0.0, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.add(gradient, ops.multiply(variable, ops.cast(self.l2, variable.dtype)))
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable("lesion")
class AdamL2(L2, keras.optimizers.Adam):
    """Adam with L2."""


@keras.saving.register_keras_serializable("lesion")
class SGDL2(L2, keras.optimizers.SGD):
    """SGD with L2."""


@keras.saving.register_keras_serializable("lesion")
class RMSpropL2(L2, keras.optimizers.RMSprop):
    """RMSprop with L2."""


@keras.saving.register_keras_serializable("lesion")
class AdagradL2(L2, keras.optimizers.Adagrad):
    """Adagrad with L2."""


KINDS = {  # setting: without weight decay, with it
    "adam": (keras.optimizers.Adam, AdamL2),
    "sgd": (keras.optimizers.SGD, SGDL2),
    "rmsprop": (keras.optimizers.RMSprop, RMSpropL2),
    "adagrad": (keras.optimizers.Adagrad, AdagradL2),
}


def build(settings, an_epoch: int) -> keras.optimizers.Optimizer:
    """The optimizer of the settings, for the first phase of the run; `an_epoch` is the number of its updates."""
    name = settings.optimizer
    decay = settings.weight_decay
    options = {"global_clipnorm": settings.clip or None}
    if name in ("adam", "adamw"):
        options |= {"beta_1": settings.beta_1, "epsilon": settings.epsilon}
    if name in ("sgd", "rmsprop"):
        options["momentum"] = settings.momentum
    if name in ("rmsprop", "adagrad"):
        options["epsilon"] = settings.epsilon**2
    if name == "rmsprop":
        options["rho"] = 0.99
    if name == "adagrad":
        options["initial_accumulator_value"] = 0.0
    rate = schedules.build(settings, an_epoch)
    if name == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=decay, **options)
    plain, with_l2 = KINDS[name]
    return with_l2(rate, l2=decay, **options) if decay else plain(rate, **options)


def second_phase(optimizer: keras.optimizers.Optimizer, rate, begins: bool):
    """Give an optimizer the rate of the second phase.

    rate: float or schedule. begins: whether the phase begins now: the optimizer forgets the first one. Elsewhere, in a
    run that goes on, it has its state, and with it a rate that is a number.
    """
    if begins:
        for variable in optimizer.variables:
            variable.assign(ops.zeros_like(variable))
    if begins or callable(rate):
        optimizer.learning_rate = rate


def last_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The rate of the last update."""
    rate = optimizer.get_config()["learning_rate"]
    if isinstance(rate, dict):  # a schedule
        last = ops.maximum(optimizer.iterations - 1, 0)
        rate = ops.convert_to_numpy(keras.optimizers.schedules.deserialize(rate)(last))
    return float(rate)
