"""Whether an image is like those that a network was trained on: its statistics against theirs, in words.

    reasons(limits, image, fractions)     # [] or ["blurred", "no skin-like colors"]

The limits are quantiles of the training images' statistics (imaging/image_statistics.py) and of their lesions' areas,
and the ellipsoid that holds nearly all of them. evaluation/training_images.py finds them; they are kept with the run.
An image outside is predicted like any other, but nobody has measured how good its mask is.
"""

import numpy as np

from imaging import image_statistics

BELOW = {  # what it means that a statistic is below the lowest of the training images
    "brightness": "much darker than the training images",
    "skin_colors": "no skin-like colors",
    "saturation": "hardly any color",
    "color_variety": "colors more alike than in the training images",
    "foreign_colors": "hardly any difference between the color channels",
    "detail": "blurred",
    "edges": "less structure than the training images",
    "field_of_view": "mostly black",
    "area": "lesion much smaller than in the training images",
}
ABOVE = {
    "brightness": "much brighter than the training images",
    "skin_colors": "more skin-like colors than the training images",
    "saturation": "stronger colors than the training images",
    "color_variety": "colors more varied than in the training images",
    "foreign_colors": "colors that skin does not have",
    "detail": "grainy",
    "edges": "more structure than the training images",
    "field_of_view": "larger field of view than the training images",
    "area": "lesion much larger than in the training images",
}
NO_MASK = "no lesion found"
TOGETHER = "unlike the training images on the whole"
SEPARATOR = "; "


def reasons(limits: dict, image: np.ndarray, fractions: list[float]) -> list[str]:
    """Why an image is outside of what was trained on, in words; empty where it is inside.

    limits: {"ranges": {statistic: [lowest, highest]}, "means", "scales", "precision", "distance", "areas"}. image:
    uint8 (h, w, 3), at the network's size. fractions: of the image that each class's mask takes.
    """
    values = image_statistics.describe(image)
    found = [
        reason
        for name, value in zip(image_statistics.NAMES, values, strict=True)
        if (reason := _side(name, value, *limits["ranges"][name]))
    ]
    if not found and distances(limits, values[None])[0] > limits["distance"]:
        found = [TOGETHER]
    if limits["areas"]:  # of one class; an attribute that an image has not is nothing unusual
        found += [NO_MASK] if fractions[0] == 0 else [_side("area", fractions[0], *limits["areas"])]
    return [reason for reason in found if reason]


def _side(name, value, lowest, highest):
    """The words for a value outside of a range, empty inside."""
    if value < lowest:
        return BELOW[name]
    return ABOVE[name] if value > highest else ""


def distances(limits: dict, values: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances (N,) of statistics (N, names) from those of the training images."""
    standard = (values - np.array(limits["means"])) / np.array(limits["scales"])
    return np.einsum("ni,ij,nj->n", standard, np.array(limits["precision"]), standard)
