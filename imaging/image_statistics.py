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


def describe(image: np.ndarray) -> np.ndarray:
    """The values of NAMES and then of texture, float64 (COUNT,), of an image, uint8 (h, w, 3) RGB."""
    lab = cielab.from_rgb(image)
    lightness, red, yellow = (np.ascontiguousarray(lab[..., k]) for k in range(3))
    chroma = np.hypot(red, yellow)
    fine, coarse = (cv2.GaussianBlur(lightness, (0, 0), deviation) for deviation in (1, 2))
    gradient = np.hypot(cv2.Sobel(coarse, cv2.CV_32F, 1, 0), cv2.Sobel(coarse, cv2.CV_32F, 0, 1))
    values = {
        "brightness": lightness.mean(),
        "skin_colors": np.mean((red > 0) & (yellow > 0) & (chroma > GRAY)),
        "saturation": np.percentile(chroma, 98),
        "color_variety": np.log(yellow.std() + 0.1),
        "foreign_colors": np.log(_third_variance(image) + 1e-6),
        "detail": np.log((np.mean((lightness - fine) ** 2) + 1e-4) / (np.mean((fine - coarse) ** 2) + 1e-4)),
        "edges": np.log(gradient.mean() / (lightness.std() + 1) + 0.01),
        "field_of_view": np.mean(lightness > BLACK),
    }
    return np.array([*(values[name] for name in NAMES), *_texture(lab)], np.float64)


def _texture(lab):
    """Mean and spread of the channels, then of each band energies, the kurtosis of the lightness, and correlations."""
    found = [*lab.mean(axis=(0, 1)), *np.log(lab.std(axis=(0, 1)) + 0.1)]
    for _ in range(BANDS):
        smooth = cv2.GaussianBlur(lab, (0, 0), 1)
        band = (lab - smooth).reshape(-1, 3)
        band = band - band.mean(axis=0)
        covariance = band.T @ band / len(band)
        energy = np.diag(covariance)
        lightness = band[:, 0]
        correlation = covariance / np.sqrt(np.outer(energy + 1e-3, energy + 1e-3))
        found += np.log(energy + 1e-4).tolist()
        found.append(np.log(np.mean(lightness**4) / (energy[0] ** 2 + 1e-12) + 1e-3))
        found += np.arctanh(0.999 * correlation[[0, 0, 1], [1, 2, 2]]).tolist()
        lab = smooth[::2, ::2]
    return found


def _third_variance(image):
    """The least of the variances of an image's optical densities along their principal axes."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1)
    densities = -np.log(np.maximum(smooth, 3) / 255).reshape(-1, 3)
    return max(0.0, np.linalg.eigvalsh(np.cov(densities.T))[0])
