"""One phantom: a drawn picture that resembles dermoscopy, with lesion mask and the five attribute masks of ISIC 2018.

Color is computed as in skin: light is dimmed by melanin (brown to black) and by blood (red), after Beer and Lambert;
lesion, network, globules, streaks and freckles are spots with more melanin. Lengths are in units of the shorter image
side and random fields live on grids of a fixed size, so one seed gives one picture at every resolution (of the same
aspect ratio).

    image, lesion, attributes = phantom(seed=7, height=192, width=256)
"""

from math import cos, pi, sin
from typing import NamedTuple

import cv2
import numpy as np

from datasets.isic2018 import ATTRIBUTES
from utils.errors import UserError

# Fractions of the images that show each attribute, as in the ISIC 2018 training set; streaks (0.039 there) are somewhat
# more frequent, so that a small set has some.
FREQUENCIES = (0.587, 0.073, 0.06, 0.263, 0.232)
# seed × rotation mod 1 < frequency decides on each attribute: spread evenly, so 21 seeds in a row hold every attribute.
ROTATIONS = (11**0.5, 2**0.5, (5**0.5 - 1) / 2, 3**0.5, 7**0.5)
MIN_SIDE = 32  # pixels
GRID = 240  # rows of the grid that shapes and regions are computed on
MAX_SIDE = 1500  # pixels; larger pictures are painted with this shorter side, then enlarged; masks and grain are not
MELANIN = np.float32([0.52, 1.0, 1.45])  # absorbance of red, green, blue per unit of melanin
BLOOD = np.float32([0.12, 1.0, 0.75])
SKINS = np.float32([  # RGB of unpigmented skin under the lamp, white balance included; the last two are dark skin
    (238, 165, 152), (240, 150, 138), (236, 226, 206), (232, 214, 196), (212, 178, 150), (200, 165, 135),
    (190, 168, 156), (214, 206, 224), (234, 190, 182), (172, 148, 138), (226, 202, 188), (222, 184, 164),
    (204, 182, 168), (228, 178, 166), (196, 154, 124), (150, 108, 82), (112, 78, 60),
])  # fmt: skip
DARK_SKIN = 135  # mean RGB below which the lesion gets more melanin, to be seen at all


class Phantom(NamedTuple):
    """image: uint8 (H, W, 3) RGB; lesion: uint8 (H, W), {0, 1}; attributes: uint8 (H, W, 5), {0, 1}, as ATTRIBUTES."""

    image: np.ndarray
    lesion: np.ndarray
    attributes: np.ndarray


# === Fields ===
class Frame:
    """A raster of the picture: pixels, and coordinates in units of the shorter side with the origin in the middle."""

    def __init__(self, height, width, side=None):
        scale = side / min(height, width) if side else 1
        self.height, self.width = round(height * scale), round(width * scale)
        self.unit = min(self.height, self.width)  # pixels
        self.extent = height / self.unit * scale, width / self.unit * scale  # height, width in units

    def coordinates(self):
        y = (np.arange(self.height, dtype=np.float32) + 0.5 - self.height / 2) / self.unit
        x = (np.arange(self.width, dtype=np.float32) + 0.5 - self.width / 2) / self.unit
        return np.meshgrid(x, y)  # (H, W) each

    def pixels(self, points, bits):
        """Points (..., 2) as x, y in units → int32 fixed-point pixels for OpenCV's drawing functions."""
        middle = np.float64([self.width, self.height]) / 2 - 0.5
        return np.round((points * self.unit + middle) * 2**bits).astype(np.int32)

    def fit(self, field):
        """A field on another raster of the same picture, enlarged or reduced to this one."""
        if field.shape[:2] == (self.height, self.width):
            return field
        method = cv2.INTER_AREA if field.shape[0] > self.height else cv2.INTER_CUBIC
        return cv2.resize(field, (self.width, self.height), interpolation=method)

    def noise(self, rng, cells, octaves=1):
        """Smooth random field (H, W), mean 0, deviation about 1, `cells` a unit; octaves halve size and strength."""
        field = 0
        for octave in range(octaves):
            rows, columns = (max(2, round(cells * 2**octave * side)) for side in self.extent)
            field = field + self.fit(rng.standard_normal((rows, columns), np.float32)) * 0.5**octave
        return field * np.float32(1.2)

    def disks(self, points, radii, value=255):
        """Filled circles, points (N, 2) and radii (N,) in units → uint8 (H, W)."""
        layer = np.zeros((self.height, self.width), np.uint8)
        sizes = np.maximum(1, np.round(radii * self.unit * 16)).astype(np.int32)
        for (x, y), size in zip(self.pixels(points, 4).tolist(), sizes.tolist(), strict=True):
            cv2.circle(layer, (x, y), size, value, -1, cv2.LINE_AA if value > 1 else cv2.LINE_8, 4)
        return layer


def ramp(field, low, high):
    """0 below low, 1 above high, smooth (cubic) between."""
    t = np.clip((field - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


# === Lesion ===
class Lesion(NamedTuple):
    """What the shape gives to the painter; fields are float32 on the grid."""

    radius: float  # of the circle of the same area, units
    distance: np.ndarray  # to the border, units, positive inside
    spikes: np.ndarray  # streaks: radial fingers, 0 to 1
    sector: np.ndarray  # where the streaks are, positive inside


def lesion_shape(rng, grid, streaks):
    """An irregular blob of a given area: its level field is cut at the quantile that gives it."""
    x, y = grid.coordinates()
    area = 0.14 * np.exp(0.95 * rng.standard_normal()) if rng.random() < 0.93 else rng.uniform(0.45, 0.88)
    area = float(np.clip(area, 0.008, 0.88))
    radius = (area * grid.extent[0] * grid.extent[1] / pi) ** 0.5
    reach = np.clip(np.float64(grid.extent[::-1]) / 2 - 1.35 * radius, 0.02, None)  # stays inside, or nearly so
    center = np.clip(rng.normal(0, 0.09, 2), -reach, reach)
    cut = rng.random() < 0.12  # by the border of the image
    if cut:
        side = rng.integers(2)
        center[side] = rng.choice([-1, 1]) * (grid.extent[1 - side] / 2 - radius * rng.uniform(0.2, 0.8))
    turn = rng.uniform(0, pi)
    stretch = rng.uniform(1, 1.7) ** 0.5
    u, v = x - np.float32(center[0]), y - np.float32(center[1])
    rho, theta = cv2.cartToPolar((u * cos(turn) + v * sin(turn)) / stretch, (v * cos(turn) - u * sin(turn)) * stretch)
    rho /= radius
    outline = sum(rng.normal(0, 0.13 / (k - 1)) * np.cos(k * theta + rng.uniform(0, 2 * pi)) for k in range(2, 7))
    rough = rng.uniform(0.05, 0.18) * grid.noise(rng, max(1.0, 1.1 / radius), octaves=4)
    level = outline - rho + rough * np.minimum(rho, 1)
    if not cut and area < 0.75:  # the border repels
        outward = np.square(np.square(2 * x / grid.extent[1])) + np.square(np.square(2 * y / grid.extent[0]))
        level = level - 1.5 * ramp(np.sqrt(np.sqrt(outward)), 0.7, 1.1)  # outward: 1 at mid-side
    spikes = sector = np.zeros_like(level)
    if streaks:
        width = rng.uniform(0.5, 1.6)
        fingers = int(rng.integers(22, 40))
        fan = np.cos(fingers * theta + 2 * grid.noise(rng, max(1.0, 1.5 / radius)))
        border = theta[np.abs(level - np.quantile(level, 1 - area)) < 0.05]  # directions where the picture shows it
        sector = np.cos(theta - rng.choice(border)) - np.float32(np.cos(width))
        spikes = ramp(fan, -0.2, 0.9) * ramp(sector, 0, 0.15) * ramp(rho, 0.5, 0.9)
        level = level + 0.2 * spikes
    mask = cv2.medianBlur((level > np.quantile(level, 1 - area)).astype(np.uint8), 5)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    mask = cv2.drawContours(np.zeros_like(mask), [max(contours, key=cv2.contourArea)], -1, 1, -1)  # one piece, no holes
    inside, outside = (cv2.distanceTransform(m, cv2.DIST_L2, 5) for m in (mask, 1 - mask))
    distance = cv2.GaussianBlur((inside - outside) / grid.unit, (0, 0), 1.2)
    return Lesion(radius, distance, spikes, sector)


def patch(rng, grid, lesion, fraction):
    """A coherent part of the lesion: a field, positive on about `fraction` of its area, at most about 1."""
    noise = grid.noise(rng, max(1.0, 1.3 / lesion.radius), octaves=3)
    cut = np.quantile(noise[lesion.distance > 0], 1 - fraction)
    return np.minimum(noise - cut, lesion.distance / lesion.radius * 8)


def honeycomb(rng, frame, spacing, wildness):
    """Net of lines, 1 on them and 0 in the holes: the low values of three warped plane waves at 120°."""
    x, y = frame.coordinates()
    x, y = (c + frame.noise(rng, 0.25 / spacing, octaves=2) * np.float32(spacing * wildness) for c in (x, y))
    angles = rng.uniform(0, pi) + np.arange(3) * 2 * pi / 3
    waves = np.float32(2 * pi / spacing * np.stack([np.cos(angles), np.sin(angles)], -1))  # (3, 2)
    return ramp(-sum(np.cos(x * kx + y * ky) for kx, ky in waves), -0.4, 1.1)


def dots(rng, grid, lesion, count, radius, clusters):
    """Places of small round structures inside the lesion → points (N, 2), radii (N,) in units."""
    x, y = grid.coordinates()
    rows, columns = np.nonzero(lesion.distance > min(1.5 * radius, 0.6 * lesion.distance.max()))
    free = np.stack([x[rows, columns], y[rows, columns]], -1)  # (P, 2)
    if clusters:
        seeds = free[rng.integers(len(free), size=clusters)]
        reach = 1.7 * radius * (count / clusters) ** 0.5
        free = free[np.min(np.linalg.norm(free[:, None] - seeds, axis=-1), axis=1) < reach]
    points = free[rng.integers(len(free), size=count)]
    radii = radius * rng.uniform(0.6, 1.2, count)
    gaps = np.linalg.norm(points[:, None] - points, axis=-1) < 2.2 * radius
    apart = ~np.any(np.tril(gaps, -1), axis=1)  # too near an earlier one: left out
    return points[apart], radii[apart]


# === Picture ===
def skin(rng, frame):
    """Melanin, blood (H, W) and the color of the lit skin (3,)."""
    color = SKINS[rng.integers(len(SKINS))] * rng.uniform(0.92, 1.05) * rng.uniform(0.97, 1.03, 3)
    melanin = 0.025 * frame.noise(rng, 3, octaves=4) + rng.uniform(0.005, 0.02) * frame.noise(rng, 150)
    melanin += rng.uniform(0, 0.03) * np.abs(frame.noise(rng, rng.uniform(22, 45), octaves=2))  # furrows
    blood = rng.uniform(0.015, 0.05) * frame.noise(rng, 4, octaves=4)
    if rng.random() < 0.25:  # freckles and sun spots
        melanin += rng.uniform(0.1, 0.22) * ramp(frame.noise(rng, rng.uniform(6, 14), octaves=2), 1.0, 3.2)
    if rng.random() < 0.3:  # fine vessels: ridges of a smooth field
        ridge = 1 - ramp(np.abs(frame.noise(rng, 9, octaves=3)), 0, 0.13)
        blood += rng.uniform(0.1, 0.3) * ridge * ramp(frame.noise(rng, 4), 0, 1)
    return melanin, blood, np.minimum(color, 250).astype(np.float32)


def paint_lesion(rng, frame, grid, lesion, density, melanin, blood):
    """Adds the lesion's pigment in place → opacity of its blue-gray veil (H, W)."""
    softness = lesion.radius * rng.uniform(0.04, 0.26) * np.exp(0.4 * grid.noise(rng, max(1.0, 0.8 / lesion.radius)))
    edge = ramp(lesion.distance / softness, -1, 1)  # 0.5 on the border of the mask
    depth = np.clip(lesion.distance / lesion.radius, 0, 0.6)
    mottle = grid.noise(rng, max(2.0, 2.5 / lesion.radius), octaves=4)
    amount = density * (0.75 + rng.uniform(0, 0.9) * depth) * np.clip(1 + rng.uniform(0.1, 0.3) * mottle, 0.6, 1.8)
    if rng.random() < 0.45:  # dark blotches, off center
        amount = amount + rng.uniform(0.4, 1.1) * ramp(patch(rng, grid, lesion, rng.uniform(0.1, 0.35)), -0.5, 1.2)
    red = rng.uniform(-0.08, 0.12)
    if rng.random() < 0.2:
        red = red + rng.uniform(0.15, 0.4) * ramp(patch(rng, grid, lesion, rng.uniform(0.2, 0.6)), -0.5, 1.2)
    if rng.random() < 0.12:  # scar-like white regression: most pigment is gone
        scar = ramp(patch(rng, grid, lesion, rng.uniform(0.05, 0.3)), -0.5, 1.2)
        amount = amount * (1 - 0.75 * scar)
        red = red - 0.08 * scar
    veil = np.zeros_like(edge)
    if rng.random() < 0.15:  # blue-gray veil
        veil = edge * ramp(patch(rng, grid, lesion, rng.uniform(0.05, 0.3)), -0.5, 1.2) * rng.uniform(0.3, 0.65)
    grain = 1 + rng.uniform(0.05, 0.16) * frame.noise(rng, rng.uniform(20, 40), octaves=3)
    melanin += frame.fit(edge * (amount + 0.8 * lesion.spikes * density)) * grain
    blood += frame.fit(edge * red)
    return frame.fit(veil)


def paint_attributes(rng, frame, grid, lesion, density, present, melanin):
    """Adds the structures in place → {channel: field on the grid or (points, radii)}, (opacity, color) of cysts."""
    regions = {}
    layers = []
    spacing = float(np.clip(lesion.radius * rng.uniform(0.08, 0.14), 0.015, 0.03))
    grain = float(np.clip(lesion.radius * 0.05, 0.006, 0.013))
    contrast = min(1, 1.5 * density)
    if present[0]:
        regions[0] = patch(rng, grid, lesion, rng.uniform(0.25, 0.85))
        lines = honeycomb(rng, frame, spacing, 0.5) - np.float32(0.2)
        strength = ramp(regions[0], -0.1, 0.6) * (1 + 0.3 * grid.noise(rng, 4))
        melanin += frame.fit(strength) * lines * np.float32(contrast * rng.uniform(0.3, 0.75))
    if present[1]:
        regions[1] = patch(rng, grid, lesion, rng.uniform(0.2, 0.45))
        holes = np.float32(0.55) - honeycomb(rng, frame, 1.6 * spacing, 0.8)
        melanin += frame.fit(ramp(regions[1], 0, 0.4)) * holes * np.float32(contrast * rng.uniform(0.6, 0.9))
    if present[2]:
        regions[2] = np.minimum(lesion.sector, 0.22 - np.abs(lesion.distance / lesion.radius - 0.1))
    if present[3]:
        regions[3] = dots(rng, grid, lesion, rng.integers(4, 22), grain, 0)
        layers.append((frame.disks(*regions[3]) / np.float32(350), np.float32((238, 226, 190))))
    if present[4]:
        regions[4] = dots(rng, grid, lesion, rng.integers(25, 90), grain, rng.integers(1, 4))
        brown = cv2.GaussianBlur(frame.disks(*regions[4]), (0, 0), 0.25 * grain * frame.unit + 0.3)
        melanin += brown * np.float32(rng.uniform(0.6, 1.1) / 255)
    layers = [(cv2.GaussianBlur(opacity, (0, 0), 0.4 * grain * frame.unit + 0.3), color) for opacity, color in layers]
    return regions, layers


def drawing(frame):
    """A raster fine enough for thin lines, and an empty layer on it."""
    fine = Frame(frame.height, frame.width, max(480, frame.unit))
    return fine, np.zeros((fine.height, fine.width), np.uint8)


def hair(rng, frame):
    """Curved, tapering hairs of one direction → opacity (H, W), 0 to 1."""
    kind = rng.choice(5, p=(0.48, 0.27, 0.13, 0.06, 0.06))
    count = int((0, rng.integers(2, 9), rng.integers(12, 30), rng.integers(35, 80), rng.integers(40, 110))[kind])
    length, width = (0.05, 0.007) if kind == 4 else (0.55, 0.006)  # kind 4: stubble
    fine, layer = drawing(frame)
    t = np.linspace(0, 1, 14)[:, None]  # (14, 1)
    starts = rng.uniform(-0.6, 0.6, (count, 2)) * fine.extent[::-1]
    turns = rng.uniform(0, 2 * pi) + rng.normal(0, 0.45, count) + pi * (rng.random(count) < 0.2)
    lengths = length * rng.lognormal(0, 0.45, count)
    bends = rng.normal(0, 0.5, count)
    widths = width * rng.uniform(0.4, 1.0, count) * rng.uniform(0.6, 1)
    for start, turn, span, bend, thick in zip(starts, turns, lengths, bends, widths, strict=True):
        angles = turn + bend * t + 0.5 * bend * t**2
        path = start + np.cumsum(np.hstack([np.cos(angles), np.sin(angles)]), axis=0) * span / len(t)  # (14, 2)
        side = np.hstack([-np.sin(angles), np.cos(angles)]) * thick / 2 * (1 - t**2) * np.minimum(1, 6 * t)
        cv2.fillPoly(layer, [fine.pixels(np.vstack([path + side, (path - side)[::-1]]), 4)], 255, cv2.LINE_AA, 4)
    return frame.fit(layer) * np.float32(rng.uniform(0.75, 0.95) / 255)


def ruler(rng, frame):
    """A scale engraved in the dermoscope's glass, near the lower border → opacity (H, W), 0 to 1."""
    fine, layer = drawing(frame)
    turn = rng.normal(0, 0.2)
    length = rng.uniform(0.35, 0.6)
    ticks = 20
    along, up = np.float64([np.cos(turn), np.sin(turn)]), np.float64([np.sin(turn), -np.cos(turn)])
    start = np.float64([rng.uniform(-0.3, 0.1) - length / 2, fine.extent[0] / 2 - rng.uniform(0.1, 0.2)])
    feet = start + along * np.linspace(0, length, ticks + 1)[:, None]  # (21, 2)
    heights = np.where(np.arange(ticks + 1) % 10 == 0, 0.035, 0.02)[:, None]
    lines = np.stack([feet, feet + up * heights], axis=1)  # (21, 2, 2)
    thick = max(1, round(0.004 * fine.unit))
    cv2.polylines(layer, list(fine.pixels(lines, 4)), False, 255, thick, cv2.LINE_AA, 4)
    cv2.polylines(layer, [fine.pixels(feet, 4)], False, 255, thick, cv2.LINE_AA, 4)
    return frame.fit(layer) * np.float32(0.75 / 255)


def glints(rng, frame):
    """Air bubbles (rings) and gleams of the gel → opacity of white (H, W), 0 to 1."""
    points = rng.uniform(-0.5, 0.5, (rng.integers(3, 22), 2)) * frame.extent[::-1]
    radii = np.minimum(rng.lognormal(-4.6, 0.5, len(points)), 0.03)
    rim = cv2.subtract(frame.disks(points, radii), frame.disks(points, radii * 0.8)) * np.float32(0.3 / 255)
    gleam = frame.disks(points - radii[:, None] * 0.4, radii * 0.25) * np.float32(0.8 / 255)
    return cv2.GaussianBlur(np.maximum(rim, gleam), (0, 0), 0.0015 * frame.unit + 0.3)


def lamp(rng, frame, grid, lesion):
    """Brightness (H, W, 1): an uneven lamp, dark corners, or the round field of a dermoscope on black."""
    x, y = grid.coordinates()
    tilt = np.float32(rng.normal(0, 0.06, 2))
    light = 1 + tilt[0] * x + tilt[1] * y - rng.uniform(0, 0.25) * (x * x + y * y)
    kind = rng.choice(3, p=(0.45, 0.4, 0.15))
    if kind:
        distance = np.hypot(x, y)
        soft = rng.uniform(0.02, 0.08)
        field = float(np.hypot(*grid.extent)) * rng.uniform(0.43, 0.52) if kind == 1 else rng.uniform(0.5, 0.62)
        field = max(field, float(distance[lesion.distance > 0].max()) + soft)  # the whole lesion is seen
        light = light * ramp(field - distance, -0.01, soft)
    return frame.fit(light)[..., None]


def paint(rng, frame, grid, lesion, present):
    """The picture without grain: float32 (H, W, 3), 0 to 255, and the attribute regions."""
    melanin, blood, color = skin(rng, frame)
    faintest = 0.5 if color.mean() < DARK_SKIN else 0.2 + 0.3 * min(lesion.radius, 0.5)
    density = float(np.clip(rng.lognormal(-0.5, 0.6), faintest, 2))  # of melanin
    veil = paint_lesion(rng, frame, grid, lesion, density, melanin, blood)
    regions, cysts = paint_attributes(rng, frame, grid, lesion, density, present, melanin)
    image = color * np.exp(-np.maximum(melanin, -0.15)[..., None] * MELANIN - blood[..., None] * BLOOD)  # (H, W, 3)
    strands = hair(rng, frame)
    shadow = np.roll(cv2.GaussianBlur(strands, (0, 0), 0.006 * frame.unit), round(0.005 * frame.unit), (0, 1))
    layers = [(veil, np.float32((92, 104, 132))), *cysts, (0.25 * shadow, np.float32((0, 0, 0)))]
    layers.append((strands, np.float32((48, 34, 28)) * rng.uniform(0.4, 1.9)))
    if rng.random() < 0.3:
        layers.append((ruler(rng, frame), np.float32((70, 60, 58))))
    if rng.random() < 0.3:
        layers.append((glints(rng, frame), np.float32((255, 250, 246))))
    for opacity, tint in layers:
        image += opacity[..., None] * (tint - image)
    return image * lamp(rng, frame, grid, lesion), regions


def check(seed, height, width):
    """Raises UserError for arguments that `phantom` has no picture for."""
    if seed < 0 or min(height, width) < MIN_SIDE:
        raise UserError(f"phantoms need seed ≥ 0 and sides ≥ {MIN_SIDE} pixels, got {seed=}, {height=}, {width=}")


def phantom(seed, height, width):
    """The phantom of this seed (an integer ≥ 0) at height × width pixels; UserError for a side below 32 pixels.

    A pure function of its arguments. Lesions cover 0.5 to 90 % of the image; attributes have the FREQUENCIES.
    """
    check(seed, height, width)
    rng = np.random.default_rng([2018, seed])
    present = [(seed * rotation) % 1 < frequency for rotation, frequency in zip(ROTATIONS, FREQUENCIES, strict=True)]
    full = Frame(height, width)
    grid = Frame(height, width, GRID)
    frame = Frame(height, width, min(MAX_SIDE, full.unit))
    lesion = lesion_shape(rng, grid, present[2])
    picture, regions = paint(rng, frame, grid, lesion, present)
    image = full.fit(np.clip(picture, 0, 255).astype(np.uint8))
    grain = rng.normal(0, 2.0, (64, width, 3)).astype(np.int16)
    for top in range(0, height, 64):
        rows = image[top : top + 64]
        cv2.add(rows, np.roll(grain, 31 * top, axis=1)[: len(rows)], rows, dtype=cv2.CV_8U)
    mask = (full.fit(lesion.distance) > 0).astype(np.uint8)
    attributes = np.zeros((height, width, len(ATTRIBUTES)), np.uint8)
    for channel, region in regions.items():  # disks are wider than what they show, so that neighbors join to a cluster
        spots = isinstance(region, tuple)
        attributes[..., channel] = full.disks(region[0], region[1] * 1.8, 1) if spots else full.fit(region) > 0
    return Phantom(image, mask, attributes)
