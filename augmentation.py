"""Offline augmentation of prepared arrays, fourfold as for AS-Net; and a picture of every augmentation.

    python augmentation.py                                  # dataset_isic18 -> dataset_isic18_augmented
    python augmentation.py --data IN --out OUT --copies 3 --seed 0
    python augmentation.py --preview                        # output/augmentation.png: what each setting does

The first two write prepared arrays that `train.py --data OUT` uses in place of the original: every training image, and
after each `--copies` transformed ones (rotation up to 90 degrees, zoom 0.2, mirrored and turned upside down at random,
nearest fill), as the AS-Net code does; validation and test stay as they are. The preview shows images of `--data`, or
phantoms where there are none, with the outline of their masks. Training itself draws its augmentations anew for every
image and epoch: they are all in imaging/augmentations.py.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.arrays import Writer, open_split, read_meta
from datasets.phantoms import phantom
from imaging import augmentations, hair_removal, overlays, palette
from imaging.augmentations import Augmentations, augment
from utils import errors
from utils.arguments import snake_case
from utils.errors import UserError
from utils.files import replacing
from utils.lazy import lazily
from utils.startup import start_tensorflow

with lazily():  # after the command line has been read
    import tensorflow as tf

OFFLINE = Augmentations(flip=True, turn=True, rotation=90.0, zoom=0.2)  # of the AS-Net code
PREVIEW_SEED = (0, 195)  # its draws are of both signs and of many sizes
KEPT = ("dataset", "task", "licence", "source", "splits", "size", "classes")  # of the facts of the data


# === Offline augmentation ===


def write_augmented(data, out, copies=3, seed=0, batch=64):
    """Write `out` as the prepared folder `data` with `copies` transformed images after each training image.

    Raises:
        FileNotFoundError, UserError: as `datasets.arrays.open_split`; `out` is `data`; no masks to train on.
    """
    if Path(out).resolve() == Path(data).resolve():
        raise UserError(f"--out {out} is --data itself: name another folder")
    if copies < 1:
        raise UserError(f"--copies is {copies}, expected 1 or more")
    meta = read_meta(data)
    splits = {name: open_split(data, name) for name in meta["counts"]}
    if "train" not in splits or splits["train"].masks is None:
        raise UserError(f"{data} has no training images with masks")
    facts = {key: meta[key] for key in KEPT if key in meta}
    facts["augmented"] = {"copies": copies, "seed": seed}
    with Writer(out, facts, meta["size"], meta["classes"]) as writer:
        for name, split in splits.items():
            transformed = _transformations(copies, seed) if name == "train" else _none
            separator = _separator(split.ids, copies)
            for start in tqdm(range(0, len(split.ids), batch), name, unit="batch", disable=None):
                _write_batch(writer, name, split, slice(start, start + batch), transformed, separator)


def _separator(ids, copies):
    """What stands between an id and the number of its copy: as many underscores as make no id that is there already,
    which is one unless the images are copies themselves."""
    taken = set(ids)
    separator = "_"
    while any(f"{identifier}{separator}{copy}" in taken for identifier in ids for copy in range(1, copies + 1)):
        separator += "_"
    return separator


def _write_batch(writer, name, split, rows, transformed, separator):
    """Write some images of a split, after each its transformed versions."""
    images = split.images[rows]
    masks = None if split.masks is None else split.masks[rows]
    versions = [(images, masks), *transformed(images, masks, rows.start)]
    sources = split.sources or split.ids  # of copies of copies too
    for row, (identifier, source) in enumerate(zip(split.ids[rows], sources[rows], strict=True)):
        for copy, (some_images, some_masks) in enumerate(versions):
            label = f"{identifier}{separator}{copy}" if copy else identifier
            mask = None if some_masks is None else some_masks[row]
            number = rows.start + row
            area = None if split.areas is None else split.areas[number]
            bits = None if split.prints is None else split.prints[number]
            writer.add(name, label, some_images[row], mask, split.sizes[number], source, area, bits)


def _transformations(copies, seed):
    """A function (images, masks, number of the first) -> list of `copies` (images, masks), uint8."""
    transform = tf.function(lambda x, y, s: augment(x, y, OFFLINE, s, fill="NEAREST"), reduce_retracing=True)

    def transformed(images, masks, first):
        versions = []
        for copy in range(1, copies + 1):
            moved, moved_masks = transform(images, masks, tf.constant([seed, first * (copies + 1) + copy]))
            versions.append((np.rint(moved).astype("uint8"), np.asarray(moved_masks, "uint8")))
        return versions

    return transformed


def _none(images, masks, first):
    """No transformed versions."""
    return []


# === Preview ===


def preview(images, masks, path):
    """Draw what each augmentation and `remove_hair` do to images, as a picture file.

    Blue is the outline of the mask; where MixUp makes it soft, orange is that of the other image.

    Args:
        images: uint8 (B, H, W, 3). masks: uint8 (B, H, W, 1), {0, 1}.
        path: file to write.
    """
    from matplotlib.figure import Figure  # slow to import, and not needed otherwise

    drawn = panels(images, masks)
    rows = math.ceil(len(drawn) / 2)
    width = 0.9 * len(images) * images.shape[2] / images.shape[1]
    figure = Figure(figsize=(2 * 1.6 * width, rows * 1.75), dpi=100, layout="constrained")
    axes = list(figure.subplots(rows, 2).flat)
    for one, (title, pictures) in zip(axes, drawn, strict=False):  # the last may stay empty
        one.imshow(np.hstack(pictures))
        one.set_title(title, loc="left", fontsize=13)
    for one in axes:
        one.axis("off")
    with replacing(path) as temporary:
        figure.savefig(temporary)


def panels(images, masks):
    """[(title, pictures)] of all that `preview` draws."""
    found = [("as they are", _outlined(images, masks))]
    for field in augmentations.FIELDS:
        value = field.metadata["preview"]
        drawn, drawn_masks = augment(images, masks, Augmentations(**{field.name: value}), PREVIEW_SEED)
        found.append((f"{field.name}: {value}", _outlined(drawn.numpy(), drawn_masks.numpy())))
    bare = np.stack([hair_removal.remove(image) for image in images])
    return [*found, ("remove_hair: True", _outlined(bare, masks))]


def _outlined(images, masks):
    """Pictures, uint8 (H, W + 6, 3), of images with the outlines of their masks and a white border to the right."""
    pictures = []
    for image, mask in zip(np.rint(images).astype("uint8"), masks[..., 0], strict=True):
        picture = overlays.outline(image, mask, palette.PREDICTION)
        picture = overlays.outline(picture, mask > 0.5, palette.TRUTH)
        pictures.append(np.pad(picture, ((0, 0), (0, 6), (0, 0)), constant_values=255))
    return pictures


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
    start_tensorflow()
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
