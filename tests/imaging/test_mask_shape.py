"""Measures of masks: by hand, on discs and squares, turned and enlarged."""

import numpy as np
import pytest

from imaging import mask_shape

ROWS, COLUMNS = np.mgrid[:200, :240]


def turned(degrees):
    """Coordinates about the middle of the picture, turned."""
    angle = np.deg2rad(degrees)
    x, y = COLUMNS - 120, ROWS - 100
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def describe(mask, probability=0.75):
    return mask_shape.describe(mask, np.full(mask.shape, probability, np.float32))


def test_by_hand():
    mask = np.zeros((10, 10), bool)
    mask[1:4, 2:7] = mask[7, 7] = True  # 3 × 5 pixels, outline through the centers 2 (2 + 4); and a single one
    found = describe(mask)
    assert list(found) == mask_shape.COLUMNS
    assert list(found.values())[:7] == [16, 16.0, 2, 1, 6, 7, 2]
    perimeter = 12 * np.pi * (1 + np.sqrt(2)) / 8
    assert found["perimeter"] == pytest.approx(perimeter)
    assert found["border_irregularity"] == pytest.approx(perimeter**2 / (4 * np.pi * 8))  # 2 × 4 inside the outline
    assert found["mean_confidence"] == 0.75


def test_confidence_is_that_of_the_mask():
    mask = ROWS < 50
    assert mask_shape.describe(mask, np.where(mask, 0.9, 0.1).astype(np.float32))["mean_confidence"] == pytest.approx(
        0.9
    )


@pytest.mark.parametrize("degrees", [0, 17, 45, 80])
def test_symmetric_shapes(degrees):
    x, y = turned(degrees)
    ellipse = describe((x / 90) ** 2 + (y / 40) ** 2 < 1)
    assert ellipse["asymmetry"] < 0.02
    outline = 4 * 90 * 1.1955  # 4 a E(e), the complete elliptic integral for b/a = 4/9
    assert ellipse["perimeter"] == pytest.approx(outline, rel=0.03)


def test_a_disc_is_regular_and_symmetric():
    found = describe(np.hypot(COLUMNS - 120, ROWS - 100) < 70)
    assert found["asymmetry"] < 0.01
    assert found["border_irregularity"] == pytest.approx(1, abs=0.03)
    assert found["perimeter"] == pytest.approx(2 * np.pi * 69.5, rel=0.01)


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_asymmetry_of_a_triangle_by_area(degrees):
    x, y = turned(degrees)  # isosceles: mirrors onto itself about its long axis alone
    found = describe((x > -80) & (x < 80) & (np.abs(y) < (80 - x) / 8))
    # about the short axis through the centroid, a third along: overlap of width min(w(x), w(-x)), 2/3 of the area
    assert found["asymmetry"] == pytest.approx((0 + 1 / 3) / 2, abs=0.02)


def test_jagged_borders_are_irregular():
    angle, radius = np.arctan2(ROWS - 100, COLUMNS - 120), np.hypot(COLUMNS - 120, ROWS - 100)
    smooth, jagged = (describe(radius < 60 + depth * np.sin(16 * angle)) for depth in (0, 10))
    assert jagged["border_irregularity"] > 2 * smooth["border_irregularity"]


def test_asymmetry_does_not_depend_on_the_size():
    mask = (np.hypot(COLUMNS - 120, ROWS - 100) < 70) & ((COLUMNS < 130) | (ROWS < 90))
    large = np.kron(mask, np.ones((5, 5), bool))  # reduced before it is folded
    assert describe(mask)["asymmetry"] == pytest.approx(describe(large)["asymmetry"], abs=0.01) and mask.any()
    assert describe(mask)["asymmetry"] > 0.1


@pytest.mark.parametrize("mask", [ROWS < 0, (ROWS == 5) & (COLUMNS == 7), (ROWS == 5) & (COLUMNS < 100)])
def test_what_is_undefined_is_none(mask):
    found = describe(mask)
    assert found["border_irregularity"] is None
    undefined = [name for name in ("left", "asymmetry", "mean_confidence") if found[name] is None]
    assert undefined == ([] if mask.any() else ["left", "asymmetry", "mean_confidence"])
