"""Which files of a data set belong together: pairs of an image and its masks, in a folder or in archives.

    listing = Listing(isic2018.TASKS[1], "dataset_isic18", archives=False)
    listing.pairs["train"][0].image.label

Several listings are checked, joined and fingerprinted here too.
"""

import codecs
import csv
import hashlib
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import arrays
from datasets.declaration import Declaration, Part
from datasets.preparation import annotations, annotators
from datasets.preparation import archives as archive_files
from datasets.preparation.archives import File
from datasets.preparation.unused import unused
from imaging.files import is_litter
from imaging.headers import SUFFIXES
from imaging.masks import USUAL, Labels
from utils.errors import UserError

SHOWN = 20  # of the bad files in an error, or in the summary of a split


@dataclass(frozen=True)
class Pair:
    """An image and its masks: for each class the files whose union is its mask; None in a split without masks.

    index_classes: if not 0, the only file of `masks` holds so many classes (masks.index_mask). labels: what the values
    of mask files mean. annotators: names of those who drew the files of each class, in their order; none: their union
    is the mask. consensus: how the masks of annotators become one.
    """

    id: str
    image: File
    masks: tuple[tuple[File, ...], ...] | None
    index_classes: int = 0
    labels: Labels = USUAL
    annotators: tuple[str, ...] = ()
    consensus: str = ""


# === One data set ===


class Listing:
    """The pairs of one data set in its folders or archives.

    pairs: split -> list of Pair; "all" until `splits.divide` where there are no official splits.
    problems: split -> messages about files that do not pair. notes: messages.
    lesions: image id -> lesion id, empty without a table of them. origin: what source_masks.py needs.
    FileNotFoundError: there is nothing; the message says how to get it.
    """

    def __init__(self, declaration: Declaration, source: str | Path, archives: bool):
        self.declaration = declaration
        opened = archive_files.open_archive if archives else archive_files.open_folder
        try:
            tables = sorted(Path(source).glob("*seg_metadata.csv")) if declaration.consensus else []
            self.pairs, self.problems, self.notes = find_pairs(declaration, lambda name: opened(source, name), tables)
        except FileNotFoundError as error:
            there = unused(source) if declaration.name == "folder" else ""
            raise FileNotFoundError(f"in '{source}': {error}" + (f"; there is {there}" if there else "")) from None
        empty = [split for split, found in self.pairs.items() if not found and not self.problems[split]]
        if len(empty) == len(self.pairs):
            raise FileNotFoundError(_nothing(declaration, source))
        self.notes += [f"no {split} split: its folder holds no images" for split in empty]
        if declaration.name == "folder" and not archives:
            self.notes += self._unused(source)
        self.pairs = {split: found for split, found in self.pairs.items() if split not in empty}
        self.lesions = _read_lesions(declaration.lesion_table, source)
        kind = "archives" if archives else "folders"
        self.origin = {"dataset": declaration.name, "task": declaration.task, kind: str(Path(source).resolve())}
        if declaration.name == "folder":
            self.origin |= {"classes": declaration.classes, "index": bool(declaration.index_classes)}
            self.origin |= {"consensus": declaration.consensus} if declaration.consensus else {}
            self.origin |= {"mask_values": declaration.labels.lesion, "ignore": declaration.labels.ignore}

    def _unused(self, source):
        """Notes on the files that are not used. Those that do not pair are among the problems."""
        pairs = [pair for found in self.pairs.values() for pair in found]
        used = [file.label for pair in pairs for file in (pair.image, *itertools.chain(*(pair.masks or ())))]
        used += [label.partition(": ")[0] for label in used]  # of annotations, before the image's name
        used += [text.partition(": ")[0] for texts in self.problems.values() for text in texts]
        there = unused(source, used)
        if not there:
            return []
        return [f"not used: {there}; read are train, val and test (or none of them) with images/ and masks/ inside"]


def find_anywhere(declaration: Declaration, source: str | Path) -> Listing:
    """The `Listing` of a data set whose folders, or else archives, lie in `source`."""
    try:
        return Listing(declaration, source, archives=False)
    except FileNotFoundError as error:
        try:
            return Listing(declaration, source, archives=True)
        except FileNotFoundError:
            raise error from None


def _nothing(declaration, source):
    layouts = []
    for layout in declaration.layouts:
        layouts.append(", ".join(name for part in layout.values() for name in part.image_places))
    nowhere = "" if Path(source).is_dir() else " (no such folder)"
    if declaration.name == "folder" and (there := unused(source)):
        nowhere = f" (there is {there})"
    fetch = "--download" if declaration.archives else f"by hand from {declaration.homepage}"
    return (
        f"{declaration.title}: no images found in '{source}'{nowhere}; looked for {' or '.join(layouts)}. "
        f"Three ways to get them: {fetch}; --archives DIR with the official .zip files; "
        "or the official folders, unpacked, in --root or --folders DIR"
    )


def _read_lesions(table, source):
    """image id -> lesion id from a declaration's lesion_table in the folder `source`; empty if it is not there.

    UserError: the file is no such table.
    """
    if table is None:
        return {}
    pattern, image, lesion = table
    for path in sorted(path for path in Path(source).glob(pattern) if path.is_file() and not is_litter(path.name)):
        try:
            text = _decoded(path.read_bytes())
            separator = max(",;\t", key=text.partition("\n")[0].count)
            return {row[image]: row[lesion] for row in csv.DictReader(io.StringIO(text), delimiter=separator)}
        except (KeyError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path} is no table in UTF-8 with columns {image} and {lesion} ({error!r})") from None
    return {}


def _decoded(data):
    """The text of a table in UTF-8, or in UTF-16 as spreadsheets export it, with or without a byte-order mark."""
    return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


# === Pairs ===


def find_pairs(
    declaration: Declaration, open_part: Callable[[str], list[File] | None], tables: Sequence[Path] = ()
) -> tuple[dict[str, list[Pair]], dict[str, list[str]], list[str]]:
    """List a data set's pairs.

    open_part: name -> list of `File`, or None where there is none (archives.open_folder or open_archive on a folder).
    tables: of annotators, where there are several (annotators.renamed).
    Returns (pairs: split -> list of Pair, problems: split -> list of messages, notes: list of messages).
    FileNotFoundError: masks without their images' folder, or a training split without masks.
    """
    pairs = {}
    problems = {}
    notes = []
    for split, (part, images, masks) in _open_layout(declaration.layouts, open_part).items():
        if images and part.annotations:
            drawn, more = _drawn(_optional(open_part, part.annotations), images, declaration)
            masks = (masks or []) + drawn if drawn else masks
            notes += more
        if masks and declaration.consensus:
            masks, more = annotators.renamed(masks, tables)
            notes += more
        if images is None and masks is None:
            missing = [name for name in part.images if name != split]
            notes.append(f"no {split} split" + (f": {' and '.join(missing)} not found" if missing else ""))
        elif images is None:
            there = part.mask_places[0]
            missing = " and ".join(part.image_places)
            raise FileNotFoundError(f"{there} is there, images {missing} are not: add them")
        elif masks is None and split in ("train", "all"):
            there = part.image_places[0]
            missing = " and ".join(part.mask_places)
            raise FileNotFoundError(f"{there} is there, masks {missing} are not: add them")
        elif masks is None:
            notes.append(f"{split} has images only: {' and '.join(part.mask_places)} not found")
            images, problems[split] = _first_of_each_id(images)
            pairs[split] = [Pair(image.stem, image, None) for image in images]
        else:
            if declaration.name == "folder":
                images, masks = _named_by_path(images, masks)
            pairs[split], problems[split] = _match(images, masks, declaration, part.masks[0])
            notes += _annotator_notes(split, pairs[split], declaration)
    return pairs, problems, notes


def _drawn(files, images, declaration):
    """(mask files made of the files of labeling tools, notes)."""
    drawn, notes = annotations.mask_files(files, images, declaration.classes, bool(declaration.consensus))
    if drawn and declaration.index_classes:
        raise UserError(f"{drawn[0].label}: the shapes of a labeling tool have labels: --classes, not --index_classes")
    return drawn, notes


def _annotator_notes(split, pairs, declaration):
    """A note on the annotators of a split, if it has several."""
    count = Counter(name for pair in pairs for name in pair.annotators)
    if not count:
        return []
    each = ", ".join(f"{name} ({number})" for name, number in count.most_common(10))
    several = sum(len(pair.annotators) > 1 for pair in pairs)
    by = f"consensus by {declaration.consensus}"
    return [f"{split}: {several} of {len(pairs)} images by several of {len(count)} annotators, {each}; {by}"]


def _open_layout(layouts, open_part) -> dict[str, tuple[Part, list[File] | None, list[File] | None]]:
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
    """The pictures in all folders or archives of these names; None where one is missing, or nothing is `within`."""
    opened = [files for files in map(open_part, names) if files is not None]
    if len(opened) < len(names):
        return None
    pictures = [file for files in opened for file in files if file.path.suffix.lower() in SUFFIXES]
    files = [file for file in pictures if re.search(within, str(file.path))]
    return None if within and not files else files


def _optional(open_part, names):
    """The annotation files in those folders or archives of these names that there are."""
    opened = [file for name in names for file in open_part(name) or ()]
    return [file for file in opened if file.path.suffix.lower() in archive_files.ANNOTATIONS]


def _named_by_path(images, masks):
    """The same files; where images in different folders have one name, the folders become part of all names.

    patient1/photo.jpg is called patient1_photo. The folders images and masks do not count.
    """
    folders = {}  # stem -> folders
    for image in images:
        folders.setdefault(image.stem, set()).add(_folders(image))
    if all(len(found) == 1 for found in folders.values()):
        return images, masks
    return tuple(
        [replace(file, name="_".join([*_folders(file), file.path.stem])) for file in files] for files in (images, masks)
    )


def _folders(file):
    return tuple(part for part in file.path.parts[:-1] if part not in ("images", "masks"))


def _match(images, masks, declaration, where):
    """(pairs, problems) of one split. where: name of the masks' folder or archive."""
    suffixes = declaration.mask_suffixes
    if declaration.consensus:
        suffixes = {name: f"{suffix}{annotators.ENDING}" for name, suffix in suffixes.items()}
    images, duplicates = _first_of_each_id(images)
    stems = {image.stem for image in images}
    masks_of, problems = _by_image_and_class(masks, suffixes, stems)
    pairs = []
    for image in images:
        files = [tuple(masks_of.get((image.stem, name), ())) for name in suffixes]
        missing = [suffix for suffix, group in zip(suffixes.values(), files, strict=True) if not group]
        if missing:
            names = ", ".join(f"{image.stem}{_readable(suffix)}.png" for suffix in missing)
            problems.append(f"{image.label}: image without mask, no {names} in {where}; add it or remove the image")
        elif declaration.consensus:
            try:
                pairs.append(_of_annotators(image, files, declaration))
            except UserError as problem:
                problems.append(f"{image.label}: {problem}")
        else:
            pairs.append(Pair(image.stem, image, tuple(files), len(declaration.index_classes), declaration.labels))
    for (stem, _), files in masks_of.items():
        if stem not in stems:
            remedy = _remedy(stem, stems)
            problems.append(f"{files[0].label}: mask without image, no image {stem}; {remedy}")
    return pairs, problems + duplicates


def _remedy(stem, stems):
    """What to do about a mask whose stem no image has: perhaps it is IMAGE_class of an image."""
    parts = stem.split("_")
    for count in range(len(parts) - 1, 0, -1):
        if "_".join(parts[:count]) in stems:
            name = "_".join(parts[count:])
            return f"add it, remove the mask or, if {name} is a class, name all classes with --classes"
    return "add it or remove the mask"


def _of_annotators(image, files, declaration):
    """The Pair of an image with masks of several annotators. UserError: one has no mask of some class, or too many."""
    groups = [sorted(group, key=annotators.annotator_of) for group in files]
    names = [tuple(annotators.annotator_of(mask) for mask in group) for group in groups]
    for name, found in zip(declaration.classes, names, strict=True):
        if missing := set().union(*names) - set(found):
            raise UserError(f"no mask of {name} by annotator {min(missing)}; add it (it may be empty)")
    if len(names[0]) > annotators.MOST:
        raise UserError(f"masks of {len(names[0])} annotators; at most {annotators.MOST} are kept: leave some out")
    masks = tuple(tuple(group) for group in groups)
    return Pair(image.stem, image, masks, 0, declaration.labels, names[0], declaration.consensus)


def _by_image_and_class(masks, suffixes, stems):
    """((stem of the image, class) -> mask files, problems). stems: of all images."""
    found = {}
    problems = []
    for mask in masks:
        key = _mask_key(mask.stem, suffixes, stems)
        same = [other for other in found.get(key, []) if other.stem == mask.stem]
        if key is None:
            problems.append(f"{mask.label}: no mask's name, expected <image>{_either(suffixes)}; rename or remove it")
        elif same:
            problems.append(f"{mask.label}: same id as {same[0].label}; remove one of them")
        else:
            found.setdefault(key, []).append(mask)
    return found, problems


def _mask_key(stem, suffixes, stems):
    """(stem of the image, class) of a mask's name, None if it is no mask's.

    An image of the whole name comes before others: a suffix may be part of it. Without an image the longest suffix
    counts: of "a_long_hair" class long_hair is nearer than hair.
    """
    keys = []
    for name, suffix in suffixes.items():
        if stem in stems and re.fullmatch(suffix, ""):
            return stem, name
        if match := re.fullmatch(f"(.+?){suffix}", stem):
            keys.append((match[1], name))
    return min(keys, key=lambda key: (key[0] not in stems, len(key[0])), default=None)


def _first_of_each_id(images):
    """(images of different ids, problems: those whose id an image before them has)."""
    first = {}
    problems = []
    for image in images:
        if image.stem in first:
            problems.append(f"{image.label}: same id as {first[image.stem].label}; remove one of them")
        else:
            first[image.stem] = image
    return list(first.values()), problems


def _readable(suffix):
    return suffix.split("(")[0].replace("\\", "")


def _either(suffixes):
    return " or <image>".join(map(_readable, suffixes.values()))


# === Several data sets ===


def check(listings: Sequence[Listing]) -> None:
    """UserError that lists the files that do not pair, if there are any."""
    problems = [message for one in listings for found in one.problems.values() for message in found]
    if len(problems) > 1:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        listed = "\n  ".join([*problems[:SHOWN], *more])
        raise UserError(f"{len(problems)} files do not pair (--on_error skip leaves such files out):\n  {listed}")
    if problems:
        raise UserError(f"{problems[0]} (--on_error skip leaves such files out)")


def join(listings: Sequence[Listing]) -> tuple[dict[str, list[Pair]], list[str]]:
    """(split -> pairs of all `listings`, notes): an image that two data sets have in the same split is kept once.

    Images are the same if their ISIC ids are; those that two sets have in different splits are noted.
    UserError: two images have the same name, which is no ISIC id.
    """
    joined = {}  # split -> pairs
    first = {}  # id -> (set, split)
    shared = Counter()  # (set, split, set, split) -> images
    for one in listings:
        name = one.declaration.name
        for split, pairs in one.pairs.items():
            for pair in pairs:
                before = first.setdefault(pair.id, (name, split))
                if before[0] != name:
                    if not pair.id.startswith("ISIC_"):
                        raise UserError(f"{before[0]} and {name} both have an image {pair.id}: rename one of them")
                    shared[(*before, name, split)] += 1
                if before[0] == name or before[1] != split:
                    joined.setdefault(split, []).append(pair)
    notes = [
        f"{count} images are in {split} of {name} and in {other_split} of {other}"
        + (", kept once" if split == other_split else "")
        for (name, split, other, other_split), count in shared.items()
    ]
    return {split: joined[split] for split in arrays.SPLITS if split in joined}, notes


def fingerprint(listings: Sequence[Listing], settings: Any) -> str:
    """Digest of all that decides the arrays: settings, and source, name, size and stamp of each file."""
    digest = hashlib.sha256(repr(settings).encode())
    for one in listings:
        digest.update(repr((one.origin, one.problems, one.lesions)).encode())
        for split, found in one.pairs.items():
            for pair in found:
                files = [pair.image, *(file for group in pair.masks or () for file in group)]
                digest.update(repr((split, pair.id, [(str(f.path), f.size, f.stamp) for f in files])).encode())
    return digest.hexdigest()
