import keras
import numpy as np
import pytest
from discs import write_discs

import config
import model
import train
from datasets.arrays import open_split
from training import initial_weights


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 32))
    x = keras.layers.Conv2D(64, 3, name="encoder")(inputs)
    x = keras.layers.DepthwiseConv2D(7, padding="same", name="depthwise")(x)
    x = keras.layers.Conv2DTranspose(48, 2, strides=2, name="up")(x)
    return keras.Model(inputs, keras.layers.Dense(40, name="dense")(x))


@pytest.mark.parametrize(
    ("kind", "deviations"),  # as torch.nn.init computes them of the weights of the same layers
    [
        ("xavier", {"encoder": (2 / (288 + 576)) ** 0.5, "depthwise": (2 / (49 + 49 * 64)) ** 0.5}),
        ("kaiming", {"encoder": (2 / 288) ** 0.5, "depthwise": (2 / 49) ** 0.5, "up": (2 / (48 * 4)) ** 0.5}),
        ("normal", dict.fromkeys(("encoder", "depthwise", "up", "dense"), 0.02)),
        ("orthogonal", {}),
    ],
)
def test_kernels_are_drawn_as_pytorch_draws_them(kind, deviations):
    ours = network()
    initial_weights.initialize(ours, kind, 3)
    for name, deviation in deviations.items():
        kernel = ours.get_layer(name).kernel.numpy()
        assert kernel.std() == pytest.approx(deviation, rel=0.05)
        assert np.abs(kernel).max() > 2.6 * deviation  # not cut off at two deviations
    if kind == "orthogonal":
        for name in ("encoder", "dense"):
            columns = ours.get_layer(name).kernel.numpy()
            columns = columns.reshape(-1, columns.shape[-1])
            np.testing.assert_allclose(columns.T @ columns, np.eye(columns.shape[1]), atol=1e-5)


def test_the_seed_decides_and_what_is_spared_stays():
    plain, spared, other = network(), network(), network()
    before = [w.numpy() for w in plain.weights]
    initial_weights.initialize(plain, "normal", 1)
    initial_weights.initialize(spared, "normal", 1, [spared.get_layer("encoder")])
    initial_weights.initialize(other, "normal", 2)
    for old, new, kept, third in zip(before, plain.weights, spared.weights, other.weights, strict=True):
        if new.path.endswith("kernel"):
            assert not np.array_equal(new, old) and not np.array_equal(new, third)
        else:
            np.testing.assert_array_equal(new, old)
        if new.path.startswith("encoder"):
            np.testing.assert_array_equal(kept, old)


def test_a_pretrained_encoder_is_never_drawn_anew(tmp_path):
    data = open_split(write_discs(tmp_path / "data", size=(32, 32), counts={"train": 2, "val": 1}), "train")
    file = tmp_path / "vgg16.weights.h5"
    encoder = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    encoder.save_weights(file)
    settings = config.Settings(weights=str(file), initializer="normal", normalize="gamma")
    made = train.compiled(settings, data)
    theirs = {layer.name: layer.kernel for layer in encoder.layers if hasattr(layer, "kernel")}
    for layer in made.layers:
        if layer.name in theirs:
            np.testing.assert_array_equal(layer.kernel, theirs[layer.name])
    assert np.std(made.get_layer("sam1_conv1").kernel) == pytest.approx(0.02, rel=0.01)
    assert model.pretrained_layers(made, "as_net", {"weights": "none"}) == []
    with pytest.raises(ValueError, match=r"lf_net has no encoder apart from the rest; these have: as_net, unet"):
        model.encoder(made, "lf_net", {})
