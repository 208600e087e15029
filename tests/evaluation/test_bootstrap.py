"""The bootstrap: draw by draw against a plain loop, and against the theory of means."""

import math

import numpy as np
import pytest

from evaluation import bootstrap


def test_draws_equal_a_plain_loop():
    table = np.random.default_rng(1).random((7, 3))
    generator = np.random.default_rng(5)
    expected = [table[generator.integers(0, 7, 7)].sum(axis=0) for _ in range(50)]
    np.testing.assert_allclose(bootstrap.sums(table, seed=5, draws=50), expected, atol=1e-12)


def test_every_draw_has_as_many_images_and_chunks_leave_none_out(monkeypatch):
    ones = np.ones((300, 1))
    whole = bootstrap.sums(np.arange(300)[:, None], draws=1000)
    monkeypatch.setattr(bootstrap, "CELLS", 300 * 64)  # 1,000 draws in chunks of 64
    assert (bootstrap.sums(ones, draws=1000) == 300).all()
    np.testing.assert_array_equal(bootstrap.sums(np.arange(300)[:, None], draws=1000), whole)


def test_interval_of_a_mean():
    values = np.random.default_rng(0).normal(3, 2, 400)
    means = bootstrap.sums(values[:, None])[:, 0] / 400
    half = 1.96 * values.std() / math.sqrt(400)
    assert bootstrap.interval(means) == pytest.approx([values.mean() - half, values.mean() + half], abs=0.05 * half)


def test_undefined_draws_and_no_images():
    assert bootstrap.interval(np.array([0.0, 1.0, math.nan])) == pytest.approx([0.025, 0.975])
    assert np.isnan(bootstrap.interval(np.full(3, math.nan))).all()
    with pytest.raises(ValueError, match="no image"):
        bootstrap.sums(np.zeros((0, 2)))


def test_two_sided_share():
    assert bootstrap.two_sided(np.array([-1.0, 1.0, 2.0, 3.0])) == 0.5
    assert bootstrap.two_sided(np.zeros(4)) == 1
    assert bootstrap.two_sided(np.ones(4)) == 0
