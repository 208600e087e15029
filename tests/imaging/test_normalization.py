import typing

import numpy as np
import pytest

import model
from config import Settings
from imaging.normalization import KINDS, edge_map, normalize


def test_normalize_by_hand():
    images = np.array([0, 51, 102, 255], "uint8").reshape(1, 2, 2, 1).repeat(3, -1)
    unit = np.array([0, 0.2, 0.4, 1]).reshape(1, 2, 2, 1).repeat(3, -1)
    np.testing.assert_allclose(normalize(images, "unit"), unit, atol=1e-6)
    np.testing.assert_allclose(normalize(images, "gamma"), unit**1.6, atol=1e-6)
    np.testing.assert_allclose(normalize(images, "minmax"), 2 * unit - 1, atol=1e-6)
    expected = (unit - [0.61788, 0.49051, 0.43048]) / [0.19839, 0.16931, 0.16544]
    np.testing.assert_allclose(normalize(images, "standardize"), expected, rtol=1e-5)
    square = np.zeros((1, 16, 16, 3), "uint8")
    square[0, 4:12, 4:12] = 200
    edges = normalize(square, "minmax_edges").numpy()[0]
    np.testing.assert_allclose(edges[..., :3], normalize(square, "minmax")[0])
    assert set(np.unique(edges[..., 3])) == {0, 1}
    assert edges[7, 7, 3] == edges[0, 0, 3] == 0 and edges[:, 7, 3].sum() == 2  # one line above, one below
    flat = np.full((1, 2, 2, 3), 9, "uint8")
    np.testing.assert_allclose(normalize(flat, "minmax"), -np.ones((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="expected one of unit, gamma, minmax, minmax_edges, standardize"):
        normalize(flat, "none")


def test_the_settings_choices_are_the_kinds():
    literal, none = typing.get_args(typing.get_type_hints(Settings)["normalize"])
    assert typing.get_args(literal) == tuple(KINDS) and none is type(None)
    assert {network.normalization for network in model.REGISTRY.values()} <= set(KINDS)


def test_edge_map_finds_the_border_of_a_square():
    image = np.full((32, 32, 3), 40, np.uint8)
    image[8:24, 8:24] = 200
    edges = edge_map(image)
    assert edges.shape == (32, 32, 1) and edges.dtype == np.uint8 and set(np.unique(edges)) == {0, 1}
    rows, columns = np.nonzero(edges[..., 0])
    assert rows.min() in (7, 8) and rows.max() in (23, 24) and columns.min() in (7, 8) and columns.max() in (23, 24)
    assert not edges[10:22, 10:22].any() and edges.sum() >= 4 * 14


def test_edge_map_thresholds():
    flat = np.full((16, 16, 1), 128, np.uint8)
    assert edge_map(flat).sum() == 0
    for step, found in ((20, False), (30, True)):  # a step of s has the gradient 4·s; an edge starts above 100
        image = flat.copy()
        image[:, 8:] += np.uint8(step)
        assert bool(edge_map(image).any()) is found


def test_edge_map_wants_bytes():
    with pytest.raises(ValueError, match=r"edge_map: expected an image uint8 \(H, W, C\), got float32 \(8, 8, 3\)"):
        edge_map(np.zeros((8, 8, 3), np.float32))
