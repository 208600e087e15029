"""Probabilities: test-time augmentation by hand, batch norms folded into convolutions, bfloat16."""

import keras
import numpy as np

import model
from inference import probabilities


def test_test_time_augmentation_is_the_mean_over_all_copies():
    for size, count in (((6, 6), 8), ((4, 6), 4)):
        inputs = keras.Input((*size, 3))
        convolution = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer="random_normal")
        network = keras.Model(inputs, convolution(inputs))
        image = np.random.default_rng(0).random((1, *size, 3), np.float32)
        averaged = probabilities.bare_and_augmented(network)
        plain = probabilities.probability_function(network)
        copies = [image, image[:, ::-1], image[:, :, ::-1], image[:, ::-1, ::-1]]
        back = [lambda y: y, lambda y: y[:, ::-1], lambda y: y[:, :, ::-1], lambda y: y[:, ::-1, ::-1]]
        if count == 8:
            copies += [x.swapaxes(1, 2) for x in copies]
            back += [lambda y, b=b: b(y.swapaxes(1, 2)) for b in back]
        expected = np.mean([b(plain(x)) for x, b in zip(copies, back, strict=True)], axis=0)
        np.testing.assert_allclose(averaged(image)[1], expected, atol=1e-5)
        np.testing.assert_allclose(averaged(image[:, ::-1])[1], expected[:, ::-1], atol=1e-5)
        np.testing.assert_allclose(averaged(image)[0], plain(image), atol=1e-5)
        assert np.abs(plain(image[:, ::-1]) - plain(image)[:, ::-1]).max() > 1e-3


def test_batch_norms_are_taken_into_convolutions():
    """Not one without its convolution, after an activation, or whose convolution something else looks at."""
    x = inputs = keras.Input((8, 8, 3))
    for options in ({}, {"use_bias": False, "strides": 2}, {"activation": "relu"}):
        x = keras.layers.Conv2D(4, 3, padding="same", bias_initializer="random_normal", **options)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(scale="strides" not in options)(x))
    seen = keras.layers.Conv2D(4, 1)(x)
    x = keras.layers.Add()([seen, keras.layers.BatchNormalization(center=False)(seen)])
    network = keras.Model(inputs, keras.layers.Conv2D(2, 1)(keras.layers.BatchNormalization()(x)))
    random = np.random.default_rng(0)
    for weight in network.weights:
        weight.assign(random.uniform(0.2, 1, weight.shape))
    before = [weight.numpy() for weight in network.weights]
    folded = probabilities.folded(network)
    left = [sum(isinstance(x, keras.layers.BatchNormalization) for x in n.layers) for n in (network, folded)]
    image = random.random((2, 8, 8, 3), np.float32)
    expected = network(image).numpy()
    assert left == [5, 3]
    np.testing.assert_allclose(folded(image), expected, rtol=1e-5)
    for weight, value in zip(network.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_bfloat16_gives_nearly_the_same_probabilities_of_32_bits():
    network = model.build("unet", (32, 32, 3), width=4, depth=2)
    image = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    exact, half = (
        probabilities.probability_function(network, number_format=name)(image) for name in ("float32", "bfloat16")
    )
    assert half.dtype == np.float32 and 0 < np.abs(half - exact).max() < 0.02
    assert (half.view(np.uint32) & 0xFFFF).any()
    np.testing.assert_array_equal(probabilities.probability_function(network)(image), exact)  # nothing stays behind
