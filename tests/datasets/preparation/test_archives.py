"""Folders and archives: which of their files are pictures, and how they are read."""

import io
import zipfile

import cv2
import pytest
from miniature import picture, save

from datasets.preparation import archives
from utils.errors import UserError


def test_folder_and_archive_list_the_same_pictures(tmp_path):
    folder = tmp_path / "set" / "Input"
    for name in ("ISIC_2.jpg", "ISIC_1.JPG", "deeper/ISIC_3.png"):
        save(folder / name, picture(1))
    for junk in ("ATTRIBUTION.txt", "ISIC_2_superpixels.png", "__MACOSX/ISIC_1.jpg", "._ISIC_1.jpg", "Thumbs.db"):
        (folder / junk).parent.mkdir(exist_ok=True)
        (folder / junk).write_bytes(b"junk")
    with zipfile.ZipFile(tmp_path / "Input.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(tmp_path / "set"))
    files, zipped = archives.open_folder(tmp_path / "set", "Input"), archives.open_archive(tmp_path, "Input")
    assert [file.stem for file in files] == ["ISIC_1", "ISIC_2", "ISIC_3"] == [file.stem for file in zipped]
    assert [file.read() for file in files] == [file.read() for file in zipped]
    assert str(files[0].label) == str(folder / "ISIC_1.JPG")
    assert zipped[0].label == str(tmp_path / "Input.zip" / "Input" / "ISIC_1.JPG")
    assert archives.open_folder(tmp_path, "Other") is None and archives.open_archive(tmp_path, "Other") is None


@pytest.mark.parametrize("name", ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:\\evil.jpg", "..\\evil.jpg"])
def test_unsafe_paths_in_an_archive_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("fine.jpg", b"x")
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(ValueError, match=r"bad.zip holds an unsafe path"):
        archives.open_archive(tmp_path, "bad")


def test_broken_archive_and_damaged_entry(tmp_path):
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(ValueError, match=r"cut.zip is no whole zip archive .* download it again"):
        archives.open_archive(tmp_path, "cut")
    with zipfile.ZipFile(tmp_path / "flip.zip", "w") as archive:
        archive.writestr("a.jpg", b"0123456789" * 10)
    data = bytearray((tmp_path / "flip.zip").read_bytes())
    data[60] ^= 255
    (tmp_path / "flip.zip").write_bytes(data)
    with pytest.raises(ValueError, match="damaged inside the archive"):
        archives.open_archive(tmp_path, "flip")[0].read()


def packed(method=zipfile.ZIP_DEFLATED):
    """Bytes of an archive of two pictures, the first of which is to be edited."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in ("a.png", "b.png"):
            archive.writestr(name, cv2.imencode(".png", picture(1))[1].tobytes() * 3)
    return bytearray(file.getvalue())


def edited(local, value):
    """`packed` with two bytes of the first entry's head changed; in the table at the end they stand two bytes on."""
    data = packed()
    for at in (local, data.index(b"PK\1\2") + local + 2):
        data[at : at + 2] = value.to_bytes(2, "little")
    return data


def damaged(method):
    data = packed(method)
    data[45:60] = b"\xff" * 15
    return data


@pytest.mark.parametrize(("data", "message"), [
    (edited(8, 9), "packed by Deflate64, which cannot be read here: unpack it .* and use --folders"),
    (edited(8, 98), "packed by method 98, which cannot be read here: unpack it .* and use --folders"),
    (edited(6, 1), "protected by a password: unpack it .* and use --folders"),
    (damaged(zipfile.ZIP_LZMA), r"damaged inside the archive .* download"),
    (damaged(zipfile.ZIP_BZIP2), r"damaged inside the archive .* download"),
    (damaged(zipfile.ZIP_DEFLATED), r"damaged inside the archive .* download"),
])  # fmt: skip
def test_entries_that_cannot_be_read_say_why(tmp_path, data, message):
    (tmp_path / "odd.zip").write_bytes(data)
    first, second = archives.open_archive(tmp_path, "odd")
    with pytest.raises(UserError, match=message):
        first.read()
    assert len(second.read()) > 99


def test_a_later_version_of_the_format_and_an_entry_without_a_name(tmp_path):
    (tmp_path / "late.zip").write_bytes(edited(4, 96))
    with pytest.raises(UserError, match=r"late.zip cannot be read \(zip file version 9.6 of the format\): unpack it"):
        archives.open_archive(tmp_path, "late")
    with zipfile.ZipFile(tmp_path / "nameless.zip", "w") as archive:
        archive.writestr("b.png", b"x")
        nameless = zipfile.ZipInfo("x")
        nameless.filename = ""
        archive.writestr(nameless, b"y")
    assert [file.stem for file in archives.open_archive(tmp_path, "nameless")] == ["b"]


def test_absurdly_large_file_is_not_read(tmp_path, monkeypatch):
    save(tmp_path / "set" / "a.png", picture(1))
    monkeypatch.setattr(archives, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="more than the 10 accepted for one picture"):
        archives.open_folder(tmp_path, "set")[0].read()
