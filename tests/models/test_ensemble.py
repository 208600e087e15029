"""One network of several: their mean probability, to the last digit, and what can be done with it."""

import keras
import numpy as np
import pytest

import model
from inference import explain, probabilities
from models.ensemble import ensemble, logit_of_mean


def random_network(name, seed, **options):
    """A network of the registry, of random weights and statistics."""
    random = np.random.default_rng(seed)
    network = model.build(name, (16, 24, 3), **options)
    for weight in network.weights:
        if weight.name == "kernel":
            weight.assign(random.normal(size=weight.shape) * np.sqrt(2 / np.prod(weight.shape[:-1])))
        elif weight.name in ("moving_mean", "beta", "bias"):
            weight.assign(random.normal(size=weight.shape) * 0.1)
    return network


@pytest.fixture(scope="module")
def members():
    return [
        random_network("unet", 0, width=2, depth=2),
        random_network("unet", 1, width=4, depth=1, upsample="nearest"),
    ]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).uniform(0, 1, (2, 16, 24, 3)).astype("float32")


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, np.float64)))


def test_logits_by_hand():
    found = logit_of_mean([np.array([0.0, 40.0, -40.0, 200.0]), np.array([2.0, 40.0, -30.0, -200.0])])
    p = (sigmoid(0) + sigmoid(2)) / 2
    small = (np.exp(-40.0) + np.exp(-30.0)) / 2  # both sigmoids are far below float32's distance from 1
    np.testing.assert_allclose(found, [np.log(p / (1 - p)), 40, np.log(small), 0], rtol=1e-6, atol=1e-6)


def test_the_probability_is_the_mean(members, images, tmp_path):
    network = ensemble(members)
    expected = np.mean([sigmoid(member(images, training=False)) for member in members], axis=0)
    np.testing.assert_allclose(sigmoid(network(images, training=False)), expected, atol=1e-6)
    assert network.count_params() == sum(member.count_params() for member in members)
    network.save(tmp_path / "both.keras")
    loaded = model.load(tmp_path / "both.keras")
    np.testing.assert_array_equal(loaded(images, training=False), network(images, training=False))
    each = [probabilities.bare_and_augmented(member)(images)[1] for member in members]
    found = probabilities.bare_and_augmented(loaded)(images)[1]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-5)
    norms = {norm.name for norm in probabilities.foldable(loaded).values()}
    assert {name.split("_")[0] for name in norms} == {"member1", "member2"}  # as of a network that is alone
    assert explain.gradcam(loaded, images[:1])["bottom"].max() == 1


def test_a_network_may_be_in_it_twice(members, images):
    twice = ensemble([members[0], members[0]])
    np.testing.assert_allclose(twice(images, training=False), members[0](images, training=False), atol=1e-5)
    assert len({layer.name for layer in twice.layers}) == len(twice.layers)


def test_members_keep_their_weights(members):
    before = [weight.numpy() for weight in members[0].weights]
    network = ensemble(members)
    network.get_layer("member1_head").kernel.assign(keras.ops.zeros_like(network.get_layer("member1_head").kernel))
    for weight, value in zip(members[0].weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
