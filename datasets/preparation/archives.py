"""A folder or a zip archive as the same thing: a list of picture files that can be read.

files = open_folder("dataset_isic18", "ISIC2018_Task1-2_Training_Input")   # a folder there, …
files = open_archive("archives", "ISIC2018_Task1-2_Training_Input")        # … or a .zip, read without extraction
for file in files: print(file.stem, file.label, len(file.read()))
"""

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from imaging.files import is_litter, walk
from imaging.headers import SUFFIXES
from utils.errors import UserError

MAX_BYTES = 500_000_000  # of one picture file; an archive entry may claim any size


@dataclass(frozen=True)
class File:
    """One picture file.

    path: inside its folder or archive. label: how to name it to a user. size: in bytes. stamp: with the size, changes
    when the file does (time of change, or the archive's checksum).
    """

    path: PurePosixPath
    label: str
    size: int
    stamp: int
    load: Callable[[], bytes] = field(repr=False, compare=False)

    @property
    def stem(self) -> str:
        return self.path.stem

    def read(self) -> bytes:
        """The file's bytes. UserError: absurdly large, or damaged (without the file's name: the caller adds it)."""
        if self.size > MAX_BYTES:
            raise UserError(f"a file of {self.size:,} bytes, more than the {MAX_BYTES:,} accepted for one picture")
        return self.load()


def open_folder(parent: str | Path, name: str) -> list[File] | None:
    """The pictures below PARENT/NAME, in order of their paths; None if there is no such folder."""
    root = Path(parent) / name
    if not root.is_dir():
        return None
    files = []
    for path in walk(root):
        inside = PurePosixPath(path.relative_to(root).as_posix())
        if _is_picture(inside):
            stat = path.stat()
            files.append(File(inside, str(path), stat.st_size, stat.st_mtime_ns, path.read_bytes))
    return files


def open_archive(parent: str | Path, name: str) -> list[File] | None:
    """The pictures in PARENT/NAME.zip, in order of their paths; None if there is no such archive.

    UserError: not a zip archive (or cut off), or an entry whose path is absolute or leads out of the archive.
    """
    path = Path(parent) / f"{name}.zip"
    if not path.is_file():
        return None
    try:
        archive = zipfile.ZipFile(path)  # stays open: the files read from it, from several threads
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is no whole zip archive ({error}); delete it and download it again") from None
    files = []
    for entry in archive.infolist():
        inside = PurePosixPath(entry.filename.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts or PureWindowsPath(entry.filename).drive:
            raise UserError(f"{path} holds an unsafe path, '{entry.filename}'; download the official archive again")
        if not entry.is_dir() and _is_picture(inside):
            files.append(File(inside, f"{path}/{inside}", entry.file_size, entry.CRC, _reader(archive, entry)))
    return sorted(files, key=lambda file: file.path)


def _reader(archive, entry):
    def read():
        try:
            return archive.read(entry)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise UserError(f"damaged inside the archive ({error}); download the archive again") from None

    return read


def _is_picture(path):
    """A picture by its suffix, and neither litter nor a superpixel map."""
    if is_litter(path) or path.stem.lower().endswith("_superpixels"):
        return False
    return path.suffix.lower() in SUFFIXES
