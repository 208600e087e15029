"""Geometric transforms of batches: matrices and displacements, and the one warp of images and masks that applies them.

A matrix (B, 3, 3) float32 takes the position (x, y, 1) of a pixel of the result to that of its source, both in pixels
to the right of and below the middle of the image. Matrices are put together by `compose`.
"""

from utils.lazy import lazily

with lazily():
    import tensorflow as tf


GRID = 3  # points a side of the grid of elastic deformations; at the largest setting, 0.09, nothing folds


# === Matrices ===


def _matrices(first, second):
    """(B, 3, 3) of two rows, each three values (B,) or numbers."""
    zero = sum(0.0 * value for value in (*first, *second))  # (B,)
    rows = [tf.stack([value + zero for value in row], axis=1) for row in (first, second, (0.0, 0.0, 1.0))]
    return tf.stack(rows, axis=1)


def identity(count):
    """Matrices (B, 3, 3) that change nothing."""
    return tf.eye(3, batch_shape=[count])


def mirror(chosen):
    """Mirror left to right the images that are chosen, bool (B,)."""
    return _matrices((tf.where(chosen, -1.0, 1.0), 0.0, 0.0), (0.0, 1.0, 0.0))


def rotate(angles):
    """Rotate by angles (B,), in radians."""
    cos, sin = tf.cos(angles), tf.sin(angles)
    return _matrices((cos, -sin, 0.0), (sin, cos, 0.0))


def scale(factors):
    """Enlarge by factors (B,), above 0."""
    return _matrices((1 / factors, 0.0, 0.0), (0.0, 1 / factors, 0.0))


def shear(angles):
    """Slant upright lines by angles (B,), in radians."""
    return _matrices((1.0, tf.tan(angles), 0.0), (0.0, 1.0, 0.0))


def shift(right, down):
    """Take each pixel from so many pixels, (B,) each, farther to the right and down."""
    return _matrices((1.0, 0.0, right), (0.0, 1.0, down))


def compose(second, first):
    """The matrices (B, 3, 3) that take a position through `first`, then through `second`."""
    return tf.reduce_sum(second[..., None] * first[:, None], axis=2)  # in float32 on every device, unlike matmul


# === Displacements ===


def displacement(count, height, width, fraction, seed):
    """Elastic deformation: random shifts of a coarse grid, bicubic ones between (as U-Net, Ronneberger et al., 2015).

    Returns:
        (B, 2, H, W) float32: shifts to the right and down, in pixels, up to about `fraction` of the shorter side.
    """
    coarse = tf.random.stateless_uniform([count, 2, GRID, GRID], seed, -1.0, 1.0) * (fraction * min(height, width))
    rows, columns = (
        tf.image.resize(tf.eye(GRID)[..., None], (side, GRID), "bicubic")[..., 0] for side in (height, width)
    )  # (H, GRID), (W, GRID)
    return tf.matmul(tf.matmul(rows, coarse), columns, transpose_b=True)


# === The warp ===


def warp(images, masks, matrices, displacements=None, fill="REFLECT"):
    """Move images, bilinearly, and masks, bilinearly and cut at one half, in one go.

    Args:
        images: (B, H, W, 3) float32.
        masks: (B, H, W, C) float32 {0, 1}.
        matrices: (B, 3, 3).
        displacements: None, or (B, 2, H, W), added to where a matrix takes a pixel to.
        fill: REFLECT or NEAREST, what is put where the image ends.

    Returns:
        images and masks, as given.
    """
    matrices = _from_corner(matrices, *images.shape[1:3])
    if displacements is not None:
        both = _sample(
            tf.concat([images, masks], axis=-1), *_sources(matrices, displacements, fill)
        )  # (B, H, W, 3 + C)
        return both[..., :3], tf.cast(both[..., 3:] >= 0.5, tf.float32)
    # The mask, in whole numbers of 0 and 2, stays above 0 where it is at least one half: cheaper than as fractions.
    doubled = _project(2 * tf.cast(masks, tf.uint8), matrices, fill)
    return _project(images, matrices, fill), tf.cast(doubled > 0, tf.float32)


def _from_corner(matrices, height, width):
    """Rows (a, b, c), (d, e, f), (0, 0), (B, 8), for positions counted from the middle of the upper left pixel."""
    x, y = (width - 1) / 2, (height - 1) / 2
    a, b, c, d, e, f = tf.unstack(tf.reshape(matrices[:, :2], (-1, 6)), axis=1)
    zero = tf.zeros_like(a)
    return tf.stack([a, b, c + x - a * x - b * y, d, e, f + y - d * x - e * y, zero, zero], axis=1)


def _project(images, matrices, fill):
    """Images (B, H, W, C) moved by matrices (B, 8), bilinearly; whole numbers are rounded down."""
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=matrices,
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill,
    )
    return tf.ensure_shape(moved, images.shape)


def _sources(matrices, displacements, fill):
    """Where each pixel comes from, (B, H, W) columns and rows, inside the image: mirrored or moved to its border."""
    height, width = displacements.shape[2:]
    x, y = tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32)[:, None]
    a, b, c, d, e, f = tf.unstack(matrices[:, :6, None, None], axis=1)  # (B, 1, 1) each
    columns = a * x + (b * y + c) + displacements[:, 0]
    rows = d * x + (e * y + f) + displacements[:, 1]
    return _inside(columns, width, fill), _inside(rows, height, fill)


def _inside(positions, side, fill):
    """Positions along a side of so many pixels, those beyond its ends brought inside."""
    if fill == "REFLECT":  # the picture and its mirror image by turns
        positions = tf.math.floormod(positions + 0.5, 2.0 * side)
        positions = tf.minimum(positions, 2 * side - positions) - 0.5
    return tf.clip_by_value(positions, 0.0, side - 1.0)


def _sample(images, x, y):
    """Images (B, H, W, C) at columns x and rows y, (B, H, W), between their four neighbors: (B, H, W, C)."""
    count = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    left, top = tf.minimum(tf.floor(x), width - 2.0), tf.minimum(tf.floor(y), height - 2.0)
    across, down = (x - left)[..., None], (y - top)[..., None]  # (B, H, W, 1), weights of the right and lower ones
    first = tf.range(count)[:, None, None] * (height * width)
    corner = first + tf.cast(top, tf.int32) * width + tf.cast(left, tf.int32)  # number of the upper left neighbor
    pixels = tf.reshape(images, [-1, channels])
    a, b, c, d = (tf.gather(pixels, corner + step) for step in (0, 1, width, width + 1))  # (B, H, W, C) each
    upper = a + across * (b - a)
    lower = c + across * (d - c)
    return upper + down * (lower - upper)
