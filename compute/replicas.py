"""What makes the N replicas of a tf.distribute strategy compute what one device would.

A global batch is cut into contiguous parts of nearly equal size, one a replica. A batch of fewer images than replicas
leaves some without any: these compute on an image of another replica, with weight 0. Whatever is summed or averaged
over images (loss, gradients, metrics, batch norms, losses that pool the batch) goes by the images' weights, which are
handed on as tensors, so that every remainder is exact. With one replica nothing here changes anything.
"""

import keras
import tensorflow as tf


def part(images, labels):
    """This replica's part of a global batch.

    Args:
        images: (B, H, W, C). labels: tensors (B, ...) in any structure.

    Returns:
        images (b, H, W, C), labels (b, ...), weights (b,) float32 in {0, 1}, with b ≥ 1.
    """
    context = tf.distribute.get_replica_context()
    count_of_replicas = context.num_replicas_in_sync
    replica = context.replica_id_in_sync_group
    if count_of_replicas == 1:
        return images, labels, tf.ones(tf.shape(images)[:1])
    with tf.device("CPU:0"):  # so that no more than the part goes to a GPU
        count = tf.shape(images)[0]
        first = replica * count // count_of_replicas
        end = (replica + 1) * count // count_of_replicas
        rows = tf.range(first, tf.maximum(end, first + 1))  # (b,)
        images, labels = keras.tree.map_structure(lambda x: x[rows[0] : rows[-1] + 1], (images, labels))
        weights = tf.cast(rows < end, tf.float32)
    return images, labels, weights


def total(values):
    """The sum of tensors in any structure over all replicas; its gradient is summed likewise."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def assign_alike(variable: keras.Variable, value):
    """Assign a value that all replicas have computed alike, without another sum over them."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        variable.assign(value)
    else:
        tf.distribute.get_replica_context().merge_call(_assign_each, args=(variable.value, value))


def _assign_each(strategy, variable, value):
    strategy.extended.update(variable, lambda own, new: own.assign(new), args=(value,), group=False)
