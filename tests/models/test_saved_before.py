"""Networks saved by the code of November 2026, before the modules moved into packages, still load and compute the same.

tests/saved_before/ holds one small network for every family of own layers, with settings and facts inside, and
outputs.npz: `NAME/input` (1, 32, 32, C) float32 and `NAME/logits` as that code computed them.
"""

from pathlib import Path

import keras
import numpy as np
import pytest

import model
import runs

FOLDER = Path(__file__).parents[1] / "saved_before"
OUTPUTS = np.load(FOLDER / "outputs.npz")
SAVED_BY = "3.15"  # Keras reads what older versions saved, not what newer ones did


def version(text):
    return tuple(int(part) for part in text.split(".")[:2])


@pytest.mark.skipif(version(keras.__version__) < version(SAVED_BY), reason=f"saved by Keras {SAVED_BY}")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.keras")), ids=lambda path: path.stem)
def test_a_network_saved_before_the_move_loads_and_gives_its_logits(path):
    network = model.load(path)
    outputs = network(OUTPUTS[f"{path.stem}/input"], training=False)
    logits = keras.tree.flatten(outputs)[0]  # of adstnet, whose outputs are a dictionary, the first of them
    np.testing.assert_allclose(logits, OUTPUTS[f"{path.stem}/logits"], rtol=1e-5, atol=1e-5)
    assert runs.settings(path).model == path.stem
    assert runs.facts(path)["size"] == [32, 32]
