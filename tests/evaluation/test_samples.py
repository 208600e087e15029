"""Which images a report shows."""

import numpy as np
import pytest

from evaluation import samples


def test_pick():
    scores = [0.5, 0.9, 0.1, 0.7, 0.9]
    assert samples.pick(scores, "best", 2).tolist() == [1, 4]
    assert samples.pick(scores, "worst", 2).tolist() == [2, 0]
    assert samples.pick(scores, "median").tolist() == [3]
    assert len(samples.pick(scores, "worst", 20)) == 5
    scores = [np.nan, 0.2, np.nan, 0.8, 0.5]
    assert [samples.pick(scores, order).item() for order in samples.ORDERS] == [3, 4, 1]
    with pytest.raises(ValueError, match="unknown order 'middle'; there are best, median, worst"):
        samples.pick(scores, "middle")
