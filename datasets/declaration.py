"""What a data set's own file says about it, and the pairing of its images and masks.

A data set is a `Declaration`: where images and masks lie in its folders or archives, how a mask's name follows from its
image's, and what a user must know (terms, citation). See isic2018.py for one.
"""

import re
from dataclasses import dataclass

from datasets.preparation.archives import File


@dataclass(frozen=True)
class Archive:
    """An official archive. size: in bytes. checksum: "sha256:…" or "md5:…". Either is None if it is not known."""

    name: str
    url: str
    size: int | None
    checksum: str | None


def archive_table(base, table):
    """name -> Archive, each at BASE/NAME.zip, from a text of NAME BYTES SUM, again and again; "unknown" where it is."""
    words = iter(None if word == "unknown" else word for word in table.split())
    return {
        name: Archive(f"{name}.zip", f"{base}/{name}.zip", size and int(size), checksum)
        for name, size, checksum in zip(words, words, words, strict=True)
    }


@dataclass(frozen=True)
class Part:
    """Where one split's pictures lie: for each name of `images` and `masks` the folder NAME or the archive NAME.zip.

    within_images, within_masks: regular expressions that a file's path must contain ("" for all).
    """

    images: tuple[str, ...]
    masks: tuple[str, ...]
    within_images: str = ""
    within_masks: str = ""


@dataclass(frozen=True)
class Declaration:
    """A data set.

    counts: split -> number of official images. download: size of the archives in words.
    layouts: the ways it is found on disk, each split -> Part; the first of which anything is there counts. A single
    split "all" means that there are no official ones: a seed divides it.
    mask_suffixes: class name -> regular expression of what a mask's stem has after its image's stem.
    archives: those that --download fetches; empty if they are to be had by hand only, from the homepage.
    index_classes: names of the classes where one mask file holds all, the first as value 1, the second as 2 …
    lesion_table: (file, column of image ids, column of lesion ids) of a table beside the folders or archives, if the
    set has one; it keeps the images of a lesion together. `file` may have wildcards.
    """

    name: str
    task: int
    title: str
    counts: dict[str, int]
    download: str
    layouts: tuple[dict[str, Part], ...]
    mask_suffixes: dict[str, str]
    licence: str
    citation: str
    homepage: str
    archives: tuple[Archive, ...]
    index_classes: tuple[str, ...] = ()
    lesion_table: tuple[str, str, str] | None = None

    @property
    def classes(self):
        return list(self.index_classes or self.mask_suffixes)


@dataclass(frozen=True)
class Pair:
    """An image and its masks: for each class the files whose union is its mask; None in a split without masks.

    index_classes: if not 0, the only file of `masks` holds so many classes (decode.index_mask).
    """

    id: str
    image: File
    masks: tuple[tuple[File, ...], ...] | None
    index_classes: int = 0


def find_pairs(declaration, open_part):
    """List a data set's pairs.

    open_part: name -> list of `File`, or None where there is none (source.open_folder or open_archive on a place).
    Returns (pairs: split -> list of Pair, problems: split -> list of messages, notes: list of messages).
    FileNotFoundError: masks without their images' folder, or a training split without masks.
    """
    pairs, problems, notes = {}, {}, []
    for split, (part, images, masks) in _open_layout(declaration.layouts, open_part).items():
        if images is None and masks is None:
            notes.append(f"no {split} split: {' and '.join(part.images)} not found")
        elif images is None:
            raise FileNotFoundError(f"{part.masks[0]} is there, images {' and '.join(part.images)} are not: add them")
        elif masks is None and split in ("train", "all"):
            raise FileNotFoundError(f"{part.images[0]} is there, masks {' and '.join(part.masks)} are not: add them")
        elif masks is None:
            notes.append(f"{split} has images only: {' and '.join(part.masks)} not found")
            pairs[split], problems[split] = _unique(images, lambda image: Pair(image.stem, image, None))
        else:
            pairs[split], problems[split] = _match(images, masks, declaration, part.masks[0])
    return pairs, problems, notes


def _open_layout(layouts, open_part):
    """split -> (part, images, masks) of the first layout of which anything is there, else of the first of all."""
    opened = []
    for layout in layouts:
        found = {}
        for split, part in layout.items():
            images = _files(open_part, part.images, part.within_images)
            found[split] = part, images, _files(open_part, part.masks, part.within_masks)
        if any(images is not None or masks is not None for _, images, masks in found.values()):
            return found
        opened.append(found)
    return opened[0]


def _files(open_part, names, within):
    opened = [files for files in map(open_part, names) if files is not None]
    if len(opened) < len(names):
        return None
    files = [file for files in opened for file in files if re.search(within, str(file.path))]
    return None if within and not files else files


def _unique(images, make):
    """(pairs made by make(image) or None, problems) of the images, of which no two may have the same id."""
    pairs, problems, seen = [], [], {}
    for image in images:
        if image.stem in seen:
            problems.append(f"{image.label}: same id as {seen[image.stem].label}; remove one of them")
            continue
        seen[image.stem] = image
        pair = make(image)
        if pair:
            pairs.append(pair)
    return pairs, problems


def _match(images, masks, declaration, where):
    """(pairs, problems) of one split. where: name of the masks' place."""
    # 1. which image and class each mask is of
    suffixes = declaration.mask_suffixes
    found, problems = {}, []  # (id, class) -> files
    for mask in masks:
        key = _mask_key(mask.stem, suffixes)
        same = [other for other in found.get(key, []) if other.stem == mask.stem]
        if key is None:
            problems.append(f"{mask.label}: no mask's name, expected <image>{_either(suffixes)}; rename or remove it")
        elif same:
            problems.append(f"{mask.label}: same id as {same[0].label}; remove one of them")
        else:
            found.setdefault(key, []).append(mask)

    # 2. take them by image
    def take(image):
        files = [tuple(found.pop((image.stem, name), ())) for name in suffixes]
        missing = [suffix for suffix, group in zip(suffixes.values(), files, strict=True) if not group]
        if not missing:
            return Pair(image.stem, image, tuple(files), len(declaration.index_classes))
        names = ", ".join(f"{image.stem}{_readable(suffix)}.png" for suffix in missing)
        problems.append(f"{image.label}: image without mask, no {names} in {where}; add it or remove the image")
        return None

    pairs, duplicates = _unique(images, take)
    # 3. what is left has no image
    ids = {image.stem for image in images}
    for (id, _), files in found.items():
        if id not in ids:
            problems.append(f"{files[0].label}: mask without image, no image {id}; add it or remove the mask")
    return pairs, problems + duplicates


def _mask_key(stem, suffixes):
    """(id, class) of a mask's name, None if it is no mask's; of "a_long_hair" class long_hair is nearer than hair."""
    matches = [(re.fullmatch(f"(.+?){suffix}", stem), name) for name, suffix in suffixes.items()]
    keys = [(match[1], name) for match, name in matches if match]
    return min(keys, key=lambda key: len(key[0]), default=None)


def _readable(suffix):
    return suffix.split("(")[0].replace("\\", "")


def _either(suffixes):
    return " or <image>".join(map(_readable, suffixes.values()))
