"""Augmentation of whole batches, in TensorFlow; as a script, the fourfold offline augmentation and a picture of it all.

    python augmentation.py                                  # dataset_isic18 -> dataset_isic18_augmented
    python augmentation.py --data IN --out OUT --copies 3 --seed 0
    python augmentation.py --preview                        # output/augmentation.png: what each setting does

The first two write prepared arrays that `train.py --data OUT` uses in place of the original: every training image, and
after each `--copies` transformed ones (rotation up to 90 degrees, zoom 0.2, mirrored and turned upside down at random,
nearest fill), as the AS-Net code does; validation and test stay as they are. The preview shows images of `--data`, or
phantoms where there are none, with the outline of their masks.

All geometry is one transform, shared by image and mask: the image bilinearly, the mask bilinearly and cut at one half,
which is the nearest value at every turn and flip and keeps outlines smooth at other angles. All colour is one matrix.
What is drawn, covered and mixed is in effects.py.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from config import Settings
from datasets.arrays import Writer, open_split, read_meta
from datasets.phantoms import phantom
from imaging import effects, hair_removal, overlays, palette
from utils import errors
from utils.arguments import snake_case
from utils.errors import UserError
from utils.files import replacing

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], "float32")
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)  # the matrix, as of `geometry`, that changes nothing
GRID = 3  # points a side of the grid of elastic deformations; at the largest setting, 0.09, nothing folds
PREVIEW = {
    **{"flip": True, "turn": True, "rotation": 45.0, "zoom": 0.4, "shift": 0.2, "shear": 30.0, "elastic": 0.09},
    **{"brightness": 0.3, "contrast": 0.6, "saturation": 0.8, "hue": 25.0, "color_constancy": 1.0},
    **{"hair": 20, "blur": 3.0, "jpeg": 98, "cutout": 0.5, "mixup": 1.0, "cutmix": 1.0, "remove_hair": True},
}
OFFLINE = Settings(flip=True, turn=True, rotation=90.0, zoom=0.2)  # of the AS-Net code


def augment(images, masks, settings, seed, fill="REFLECT"):
    """Draw what is done to each image, and do the same to image and mask.

    Args:
        images: (B, H, W, 3), any dtype, 0 to 255.
        masks: (B, H, W, C), any dtype, {0, 1}.
        settings: Settings; its augmentation part is used.
        seed: int (2,), decides every draw.
        fill: REFLECT or NEAREST, what is put where the image ends.

    Returns:
        (B, H, W, 3) float32, 0 to 255, and (B, H, W, C) float32 {0, 1}, but [0, 1] with `mixup`.
    """
    images, masks = tf.cast(images, tf.float32), tf.cast(masks, tf.float32)
    place, bend, tone, strands, focus, codec, cover, pair = tf.unstack(tf.random.split(seed, 8))
    batch, height, width = tf.shape(images)[0], *images.shape[1:3]
    if any((settings.flip, settings.turn, settings.rotation, settings.zoom, settings.shift, settings.shear)):
        matrix = geometry(_draws(batch, 7, place), height, width, settings)
    else:
        matrix = tf.repeat(tf.constant([IDENTITY]), batch, axis=0) if settings.elastic else None
    if matrix is not None:
        field = displacement(batch, height, width, settings.elastic, bend) if settings.elastic else None
        images, masks = warp(images, masks, matrix, fill, field)
    if settings.hair:
        images = effects.draw_hair(images, settings.hair, strands)
    tones = settings.brightness, settings.contrast, settings.saturation, settings.hue, settings.color_constancy
    if any(tones):
        images = recolor(images, _draws(batch, 5, tone), settings)
    if settings.blur:
        images = effects.blur(images, settings.blur, focus)
    if settings.jpeg:
        images = effects.jpeg(images, settings.jpeg, codec)
    if settings.cutout:
        images, masks = effects.cut_out(images, masks, settings.cutout, cover)
    if settings.mixup or settings.cutmix:
        images, masks = effects.mix(images, masks, settings.mixup, settings.cutmix, pair)
    return images, masks


def _draws(batch, count, seed):
    return tf.random.stateless_uniform([batch, count], seed, -1.0, 1.0)


# === Geometry ===


def geometry(draws, height, width, settings):
    """Matrices that take each pixel of the result to its source.

    Args:
        draws: (B, 7) float32 in [-1, 1).

    Returns:
        (B, 8) float32: rows (a, b, c), (d, e, f), (0, 0) for x' = a x + b y + c, y' = d x + e y + f.
    """
    mirror, turn, angle, zoom, down, right, slant = tf.unstack(draws, axis=1)
    mirror = tf.where(mirror < 0, -1.0, 1.0) if settings.flip else tf.ones_like(mirror)
    angle = angle * math.radians(settings.rotation)
    if settings.turn:
        step = 1 if height == width else 2  # a quarter turn does not fit an oblong image
        angle += tf.floor((turn + 1) * 2 / step) * (step * math.pi / 2)
    scale = 1 / (1 + zoom * settings.zoom)
    slant = tf.tan(slant * math.radians(settings.shear))
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    a, d = cos * mirror, sin * mirror
    b, e = a * slant - sin, d * slant + cos
    x, y = (width - 1) / 2, (height - 1) / 2  # the centre stays where it is, but for the shift
    c = x - a * x - b * y + right * settings.shift * width
    f = y - d * x - e * y + down * settings.shift * height
    zero = tf.zeros_like(a)
    return tf.stack([a, b, c, d, e, f, zero, zero], axis=1)  # (B, 8)


def displacement(batch, height, width, share, seed):
    """Elastic deformation: random shifts of a coarse grid, bicubic ones between (as U-Net, Ronneberger et al., 2015).

    Returns:
        (B, 2, H, W) float32: shifts to the right and down, in pixels, up to about `share` of the shorter side.
    """
    coarse = tf.random.stateless_uniform([batch, 2, GRID, GRID], seed, -1.0, 1.0) * (share * min(height, width))
    rows, columns = (
        tf.image.resize(tf.eye(GRID)[..., None], (side, GRID), "bicubic")[..., 0] for side in (height, width)
    )  # (H, GRID), (W, GRID)
    return tf.matmul(tf.matmul(rows, coarse), columns, transpose_b=True)


def warp(images, masks, matrix, fill="REFLECT", field=None):
    """Move images (B, H, W, 3) and masks (B, H, W, C), both float32, in one go.

    Args:
        matrix: (B, 8), as of `geometry`.
        field: (B, 2, H, W), as of `displacement`, added to where the matrix takes a pixel to.
    """
    if field is not None:
        both = _sample(tf.concat([images, masks], axis=-1), *_sources(matrix, field, fill))  # (B, H, W, 3 + C)
        return both[..., :3], tf.cast(both[..., 3:] >= 0.5, tf.float32)
    # The mask, in whole numbers of 0 and 2, stays above 0 where it is at least one half: cheaper than as fractions.
    return _project(images, matrix, fill), tf.cast(_project(2 * tf.cast(masks, tf.uint8), matrix, fill) > 0, tf.float32)


def _project(images, matrix, fill):
    """Images (B, H, W, C) moved by matrices (B, 8), bilinearly; whole numbers are rounded down."""
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=matrix,
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill,
    )
    return tf.ensure_shape(moved, images.shape)


def _sources(matrix, field, fill):
    """Where each pixel comes from, (B, H, W) columns and rows, inside the image: mirrored or moved to its border."""
    height, width = field.shape[2:]
    x, y = tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32)[:, None]
    a, b, c, d, e, f = tf.unstack(matrix[:, :6, None, None], axis=1)  # (B, 1, 1) each
    places = []
    for place, side in ((a * x + (b * y + c) + field[:, 0], width), (d * x + (e * y + f) + field[:, 1], height)):
        if fill == "REFLECT":  # the picture and its mirror image by turns
            place = tf.math.floormod(place + 0.5, 2.0 * side)
            place = tf.minimum(place, 2 * side - place) - 0.5
        places.append(tf.clip_by_value(place, 0.0, side - 1.0))
    return places


def _sample(images, x, y):
    """Images (B, H, W, C) at columns x and rows y, (B, H, W), between their four neighbours: (B, H, W, C)."""
    batch, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    left, top = tf.minimum(tf.floor(x), width - 2.0), tf.minimum(tf.floor(y), height - 2.0)
    across, down = (x - left)[..., None], (y - top)[..., None]  # (B, H, W, 1), weights of the right and lower ones
    first = tf.range(batch)[:, None, None] * (height * width)
    corner = first + tf.cast(top, tf.int32) * width + tf.cast(left, tf.int32)  # number of the upper left neighbour
    pixels = tf.reshape(images, [-1, channels])
    a, b, c, d = (tf.gather(pixels, corner + step) for step in (0, 1, width, width + 1))  # (B, H, W, C) each
    upper, lower = a + across * (b - a), c + across * (d - c)
    return upper + down * (lower - upper)


# === Colour ===


def recolor(images, draws, settings):
    """Colour constancy, hue, saturation, contrast and brightness of (B, H, W, 3), 0 to 255: one matrix per image.

    Args:
        draws: (B, 5) float32 in [-1, 1).
    """
    height, width = images.shape[1:3]
    bright, contrast, saturation, hue, lamp = tf.unstack(draws, axis=1)
    contrast = 1 + contrast * settings.contrast
    saturation = 1 + saturation * settings.saturation
    hue = hue * math.radians(settings.hue)
    cos, sin, zero, one = tf.cos(hue) * saturation, tf.sin(hue) * saturation, tf.zeros_like(hue), tf.ones_like(hue)
    chroma = tf.reshape(tf.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], axis=1), (-1, 3, 3))
    matrix = np.linalg.inv(YIQ) @ chroma @ YIQ  # (B, 3, 3)
    if settings.color_constancy:
        chosen = (lamp + 1) / 2 < settings.color_constancy
        matrix *= tf.where(chosen[:, None], shades_of_grey(images), 1.0)[:, None]
    flat = tf.reshape(images, (-1, height * width, 3))  # (B, H * W, 3)
    mean = tf.matmul(tf.ones((1, height * width)) / (height * width), flat)  # (B, 1, 3)
    mean = tf.linalg.matvec(matrix, mean[:, 0])  # (B, 3), contrast leaves it
    offset = (1 - contrast)[:, None] * mean + 255 * (bright * settings.brightness)[:, None]  # (B, 3)
    flat = tf.matmul(flat, matrix * contrast[:, None, None], transpose_b=True)
    rows = tf.reshape(flat, (-1, height, width * 3)) + tf.tile(offset, (1, width))[:, None]  # adding whole rows is fast
    return tf.reshape(tf.clip_by_value(rows, 0.0, 255.0), tf.shape(images))


def shades_of_grey(images):
    """Factors (B, 3) of red, green and blue that make the lamp white (Finlayson and Trezzi, 2004, Minkowski norm 6).

    The lamp's colour is taken to be (mean of v^6)^(1/6) of each channel, here over every fourth pixel of large images.
    """
    step = 4 if min(images.shape[1:3]) >= 64 else 1
    cubes = tf.pow(images[:, ::step, ::step] / 255, 3)
    lamp = tf.reduce_mean(tf.square(cubes), axis=(1, 2)) ** (1 / 6)  # (B, 3)
    return tf.math.divide_no_nan(tf.norm(lamp, axis=1, keepdims=True) / math.sqrt(3), lamp)


# === Offline augmentation ===


def write_augmented(data, out, copies=3, seed=0, batch=64):
    """Write `out` as the prepared folder `data` with `copies` transformed images after each training image.

    Raises:
        FileNotFoundError, UserError: as `datasets.prepared.open_split`; `out` is `data`; no masks to train on.
    """
    if Path(out).resolve() == Path(data).resolve():
        raise UserError(f"--out {out} is --data itself: name another folder")
    meta = read_meta(data)
    splits = {name: open_split(data, name) for name in meta["counts"]}
    if copies < 1:
        raise UserError(f"--copies is {copies}, expected 1 or more")
    if "train" not in splits or splits["train"].masks is None:
        raise UserError(f"{data} has no training images with masks")
    kept = ("dataset", "task", "licence", "source", "size", "classes")
    meta = {key: meta[key] for key in kept if key in meta}
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


# === Preview ===


def preview(images, masks, path):
    """Draw what each setting does to uint8 images (B, H, W, 3) and masks (B, H, W, 1), as a picture file.

    Blue is the outline of the mask; where MixUp makes it soft, orange is that of the other image.
    """
    from matplotlib.figure import Figure  # slow to import, and not needed for training

    panels = [("as they are", {}), *((f"{name}: {value}", {name: value}) for name, value in PREVIEW.items())]
    rows = math.ceil(len(panels) / 2)
    width = 0.9 * len(images) * images.shape[2] / images.shape[1]
    figure = Figure(figsize=(2 * 1.6 * width, rows * 1.75), dpi=100, layout="constrained")
    for axes, (title, chosen) in zip(figure.subplots(rows, 2).flat, panels, strict=True):
        settings = Settings(**chosen)
        pixels = np.stack([hair_removal.remove(image) for image in images]) if settings.remove_hair else images
        pixels, soft = (x.numpy() for x in augment(pixels, masks, settings, (0, 744)))  # draws of both signs
        pictures = []
        for image, mask in zip(np.rint(pixels).astype("uint8"), soft[..., 0], strict=True):
            image = overlays.outline(image, mask, palette.PREDICTION)
            image = overlays.outline(image, mask > 0.5, palette.TRUTH)
            pictures.append(np.pad(image, ((0, 0), (0, 6), (0, 0)), constant_values=255))
        axes.imshow(np.hstack(pictures))
        axes.set_title(title, loc="left", fontsize=13)
    for axes in figure.axes:
        axes.axis("off")
    with replacing(path) as temporary:
        figure.savefig(temporary)


def examples(data):
    """Four training images of a prepared folder and their masks, uint8; phantoms where there is no such folder."""
    if not Path(data, "meta.json").is_file():
        pictures = [phantom(seed, 192, 256) for seed in (1, 4, 18, 23)]  # of many kinds, and hairy
        return np.stack([p.image for p in pictures]), np.stack([p.lesion for p in pictures])[..., None]
    split = open_split(data, "train")
    if split.masks is None:
        raise UserError(f"{data} has no training images with masks")
    return split.images[:32:8], split.masks[:32:8, ..., :1]


@errors.in_one_line()
def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="dataset_isic18", help="prepared folder")
    parser.add_argument("--out", help="folder to write (default: DATA_augmented); the picture, with --preview")
    parser.add_argument("--copies", type=int, default=3, help="transformed images for each original")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preview", action="store_true", help="draw what each setting does")
    args = parser.parse_args(snake_case(argv))
    if args.preview:
        out = args.out or "output/augmentation.png"
        preview(*examples(args.data), out)
        print(out)
        return
    out = args.out or f"{args.data.rstrip('/')}_augmented"
    write_augmented(args.data, out, args.copies, args.seed)
    print(f"{out}: {read_meta(out)['counts']['train']} training images; use it with: python train.py --data {out}")


if __name__ == "__main__":
    main()
