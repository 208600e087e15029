"""Optimisers that Keras has not."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("lesion")
class AdamL2(keras.optimizers.Adam):
    """Adam with `l2` times each weight added to its gradient: what PyTorch calls the weight decay of Adam.

    The decoupled form, AdamW, shrinks all weights alike; here what the moments divide out is divided out of the decay.
    """

    def __init__(self, learning_rate=1e-3, l2=0.0, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.add(gradient, ops.multiply(variable, ops.cast(self.l2, variable.dtype)))
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}
