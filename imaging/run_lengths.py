"""Masks as run lengths, as COCO, CVAT and Label Studio write them; every number that comes from a file is checked.

counts(mask.ravel())             # [3, 2, …]: 3 pixels of background, 2 of lesion, … ; the first may be 0
from_counts([3, 2, …], 5)        # and back: uint8 (5,) of {0, 1}
coco_text, coco_counts           # COCO's compressed counts, as pycocotools' rleToString writes them
brush_bytes, from_brush          # Label Studio's brush: runs of RGBA bytes, packed into bits (its rle-pack)
"""

from collections.abc import Sequence

import numpy as np

from imaging.headers import MAX_PIXELS
from utils.errors import UserError

_BRUSH_SIZES = (3, 4, 8, 16)  # bits of a run's length, of which each run takes the fewest that it fits in
_CHANNELS = 4  # of Label Studio's brush: red, green, blue and alpha


# === Counts ===


def counts(flat: np.ndarray) -> list[int]:
    """Lengths of the runs of a flat mask of {0, 1}, in turn of background and lesion, background first."""
    flat = flat.astype(bool)
    starts = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0] if flat.size and flat[0] else [], [0], starts, [flat.size]])
    return np.diff(edges).astype(int).tolist()


def from_counts(lengths: Sequence[int], total: int) -> np.ndarray:
    """uint8 (total,) of {0, 1} from `counts`. UserError: they are no whole numbers that add up to `total`."""
    if not all(type(length) is int and 0 <= length <= total for length in lengths) or sum(lengths) != total:
        raise UserError(f"run lengths that do not add up to the {total:,} pixels of the mask; export it again")
    values = np.arange(len(lengths), dtype=np.uint8) & 1
    return np.repeat(values, np.array(lengths, np.int64))


def coco_text(lengths: Sequence[int]) -> str:
    """COCO's compressed counts: each number as five bits a letter, from the third on its change against the last but
    one."""
    letters = []
    for place, length in enumerate(lengths):
        value = length - lengths[place - 2] if place > 2 else length
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            letters.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(letters)


def coco_counts(text: str) -> list[int]:
    """The counts of `coco_text`. UserError: it is no such text."""
    found: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise UserError("damaged run lengths of COCO; export it again")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            found.append(value + found[-2] if len(found) > 2 else value)
            value = shift = 0
    if shift:
        raise UserError("damaged run lengths of COCO, which end too soon; export it again")
    return found


# === Label Studio's brush ===


def brush_bytes(mask: np.ndarray) -> list[int]:
    """Label Studio's brush of a mask (H, W) of {0, 1}: bytes as whole numbers, as its `mask2rle` writes them.

    The head is 32 bits of how many bytes were packed, 5 of the bits of one less 1, and the four lengths of
    `_BRUSH_SIZES`, each less 1, in 4 bits; a run is a 1, two bits of which length, its length less 1 and the byte.
    """
    parts = [f"{mask.size * _CHANNELS:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _BRUSH_SIZES)]
    for place, length in enumerate(counts(mask.ravel())):
        value = "11111111" if place % 2 else "00000000"
        left = length * _CHANNELS
        while left:
            now = min(left, 1 << _BRUSH_SIZES[-1])
            which = next(k for k, size in enumerate(_BRUSH_SIZES) if now <= 1 << size)
            parts.append(f"1{which:02b}{now - 1:0{_BRUSH_SIZES[which]}b}{value}")
            left -= now
    bits = "".join(parts)
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def from_brush(data: Sequence[int], height: int, width: int) -> np.ndarray:
    """uint8 (H, W) of {0, 1} from Label Studio's brush: what is drawn more opaque than not.

    UserError: the bytes are no brush of this size.
    """
    total = height * width * _CHANNELS
    try:
        bits = _Bits(bytes(data))
        if bits.read(32) != total or bits.read(5) != 7:
            raise UserError(f"a brush of another size than {height}x{width} (height x width); export it again")
        sizes = [bits.read(4) + 1 for _ in range(4)]
        lengths, values = _brush_runs(bits, sizes, total)
    except (ValueError, TypeError, IndexError) as error:
        raise error if isinstance(error, UserError) else UserError("a damaged brush; export it again") from None
    alpha = np.repeat(np.array(values, np.uint8), np.array(lengths, np.int64))[_CHANNELS - 1 :: _CHANNELS]
    alpha = alpha.reshape(height, width)
    return (alpha > (127 if alpha.max() > 1 else 0)).astype(np.uint8)


def _brush_runs(bits, sizes, total):
    """(lengths, values) of the runs of a brush."""
    lengths = []
    values = []
    done = 0
    while done < total:
        is_run = bits.read(1)
        length = bits.read(sizes[bits.read(2)]) + 1
        done += length
        if done > total:
            raise UserError("a damaged brush, longer than its mask; export it again")
        for part in [length] if is_run else [1] * length:
            lengths.append(part)
            values.append(bits.read(8))
    return lengths, values


class _Bits:
    """Bytes, read by any number of bits. ValueError: they have ended."""

    def __init__(self, data):
        self.text = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    def read(self, count):
        end = self.at + count
        if end > len(self.text):
            raise ValueError("the data end too soon")
        part = self.text[self.at : end]
        self.at = end
        return int(part, 2)


def checked_size(height: object, width: object) -> tuple[int, int]:
    """(height, width) that a file says a mask has. UserError: none, or more than MAX_PIXELS."""
    if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in (height, width)):
        raise UserError(f"a size of {height!r} x {width!r}; expected height and width in pixels")
    if height * width > MAX_PIXELS:  # type: ignore[operator]
        raise UserError(f"a size of {height}x{width} pixels, more than the {MAX_PIXELS:,} accepted")
    return height, width  # type: ignore[return-value]
