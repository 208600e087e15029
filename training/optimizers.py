"""The optimiser of the settings and the schedule of its rate: Keras's own, and what PyTorch has and Keras has not.

PyTorch's weight decay is, but for AdamW, so many times each weight added to its gradient (L2). Its RMSprop and Adagrad
add epsilon to the root, Keras's under it, so Keras gets the square. Of SGD and RMSprop with momentum the update of
a step is the same while the rate stays; when it changes, Keras's momentum remembers updates, PyTorch's gradients.
"""

import math

import keras
from keras import ops

RESTART, GROWTH = 10, 2.0  # cosine_restart: epochs of the first fall, and how many times longer each next one is
STEP = (10, 0.1)  # step: epochs, factor
EXP = 0.95  # exp: factor after every epoch

# === Optimisers ===


class L2:
    """For an optimiser, before its class: adds `l2` times each weight to its gradient, after clipping.

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


def build(settings, an_epoch):
    """The optimiser of the settings, for the first phase of the run; `an_epoch` is the number of its updates."""
    name, decay = settings.optimizer, settings.weight_decay
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
    rate = schedule(settings, an_epoch)
    if name == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=decay, **options)
    plain, with_l2 = KINDS[name]
    return with_l2(rate, l2=decay, **options) if decay else plain(rate, **options)


def second_phase(optimizer, rate, begins):
    """Give an optimiser the rate, a number or a schedule, of the second phase; where that `begins`, it forgets the
    first; elsewhere, in a run that goes on, it has its state, and with it a rate that is a number."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # float16: inside that which scales the loss
    if begins:
        for variable in inner.variables:
            variable.assign(ops.zeros_like(variable))
    if begins or callable(rate):
        inner.learning_rate = rate


def last_rate(optimizer):
    """The rate of the last update, a float."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = inner._learning_rate
    if callable(rate):
        rate = rate(ops.maximum(inner.iterations - 1, 0))
    return float(ops.convert_to_numpy(rate))


# === Schedules ===


@keras.saving.register_keras_serializable("lesion")
class EveryEpoch(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose rate changes after each `an_epoch` updates alone."""

    def __init__(self, schedule, an_epoch):
        self.schedule, self.an_epoch = schedule, an_epoch

    def __call__(self, step):
        return self.schedule(ops.floor(ops.cast(step, "float32") / self.an_epoch) * self.an_epoch)

    def get_config(self):
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "an_epoch": self.an_epoch}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["an_epoch"])


@keras.saving.register_keras_serializable("lesion")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """PyTorch's OneCycleLR: half a cosine from rate/25 up to `rate` over 30 % of the updates, another down to
    rate/250,000 at the last one. The momenta stay as they are."""

    def __init__(self, rate, updates):
        self.rate, self.updates = rate, updates

    def __call__(self, step):
        step, top = ops.cast(step, "float32"), 0.3 * self.updates - 1  # the update with the highest rate
        rises = step <= top
        share = ops.where(rises, step / top, (step - top) / (self.updates - 1 - top))
        start, end = ops.where(rises, self.rate / 25, self.rate), ops.where(rises, self.rate, self.rate / 250_000)
        return end + (start - end) * 0.5 * (1 + ops.cos(math.pi * ops.minimum(share, 1.0)))

    def get_config(self):
        return {"rate": self.rate, "updates": self.updates}


def schedule(settings, an_epoch, unfrozen=False):
    """The rate of a phase of the run as a function of its updates, or a number.

    an_epoch: updates in an epoch. unfrozen: the second phase, after `freeze_epochs`, instead of the first.
    """
    epochs, rate, lowest = settings.freeze_epochs or settings.epochs, settings.learning_rate, settings.final_rate
    if unfrozen:
        epochs = settings.epochs - settings.freeze_epochs
        rate, lowest = rate * settings.unfreeze_factor, lowest * settings.unfreeze_factor
    updates, low, schedules = epochs * an_epoch, lowest / rate if rate else 0.0, keras.optimizers.schedules
    match settings.schedule:
        case "cosine" if settings.period:
            return EveryEpoch(schedules.CosineDecay(rate, settings.period * an_epoch, low), an_epoch)
        case "cosine":
            rise = min(settings.warmup_steps, updates - 1)
            warmup = {"warmup_target": rate, "warmup_steps": rise} if rise else {}
            return schedules.CosineDecay(0.0 if rise else rate, updates - rise, low, **warmup)
        case "cosine_restart":
            first = (settings.period or RESTART) * an_epoch
            return EveryEpoch(schedules.CosineDecayRestarts(rate, first, GROWTH, alpha=low), an_epoch)
        case "step":
            period, factor = settings.period or STEP[0], settings.decay or STEP[1]
            return schedules.ExponentialDecay(rate, period * an_epoch, factor, staircase=True)
        case "exp":
            return schedules.ExponentialDecay(rate, an_epoch, settings.decay or EXP, staircase=True)
        case "onecycle":
            return OneCycle(rate, updates)
    return rate
