"""Folders and archives: which of their files are pictures, and how they are read."""

import zipfile

import pytest
from miniature import picture, save

from datasets.preparation import archives


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


def test_absurdly_large_file_is_not_read(tmp_path, monkeypatch):
    save(tmp_path / "set" / "a.png", picture(1))
    monkeypatch.setattr(archives, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="more than the 10 accepted for one picture"):
        archives.open_folder(tmp_path, "set")[0].read()
