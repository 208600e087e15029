"""An exported network (export.py) as a function from images to probabilities, without TensorFlow.

network = Exported("isic18_cpu.onnx")
probability_function(network)(images)    # uint8 (B, h, w, 3) → float32 (B, h, w, classes)

The pixels' normalization is inside the file. Canny edges, which ONNX has no operation for, are its second input.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from compute import onnx_file
from imaging import normalization
from utils.errors import UserError

IMAGE = "image"  # names of the inputs
EDGES = "edges"
TYPES = {IMAGE: "tensor(uint8)", EDGES: "tensor(uint8)"}


class Exported:
    """A network in an ONNX file.

    Attributes:
        input_shape: (None, h, w, 3), of its images. output_shape: (None, h, w, classes). runtime: what computes it.

    Raises:
        FileNotFoundError: no such file. UserError: it is damaged, foreign, or of a newer format.
    """

    def __init__(self, path: str | Path):
        self._session = onnx_file.open_session(path)
        self.runtime = self._session.runtime
        inputs = self._session.inputs
        outputs = list(self._session.outputs.values())
        fits = IMAGE in inputs and inputs.keys() <= TYPES.keys() and outputs[0][0] == "tensor(float)"
        if not fits or any(inputs[name][0] != TYPES[name] for name in inputs):
            raise UserError(f"{path}: its inputs were edited; {onnx_file.REMEDY}")
        self.input_shape = tuple(inputs[IMAGE][1])
        self.output_shape = tuple(outputs[0][1])
        self.takes_edges = EDGES in inputs

    def feeds(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the file takes, {name: array}, for images, uint8 (B, h, w, 3)."""
        return feeds(images, self.takes_edges)

    def run(self, feeds: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities, float32 (B, h, w, classes), of what `feeds` gives."""
        return self._session.run(feeds)


def probability_function(network: Exported) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images, uint8 (B, h, w, 3), to probabilities, float32 (B, h, w, classes)."""
    return lambda images: network.run(network.feeds(images))


def bare_and_augmented(network: Exported) -> Callable[[np.ndarray], list[np.ndarray]]:
    """As `probability_function`, for two arrays: without and with test-time augmentation, the mean over the same copies
    as inference/probabilities.py has.
    """
    _, *others = copies(network)

    def compute(images):
        feeds = network.feeds(images)
        bare = network.run(feeds)  # of the first copy, the image as it is
        total = bare.copy()
        for axes, transposed in others:
            turned = {name: _turned(array, axes, transposed) for name, array in feeds.items()}
            total += _turned_back(network.run(turned), axes, transposed)
        return [bare, total / (1 + len(others))]

    return compute


def feeds(images: np.ndarray, with_edges: bool) -> dict[str, np.ndarray]:
    """The inputs of an export, {name: array}, for images, uint8 (B, h, w, 3)."""
    if not with_edges:
        return {IMAGE: images}
    return {IMAGE: images, EDGES: np.stack([normalization.edge_map(image) for image in images])}


def copies(network) -> list[tuple[tuple[int, ...], bool]]:
    """The copies of test-time augmentation, (axes that are mirrored, whether it is transposed), the image itself first.

    network: of input shape (None, h, w, …); where they are not square its images cannot be transposed.
    """
    square = network.input_shape[1] == network.input_shape[2]
    return list(itertools.product([(), (1,), (2,), (1, 2)], [False, True] if square else [False]))


def _turned(array, axes, transposed):
    """An array (B, h, w, …) mirrored along `axes` and then transposed or not."""
    array = np.flip(array, axes)
    return np.ascontiguousarray(array.swapaxes(1, 2) if transposed else array)


def _turned_back(array, axes, transposed):
    return np.flip(array.swapaxes(1, 2) if transposed else array, axes)
