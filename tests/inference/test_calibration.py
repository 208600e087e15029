"""Temperature scaling of probabilities: formula, fixed points, order, memory."""

import numpy as np
import pytest

from inference import calibration


def test_logits_are_divided_by_the_temperature_of_their_class():
    logits = np.random.default_rng(0).normal(0, 4, (7, 5, 2))
    probabilities = (1 / (1 + np.exp(-logits))).astype(np.float32)
    found = calibration.apply(probabilities, [2.0, 0.5])
    assert found.dtype == np.float32
    assert found == pytest.approx(1 / (1 + np.exp(-logits / [2.0, 0.5])), abs=1e-5)


def test_a_half_stays_exactly_and_no_order_changes():
    probabilities = np.array([0, 1e-30, 0.1, 0.499, 0.5, 0.501, 0.9, 1], np.float32)[:, None]
    for temperature in (0.05, 0.7, 1.3, 20.0):
        found = calibration.apply(probabilities, [temperature])[:, 0]
        assert found[4] == 0.5
        assert found[0] == found[1] and 0 <= found[0] < found[2] and found[7] == 1 - found[0]
        assert (np.diff(found) >= 0).all()
        assert ((found >= 0.5) == (probabilities[:, 0] >= 0.5)).all()


def test_many_pixels_are_worked_on_in_pieces(monkeypatch):
    probabilities = np.random.default_rng(1).random((9, 11, 3), np.float32)
    at_once = calibration.apply(probabilities, [1.5, 2.0, 3.0])
    monkeypatch.setattr(calibration, "CHUNK", 12)
    assert np.array_equal(calibration.apply(probabilities, [1.5, 2.0, 3.0]), at_once)


def test_a_temperature_of_1_changes_nothing():
    probabilities = np.random.default_rng(2).random((3, 3, 1), np.float32)
    assert calibration.apply(probabilities, [1.0]) is probabilities
