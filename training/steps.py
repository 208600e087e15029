"""Steps of training and validation on one device, several, or several machines.

Keras's `fit` fails on several machines and cannot stop inside an epoch; these few functions serve all alike. A
network with a training step of its own (models/training_step.py) is trained by it, any other by `Loop.plain_step`.
Metrics stay on the device and are fetched once an epoch.
"""

import functools
import math

import keras
import tensorflow as tf

import loss
import model
import pipeline
from compute import batch_norm, precision, replicas
from datasets.split import Split
from models.training_step import TrainingModel, deployed, descend
from training import optimizers, schedules, score_metrics


def batches(network: keras.Model, split: Split, settings, first_step: int = 0) -> tf.data.Dataset:
    """Batches (images, labels) of a split as a network's steps take them, from `first_step` to the end of the run."""
    data = pipeline.training(split, settings, first_step)
    if not isinstance(network, TrainingModel):
        return data
    labels = network.labels
    data = data.map(lambda images, masks: (images, labels(masks)), num_parallel_calls=tf.data.AUTOTUNE)
    return data.prefetch(tf.data.AUTOTUNE)


class Loop:
    """Training steps, and validation.

    Args:
        network: compiled with a compute.updates.GlobalBatchOptimizer, which is built, within the strategy's scope, as
            this has to be made.
        settings: config.Settings.
        strategy: of tf.distribute.

    Attributes:
        deployed: the network that is validated and kept: a part of one that trains by a step of its own.
        optimizers: all GlobalBatchOptimizers of the network.
    """

    def __init__(self, network: keras.Model, settings, strategy: tf.distribute.Strategy):
        self.network = network
        self.settings = settings
        self.strategy = strategy
        self.special = isinstance(network, TrainingModel)
        self.deployed = deployed(network)
        self.optimizers = network.optimizers if self.special else [network.optimizer]
        self.loss = loss.from_spec(settings.loss, settings.class_weights)
        classes = self.deployed.output_shape[-1]
        self.training_metrics = [keras.metrics.Mean("loss"), *score_metrics.build(classes, settings.threshold)]
        if self.special:
            self.training_metrics = network.metrics
        self.validation_metrics = [keras.metrics.Mean("loss"), *score_metrics.build(classes, settings.threshold)]
        self.encoder = model.encoder(network, settings.model, settings.options) if settings.freeze_epochs else []
        self.training_pass = batch_norm.training_pass(network, settings.sync_batch_norm)
        self.functions = {}

    def reset(self):
        """Begin an epoch."""
        for metric in self.training_metrics:
            metric.reset_state()

    def phase(self, epoch: int, index: int, steps: int):
        """Get ready for step `index` of `steps` of an epoch: in the first `freeze_epochs` the encoder stays as it is.

        After them all learns, from where the weights are, with an optimizer that knows nothing of the first phase.
        """
        learns = epoch >= self.settings.freeze_epochs
        if learns != self.encoder[0].trainable:
            for layer in self.encoder:  # a batch norm that is not trainable uses its running statistics
                layer.trainable = learns
            self.functions = {}  # were traced for the other phase
        if learns:
            updates = math.ceil(steps / self.settings.accumulate)
            rate = schedules.build(self.settings, updates, unfrozen=True)
            begins = (epoch, index) == (self.settings.freeze_epochs, 0)
            for optimizer in self.optimizers:
                optimizers.second_phase(optimizer.rule, rate, begins)

    def results(self) -> dict[str, float]:
        """{name: mean over the epoch so far} over all devices; waits for the device."""
        return {metric.name: float(metric.result()) for metric in self.training_metrics}

    def state(self) -> list:
        """Variables beside the network's and the optimizers' that an epoch's rest depends on."""
        return [variable for metric in self.training_metrics for variable in metric.variables]

    def step(self, images, labels, index: int, steps: int, fraction: float, stop: bool = False):
        """One step.

        Args:
            images, labels: the global batch. index, steps: number of the step in the epoch, and of the epoch's steps.
            fraction: what the batch's images are of those of the update.
            stop: whether this process was asked to stop.

        Returns:
            tensor (2,): the loss of the epoch so far, not finite as soon as any of the metrics is not, and on how many
            workers `stop` was true. Over several replicas the loss is their plain mean.
        """
        last = (index + 1) % self.settings.accumulate == 0 or index + 1 == steps
        if last not in self.functions:
            spec = keras.tree.map_structure(_any_batch, (images, labels))
            number = tf.TensorSpec([], tf.float32)
            function = functools.partial(self.global_step, last)
            self.functions[last] = tf.function(function, (*spec, number, number), autograph=False)
        return self.functions[last](images, labels, tf.constant(fraction, tf.float32), tf.constant(float(stop)))

    def global_step(self, last: bool, images, labels, fraction, stop):
        """What `step` compiles. last: whether the step ends in an update. fraction, stop: scalars float32."""
        for optimizer in self.optimizers:
            optimizer.begin(last, fraction)

        def replica(images, labels, stop):
            images, labels, weights = replicas.part(images, labels)
            if self.special:
                results = self.network.train_step((images, labels, weights), self.forward)
            else:
                results = self.plain_step(images, labels, weights)
            value = results["loss"] + sum(0.0 * x for x in results.values())
            return replicas.total(tf.stack([value / self.strategy.num_replicas_in_sync, stop]))

        values = self.strategy.run(replica, (images, labels, stop))
        return self.strategy.experimental_local_results(values)[0]

    def forward(self, images, weights):
        """The network's outputs in training mode, float32. images: (b, H, W, C). weights: (b,) in {0, 1}."""
        return precision.float32(self.training_pass(images, weights))

    def plain_step(self, images, masks, weights):
        """The step of a network that has none of its own, on a replica's part of the batch: {name: mean so far}."""
        network = self.network
        with tf.GradientTape() as tape:
            logits = self.forward(images, weights)
            values = self.loss.call(masks, logits, weights)  # (b,)
            mean = tf.reduce_sum(values * weights) / replicas.total(tf.reduce_sum(weights))
            mean += sum(network.losses) / self.strategy.num_replicas_in_sync
            scaled = network.optimizer.scale_loss(mean)
        descend(network.optimizer, tape, scaled, network.trainable_variables)
        _update(self.training_metrics, values, masks, logits, weights)
        return {metric.name: metric.result() for metric in self.training_metrics}

    def validate(self, data: tf.data.Dataset) -> dict[str, float]:
        """{val_loss, val_dice, …} of the network that is kept, over (images, masks) of a data set."""
        for metric in self.validation_metrics:
            metric.reset_state()
        if "test" not in self.functions:
            self.functions["test"] = tf.function(self.global_test, data.element_spec, autograph=False)
        for images, masks in data:
            self.functions["test"](images, masks)
        return {f"val_{metric.name}": float(metric.result()) for metric in self.validation_metrics}

    def global_test(self, images, masks):
        """What `validate` compiles: takes a global batch into the metrics."""

        def replica(images, masks):
            images, masks, weights = replicas.part(images, masks)
            logits = precision.float32(self.deployed(images, training=False))
            _update(self.validation_metrics, self.loss.call(masks, logits, weights), masks, logits, weights)

        self.strategy.run(replica, (images, masks))


def _update(means, values, masks, logits, weights):
    """Take per-image losses (b,) into the first metric, masks and logits (b, H, W, C) into the others."""
    means[0].update_state(values, sample_weight=weights)
    for metric in means[1:]:
        metric.update_state(masks, logits, sample_weight=weights)


def _any_batch(tensor):
    """The type of a tensor, for any number of images."""
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
