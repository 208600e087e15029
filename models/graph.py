"""What a functional network is made of: its layers, and which operation takes the results of which."""

from collections.abc import Iterator
from typing import NamedTuple

import keras


class Call(NamedTuple):
    """One call of an operation in a network: its name, and the names of those whose results it takes."""

    name: str
    sources: list[str]


def layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a network, and those within them: of models inside it and of layers made of several."""
    left = _parts(network)[::-1]
    found = set()
    while left:
        layer = left.pop()
        if id(layer) not in found:
            found.add(id(layer))
            yield layer
            left.extend(_parts(layer))


def _parts(layer):
    """The layers of which a model or layer is made, and those that it holds as attributes."""
    own = layer.layers if isinstance(layer, keras.Model) else []
    return [*own, *(value for value in vars(layer).values() if isinstance(value, keras.layers.Layer))]


def calls(network: keras.Model) -> list[Call]:
    """Every call of an operation in a functional network, and last one named "" that takes the network's outputs.

    They are read from the network's configuration, as Keras saves it.
    """
    config = keras.Model(network.input, network.output).get_config()
    found = []
    for operation in config["layers"]:
        found += [Call(operation["name"], list(_sources(call))) for call in operation["inbound_nodes"]]
    return [*found, Call("", [name for name, *_ in _outputs(config["output_layers"])])]


def _outputs(saved):
    """The saved outputs, [name of the operation, number of its call, number of the result], in any structure."""
    if isinstance(saved, dict):
        return [output for part in saved.values() for output in _outputs(part)]
    return [saved] if isinstance(saved[0], str) else [output for part in saved for output in _outputs(part)]


def _sources(value):
    """The names of the operations that made the tensors in the saved arguments of a call."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value["config"]["keras_history"][0]
    elif isinstance(value, dict):
        for part in value.values():
            yield from _sources(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _sources(part)
