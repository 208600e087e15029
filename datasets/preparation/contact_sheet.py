"""A contact sheet of pairs: image, mask and outline side by side, where people see at a glance what no rule catches."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from imaging import decode, overlays, palette
from utils.files import replacing

COUNT = 24  # pairs
COLUMNS = 3
WIDTH = 176  # of a picture, in pixels
GAP = 6  # between pictures, in pixels
CAPTION = 20  # height of the line above a pair, in pixels
LETTERS = 34  # of a name, the rest is left out


def chosen(count: int, seed: int) -> list[int]:
    """Numbers of the pairs on the sheet, of `count`, in order: COUNT drawn by the seed, or all."""
    drawn = np.random.default_rng(seed).permutation(count)[:COUNT]
    return sorted(drawn.tolist())


def write(path: str | Path, names: Sequence[str], images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> None:
    """Write a sheet as JPEG.

    names: a caption a pair. images: uint8 (H, W, 3) RGB. masks: uint8 (H, W, classes) of {0, 1}. All of one size.
    """
    height = round(WIDTH * images[0].shape[0] / images[0].shape[1])
    rows = -(-len(images) // COLUMNS)
    cell = (3 * (WIDTH + GAP) + 2 * GAP, CAPTION + height + 2 * GAP)
    sheet = Image.new("RGB", (min(COLUMNS, len(images)) * cell[0] + GAP, rows * cell[1] + GAP), palette.PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for number, (name, image, mask) in enumerate(zip(names, images, masks, strict=True)):
        left = 2 * GAP + number % COLUMNS * cell[0]
        top = GAP + number // COLUMNS * cell[1]
        text = name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
        draw.text((left, top), f"{text}   {100 * mask.any(axis=-1).mean():.1f} %", palette.INK, font)
        for place, picture in enumerate(_pictures(image, mask, (height, WIDTH))):
            sheet.paste(Image.fromarray(picture), (left + place * (WIDTH + GAP), top + CAPTION))
    with replacing(path) as temporary:
        sheet.save(temporary, quality=88)


def _pictures(image, mask, size):
    """An image, its mask and its outline, uint8 (h, w, 3) each. A single class is white, several have colors."""
    image = decode.resize(image, size)
    channels = [cv2.resize(np.ascontiguousarray(mask[..., k]), size[::-1], interpolation=cv2.INTER_AREA) for k in
                range(mask.shape[2])]  # fmt: skip
    drawn = np.full_like(image, palette.rgb(palette.TRUE_NEGATIVE))
    outlined = image
    for number, channel in enumerate(channels):
        single = len(channels) == 1
        drawn[channel > 0] = palette.rgb(palette.TRUE_POSITIVE if single else palette.of_class(number))
        color = palette.TRUTH if single else palette.of_class(number)
        outlined = overlays.outline(outlined, channel, palette.INK, thickness=3)  # to be seen on light skin too
        outlined = overlays.outline(outlined, channel, color, thickness=1)
    return image, drawn, outlined
