"""Attention and Grad-CAM: by hand on tiny graphs, and on networks of the registry."""

import keras
import numpy as np
import pytest

import model
from inference import explain


def image_of(network, seed=0):
    return np.random.default_rng(seed).random((1, *network.input_shape[1:]), np.float32)


def test_gates_by_hand():
    inputs = keras.Input((4, 6, 2))
    open_left = keras.layers.Activation("sigmoid", name="left_gate_sigmoid")(inputs * 50)
    both = keras.layers.Add(name="sum_gate")(
        [keras.layers.Activation("sigmoid", name=f"part{i}")(inputs * factor) for i, factor in ((1, 50), (2, -50))]
    )
    scale = keras.layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    scale = keras.layers.Activation("sigmoid", name="no_place")(scale)
    network = keras.Model(inputs, inputs * open_left * both * scale)
    image = np.zeros((1, 4, 6, 2), np.float32)
    image[:, :, :3, 0], image[:, :, 3:, 0], image[..., 1] = 1, -1, 1
    maps = explain.attention(network, image)
    assert sorted(maps) == ["left", "sum"]
    np.testing.assert_allclose(maps["left"], [[1, 1, 1, 0.5, 0.5, 0.5]] * 4, atol=1e-6)  # mean of two channels
    np.testing.assert_allclose(maps["sum"], np.full((4, 6), 0.5), atol=1e-6)  # one open, the other shut, everywhere


def test_gradcam_by_hand():
    inputs = keras.Input((4, 4, 2))
    maps = keras.layers.Conv2D(2, 1, use_bias=False, trainable=False, name="maps")(inputs)
    network = keras.Model(inputs, keras.layers.Conv2D(1, 1, name="head")(maps))
    network.get_layer("maps").set_weights([np.eye(2, dtype="float32").reshape(1, 1, 2, 2)])
    network.get_layer("head").set_weights([np.float32([3, -1]).reshape(1, 1, 2, 1), np.zeros(1, "float32")])
    image = np.zeros((1, 4, 4, 2), np.float32)
    image[0, 0, 0, 0], image[0, 1, 1], image[0, 2, 2, 1] = 2, 1, 9
    expected = np.zeros((4, 4))
    expected[0, 0], expected[1, 1] = 1, 2 / 6  # (3·2, 3·1 − 1, −9) by their largest, what is negative is 0
    np.testing.assert_allclose(explain.gradcam(network, image, layers=["maps"])["maps"], expected, atol=1e-6)
    np.testing.assert_allclose(explain.gradcam(network, image)["bottom"], expected, atol=1e-6)
    assert not explain.gradcam(network, np.zeros_like(image))["bottom"].any()


@pytest.mark.parametrize(
    ("name", "options", "gates", "steps"),
    [
        ("as_net", {}, ["sam1", "cam1", "sam2", "cam2", "sam3", "cam3", "sam4", "cam4"], 8),
        ("attributes_attention_unet", {"width": 4}, [f"decoder{i}" for i in (1, 2, 3, 4)], 4),
        ("lf_net", {}, [name for i in (4, 3, 2, 1) for name in (f"decoder{i}_cbam", f"gate{i}")], 4),
        ("unext", {}, None, 5),
        ("unet16", {"width": 4}, None, 4),
    ],
)
def test_networks_of_the_registry(name, options, gates, steps):
    network = model.untrained(name, (32, 64, 3), **options)
    image = image_of(network)
    if gates:
        maps = explain.attention(network, image)
        assert list(maps) == gates
        assert all(heat.ndim == 2 and np.isfinite(heat).all() for heat in maps.values())
        assert all(heat.min() >= 0 and heat.max() <= 1 for place, heat in maps.items() if place not in gates[1::2])
    else:
        with pytest.raises(ValueError, match="has no attention gates to show; gradcam works for every network"):
            explain.attention(network, image)
    heats = explain.gradcam(network, image, k=network.output_shape[-1] - 1)
    sizes = [heat.shape[0] for heat in heats.values()]
    assert len(heats) == 1 + steps and sizes == sorted(sizes)
    assert heats["bottom"].shape == ((1, 2) if name == "unext" else (2, 4))
    assert any(heat.max() == 1 for heat in heats.values()) and all(heat.min() >= 0 for heat in heats.values())


def test_layers_without_maps_are_refused():
    network = model.untrained("as_net", (32, 32, 3))
    with pytest.raises(ValueError, match=r"layer cam1_pool gives \(None, 1, 1, 256\), expected maps"):
        explain.gradcam(network, image_of(network), layers=["cam1_pool"])
    with pytest.raises(ValueError, match="No such layer: gone"):
        explain.gradcam(network, image_of(network), layers=["gone"])
