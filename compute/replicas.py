"""What a replica of a tf.distribute strategy has to know so that many compute what one would.

A global batch is cut into contiguous parts of nearly equal size, one a replica. A batch of fewer images than replicas
leaves some without any: these compute on an image of another replica, with weight 0. Whatever is summed or averaged
over images (loss, gradients, metrics, batch norms, losses that pool the batch) goes by the images' weights, so that
every remainder is exact. With one replica nothing here changes anything.
"""

import functools
import threading

import keras
import tensorflow as tf

_part = threading.local()  # .images: how many of this replica's images count; TensorFlow traces each in its own thread


def part(images, labels):
    """This replica's part of a global batch.

    Args:
        images: (B, H, W, C). labels: tensors (B, ...) in any structure.

    Returns:
        images (b, H, W, C), labels (b, ...), weights (b,) float32 in {0, 1}, with b ≥ 1.
    """
    context = tf.distribute.get_replica_context()
    replicas, replica = context.num_replicas_in_sync, context.replica_id_in_sync_group
    if replicas == 1:
        return images, labels, tf.ones(tf.shape(images)[:1])
    with tf.device("CPU:0"):  # so that no more than the part goes to a GPU
        count = tf.shape(images)[0]
        first, end = replica * count // replicas, (replica + 1) * count // replicas
        rows = tf.range(first, tf.maximum(end, first + 1))  # (b,)
        images, labels = keras.tree.map_structure(lambda x: x[rows[0] : rows[-1] + 1], (images, labels))
        weights = tf.cast(rows < end, tf.float32)
    _part.images = tf.reduce_sum(weights)
    return images, labels, weights


def total(values):
    """The sum over all replicas; its gradient is summed likewise."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def total_of_images(sums):
    """As `total`, for sums over images: those of a replica whose images do not count are left out."""
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1 and hasattr(_part, "images"):
        sums = tf.where(_part.images > 0, sums, tf.zeros_like(sums))
    return total(sums)


# === Optimisers ===


class Accumulating:
    """Makes an optimiser sum the gradients over all replicas first, and over several steps where wanted.

    Keras clips, and looks for overflow of float16, before it sums over the replicas, and its own accumulation does not
    run under MirroredStrategy. Here both see what one device would. `updating` says whether the step that is traced
    ends in an update; `fraction` what its images are of those of the update.
    """

    def __init__(self, optimizer, several_steps):
        inner = getattr(optimizer, "inner_optimizer", optimizer)  # float16: inside that which scales the loss
        self.updating, self.fraction, self.sums = True, None, []
        if several_steps:
            self.sums = [
                tf.Variable(
                    tf.zeros(v.shape),
                    trainable=False,
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.SUM,
                )
                for v in inner._trainable_variables
            ]
            scale_loss = optimizer.scale_loss
            optimizer.scale_loss = lambda loss: scale_loss(loss * tf.cast(self.fraction, loss.dtype))
        self.place, self.apply_one, optimizer.apply = inner._get_variable_index, optimizer.apply, self.apply
        inner._all_reduce_sum_gradients = list  # they are summed already

    def apply(self, gradients, variables=None):
        """In place of the optimiser's own `apply`."""
        gradients = [tf.zeros_like(v) if g is None else g for g, v in zip(gradients, variables, strict=True)]
        if self.sums:
            sums = [self.sums[self.place(v)] for v in variables]  # a frozen encoder's are left out
            gradients = [s.assign_add(g) for s, g in zip(sums, gradients, strict=True)]
        if not self.updating:
            return
        if self.sums:
            gradients = [tf.identity(g) for g in gradients]
            with tf.control_dependencies(gradients):
                for s in self.sums:
                    s.assign(tf.zeros(s.shape))
        self.apply_one(total(gradients), variables)


# === Batch normalisation ===


def fuse_batch_norm(network, synchronized=False):
    """Let TensorFlow's fused kernel compute the batch norms in training; nothing else of the network changes.

    Keras 3 builds batch normalisation from separate products, sums and means, which cost U-Net 16 a third of its step
    on CPUs. The fused kernel gives the same output; its running variance is the unbiased one, as in PyTorch. Over
    several replicas each normalises by its own images, or, `synchronized`, all by those of all; the running statistics
    are in either case means over the replicas by their numbers of images.
    """
    if keras.backend.backend() != "tensorflow":
        return
    for layer in network._flatten_layers(include_self=False):
        if type(layer) is keras.layers.BatchNormalization and layer.scale and layer.center and not layer.renorm:
            layer.call = functools.partial(_call, layer, layer.call, synchronized)


def _call(layer, unfused, synchronized, x, training=None, mask=None):
    if not training or not layer.trainable:
        return unfused(x, training=training, mask=mask)
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    if several and synchronized:
        y, mean, variance = _over_all(layer, x)
    else:
        gamma, beta = (tf.convert_to_tensor(w) for w in (layer.gamma, layer.beta))
        norm = tf.compat.v1.nn.fused_batch_norm
        y, mean, variance = norm(x, gamma, beta, epsilon=layer.epsilon, is_training=True)[:3]
        if several:
            sums = total(tf.stop_gradient(tf.stack([mean, variance, tf.ones_like(mean)])) * _part.images)  # (3, C)
            mean, variance = sums[0] / sums[2], sums[1] / sums[2]
    for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        new = moving * layer.momentum + batch * (1 - layer.momentum)
        _assign_here(moving.value, new)
    return y


def _over_all(layer, x):
    """Batch norm of x (b, H, W, C) by the images of all replicas: (y, mean (C,), unbiased variance (C,))."""
    values = tf.cast(x, tf.float32)
    shift = tf.stop_gradient(tf.convert_to_tensor(layer.moving_mean))  # near the mean: no cancellation below
    away, axes = values - shift, list(range(len(x.shape) - 1))
    pixels = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float32)
    sums = tf.stack([tf.reduce_sum(away, axes), tf.reduce_sum(away**2, axes), tf.fill(tf.shape(shift), pixels)])
    first, second, pixels = tf.unstack(total_of_images(sums))  # (C,) each
    mean = first / pixels
    variance = tf.maximum(second / pixels - mean**2, 0.0)
    scale = layer.gamma * tf.math.rsqrt(variance + layer.epsilon)
    y = tf.cast((away - mean) * scale + layer.beta, x.dtype)
    return y, tf.stop_gradient(mean) + shift, tf.stop_gradient(variance) * pixels / tf.maximum(pixels - 1, 1.0)


def _assign_here(variable, value):
    """Assign what all replicas have computed alike, with no further word between them."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        variable.assign(value)
    else:
        merge = tf.__internal__.distribute.interim.maybe_merge_call
        merge(_assign_each, tf.distribute.get_strategy(), variable, value)


def _assign_each(strategy, variable, value):
    strategy.extended.update(variable, lambda v, new: v.assign(new), args=(value,), group=False)
