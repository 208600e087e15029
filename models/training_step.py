"""Networks with a training step of their own (AdSTNet, JAAL-Net): the contract, and parts of such steps.

Their steps are TensorFlow's: they run under `fit`, and in any `strategy.run` of tf.distribute. Every term of a loss is
one value an image, and the loss is the mean over the images of all devices, however the batch is spread over them.
"""

import keras
from keras import ops


class TrainingModel(keras.Model):
    """A functional network that trains by a step of its own, and of which a part is deployed.

    The training loop recognizes it by this class. A subclass writes

        deploy()                         the network that is validated, saved and used: images -> logits (B, H, W, C)
        labels(masks)                    what its step learns from, made by tf.data; without it, the masks themselves
        train_step(data, forward=None)   one update of every optimizer; ends with `return self.log(...)`
        test_step(data)                  the same terms in inference mode, no update
        optimizers                       all of them; without it, the compiled one alone

    where `data` is (images, labels, weights), the weights (B,) or None, and `forward` a function of images and weights
    to the outputs in training mode; None: this network's own call.

    Args:
        inputs, outputs: as of a functional keras.Model.
        means: metrics of what the step logs beside `loss`, by their names.
        name: str, the model's name.
    """

    def __init__(self, inputs, outputs, means: list[keras.metrics.Mean], name: str):
        super().__init__(inputs, outputs, name=name)
        self.loss_mean = keras.metrics.Mean("loss")
        self.means = means
        self.scores = []

    # --- the contract
    def deploy(self) -> keras.Model:
        raise NotImplementedError

    def labels(self, masks):
        """What the training step learns from, of masks float32 {0, 1} (B, H, W, C)."""
        return masks

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """All optimizers of the step; the first has the learning rate that is logged."""
        return [self.optimizer]

    # --- its parts
    def compile(self, optimizer="adam", loss=None, weighted_metrics=None, **options):
        """As of every keras.Model. loss, weighted_metrics: of the deployed network's logits (B, H, W, C) and masks."""
        super().compile(optimizer=optimizer, **options)
        self.loss = None if loss is None else keras.losses.get(loss)
        self.scores = list(weighted_metrics or [])

    def get_compile_config(self):
        own = {"loss": self.loss, "weighted_metrics": self.scores}
        return {**super().get_compile_config(), **keras.saving.serialize_keras_object(own)}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def forward(self, images, weights=None):
        """The outputs in training mode, float32; the weights of the images do not matter here."""
        return float32(self(images, training=True))

    @property
    def metrics(self):
        """All that is logged, in this order: the loss, the compiled metrics, the step's own means."""
        return [self.loss_mean, *self.scores, *self.means]

    def log(self, values, masks, logits, weights):
        """Update all metrics; returns {name: value so far}.

        values: dict of (B,): `loss`, and those of `means`, by name. masks, logits: (B, H, W, C). weights: (B,) or None.
        """
        for mean in (self.loss_mean, *self.means):
            mean.update_state(values[mean.name], sample_weight=weights)
        for score in self.scores:
            score.update_state(masks, logits, sample_weight=weights)
        return {metric.name: metric.result() for metric in self.metrics}


def deployed(network: keras.Model) -> keras.Model:
    """The network that is validated, saved and used: of a TrainingModel its part, else the network itself."""
    return network.deploy() if isinstance(network, TrainingModel) else network


# === Parts of a step ===


def float32(tensors):
    """Tensors after the operation that keeps bfloat16 within the network (compute/precision.py)."""
    from compute import precision  # needs TensorFlow, which the networks themselves do not

    return precision.float32(tensors)


def fractions(images, weights=None):
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


def descend(optimizer: keras.optimizers.Optimizer, tape, loss, variables: list):
    """One update of the variables. `loss` has gone through `optimizer.scale_loss` on the tape."""
    optimizer.apply(tape.gradient(loss, variables), variables)


@keras.saving.register_keras_serializable(package="lesion")
class Below(keras.metrics.Mean):
    """Logged flag: 1 while the mean of what was given is below `bound`, else 0."""

    def __init__(self, name, bound, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.bound = bound

    def result(self):
        return ops.cast(ops.logical_and(self.count > 0, super().result() < self.bound), "float32")

    def get_config(self):
        return {"name": self.name, "bound": self.bound, "dtype": self.dtype}
