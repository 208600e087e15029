"""Geometric and colour transforms of whole batches, in TensorFlow; as a script, the fourfold offline augmentation.

    python augmentation.py                                  # dataset_isic18 -> dataset_isic18_augmented
    python augmentation.py --data IN --out OUT --copies 3 --seed 0

The script writes prepared arrays that `train.py --data OUT` uses in place of the original: every training image, and
after each `--copies` transformed ones (rotation up to 90 degrees, zoom 0.2, mirrored and turned upside down at random,
nearest fill), as the AS-Net code does; validation and test stay as they are.

Image and mask always go through one shared transform: the image bilinearly, the mask bilinearly and cut at one half,
which is the nearest value at every turn and flip and keeps outlines smooth at other angles.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from config import Settings
from datasets.prepared import Writer, open_split, read_meta

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], "float32")
OFFLINE = Settings(flip=True, turn=True, rotation=90.0, zoom=0.2)  # of the AS-Net code


def augment(images, masks, settings, seed, fill="REFLECT"):
    """Draw one transform per image and apply it to image and mask.

    Args:
        images: (B, H, W, 3), any dtype, 0 to 255.
        masks: (B, H, W, C), any dtype, {0, 1}.
        settings: Settings; its augmentation part is used.
        seed: int (2,), decides every draw.
        fill: REFLECT or NEAREST, what is put where the image ends.

    Returns:
        (B, H, W, 3) float32, 0 to 255, and (B, H, W, C) float32 {0, 1}.
    """
    images, masks = tf.cast(images, tf.float32), tf.cast(masks, tf.float32)
    draws = tf.random.stateless_uniform([tf.shape(images)[0], 10], seed, -1.0, 1.0)
    if any((settings.flip, settings.turn, settings.rotation, settings.zoom, settings.shift)):
        matrix = geometry(draws[:, :6], images.shape[1], images.shape[2], settings)
        images, masks = warp(images, masks, matrix, fill)
    if any((settings.brightness, settings.contrast, settings.saturation, settings.hue)):
        images = recolor(images, draws[:, 6:], settings)
    return images, masks


# === Geometry ===


def geometry(draws, height, width, settings):
    """Matrices that take each pixel of the result to its source.

    Args:
        draws: (B, 6) float32 in [-1, 1).

    Returns:
        (B, 8) float32: rows (a, b, c), (d, e, f), (0, 0) for x' = a x + b y + c, y' = d x + e y + f.
    """
    mirror, turn, angle, zoom, down, right = tf.unstack(draws, axis=1)
    mirror = tf.where(mirror < 0, -1.0, 1.0) if settings.flip else tf.ones_like(mirror)
    angle = angle * math.radians(settings.rotation)
    if settings.turn:
        step = 1 if height == width else 2  # a quarter turn does not fit an oblong image
        angle += tf.floor((turn + 1) * 2 / step) * (step * math.pi / 2)
    scale = 1 / (1 + zoom * settings.zoom)
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    a, b, d, e = cos * mirror, -sin, sin * mirror, cos
    x, y = (width - 1) / 2, (height - 1) / 2  # the centre stays where it is, but for the shift
    c = x - a * x - b * y + right * settings.shift * width
    f = y - d * x - e * y + down * settings.shift * height
    zero = tf.zeros_like(a)
    return tf.stack([a, b, c, d, e, f, zero, zero], axis=1)  # (B, 8)


def warp(images, masks, matrix, fill="REFLECT"):
    """Apply one matrix per image to images (B, H, W, 3) and masks (B, H, W, C), both float32."""
    both = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.concat([images, masks], axis=-1),  # (B, H, W, 3 + C)
        transforms=matrix,
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill,
    )
    both.set_shape([*images.shape[:3], images.shape[3] + masks.shape[3]])
    return both[..., :3], tf.cast(both[..., 3:] > 0.5, tf.float32)


# === Colour ===


def recolor(images, draws, settings):
    """Hue, saturation, contrast and brightness of (B, H, W, 3), 0 to 255, as one colour matrix per image.

    Args:
        draws: (B, 4) float32 in [-1, 1).
    """
    bright, contrast, saturation, hue = tf.unstack(draws, axis=1)
    contrast = 1 + contrast * settings.contrast
    saturation = 1 + saturation * settings.saturation
    hue = hue * math.radians(settings.hue)
    cos, sin, zero, one = tf.cos(hue) * saturation, tf.sin(hue) * saturation, tf.zeros_like(hue), tf.ones_like(hue)
    chroma = tf.reshape(tf.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], axis=1), (-1, 3, 3))
    matrix = np.linalg.inv(YIQ) @ chroma @ YIQ  # (B, 3, 3)
    mean = tf.linalg.matvec(matrix, tf.reduce_mean(images, axis=(1, 2)))  # (B, 3), contrast leaves it
    offset = (1 - contrast)[:, None] * mean + 255 * (bright * settings.brightness)[:, None]  # (B, 3)
    matrix *= contrast[:, None, None]
    flat = tf.reshape(images, (-1, images.shape[1] * images.shape[2], 3))  # (B, H * W, 3)
    flat = tf.matmul(flat, matrix, transpose_b=True) + offset[:, None]
    return tf.reshape(tf.clip_by_value(flat, 0.0, 255.0), tf.shape(images))


# === Offline augmentation ===


def write_augmented(data, out, copies=3, seed=0, batch=64):
    """Write `out` as the prepared folder `data` with `copies` transformed images after each training image.

    Raises:
        FileNotFoundError, ValueError: as `datasets.prepared.open_split`; `out` is `data`; no masks to train on.
    """
    if Path(out).resolve() == Path(data).resolve():
        raise ValueError(f"--out {out} is --data itself: name another folder")
    meta = read_meta(data)
    splits = {name: open_split(data, name) for name in meta["counts"]}
    if copies < 1:
        raise ValueError(f"--copies is {copies}, expected 1 or more")
    if "train" not in splits or splits["train"].masks is None:
        raise ValueError(f"{data} has no training images with masks")
    meta = {key: meta[key] for key in ("dataset", "task", "size", "classes")}
    meta["augmented"] = {"copies": copies, "seed": seed}
    transform = tf.function(lambda x, y, s: augment(x, y, OFFLINE, s, fill="NEAREST"), reduce_retracing=True)
    with Writer(out, meta, meta["size"], meta["classes"]) as writer:
        for name, split in splits.items():
            for start in tqdm(range(0, len(split.ids), batch), name, unit="batch", disable=None):
                images = split.images[start : start + batch]
                masks = None if split.masks is None else split.masks[start : start + batch]
                versions = [(images, masks)]
                for copy in range(1, copies + 1 if name == "train" else 1):
                    warped, cut = transform(images, masks, tf.constant([seed, start * (copies + 1) + copy]))
                    versions.append((np.rint(warped).astype("uint8"), np.asarray(cut, "uint8")))
                for row, identifier in enumerate(split.ids[start : start + batch]):
                    for copy, (image, mask) in enumerate(versions):
                        label = f"{identifier}_{copy}" if copy else identifier
                        row_mask = None if mask is None else mask[row]
                        writer.add(name, label, image[row], row_mask, split.sizes[start + row])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="dataset_isic18", help="prepared folder")
    parser.add_argument("--out", help="folder to write (default: DATA_augmented)")
    parser.add_argument("--copies", type=int, default=3, help="transformed images for each original")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    out = args.out or f"{args.data.rstrip('/')}_augmented"
    try:
        write_augmented(args.data, out, args.copies, args.seed)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{out}: {read_meta(out)['counts']['train']} training images; use it with: python train.py --data {out}")


if __name__ == "__main__":
    main()
