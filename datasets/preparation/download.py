"""Download official archives: go on where an earlier call broke off, and verify before anything is used.

    fetch(isic2018.TASKS[1].archives, "dataset_isic18/archives")

An archive arrives as NAME.part and gets its own name only when its size and sum are right. FOLDER/verified.json keeps
what was verified, so that a later call need not read gigabytes again; it also keeps the sums seen of archives for which
no official one is known, and a later download must agree with them.
"""

import errno
import hashlib
import json
import os
import shutil
import time
import zipfile
import zlib
from pathlib import Path

import requests
from tqdm import tqdm

from utils.errors import UserError
from utils.files import replacing

TRIES = 5  # connections in a row that bring nothing new before giving up
PAUSE = 1.0  # seconds before the second try, doubled for each further one
TIMEOUT = (10, 60)  # seconds: to connect, between two pieces of data
CHUNK = 1 << 16  # bytes; a connection that breaks off loses less than this
_BAR = {"unit": "B", "unit_scale": True, "disable": None, "leave": False}


def fetch(archives, folder, mirror=None):
    """Download those of `archives` (declaration.Archive) that `folder` does not hold yet, and verify all.

    mirror: address of a folder to take them from instead of the official one.
    UserError: wrong size, wrong sum, or not a zip archive. OSError: no connection, not found, disk full.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    verified = _Verified(folder / "verified.json")
    _check_disk(archives, folder)
    for archive in archives:
        path = folder / archive.name
        if verified.holds(path):
            continue
        url = f"{mirror.rstrip('/')}/{archive.name}" if mirror else archive.url
        part = path.with_name(f"{path.name}.part")
        if not path.exists():
            _download(url, part, archive.size)
        here = path if path.exists() else part
        checksum = _verify(here, archive, verified.checksum(archive), url)
        os.replace(here, path)
        verified.record(path, checksum)


class _Verified:
    """verified.json: archive name -> size and time of change of the verified file, and its sum."""

    def __init__(self, path):
        self.path = path
        self.entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def holds(self, path):
        entry = self.entries.get(path.name, {})
        return path.exists() and _stamp(path) == {"size": entry.get("size"), "time": entry.get("time")}

    def checksum(self, archive):
        return archive.checksum or self.entries.get(archive.name, {}).get("checksum")

    def record(self, path, checksum):
        self.entries[path.name] = {**_stamp(path), "checksum": checksum}
        with replacing(self.path) as temporary:
            temporary.write_text(json.dumps(self.entries, indent=2) + "\n", encoding="utf-8")


def _stamp(path):
    stat = path.stat()
    return {"size": stat.st_size, "time": stat.st_mtime_ns}


def _check_disk(archives, folder):
    missing = 0
    for archive in archives:
        path = folder / archive.name
        part = path.with_name(f"{path.name}.part")
        if archive.size and not path.exists():
            missing += archive.size - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise OSError(
            f"disk full: {missing / 1e9:.2f} GB are still to be downloaded, '{folder}' has {free / 1e9:.2f} GB free; "
            "free some space or choose another --root"
        )


# === Download ===


def _download(url, part, expected):
    """Bring `url` into the file `part`, going on where it ends. expected: size in bytes, None if unknown."""
    best = _size(part)
    fruitless = 0
    while True:
        try:
            if _attempt(url, part, expected):
                return
            reason = "the connection broke off"
        except requests.RequestException as error:
            if isinstance(error, ValueError):  # no address at all: trying again cannot help
                raise
            reason = f"{type(error).__name__}: {error}"
        fruitless = 0 if _size(part) > best else fruitless + 1
        best = max(best, _size(part))
        if fruitless == TRIES:
            raise OSError(
                f"{url}: gave up after {TRIES} tries ({reason}); {_size(part):,} bytes are kept: run it again, "
                f"or download it by hand and put it into '{part.parent}'"
            )
        time.sleep(PAUSE * 2 ** max(fruitless - 1, 0))


def _attempt(url, part, expected):
    """One connection; True when the file is complete, False when it broke off."""
    have = _size(part)
    if have and have == expected:
        return True
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # nothing after what we have: it is all, or too much; start anew to be sure
            part.unlink()
            return False
        if response.status_code >= 500:
            raise requests.HTTPError(f"the server answered {response.status_code}")
        if response.status_code not in (200, 206):
            raise OSError(
                f"{url}: the server answered {response.status_code} {response.reason}; see on the data set's own page "
                f"whether the archive has moved, and put it into '{part.parent}' by hand"
            )
        if response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink()  # another piece than the one asked for
            return False
        if response.status_code == 200:  # the server sends from the beginning, wanted or not
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        if expected and total and total != expected:
            raise UserError(f"{url}: the server offers {total:,} bytes, expected {expected:,}; not downloaded")
        _save(response, part, have, total, expected)
    return total is None or _size(part) == total


def _save(response, part, have, total, expected):
    try:
        with open(part, "ab" if have else "wb") as file, tqdm(desc=part.stem, initial=have, total=total, **_BAR) as bar:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
                if expected and file.tell() > expected:  # never fill the disk with what is not wanted
                    break
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = f"disk full while downloading {part.name}: free some space, then the same command goes on from here"
        raise OSError(error.errno, message) from error


def _size(path):
    return path.stat().st_size if path.exists() else 0


# === Verification ===


def _verify(path, archive, checksum, url):
    """Returns the sum of the file at `path` if it is right; a wrong `path` ending in .part is removed."""
    algorithm, _, wanted = (checksum or "sha256:").partition(":")
    size = path.stat().st_size
    found = _digest(path, algorithm)
    if archive.size and size != archive.size:
        problem = f"has {size:,} bytes, expected {archive.size:,}"
    elif wanted and found != wanted:
        problem = f"has the {algorithm} sum {found}, expected {wanted}"
    elif damage := _damage(path, every_entry=not wanted):
        problem = f"is not a whole zip archive ({damage})"
    else:
        if not archive.checksum:
            print(f"{archive.name}: no official sum is known; recorded {algorithm}:{found}")
        return f"{algorithm}:{found}"
    if path.suffix == ".part":
        path.unlink()
        problem += "; what was received is deleted"
    raise UserError(f"{path.parent / archive.name} {problem}: download it again from {url}")


def _digest(path, algorithm):
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file, tqdm(desc=f"verify {path.stem}", total=path.stat().st_size, **_BAR) as bar:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


def _damage(path, every_entry):
    """What is wrong with a zip archive, "" if nothing is; its entries are read only where no sum vouches for them."""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip() if every_entry else None
            return f"{bad} is damaged" if bad else ""
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        return str(error)
