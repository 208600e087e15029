"""The command line that dataset_isic18.py and `python -m datasets` have in common."""

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path

from datasets import arrays, synthetic
from datasets.declaration import Declaration
from datasets.preparation import download
from datasets.preparation.prepare import Options, describe, prepare
from datasets.preparation.splits import Division
from utils.arguments import size
from utils.errors import UserError


def add_arguments(parser: argparse.ArgumentParser, root: str | None):
    """Add what every data set's command has; returns the group of sources, of which at most one may be given."""
    parser.add_argument("--size", type=size, default=(192, 256), help="HEIGHTxWIDTH in pixels (default 192x256)")
    parser.add_argument("--root", default=root, help=f"folder of the arrays (default {root or 'dataset_NAME'})")
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument("--folders", metavar="DIR", help="where the official folders lie unpacked (default: in ROOT)")
    sources.add_argument("--archives", metavar="DIR", help="folder of the official .zip files")
    sources.add_argument("--download", action="store_true", help="fetch the .zip files into ROOT/archives")
    parser.add_argument("--mirror", metavar="URL", help="with --download: where the .zip files lie instead")
    parser.add_argument("--on_error", choices=("stop", "skip"), default="stop", help="what to do at a bad file")
    parser.add_argument("--drop_leaks", action="store_true", help="train on no near-duplicates of val and test images")
    parser.add_argument("--splits", metavar="FILE", help="CSV with the columns id and split, in place of other splits")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn by chance (default 0)")
    return sources


def draw(count: int, args: argparse.Namespace) -> None:
    """Phantoms into ROOT: `count` to train, a fifth of it for val, a third for test."""
    counts = {"train": count, "val": max(1, count // 5), "test": max(1, count // 3)}
    synthetic.write(args.root, counts, size=tuple(2 * side for side in args.size), seed=args.seed)


def fetched(declarations: Sequence[Declaration], args: argparse.Namespace) -> str | Path | None:
    """The folder of archives that was given, or into which they were downloaded; None for folders."""
    if not args.download:
        return args.archives
    archives = Path(args.root) / "archives"
    for one in declarations:
        if not one.archives:
            raise UserError(f"{one.title}: to be had by hand only, from {one.homepage}")
        download.fetch(one.archives, archives, args.mirror)
    return archives


def run(declarations: Sequence[Declaration], args: argparse.Namespace, division: Division) -> None:
    """Fetch if asked to, prepare, and print the summary."""
    _announce(args.root, args.size)
    options = Options(args.on_error, args.drop_leaks, division, args.splits)
    archives = fetched(declarations, args)
    meta, written = prepare(
        declarations, args.root, args.size, archives=archives, folders=args.folders, options=options
    )
    if not written:
        print("nothing changed since the arrays were prepared")
    print("\n".join(describe(meta, args.root)))


def _announce(root, size):
    """Say that arrays of another size are about to be replaced."""
    with contextlib.suppress(FileNotFoundError, UserError):
        before = arrays.read_meta(root)
        if tuple(before["size"]) != size:
            height, width = before["size"]
            print(f"{root} holds {before['dataset']} at {height}x{width}, which will be replaced: --root names another")
