"""The learning rate as a function of the updates: Keras's schedules, those in steps of epochs, PyTorch's OneCycleLR."""

import math

import keras
from keras import ops

RESTART, GROWTH = 10, 2.0  # cosine_restart: epochs of the first fall, and how many times longer each next one is
STEP = (10, 0.1)  # step: epochs, factor
EXP = 0.95  # exp: factor after every epoch


@keras.saving.register_keras_serializable("lesion")
class EveryEpoch(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose rate changes after each `an_epoch` updates alone."""

    def __init__(self, schedule, an_epoch):
        self.schedule = schedule
        self.an_epoch = an_epoch

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
        self.rate = rate
        self.updates = updates

    def __call__(self, step):
        step = ops.cast(step, "float32")
        top = 0.3 * self.updates - 1  # the update with the highest rate
        rises = step <= top
        progress = ops.where(rises, step / top, (step - top) / (self.updates - 1 - top))
        start = ops.where(rises, self.rate / 25, self.rate)
        end = ops.where(rises, self.rate, self.rate / 250_000)
        return end + (start - end) * 0.5 * (1 + ops.cos(math.pi * ops.minimum(progress, 1.0)))

    def get_config(self):
        return {"rate": self.rate, "updates": self.updates}


def build(settings, an_epoch: int, unfrozen: bool = False):
    """The rate of a phase of the run as a function of its updates, or a number.

    Args:
        settings: config.Settings. an_epoch: updates in an epoch.
        unfrozen: the second phase, after `freeze_epochs`, instead of the first.

    Returns: keras.optimizers.schedules.LearningRateSchedule, or float.
    """
    epochs = settings.freeze_epochs or settings.epochs
    factor = 1.0
    if unfrozen:
        epochs = settings.epochs - settings.freeze_epochs
        factor = settings.unfreeze_factor
    rate = settings.learning_rate * factor
    lowest = settings.final_rate * factor
    updates = epochs * an_epoch
    low = lowest / rate if rate else 0.0
    schedules = keras.optimizers.schedules
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
            period = settings.period or STEP[0]
            return schedules.ExponentialDecay(rate, period * an_epoch, settings.decay or STEP[1], staircase=True)
        case "exp":
            return schedules.ExponentialDecay(rate, an_epoch, settings.decay or EXP, staircase=True)
        case "onecycle":
            return OneCycle(rate, updates)
    return rate
