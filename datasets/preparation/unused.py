"""What a folder of own data holds and the preparation does not use: said, so that nothing is left out in silence."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from imaging.files import walk
from imaging.headers import SUFFIXES
from utils.files import readable

PICTURES = (*SUFFIXES, ".gif", ".heic", ".heif", ".avif", ".jp2", ".psd", ".svg", ".pdf")
SHOWN = 8  # folders in a message


def unused(source: str | Path, used: Iterable[str] = ()) -> str:
    """Files below `source` in words, by folder and kind, such as "valid/images (6 .jpg)"; "" where there are none.

    used: those to leave out, as `archives.File.label` names them. Prepared arrays are left out too; of files beside the
    folders only pictures count.
    """
    used = set(used)
    count = Counter()  # (folder, suffix) -> files
    for path in walk(source, skip=lambda folder: (folder / "meta.json").is_file()):
        folder = readable(path.parent.relative_to(source))
        suffix = path.suffix.lower()
        if readable(path) not in used and (folder != "." or suffix in PICTURES):
            count["/".join(folder.split("/")[:2]), suffix or "without suffix"] += 1
    found = [f"{folder} ({number} {suffix})" for (folder, suffix), number in sorted(count.items())]
    if len(found) > SHOWN:
        found[SHOWN:] = [f"and {len(found) - SHOWN} more"]
    return ", ".join(found)
