"""Hair removal, after DullRazor (Lee et al., 1997, doi 10.1016/S0010-4825(97)00020-6): find dark thin lines, fill them.

    clean = remove(image)                          # uint8 (H, W, 3) RGB, any size
    python -m imaging.hair_removal IMAGES --out cleaned  # cleaned/NAME.png: before, hair found, after, side by side

IMAGES are files, folders (searched with all below) and patterns.

With the setting `remove_hair` training, evaluation and prediction do this to every image first, at the network's size.
Of the hair drawn on phantoms of 192 x 256 pixels it removes four fifths; it takes 5 ms an image. The ruler in a picture
is a line, too, and mostly goes. White hair stays, and a pigment network is left alone where it is recognised.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from imaging import files, mask_files
from utils import errors
from utils.arguments import snake_case
from utils.errors import UserError

# Lengths in units of the shorter image side: a hair is at most 0.02 wide; the meshes of a pigment network are smaller
# than MESH, and few hairs cross one another so closely.
WIDTH = 0.027
LINE = 0.085
SHORTEST = 0.14
MESH = 0.07
DEPTH = 8  # gray levels that a hair is darker than what lies beside it, where it is found
FAINT = 5  # the same, up to the hair's border
ANGLES = 12
LARGE = 512  # pixels; the hairs of images whose sides are longer than that are looked for at this shorter side
MOST = 0.4  # fraction of the image; with more hair than that, too little skin is seen to fill it from


def find(image):
    """Where the hairs are: uint8 (H, W, 3) RGB -> uint8 (H, W), 255 on a hair and its soft border, else 0."""
    unit = min(image.shape[:2])
    if unit > LARGE:
        height, width = (round(side * LARGE / unit) for side in image.shape[:2])
        found = find(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
        return cv2.resize(found, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # 1. Black-hat: how much darker than the lightest way to fill what is thinner than the kernel.
    hat = cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, _disc(max(5, WIDTH * unit)))
    # 2. Of that only what goes on for the length of a line in some direction: no dots.
    lines = np.zeros_like(hat)
    for kernel in _lines(max(7, round(LINE * unit))):
        np.maximum(lines, cv2.morphologyEx(hat, cv2.MORPH_OPEN, kernel), out=lines)
    # 3. Threshold; the border of a picture often is a line by itself.
    found = np.zeros_like(hat)
    found[2:-2, 2:-2] = lines[2:-2, 2:-2] >= DEPTH
    # 4. No network: where small round meshes lie side by side.
    found[_network(found, unit) > 0] = 0
    # 5. Long parts alone.
    labels, statistics = cv2.connectedComponentsWithStats(found, connectivity=8)[1:3]
    extents = np.hypot(statistics[:, cv2.CC_STAT_WIDTH], statistics[:, cv2.CC_STAT_HEIGHT])
    kept = extents >= SHORTEST * unit
    kept[0] = False  # the background
    found = kept[labels].astype(np.uint8)
    # 6. The whole breadth of the line, and its soft border.
    near = cv2.dilate(found, _disc(max(5, 0.5 * WIDTH * unit)))
    found |= near & (hat >= FAINT)
    return cv2.dilate(found, _disc(max(3, 0.008 * unit))) * np.uint8(255)


def _disc(diameter):
    """A round structuring element; its diameter in pixels is made odd."""
    side = round(diameter) | 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _network(found, unit):
    """Where lines, uint8 {0, 1} (H, W), make up a mesh of small round holes: uint8 {0, 1} (H, W)."""
    labels, statistics = cv2.connectedComponentsWithStats(1 - found, connectivity=4)[1:3]
    width, height, area = (statistics[:, i] for i in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    longer, shorter = np.maximum(width, height), np.minimum(width, height)
    round_ = (longer < 3 * shorter) & (area > 0.4 * longer * shorter)
    holes = round_ & (longer < MESH * unit) & (shorter > 0.12 * MESH * unit)
    holes[0] = False  # the lines
    meshes = cv2.morphologyEx(holes[labels].astype(np.uint8), cv2.MORPH_CLOSE, _disc(MESH * unit))
    meshes = cv2.morphologyEx(meshes, cv2.MORPH_OPEN, _disc(MESH * unit))
    return cv2.dilate(meshes, _disc(MESH * unit))


def _lines(length):
    """Structuring elements (length, length), uint8: a line through the middle at each of ANGLES directions."""
    middle = (length - 1) / 2
    kernels = []
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        reach = np.float64([np.cos(angle), np.sin(angle)]) * middle
        start, end = (tuple(round(v) for v in middle + sign * reach) for sign in (-1, 1))
        kernels.append(cv2.line(np.zeros((length, length), np.uint8), start, end, 1))
    return kernels


def remove(image):
    """An image without its dark hairs, which are filled from beside them: uint8 (H, W, 3) RGB -> the same.

    An image without hair, or with hair over more than MOST of it, is returned as it is.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"expected an RGB image, uint8 (H, W, 3), received {image.dtype} {image.shape}")
    hairs = find(image)
    fraction = np.count_nonzero(hairs) / hairs.size
    return cv2.inpaint(image, hairs, 3, cv2.INPAINT_TELEA) if 0 < fraction < MOST else image


@errors.in_one_line()
def main(argv=None):
    parser = argparse.ArgumentParser(description="Take dark hairs out of images.")
    parser.add_argument("images", nargs="+", help="images, folders of images, 'patterns*.jpg'")
    parser.add_argument("--out", type=Path, default=Path("cleaned"), help="folder to write into (default cleaned)")
    args = parser.parse_args(snake_case(argv))
    images = files.find_images(args.images)
    for path, name in images.items():
        try:
            image, _ = files.decode_upright(path.read_bytes())
        except UserError as error:
            raise UserError(f"{path} is no image that can be read ({error})") from None
        found = cv2.cvtColor(find(image), cv2.COLOR_GRAY2RGB)
        mask_files.write_png(args.out / f"{name}.png", np.hstack([image, found, remove(image)]))
    print(f"{args.out}/: {len(images)} pictures of image, hair found, and image without it")


if __name__ == "__main__":
    main()
