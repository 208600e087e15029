"""Probabilities that mean what they say: temperature scaling (Guo et al., On Calibration of Modern Neural Networks).

    calibrated = apply(probabilities, [1.3])    # logit(p) / temperature, a class a temperature; 0.5 stays 0.5

evaluate.py finds the temperatures on validation images and keeps them with the run, `trust` in run.json
(docs/trust.md). Masks are made of the probabilities as the network gives them, so no mask changes, whatever its
threshold.
"""

from collections.abc import Sequence

import numpy as np

LOWEST, HIGHEST = 0.05, 20.0  # temperatures
LEAST = np.float32(2**-24)  # between 1 and the next float32 below it
CHUNK = 1 << 20  # numbers worked on at a time


def apply(probabilities: np.ndarray, temperatures: Sequence[float]) -> np.ndarray:
    """Calibrated probabilities, float32 (..., classes), of those of a network; temperatures: (classes,).

    With x = min(p, 1 - p) the logit is log(x / (1 - x)) up to its sign, so that (x / (1 - x)) ** (1 / temperature) is
    all that is computed: 0.5 stays exactly what it is, and no order changes. What is next to 0 or 1 counts as LEAST
    from it: a sum of exponentials in float32 tells no more.
    """
    exponents = 1 / np.asarray(temperatures, np.float32)
    if np.all(exponents == 1):
        return probabilities
    classes = len(exponents)
    flat = probabilities.reshape(-1, classes)
    result = np.empty_like(flat)
    rows = CHUNK // classes
    for start in range(0, len(flat), rows):
        part = flat[start : start + rows]
        odds = np.maximum(np.minimum(part, 1 - part), LEAST)
        odds /= 1 - odds
        odds **= exponents
        odds /= 1 + odds
        result[start : start + rows] = np.where(part < 0.5, odds, 1 - odds)
    return result.reshape(probabilities.shape)
