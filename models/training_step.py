"""What the networks with a training step of their own share (AdSTNet, JAAL-Net).

Their steps are TensorFlow's: they run under `fit`, and in any `strategy.run` of tf.distribute. Every term of a loss is
one value an image, and the loss is the mean over the images of all devices, however the batch is spread over them.
"""

import keras
from keras import ops


def shares(images, weights=None):
    """What each image counts in the mean over the global batch: weight / sum of the weights on all devices, (B,)."""
    from compute.replicas import total  # needs TensorFlow, which the networks themselves do not

    weights = ops.ones(ops.shape(images)[:1]) if weights is None else ops.cast(weights, "float32")
    return weights / total(ops.sum(weights))


def per_image(values):
    """The mean of all that belongs to an image: (B, ...) -> (B,)."""
    return ops.mean(values, axis=tuple(range(1, len(values.shape)))) if len(values.shape) > 1 else values


def cross_entropy(target, logits):
    """Binary cross-entropy, mean over the pixels; `target` in [0, 1] or a number: (B, H, W, C) -> (B,)."""
    target = target * ops.ones_like(logits)
    return per_image(ops.binary_crossentropy(target, logits, from_logits=True))


def descend(optimizer, tape, loss, variables):
    """One update of the variables. `loss` has gone through `optimizer.scale_loss` on the tape."""
    optimizer.apply(tape.gradient(loss, variables), variables)


def update(means, values, weights):
    """Take values (B,) of a dictionary into the metrics of the same names."""
    for mean in means:
        mean.update_state(values[mean.name], sample_weight=weights)


@keras.saving.register_keras_serializable(package="lesion")
class Below(keras.metrics.Mean):
    """1 while the mean of what was seen is below `bound`, else 0: an alarm that stands in the log under its name."""

    def __init__(self, name, bound, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.bound = bound

    def result(self):
        return ops.cast(ops.logical_and(self.count > 0, super().result() < self.bound), "float32")

    def get_config(self):
        return {"name": self.name, "bound": self.bound, "dtype": self.dtype}
