"""What a data set's own file says about it: a `Declaration`. See isic2018.py for one.

Where images and masks lie in its folders or archives, how a mask's name follows from its image's, and what a user must
know (terms, citation). preparation/find_pairs.py finds the pairs by it.
"""

import re
from dataclasses import dataclass

from imaging.masks import USUAL, Labels


@dataclass(frozen=True)
class Archive:
    """An official archive. size: in bytes. checksum: "sha256:…" or "md5:…". Either is None if it is not known."""

    name: str
    url: str
    size: int | None
    checksum: str | None


def archive_table(base: str, table: str) -> dict[str, Archive]:
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
    annotations: folders or archives, of which any may be missing, with files of labeling tools in place of masks.
    """

    images: tuple[str, ...]
    masks: tuple[str, ...]
    within_images: str = ""
    within_masks: str = ""
    annotations: tuple[str, ...] = ()

    @property
    def image_places(self) -> list[str]:
        """Where the images lie, in words."""
        return [_place(name, self.within_images) for name in self.images]

    @property
    def mask_places(self) -> list[str]:
        """Where the masks lie, in words."""
        return [_place(name, self.within_masks) for name in self.masks]


def _place(name, within):
    folder = re.fullmatch(r"\(\^\|/\)(\w+)/", within)
    return f"{name}/{folder[1]}" if folder else name


@dataclass(frozen=True)
class Declaration:
    """A data set.

    counts: split -> number of official images. download: size of the archives in words. terms: the license.
    layouts: the ways it is found on disk, each split -> Part; the first of which anything is there counts. A single
    split "all" means that there are no official ones: a seed divides it.
    mask_suffixes: class name -> regular expression of what a mask's stem has after its image's stem.
    archives: those that --download fetches; empty if they are to be had by hand only, from the homepage.
    index_classes: names of the classes where one mask file holds all, the first as value 1, the second as 2 …
    labels: what the values of mask files mean, where that is not the usual.
    consensus: "majority" or "staple" where an image has masks of several annotators (preparation/annotators.py).
    lesion_table: (file, column of image ids, column of lesion ids) of a table beside the folders or archives, if the
    set has one; it keeps the images of a lesion together. `file` may have wildcards.
    skin: whether the images show skin, whose tone is of interest.
    """

    name: str
    task: int
    title: str
    counts: dict[str, int]
    download: str
    layouts: tuple[dict[str, Part], ...]
    mask_suffixes: dict[str, str]
    terms: str
    citation: str
    homepage: str
    archives: tuple[Archive, ...] = ()
    index_classes: tuple[str, ...] = ()
    labels: Labels = USUAL
    consensus: str = ""
    lesion_table: tuple[str, str, str] | None = None
    skin: bool = True

    @property
    def classes(self) -> list[str]:
        """Names of the mask channels."""
        return list(self.index_classes or self.mask_suffixes)
