"""`python -m datasets check DIR`: what would be read of a folder of own data, and how, before anything is prepared."""

import argparse
import io
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from datasets import folder
from datasets.declaration import Declaration
from datasets.preparation import contact_sheet, load_pairs
from datasets.preparation.find_pairs import SHOWN, Listing
from imaging import dicom
from imaging import masks as mask_decoding
from utils.arguments import size, snake_case
from utils.errors import UserError

MODES = {
    "1": "1 bit",
    "L": "gray",
    "LA": "gray with alpha",
    "P": "palette",
    "RGB": "color",
    "RGBA": "color with alpha",
    "CMYK": "CMYK",
    "I;16": "16-bit gray",
    "I;16B": "16-bit gray",
}


def main(argv: list[str]) -> None:
    """The command; argv: what follows `check`."""
    parser = argparse.ArgumentParser("python -m datasets check", description=__doc__)
    parser.add_argument("folder", metavar="DIR", help="folder of own data (datasets/folder.py says how it looks)")
    parser.add_argument("--out", default="check.jpg", help="picture of 24 pairs to write (default check.jpg)")
    parser.add_argument("--size", type=size, default=(192, 256), help="HEIGHTxWIDTH at which they are drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs that are drawn (default 0)")
    folder.add_arguments(parser)
    args = parser.parse_args(snake_case(argv))
    print("\n".join(check(folder.from_arguments(args), args.folder, args.size, args.seed, args.out)))


def check(declaration: Declaration, source: str | Path, size: tuple[int, int], seed: int, out: str | Path) -> list[str]:
    """Read every file of a folder, draw some pairs into the file `out`, and return what there is to say, as lines.

    size: (H, W) at which pairs are drawn. seed: of those that are. UserError: no pair can be read.
    """
    listing = Listing(declaration, source, archives=False)
    with_masks = [pair for pairs in listing.pairs.values() for pair in pairs if pair.masks]
    drawn = {with_masks[number].image.label for number in contact_sheet.chosen(len(with_masks), seed)}
    lines = [f"{source}: {', '.join(declaration.classes)}"]
    shown = []
    for split, pairs in listing.pairs.items():
        skipped = list(listing.problems.get(split, ()))
        read = []  # (pair, size of its image, whether it was turned)
        for pair, loaded in load_pairs.load_all(pairs, size, "skip", skipped, split):
            read.append((pair, loaded.source, loaded.turned))
            if pair.image.label in drawn:
                shown.append((f"{split} {pair.id}", loaded.image, loaded.mask))
        lines += _describe(split, read, skipped)
    lines += [f"  {note}" for note in listing.notes]
    if not shown:
        raise UserError("\n".join([*lines, "no pair can be read"]))
    contact_sheet.write(out, *zip(*shown, strict=True))
    return [*lines, f"{out}: image, mask and outline of {len(shown)} pairs, and the area of the mask"]


def _describe(split, read, skipped):
    """Lines on one split."""
    files = [(file, pair) for pair, _, _ in read for group in pair.masks or () for file in group]
    lines = [f"  {split}: {len(read)} {'pairs' if files else 'images without masks'}"]
    if read:
        sizes = np.array([size for _, size, _ in read])
        smallest, largest = ("x".join(map(str, sizes[index(sizes.prod(axis=1))])) for index in (np.argmin, np.argmax))
        turned = sum(turned for _, _, turned in read)
        lines.append(f"    images: {_counted(_format(pair.image) for pair, _, _ in read)}")
        lines.append(f"    from {smallest} to {largest} (height x width), {turned} turned upright as EXIF says")
    if files:
        lines.append(f"    masks: {_counted(_mask_reading(file, pair) for file, pair in files)}")
    lines += [f"    not readable: {message}" for message in skipped[:SHOWN]]
    if len(skipped) > SHOWN:
        lines.append(f"    not readable: {len(skipped) - SHOWN} more")
    return lines


def _counted(words):
    return "; ".join(f"{count} {word}" for word, count in Counter(words).most_common())


def _format(file):
    if dicom.is_dicom(file.read()):
        return "DICOM"
    with Image.open(io.BytesIO(file.read())) as picture:
        return f"{picture.format} {MODES.get(picture.mode, picture.mode)}"


def _mask_reading(file, pair):
    if pair.index_classes:
        return f"{_format(file)}, numbers of classes"
    return f"{_format(file)}, {mask_decoding.reading(file.read(), pair.labels)}"
