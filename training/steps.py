"""Steps of training and validation on one device, several, or several machines, and of Keras's JAX backend.

Keras's `fit` fails on several machines and cannot stop inside an epoch; these few functions serve all alike. A
network with a training step of its own (`deploy`) is trained by it, any other by `_plain_step`. Sums over images
stay on the device until they are read, so that nobody waits for it after each step.
"""

import functools
import math

import keras
import numpy as np
import tensorflow as tf

import loss
import model
from compute import precision, replicas
from training import optimizers, score_metrics
from utils.errors import UserError


def build(network, settings, strategy):
    """The Loop for the Keras backend in use."""
    return Loop(network, settings, strategy) if keras.backend.backend() == "tensorflow" else JaxLoop(network, settings)


def scores(settings, classes):
    """New Keras metrics of the logged scores of metrics.SCORES, at the threshold of the settings."""
    return score_metrics.build(classes, settings.threshold)


class Loop:
    """Training steps, and validation.

    network: compiled, with its optimiser built, made within the strategy's scope, as this has to be.
    judged: the network that is validated and kept: the bare one, where training needs more.
    """

    within_epochs = True  # can stop and go on there

    def __init__(self, network, settings, strategy):
        self.network, self.strategy = network, strategy
        self.special = hasattr(network, "deploy")
        self.judged = network.deploy() if self.special else network
        self.loss = loss.build(settings.loss, settings.class_weights)
        classes = self.judged.output_shape[-1]
        self.seen = [keras.metrics.Mean("loss"), *scores(settings, classes)]  # of training, or the network has its own
        self.judgement = [keras.metrics.Mean("loss"), *scores(settings, classes)]
        self.settings, self.accumulate = settings, settings.accumulate
        self.encoder = model.encoder(network, settings.model, settings.options) if settings.freeze_epochs else []
        self.optimizers = getattr(network, "optimizers", [network.optimizer])
        several = self.accumulate > 1
        changed = several or strategy.num_replicas_in_sync > 1
        self.sums = [replicas.Accumulating(o, several) for o in self.optimizers] if changed else []
        replicas.fuse_batch_norm(network, settings.sync_batch_norm)
        precision.keep_outputs(network)
        for one in self.optimizers:
            precision.keep_updates(one)
        if self.special:  # Keras makes the list of its metrics at the first step; a checkpoint is read before
            network._compile_metrics.build(self.judged.output, self.judged.output)
        self.functions = {}

    def metrics(self):
        """The metrics of training."""
        return self.network.metrics if self.special else self.seen

    def reset(self):
        """Begin an epoch."""
        for metric in self.metrics():
            metric.reset_state()

    def phase(self, epoch, place, steps):
        """Get ready for step `place` of `steps` of an epoch: in the first `freeze_epochs` the encoder stays as it is.

        After them all learns, from where the weights are, with an optimiser that knows nothing of the first phase.
        """
        learns = epoch >= self.settings.freeze_epochs
        if learns != self.encoder[0].trainable:
            for layer in self.encoder:  # a batch norm that is not trainable uses its running statistics
                layer.trainable = learns
            self.functions = {}  # were traced for the other phase
        if learns:
            rate = optimizers.schedule(self.settings, math.ceil(steps / self.accumulate), unfrozen=True)
            for optimizer in self.optimizers:
                optimizers.second_phase(optimizer, rate, (epoch, place) == (self.settings.freeze_epochs, 0))

    def results(self):
        """{name: mean over the epoch so far} over all devices; waits for the device."""
        found = self.network.get_metrics_result() if self.special else {m.name: m.result() for m in self.seen}
        return {name: float(value) for name, value in found.items()}

    def state(self):
        """Variables beside the network's and the optimisers' that an epoch's rest depends on."""
        return [v for m in self.metrics() for v in m.variables] + [s for a in self.sums for s in a.sums]

    def step(self, images, labels, place, steps, fraction, stop=False):
        """One step.

        images, labels: the global batch. place, steps: number of the step in the epoch, and of the epoch's steps.
        fraction: what the batch's images are of those of the update. stop: whether this process was asked to stop.

        Returns:
            tensor (2,): the loss of the epoch so far, not finite as soon as any of the metrics is not, and on how many
            workers `stop` was true. Over several replicas the loss is their plain mean.
        """
        updating = (place + 1) % self.accumulate == 0 or place + 1 == steps
        if updating not in self.functions:
            spec = keras.tree.map_structure(_any_batch, (images, labels))
            function = functools.partial(self._train, updating)
            number = tf.TensorSpec([], tf.float32)
            self.functions[updating] = tf.function(function, (*spec, number, number), autograph=False)
        return self.functions[updating](images, labels, tf.constant(fraction, tf.float32), tf.constant(float(stop)))

    def _train(self, updating, images, labels, fraction, stop):
        def replica(images, labels, fraction, stop):
            images, labels, weights = replicas.part(images, labels)
            for one in self.sums:
                one.updating, one.fraction = updating, fraction
            step = self.network.train_step if self.special else self._plain_step
            results = step((images, labels, weights))
            value = results["loss"] + sum(0.0 * x for x in results.values())
            return replicas.total(tf.stack([value / self.strategy.num_replicas_in_sync, stop]))

        values = self.strategy.run(replica, (images, labels, fraction, stop))
        return self.strategy.experimental_local_results(values)[0]

    def _plain_step(self, data):
        (images, masks, weights), network = data, self.network
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            values = self.loss.call(masks, logits)  # (b,)
            mean = tf.reduce_sum(values * weights) / replicas.total(tf.reduce_sum(weights))
            mean += sum(network.losses) / self.strategy.num_replicas_in_sync
            scaled = network.optimizer.scale_loss(mean)
        variables = network.trainable_variables
        network.optimizer.apply(tape.gradient(scaled, variables), variables)
        _update(self.seen, values, masks, logits, weights)
        return {m.name: m.result() for m in self.seen}

    def validate(self, data):
        """{val_loss, val_dice, …} of the network that is kept, over (images, masks) of a data set."""
        for metric in self.judgement:
            metric.reset_state()
        if "test" not in self.functions:
            self.functions["test"] = tf.function(self._test, data.element_spec, autograph=False)
        for images, masks in data:
            self.functions["test"](images, masks)
        return {f"val_{m.name}": float(m.result()) for m in self.judgement}

    def _test(self, images, masks):
        def replica(images, masks):
            images, masks, weights = replicas.part(images, masks)
            logits = self.judged(images, training=False)
            _update(self.judgement, self.loss.call(masks, logits), masks, logits, weights)

        self.strategy.run(replica, (images, masks))


def _update(seen, values, masks, logits, weights):
    """Take per-image losses (b,) into the first metric, masks and logits (b, H, W, C) into the others."""
    seen[0].update_state(values, sample_weight=weights)
    for metric in seen[1:]:
        metric.update_state(masks, logits, sample_weight=weights)


def _any_batch(tensor):
    """The type of a tensor, for any number of images."""
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)


class JaxLoop:
    """The same on Keras's JAX backend, on one device, by Keras's own steps; stops and saves between epochs alone."""

    within_epochs = False

    def __init__(self, network, settings):
        tensorflow = {f"--accumulate {settings.accumulate}": settings.accumulate > 1}
        tensorflow |= {f"--freeze_epochs {settings.freeze_epochs}": settings.freeze_epochs > 0}
        tensorflow |= {settings.model: hasattr(network, "deploy")}
        for what in (name for name, wanted in tensorflow.items() if wanted):
            raise UserError(f"{what} needs Keras's TensorFlow backend, not {keras.backend.backend()}")
        self.network = self.judged = network
        self.optimizers = [network.optimizer]
        self.logs = {}

    def reset(self):
        self.network.reset_metrics()

    def results(self):
        return {name: float(value) for name, value in self.logs.items()}

    def state(self):
        return []

    def step(self, images, labels, *_, stop=False):
        self.logs = self.network.train_on_batch(images.numpy(), labels.numpy(), return_dict=True)
        return np.array([self.logs["loss"], stop])

    def validate(self, data):
        self.network.reset_metrics()
        for images, masks in data:
            logs = self.network.test_on_batch(images.numpy(), masks.numpy(), return_dict=True)
        return {f"val_{name}": float(value) for name, value in logs.items()}
