"""The update of the weights: by the gradients of the global batch, summed over replicas and steps, in float32."""

import keras
import tensorflow as tf

from compute.precision import float32
from compute.replicas import assign_alike, total


@keras.saving.register_keras_serializable(package="lesion")
class GlobalBatchOptimizer(keras.optimizers.Optimizer):
    """An optimizer that gives the one inside, made as LossScaleOptimizer is, the gradients of the global batch.

    Keras clips, and checks float16 for overflow, before it sums over the replicas, and its own accumulation over
    steps does not run under MirroredStrategy. Here both see what one device would.

    Args:
        inner_optimizer: a Keras optimizer; for float16 a LossScaleOptimizer around one.
        accumulate: int, steps whose gradients make one update. Each step then says by `begin` which one it is.
        factors: {path of a variable: what its changes are multiplied by}; 1 for all others.
        name: str.
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        accumulate: int = 1,
        factors: dict[str, float] | None = None,
        name: str = "global_batch_optimizer",
    ):
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.accumulate = accumulate
        self.factors = factors or {}
        self.sums = {}  # id of a variable: the sum of its gradients on this replica
        self.begin(last=True, fraction=1.0)

    @property
    def rule(self) -> keras.optimizers.Optimizer:
        """The optimizer with the rule of the update, clipping and learning rate, inside any loss scaling."""
        inner = self.inner_optimizer
        return inner.inner_optimizer if isinstance(inner, keras.optimizers.LossScaleOptimizer) else inner

    def begin(self, last: bool, fraction):
        """Say of the step to be traced whether it ends in an update, and what its images are of those of the update.

        fraction: float, or scalar float32 tensor, in (0, 1].
        """
        self.last = last
        self.fraction = fraction

    def build(self, variables):
        self.inner_optimizer.build(variables)
        if self.accumulate > 1:
            self.sums = {id(variable): zeros_of_each_replica(variable.shape) for variable in variables}
        super().build(variables)

    @property
    def variables(self):
        return [*self.inner_optimizer.variables, *self.sums.values()]

    def scale_loss(self, loss):
        if self.accumulate > 1:
            loss = loss * tf.cast(self.fraction, loss.dtype)
        return self.inner_optimizer.scale_loss(loss)

    def apply(self, grads, trainable_variables=None):
        pairs = [(float32(g), v) for g, v in zip(grads, trainable_variables, strict=True) if g is not None]
        gradients, variables = zip(*pairs, strict=True)
        if self.accumulate > 1:
            gradients = self.accumulated(gradients, variables)
        if self.last:
            self.update(self.global_gradients(gradients), variables)

    def update(self, gradients, variables):
        """The update of the optimizer inside, of which variables with a factor make so much of a step.

        Adam's steps do not depend on the scale of its gradients: what is scaled is the change of the variable, with
        all that makes it, decay and momentum too.
        """
        slower = [v for v in variables if v.path in self.factors]
        before = [tf.identity(v.value) for v in slower]
        self.inner_optimizer.apply(gradients, variables)
        for variable, start in zip(slower, before, strict=True):
            assign_alike(variable, start + self.factors[variable.path] * (variable - start))

    def accumulated(self, gradients, variables):
        """The sums over the steps of the update, on this replica; they begin anew after the last step."""
        sums = [self.sums[id(variable)] for variable in variables]
        gradients = [s.assign_add(g) for s, g in zip(sums, gradients, strict=True)]
        if self.last:
            gradients = [tf.identity(g) for g in gradients]
            with tf.control_dependencies(gradients):
                for s in sums:
                    s.assign(tf.zeros(s.shape))
        return gradients

    def global_gradients(self, gradients):
        """What Keras's optimizers, which sum over the replicas themselves, have to get.

        Clipping and the search for overflow need the sum: then the first replica hands on the sum and the others zeros
        (NaN where it overflowed, so that all notice), and Keras's sum of these is the sum again.
        """
        context = tf.distribute.get_replica_context()
        clips = self.rule.clipnorm or self.rule.global_clipnorm or self.rule.clipvalue
        if context.num_replicas_in_sync == 1 or not (clips or self.rule is not self.inner_optimizer):
            return list(gradients)
        on_first = tf.cast(tf.equal(context.replica_id_in_sync_group, 0), tf.float32)
        return [g * on_first for g in total(list(gradients))]

    # --- as the optimizer inside
    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        return {
            "inner_optimizer": inner,
            "accumulate": self.accumulate,
            "factors": self.factors,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        inner = keras.saving.deserialize_keras_object(config["inner_optimizer"], custom_objects)
        return cls(**{**config, "inner_optimizer": inner})


def zeros_of_each_replica(shape):
    """A variable of zeros that each replica changes by itself; what is read outside of replicas is the sum of all."""
    return tf.Variable(
        tf.zeros(shape),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )
