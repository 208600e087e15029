"""A trained run as a function of images of any size.

predictor = load_predictor("isic18_cpu")            # or the path of its folder, of a model.keras, or of an export
masks, probabilities = predictor(image)             # uint8 (H, W, 3) RGB → bool and float32 (H, W, classes)
found = predictor.assess(image)                     # how far to trust them: found.jaccards, found.reasons
masks, probabilities = predictor("photo.jpg")       # or the path of an image file
for masks, probabilities in predictor(["a.jpg", "b.jpg"]): ...
predictor.classes, predictor.thresholds, predictor.size, predictor.settings

TensorFlow and Keras are imported for a `.keras` file alone: an export (export.py) is used without them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import cv2
import numpy as np

import config
import runs
from compute import onnx_file
from datasets.isic2018 import CLASSES
from datasets.split import Split
from imaging import files, hair_removal, normalization
from inference import exported, postprocess
from inference.trust import Assessment, Trust, of_run
from utils import startup
from utils.errors import UserError

if TYPE_CHECKING:  # what needs TensorFlow
    import keras

Image = np.ndarray | str | Path  # uint8 (H, W, 3) RGB, or the path of an image file
Prediction = tuple[np.ndarray, np.ndarray]  # masks, bool, and probabilities, float32, both (H, W, classes)


def load_predictor(
    run: str | Path | None = None,
    threshold: float | str | None = None,
    tta: bool | None = None,
    clean: bool | None = None,
) -> Predictor:
    """A trained run as a function of images, see Predictor."""
    return Predictor(run, threshold, tta, clean)


def maps_function(network: Any, tta: bool, number_format: str) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function from what a network takes to [probabilities] or, with test-time augmentation, [without, with it].

    network: as load_network gives it; takes normalized images (B, h, w, channels), an export uint8 ones as they are.
    number_format: of the products of a Keras network, as the setting `precision`. Probabilities: float32 (B, h, w,
    classes) each.
    """
    source: Any = exported
    more = []
    if not isinstance(network, exported.Exported):
        from inference import probabilities as source

        more = [number_format]
    if tta:
        return source.bare_and_augmented(network, *more)
    bare = source.probability_function(network, *more)
    return lambda images: [bare(images)]


class Predictor:
    """A trained run as a function of images: uint8 (H, W, 3) RGB of any size → masks and probabilities of that size.

    Args:
        run: name of a run in checkpoint_best/, None for the newest; or the path of its folder; or of its `.keras` file
            or export (`.onnx`), which have all it takes inside and may stand alone.
        threshold: probability from which a pixel counts, 0 to 1; "best" or "challenge" as evaluate.py found on the
            validation images; None for the run's own.
        tta: test-time augmentation; clean: keep each mask's largest connected component. None for the run's own.

    Attributes:
        name: of the run. file: of the network. settings: of the run, with `tta` and `clean` as given.
        classes: names of the masks. thresholds: one a class. size: (H, W) that the network takes. network. trust: what
            is kept with the run to calibrate probabilities and to assess masks.

    Raises:
        FileNotFoundError: no such run; the message lists those there are.
        UserError: its files are damaged, or it has no such threshold yet.
    """

    name: str
    file: Path
    network: keras.Model | exported.Exported
    settings: config.Settings
    size: tuple[int, int]
    classes: list[str]
    thresholds: list[float]
    trust: Trust

    def __init__(
        self,
        run: str | Path | None = None,
        threshold: float | str | None = None,
        tta: bool | None = None,
        clean: bool | None = None,
    ):
        path = runs.find(run)
        self.name = runs.name_of(path)
        self.file = runs.network_file(path)
        self.network = load_network(self.file)
        self.settings = runs.settings(path)
        if tta is not None:
            self.settings = dataclasses.replace(self.settings, tta=tta)
        if clean is not None:
            self.settings = dataclasses.replace(self.settings, clean=clean)
        self.size = self.network.input_shape[1:3]
        facts = runs.facts(path)
        count = self.network.output_shape[-1]
        self.classes = facts.get("classes") or usual_classes(count)
        if len(self.classes) != count:
            raise UserError(f"{path}: the network gives {count} masks, its classes are {', '.join(self.classes)}")
        wanted = self.settings.threshold if threshold is None else threshold
        self.thresholds = runs.thresholds(path, self.classes, wanted, self.settings.tta, self.settings.clean)
        self.trust = of_run(path, self.classes, self.settings.tta, self.settings.clean, self.thresholds)
        self._compute = maps_function(self.network, self.settings.tta, self.settings.precision)

    # === Step by step, for callers that work in batches ===

    def read(self, path: str | Path) -> tuple[np.ndarray, tuple[int, int]]:
        """An image file as `fit` gives it, uint8 (h, w, 3), and the size of the upright image, (H, W).

        A large JPEG is decoded at reduced size. UserError names a file that is no image or damaged.
        """
        return self.decode(Path(path).read_bytes(), path)

    def decode(self, data: bytes, name: str | Path) -> tuple[np.ndarray, tuple[int, int]]:
        """As `read`, of a file's bytes; `name` is that of the file in messages."""
        try:
            image, size = files.decode_upright(data, self.size)
        except (UserError, cv2.error) as problem:
            raise UserError(f"{name}: {' '.join(str(problem).split())}") from None
        return self.fit(image), size

    def fit(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) RGB of any size → that of the network, without hairs if the run was trained so."""
        image = files.shrink(image, self.size)
        return hair_removal.remove(image) if self.settings.remove_hair else image

    def pixels(self, images: np.ndarray) -> np.ndarray:
        """uint8 (B, h, w, 3), as `fit` gives them → what the network takes, float32 (B, h, w, channels).

        UserError: the network is an export, which takes the images as they are.
        """
        if isinstance(self.network, exported.Exported):
            raise UserError(f"{self.file} is an export, whose layers cannot be looked into: name the run itself")
        return np.asarray(normalization.normalize(images, self.settings.normalize))

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 (B, h, w, 3), as `fit` gives them → float32 (B, h, w, classes), 0 to 1, as the network gives them."""
        return self.maps(images)[-1]

    def maps(self, images: np.ndarray) -> list[np.ndarray]:
        """As `probabilities`, without test-time augmentation and, where the settings have it, with it: a list."""
        of_keras = not isinstance(self.network, exported.Exported)
        return self._compute(self.pixels(images) if of_keras else images)

    def enlarge(self, probabilities: np.ndarray, size: tuple[int, int]) -> Prediction:
        """Probabilities (h, w, classes) → bool masks and float32 probabilities at another size, (H, W, classes).

        Masks are made of the network's own probabilities; those that are returned are calibrated.
        """
        resized = postprocess.resize(probabilities, size)
        masks = resized >= np.array(self.thresholds, np.float32)
        if self.settings.clean:
            masks = postprocess.largest_components(masks)
        return masks, self.trust.calibrated(resized)

    def mask(self, probabilities: np.ndarray, k: int, size: tuple[int, int]) -> np.ndarray:
        """The mask of class number k alone, bool (H, W), as `enlarge` makes it from probabilities (h, w, classes)."""
        resized = postprocess.resize(probabilities[..., k : k + 1], size)[..., 0]  # (H, W)
        mask = resized >= np.float32(self.thresholds[k])
        return postprocess.largest_component(mask) if self.settings.clean else mask

    # === All of it ===

    @overload
    def __call__(self, image: Image) -> Prediction: ...  # type: ignore[overload-overlap]  # a str is no list here

    @overload
    def __call__(self, image: Sequence[Image]) -> list[Prediction]: ...

    def __call__(self, image):
        """Masks, bool (H, W, classes), and probabilities, float32 of the same shape, of an image of any size.

        image: uint8 (H, W, 3) RGB, or the path of an image file, which is turned upright as its EXIF orientation says;
        or a list of such, for a list of results. UserError: it is none of these, or a file is no image.
        """
        if isinstance(image, list | tuple):
            return [self(each) for each in image]
        fitted, size = self._fitted(image)
        return self.enlarge(self.probabilities(fitted[None])[0], size)

    def assess(self, image: Image) -> Assessment:
        """What can be said of the masks of an image: `jaccards`, the one that is expected of each class's mask, None
        where it is not known; `reasons` why the image is unusual, in words. image: as above; for its masks too without
        computing twice: `read` or `fit`, `maps`, then `enlarge` and `assess_maps`.
        """
        fitted, _ = self._fitted(image)
        return self.assess_maps(fitted, [each[0] for each in self.maps(fitted[None])])

    def assess_maps(self, image: np.ndarray, maps: Sequence[np.ndarray]) -> Assessment:
        """As `assess`, of an image as `fit` gives it and its maps, float32 (h, w, classes)."""
        return self.trust.assess(image, maps, self.thresholds)

    def _fitted(self, image):
        """An image, or the path of one, as `fit` gives it, and its size (H, W)."""
        if isinstance(image, str | Path):
            return self.read(image)
        _require_rgb(image)
        return self.fit(image), image.shape[:2]


def _require_rgb(image):
    """UserError unless an image is uint8 (H, W, 3)."""
    if not isinstance(image, np.ndarray):
        raise UserError(f"expected an RGB image, uint8 (H, W, 3), or a path, received {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"expected an RGB image, uint8 (H, W, 3), received {image.dtype} {image.shape}")


def usual_classes(count: int) -> list[str]:
    """Names of the masks of a run that has not noted them."""
    for names in CLASSES.values():
        if len(names) == count:
            return names
    return [f"class{k}" for k in range(count)]


def load_network(file: str | Path) -> keras.Model | exported.Exported:
    """The network in a `.keras` file or an export. FileNotFoundError, UserError: there is none, or it is damaged."""
    if onnx_file.is_export(file):
        return exported.Exported(file)
    startup.start_tensorflow()
    import model  # needs TensorFlow

    return model.load(file)


def check_fit(network: keras.Model | exported.Exported, split: Split, root: str | Path) -> None:
    """UserError where the network and the prepared arrays differ in size or number of classes."""
    height, width = network.input_shape[1:3]
    found = split.images.shape[1:3]
    if (height, width) != found:
        raise UserError(
            f"the network was made for images of {height} × {width}, those in {root} are {found[0]} × {found[1]};"
            f" prepare the same data with --size {height}x{width} and a --root of its own"
        )
    if network.output_shape[-1] != len(split.classes):
        classes = ", ".join(split.classes)
        raise UserError(
            f"the network gives {network.output_shape[-1]} masks an image, {root} has {len(split.classes)} ({classes});"
            " name data of the same task with --data"
        )
