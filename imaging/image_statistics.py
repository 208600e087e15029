"""What an image looks like in numbers, by which one that is no dermoscopic photograph stands out.

    describe(image)     # float64, a number for each name in NAMES, then those of texture

brightness        mean lightness, CIELAB's L*, 0 to 100
skin_colors       fraction of pixels whose hue lies between red and yellow (0 to 90° in a*, b*) and that are no gray
saturation        98th percentile of the chroma, the distance from gray in a*, b*
color_variety     standard deviation of b*, its logarithm
foreign_colors    variance of the optical densities, -log RGB, along the third of their principal axes, its logarithm:
                  light that melanin and blood have dimmed varies along two
detail            energy of the finest structures (below one pixel) in relation to the next coarser ones, its logarithm
edges             mean gradient of the lightness in relation to its standard deviation, its logarithm
field_of_view     fraction of pixels that are not black (L* above 10), as corners outside the lens are

Texture has no names: mean and spread of L*, a*, b*; and in each of four bands, from the finest structures to those of
16 pixels, the energy of the three, how peaked the lightness is (kurtosis), and how the three are correlated.

All of it at the size at which the network sees the image: a photograph is blurred where the network finds it so.
"""

import cv2
import numpy as np

from imaging import cielab

NAMES = ("brightness", "skin_colors", "saturation", "color_variety", "foreign_colors", "detail", "edges")
NAMES += ("field_of_view",)
GRAY = 5  # chroma up to which a pixel is gray
BLACK = 10  # L* up to which a pixel is black
BANDS = 4  # of structures, each twice as coarse as the one before
COUNT = len(NAMES) + 6 + 7 * BANDS  # numbers of an image
# Differences that mean nothing, as of rounding or of a decoder; of logarithms and correlations 0.01.
TOLERANCES = np.full(COUNT, 0.01)
TOLERANCES[[NAMES.index(name) for name in ("brightness", "saturation")]] = 0.1
TOLERANCES[[NAMES.index(name) for name in ("skin_colors", "field_of_view")]] = 0.001
TOLERANCES[len(NAMES) : len(NAMES) + 3] = 0.1  # means of L*, a*, b*


def describe(image: np.ndarray) -> np.ndarray:
    """The values of NAMES and then of texture, float64 (COUNT,), of an image, uint8 (h, w, 3) RGB."""
    lab = cielab.from_rgb(image)
    lightness, red, yellow = cv2.split(lab)
    means, spreads = (each.ravel() for each in cv2.meanStdDev(lab))
    chroma = np.hypot(red, yellow)
    fine, coarse = (cv2.GaussianBlur(lightness, (0, 0), deviation) for deviation in (1, 2))
    gradient = np.hypot(cv2.Sobel(coarse, cv2.CV_32F, 1, 0), cv2.Sobel(coarse, cv2.CV_32F, 0, 1))
    values = {
        "brightness": means[0],
        "skin_colors": np.mean((red > 0) & (yellow > 0) & (chroma > GRAY)),
        "saturation": np.percentile(chroma, 98),
        "color_variety": np.log(spreads[2] + 0.1),
        "foreign_colors": np.log(_third_variance(image) + 1e-6),
        "detail": np.log((np.mean((lightness - fine) ** 2) + 1e-4) / (np.mean((fine - coarse) ** 2) + 1e-4)),
        "edges": np.log(cv2.mean(gradient)[0] / (spreads[0] + 1) + 0.01),
        "field_of_view": np.mean(lightness > BLACK),
    }
    named = [values[name] for name in NAMES]
    return np.array([*named, *means, *np.log(spreads + 0.1), *_bands(lab)], np.float64)


def _bands(lab):
    """Of each band the energies of the channels, the kurtosis of the lightness, and the channels' correlations."""
    found = []
    for _ in range(BANDS):
        smooth = cv2.GaussianBlur(lab, (0, 0), 1)
        band = lab - smooth
        covariance, means = _covariance(band)
        energy = np.diag(covariance)
        squares = (band[..., 0] - means[0]) ** 2
        correlation = covariance / np.sqrt(np.outer(energy + 1e-3, energy + 1e-3))
        found += np.log(energy + 1e-4).tolist()
        found.append(np.log(np.mean(squares * squares) / (energy[0] ** 2 + 1e-12) + 1e-3))
        found += np.arctanh(0.999 * correlation[[0, 0, 1], [1, 2, 2]]).tolist()
        lab = np.ascontiguousarray(smooth[::2, ::2])
    return found


def _covariance(image):
    """The covariance (3, 3) and the means (3,) of an image's channels, float64."""
    how = cv2.COVAR_NORMAL | cv2.COVAR_ROWS | cv2.COVAR_SCALE
    covariance, means = cv2.calcCovarMatrix(image.reshape(-1, 3), None, how, ctype=cv2.CV_64F)
    return covariance, means.ravel()


def _third_variance(image):
    """The least of the variances of an image's optical densities along their principal axes."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1)
    densities = -np.log(np.maximum(smooth, 3) / 255)
    return max(0.0, np.linalg.eigvalsh(_covariance(densities)[0])[0])
