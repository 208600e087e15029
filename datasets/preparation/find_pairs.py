"""What of a data set lies in a folder: its pairs, what does not pair, its splits; and several sets put together."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets import arrays
from datasets.declaration import find_pairs
from datasets.preparation import archives as archive_files
from datasets.preparation import load_pairs, splits
from datasets.preparation.near_duplicates import groups
from utils.errors import UserError

FOLDS = 10  # of which one is for test and one for val: 80/10/10
SHOWN = 20  # of the bad files in an error, or in the summary of a split


class Listed:
    """The pairs of one data set in its folders or archives.

    pairs: split -> list of declaration.Pair; "all" until `divide` where there are no official splits.
    problems: split -> messages about files that do not pair. notes: messages. origin: what source_masks.py needs.
    FileNotFoundError: there is nothing; the message says how to get it.
    """

    def __init__(self, declaration, place, archives):
        self.declaration = declaration
        opened = archive_files.open_archive if archives else archive_files.open_folder
        try:
            self.pairs, self.problems, self.notes = find_pairs(declaration, lambda name: opened(place, name))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"in '{place}': {error}") from None
        empty = [split for split, found in self.pairs.items() if not found and not self.problems[split]]
        if len(empty) == len(self.pairs):
            raise FileNotFoundError(_nothing(declaration, place))
        self.notes += [f"no {split} split: its folder holds no images" for split in empty]
        self.pairs = {split: found for split, found in self.pairs.items() if split not in empty}
        self.lesions = splits.read_lesions(declaration.lesion_table, place)
        kind = "archives" if archives else "folders"
        self.origin = {"dataset": declaration.name, "task": declaration.task, kind: str(Path(place).resolve())}
        if declaration.name == "folder":
            self.origin |= {"classes": declaration.classes, "index": bool(declaration.index_classes)}

    def divide(self, size, seed=0, folds=FOLDS, fold=1, on_error="stop"):
        """Divide the pairs into train, val and test if that is not done officially; images are looked at in `size`."""
        if "all" not in self.pairs:
            return
        pairs, areas, prints = self._look(size, on_error)
        self.pairs, self.problems = {}, {"train": self.problems["all"]}
        if not pairs:
            return
        lesions = splits.numbered([self.lesions.get(pair.id, pair.id) for pair in pairs])
        same = groups(np.array(prints), lesions)
        kinds, different = "near-copies", len(np.unique(same))
        if different < 3 or fold > different:
            raise UserError(
                f"{self.declaration.title}: {different} images that are not {kinds} are too few for fold {fold} of "
                f"{folds}; add some, or say yourself which are train, val and test (datasets/folder.py)"
            )
        folds = min(folds, different)
        divided = splits.splits(splits.folds(areas, same, folds, seed), folds, fold)
        self.pairs = {split: [pairs[number] for number in numbers] for split, numbers in divided.items()}
        if self.lesions:
            kinds += " and images of one lesion"
        self.notes.append(
            f"no official splits: divided by lesion area with seed {seed}, fold {fold} of {folds} for test, the next "
            f"for val; kept together: {len(pairs) - different} {kinds}"
        )
        if self.declaration.lesion_table and not self.lesions:
            table = self.declaration.lesion_table[0].replace("*", ".csv")
            self.notes.append(f"images of one lesion may be on different sides: {table} is not there to tell of them")

    def _look(self, size, on_error):
        """The undivided pairs that can be read, their lesion areas and their fingerprints."""
        pairs, areas, prints = [], [], []
        results = load_pairs.in_order(lambda pair: load_pairs.load(pair, size), self.pairs["all"])
        for pair, result in tqdm(results, "look", len(self.pairs["all"]), unit="image", disable=None):
            try:
                loaded = result.result()
            except UserError as error:
                if on_error == "stop":
                    raise
                self.problems["all"].append(str(error))
                continue
            pairs.append(pair)
            areas.append(loaded.mask.mean())
            prints.append(loaded.fingerprint)
        return pairs, areas, prints


def anywhere(declaration, place):
    """The `Listed` of a data set whose folders, or else archives, lie in `place`."""
    try:
        return Listed(declaration, place, archives=False)
    except FileNotFoundError as error:
        try:
            return Listed(declaration, place, archives=True)
        except FileNotFoundError:
            raise error from None


def _nothing(declaration, place):
    layout = " or ".join(", ".join(n for p in layout.values() for n in p.images) for layout in declaration.layouts)
    nowhere = "" if Path(place).is_dir() else " (no such folder)"
    fetch = "--download" if declaration.archives else f"by hand from {declaration.homepage}"
    return (
        f"{declaration.title}: no images found in '{place}'{nowhere}; looked for {layout}. "
        f"Three ways to get them: {fetch}; --archives DIR with the official .zip files; "
        "or the official folders, unpacked, in --root or --folders DIR"
    )


def check(sets):
    """UserError that lists the files of several `Listed` that do not pair, if there are any."""
    problems = [message for one in sets for found in one.problems.values() for message in found]
    if len(problems) > 1:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        listed = "\n  ".join([*problems[:SHOWN], *more])
        raise UserError(f"{len(problems)} files do not pair (--on-error skip leaves such files out):\n  {listed}")
    if problems:
        raise UserError(f"{problems[0]} (--on-error skip leaves such files out)")


def join(sets):
    """(split -> pairs of all `sets`, notes): an image that two sets have in the same split is kept once.

    Images are the same if their ISIC ids are; those that two sets have in different splits are told in a note.
    UserError: two images have the same name, which is no ISIC id.
    """
    joined, seen, shared = {}, {}, Counter()  # split -> pairs; id -> (set, split); (set, split, set, split) -> images
    for one in sets:
        name = one.declaration.name
        for split, pairs in one.pairs.items():
            for pair in pairs:
                first = seen.setdefault(pair.id, (name, split))
                if first[0] != name:
                    if not pair.id.startswith("ISIC_"):
                        raise UserError(f"{first[0]} and {name} both have an image {pair.id}: rename one of them")
                    shared[(*first, name, split)] += 1
                if first[0] == name or first[1] != split:
                    joined.setdefault(split, []).append(pair)
    notes = [
        f"{count} images are in {split} of {name} and in {other_split} of {other}"
        + (", kept once" if split == other_split else "")
        for (name, split, other, other_split), count in shared.items()
    ]
    return {split: joined[split] for split in arrays.SPLITS if split in joined}, notes


def fingerprint(sets, settings):
    """Digest of all that decides the arrays: settings, and place, name, size and stamp of each file."""
    digest = hashlib.sha256(repr(settings).encode())
    for one in sets:
        digest.update(repr((one.origin, one.problems, one.lesions)).encode())
        for split, found in one.pairs.items():
            for pair in found:
                files = [pair.image, *(file for group in pair.masks or () for file in group)]
                digest.update(repr((split, pair.id, [(str(f.path), f.size, f.stamp) for f in files])).encode())
    return digest.hexdigest()
