"""The moving average of a network's weights."""

import keras
import numpy as np


class Average:
    """A moving average of all weights, the running statistics of batch norms included, in place while validating.

    Keras's own average leaves the statistics out, and weights that do not belong to them are of no use for epochs.
    """

    EVERY = 8  # steps

    def __init__(self, network: keras.Model, momentum: float):
        self.network = network
        self.momentum = momentum
        values = [keras.ops.convert_to_numpy(w) for w in network.weights]  # a Variable of a variable would share it
        self.variables = [keras.Variable(value, dtype=value.dtype.name, trainable=False) for value in values]

    def update(self, steps: int):
        """Take in the weights after so many steps of the run."""
        if steps % self.EVERY == 0:
            updates = steps / self.EVERY
            keep = min(self.momentum**self.EVERY, updates / (updates + 10))  # a short memory at first
            for average, weight in zip(self.variables, self.network.weights, strict=True):
                average.assign(keep * average + (1 - keep) * weight)

    def swap(self):
        """Exchange the network's weights and their average."""
        for average, weight in zip(self.variables, self.network.weights, strict=True):
            value = np.array(keras.ops.convert_to_numpy(weight))
            weight.assign(average.value)
            average.assign(value)
