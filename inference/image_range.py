"""Whether an image is like those that a network was trained on: its statistics against theirs, in words.

    reasons(limits, image, fractions)     # [] or ["blurred", "no skin-like colors"]

The limits are quantiles of the training images' statistics (imaging/image_statistics.py) and of their lesions' areas,
and the ellipsoid that holds nearly all of them, once the quantiles have brought each statistic to a normal
distribution. evaluation/training_images.py finds them; they are kept with the run. An image outside is predicted like
any other, but nobody has measured how good its mask is.
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
UNCLEAR = "lesion less clear than in the validation images"  # by the expected Jaccards (inference/trust.py)
OF_MASK = (NO_MASK, BELOW["area"], ABOVE["area"], UNCLEAR)  # what is said of the mask; the rest is of the image
SEPARATOR = "; "
DEVIATES = np.linspace(-2.4, 2.4, 17)  # of the quantiles that are kept, in standard deviations of a normal distribution


def reasons(limits: dict, image: np.ndarray, fractions: list[float]) -> list[str]:
    """Why an image is outside of what was trained on, in words; empty where it is inside.

    limits: {"ranges": {statistic: [lowest, highest]}, "quantiles": (statistics, 17), "whitening": (statistics,
    statistics), lower triangle, "distance", "areas": [lowest, highest] or []}. image: uint8 (h, w, 3), at the network's
    size. fractions: of the image that each class's mask takes.
    """
    values = image_statistics.describe(image)
    found = [
        reason
        for name, value in zip(image_statistics.NAMES, values, strict=False)  # texture has no names
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


def normal(quantiles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Statistics (N, statistics) as standard normal deviates, by quantiles (statistics, 17) of what is usual, rising.

    Beyond the outermost quantile a deviate grows as it does between that one and the fifth from it.
    """
    result = np.empty_like(values)
    for k, known in zip(range(values.shape[1]), quantiles, strict=True):
        column = values[:, k]
        found = np.interp(column, known, DEVIATES)
        for end, inner, outside in ((0, 4, column < known[0]), (-1, -5, column > known[-1])):
            slope = (DEVIATES[end] - DEVIATES[inner]) / (known[end] - known[inner])
            found[outside] += slope * (column[outside] - known[end])
        result[:, k] = found
    return result


def distances(limits: dict, values: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances (N,) of statistics (N, statistics) from those of the training images."""
    deviates = normal(np.array(limits["quantiles"]), values)
    whitening = np.zeros((values.shape[1],) * 2)
    for k, row in zip(range(len(whitening)), limits["whitening"], strict=True):
        whitening[k, : k + 1] = row
    return np.sum((deviates @ whitening.T) ** 2, axis=1)
