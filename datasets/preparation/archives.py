"""A folder or a zip archive as the same thing: a list of files that can be read, pictures and annotations.

files = open_folder("dataset_isic18", "ISIC2018_Task1-2_Training_Input")   # a folder there, …
files = open_archive("archives", "ISIC2018_Task1-2_Training_Input")        # … or a .zip, read without extraction
for file in files: print(file.stem, file.label, len(file.read()))
"""

import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from imaging.files import is_litter, walk
from imaging.headers import SUFFIXES
from utils.errors import UserError
from utils.files import readable

MAX_BYTES = 500_000_000  # of one picture file; an archive entry may claim any size
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ANNOTATIONS = (".json", ".xml")  # files of labeling tools (annotations.py)
DEFLATE64 = 9  # of Windows' own packer, for large files
ENCRYPTED = 1  # bit of an entry's flags
_UNPACK = "unpack it with the program that made it, and use --folders"
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, IndexError, struct.error)


@dataclass(frozen=True)
class File:
    """One file of data.

    path: inside its folder or archive. label: how to name it to a user. size: in bytes. stamp: with the size, changes
    when the file does (time of change, or the archive's checksum). name: what its stem is taken to be, if not its own.
    """

    path: PurePosixPath
    label: str
    size: int
    stamp: int
    load: Callable[[], bytes] = field(repr=False, compare=False)
    name: str = ""

    @property
    def stem(self) -> str:
        """The name without suffix, of which ids are made. Bytes that are not UTF-8 are read as Latin-1."""
        try:
            (self.name or self.path.stem).encode()
        except UnicodeEncodeError:
            return os.fsencode(self.name or self.path.stem).decode("latin-1")
        return self.name or self.path.stem

    def read(self) -> bytes:
        """The file's bytes. UserError: absurdly large, or damaged (without the file's name: the caller adds it)."""
        if self.size > MAX_BYTES:
            raise UserError(f"a file of {self.size:,} bytes, more than the {MAX_BYTES:,} accepted for one picture")
        return self.load()


def open_folder(parent: str | Path, name: str) -> list[File] | None:
    """The files of data below PARENT/NAME, in order of their paths; None if there is no such folder."""
    root = Path(parent) / name
    if not root.is_dir():
        return None
    files = []
    for path in walk(root):
        inside = PurePosixPath(path.relative_to(root).as_posix())
        if _is_data(inside):
            stat = path.stat()
            files.append(File(inside, readable(path), stat.st_size, stat.st_mtime_ns, path.read_bytes))
    return files


def open_archive(parent: str | Path, name: str) -> list[File] | None:
    """The files of data in PARENT/NAME.zip, in order of their paths; None if there is no such archive.

    UserError: not a zip archive (or cut off), or an entry whose path is absolute or leads out of the archive.
    """
    path = Path(parent) / f"{name}.zip"
    if not path.is_file():
        return None
    archive = opened(path)  # stays open: the files read from it, from several threads
    files = []
    for entry in archive.infolist():
        if not entry.filename:  # whatever that may be, it is no picture
            continue
        inside = PurePosixPath(entry.filename.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts or PureWindowsPath(entry.filename).drive:
            raise UserError(f"{path} holds an unsafe path, '{entry.filename}'; download the official archive again")
        if not entry.is_dir() and _is_data(inside):
            files.append(File(inside, f"{path}/{inside}", entry.file_size, entry.CRC, _reader(archive, entry)))
    return sorted(files, key=lambda file: file.path)


def opened(path: str | Path) -> zipfile.ZipFile:
    """A zip archive to read from. UserError: it is none, or cannot be read; the message names it."""
    try:
        return zipfile.ZipFile(path)
    except NotImplementedError as error:  # made for a later version of the format
        raise UserError(f"{path} cannot be read ({error} of the format): {_UNPACK}") from None
    except _DAMAGE as error:
        raise UserError(f"{path} is no whole zip archive ({error}); delete it and download it again") from None


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """An entry's bytes. UserError: damaged, or packed in a way that is not read (the caller adds its name)."""
    if entry.flag_bits & ENCRYPTED:
        raise UserError(f"protected by a password: {_UNPACK}")
    if entry.compress_type not in METHODS:
        name = "Deflate64" if entry.compress_type == DEFLATE64 else f"method {entry.compress_type}"
        raise UserError(f"packed by {name}, which cannot be read here: {_UNPACK}")
    try:
        return archive.read(entry)
    except (*_DAMAGE, OSError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"damaged inside the archive ({error}); download the archive again") from None


def _reader(archive, entry):
    return lambda: read_entry(archive, entry)


def _is_data(path):
    """A picture or annotations by its suffix, and neither litter nor a superpixel map."""
    if is_litter(path) or path.stem.lower().endswith("_superpixels"):
        return False
    return path.suffix.lower() in (*SUFFIXES, *ANNOTATIONS)
