"""Polygons to masks, as the labeling tools themselves fill them, and masks to polygons.

coco(rings, size)                # as pycocotools, whose rule COCO, CVAT and Label Studio share
labelme(kind, points, size)      # as LabelMe, by Pillow
pixel_edges(mask)                # the outline along the edges of pixels: exact, with holes (GeoJSON)
centers(mask)                    # the outline through the centers of pixels: what LabelMe fills to the same mask
"""

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from imaging.headers import Size
from utils.errors import UserError

MAX_POINTS = 100_000  # of a polygon; filling takes time by points and rows
MAX_LENGTH = 2_000_000  # pixels of its outline, of which pycocotools keeps 100 bytes each
Ring = np.ndarray  # float64 (N, 2), x and y in pixels


# === To masks ===


def coco(rings: Sequence[Ring], size: Size) -> np.ndarray:
    """uint8 (H, W) of {0, 1}: the union of polygons, filled as pycocotools does, (0, 0) the image's upper left corner.

    UserError: a polygon that is none, or absurdly large; pycocotools is missing.
    """
    try:
        from pycocotools import mask as coco_masks
    except ModuleNotFoundError:
        raise UserError("polygons are filled by pycocotools, which is missing: pip install pycocotools") from None
    for ring in rings:
        _check(ring, size)
    if not rings:
        return np.zeros(size, np.uint8)
    runs = coco_masks.frPyObjects([ring.ravel().tolist() for ring in rings], *size)
    return coco_masks.decode(coco_masks.merge(runs))  # (H, W)


def labelme(kind: str, points: Ring, size: Size) -> np.ndarray:
    """uint8 (H, W) of {0, 1}: a shape of LabelMe, "polygon", "rectangle" or "circle" (center, a point on it).

    Whole coordinates are pixels, which the outline covers too. UserError: another kind, or damaged points.
    """
    picture = Image.new("1", size[::-1])
    draw = ImageDraw.Draw(picture)
    if kind == "polygon":
        _check(points, size)
        draw.polygon([tuple(point) for point in points.tolist()], fill=1, outline=1)
    elif kind in ("rectangle", "circle"):
        _check(points, size, least=2)
        first, second = points[:2]
        if kind == "circle":
            radius = math.dist(first, second)
            first, second = first - radius, first + radius
        box = np.concatenate([np.minimum(first, second), np.maximum(first, second)])
        (draw.ellipse if kind == "circle" else draw.rectangle)(box.tolist(), fill=1, outline=1)
    else:
        raise UserError(f"a shape of the kind {kind!r}, which is no area; draw it as a polygon or delete it")
    return np.asarray(picture).astype(np.uint8)


def _check(ring, size, least=3):
    """UserError unless a ring has `least` points, at most MAX_POINTS, not far outside an image."""
    if ring.ndim != 2 or ring.shape[1] != 2 or not least <= len(ring) <= MAX_POINTS:
        raise UserError(f"a polygon of {len(ring)} points; expected from {least} to {MAX_POINTS:,} pairs of x and y")
    if not np.isfinite(ring).all() or np.abs(ring).max() > 4 * max(size):
        raise UserError(f"a polygon that leads far out of its image of {size[0]}x{size[1]} (height x width)")
    if np.abs(np.diff(ring, axis=0, append=ring[:1])).max(axis=1).sum() > MAX_LENGTH:
        raise UserError(f"a polygon whose outline is longer than {MAX_LENGTH:,} pixels; simplify it")


# === To polygons ===


def centers(mask: np.ndarray) -> Iterator[tuple[np.ndarray, int, int, list | None]]:
    """Connected components of a mask, uint8 (H, W) of {0, 1}: (its mask within its box, left, top, polygon or None).

    polygon: [[x, y], …] through the centers of its outer pixels; None where filling it does not give the component
    back to the pixel, as where it has a hole.
    """
    for part, left, top in _components(mask, 8):
        outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        ring = outlines[0][:, 0, :].astype(float)  # (N, 2)
        exact = 3 <= len(ring) <= MAX_POINTS and np.array_equal(labelme("polygon", ring, part.shape), part)
        yield part, left, top, np.add(ring, [left, top]).tolist() if exact else None


def _components(mask, connectivity):
    """(mask within its box, left, top) of each connected component."""
    count, numbers, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
    for number in range(1, count):
        left, top, width, height = boxes[number][:4].tolist()
        yield (numbers[top : top + height, left : left + width] == number).astype(np.uint8), left, top


def pixel_edges(mask: np.ndarray) -> list[list[list[list[int]]]]:
    """The polygons of a mask, uint8 (H, W) of {0, 1}, each [outer ring, hole, …], along the edges of its pixels.

    A ring is [[x, y], …], its last point the first again, counterclockwise by the numbers and holes clockwise, as RFC
    7946 asks; pixel (row, column) covers x from column to column + 1 and y, downwards, from row to row + 1. Pixels that
    touch at a corner alone are two polygons.
    """
    polygons = []
    for part, left, top in _components(mask, 4):
        rings = [[[x + left, y + top] for x, y in ring] for ring in _rings(part)]
        outer = max(rings, key=_area)
        polygons.append([outer, *(ring for ring in rings if ring is not outer)])
    return polygons


def _rings(part):
    """The closed outlines of a component, uint8 (H, W) of {0, 1}, which is always on the same side; corners alone."""
    padded = np.pad(part, 1).astype(np.int8)
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(rows, columns, start, end):
        for y, x in zip(rows.tolist(), columns.tolist(), strict=True):
            following.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))

    # 1. edges between a pixel of the component and one that is not
    down = np.diff(padded, axis=0)[:, 1:-1]  # (H + 1, W): 1 where the component begins below the edge
    across = np.diff(padded, axis=1)[1:-1]  # (H, W + 1)
    add(*np.nonzero(down == 1), (0, 0), (1, 0))
    add(*np.nonzero(down == -1), (1, 0), (0, 0))
    add(*np.nonzero(across == 1), (0, 1), (0, 0))
    add(*np.nonzero(across == -1), (0, 0), (0, 1))
    # 2. follow them
    rings = []
    while following:
        start = next(iter(following))
        ring = [start]
        while len(ring) == 1 or ring[-1] != start:
            ring.append(_next(following, ring))
        corners = [p for a, p, b in zip(ring[-2:-1] + ring, ring, ring[1:], strict=False) if _cross(a, p, b)]
        rings.append([*corners, corners[0]])
    return rings


def _next(following, ring):
    """The end of an edge that begins at the last point of a ring, which is taken out.

    Where two pixels of the component touch at a corner it is the edge of the other pixel: so a ring never meets itself,
    and what the component encloses there is a hole.
    """
    ends = following[ring[-1]]
    chosen = min(ends, key=lambda end: _cross(ring[-2], ring[-1], end)) if len(ring) > 1 else ends[0]
    ends.remove(chosen)
    if not ends:
        del following[ring[-1]]
    return chosen


def _cross(before, point, after):
    """Above 0 at a turn to the left by the numbers, 0 straight on."""
    return (point[0] - before[0]) * (after[1] - point[1]) - (point[1] - before[1]) * (after[0] - point[0])


def _area(ring):
    """Twice the signed area of a ring."""
    x, y = np.array(ring).T
    return int((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())
