"""Reading a network's graph: layers within layers and models, and who takes whose results."""

import keras

import model
from models import graph
from models.attention import PositionAttention


def nested():
    """A model with a model and a composite layer inside, a convolution that is called twice, and two outputs."""
    inside = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(4, 1, name="inner")], name="inside")
    image = keras.Input((8, 8, 4), name="image")
    twice = keras.layers.Conv2D(4, 1, name="twice")
    x = keras.layers.Add(name="add")([twice(inside(image)), twice(image)])
    y = PositionAttention(name="position")(x * 2)
    return keras.Model(image, {"y": y, "x": x})


def test_layers_within_models_and_layers_are_found():
    names = [layer.name for layer in graph.layers(nested())]
    assert {"inside", "inner", "twice", "add", "position", "query", "key", "value"} <= set(names)
    assert len(names) == len(set(names))
    of_jaal_net = list(graph.layers(model.build("jaal_net", (32, 32, 3), width=4, discriminator_width=8)))
    assert {"da_net", "position", "query", "contour1_norm1"} <= {layer.name for layer in of_jaal_net}


def test_every_call_and_its_sources():
    calls = graph.calls(nested())
    assert sorted(c.sources for c in calls if c.name == "twice") == [["image"], ["inside"]]
    assert [c.sources for c in calls if c.name == "add"] == [["twice", "twice"]]
    (multiply,) = (c.name for c in calls if c.sources == ["add"])  # an operation that is no layer
    assert [c.sources for c in calls if c.name == "position"] == [[multiply]]
    assert (calls[-1].name, sorted(calls[-1].sources)) == ("", ["add", "position"])
