"""What a folder would be read as, the contact sheet, and the lock between two preparations."""

import cv2
import numpy as np
import pytest
from miniature import SIZE, picture, save, square
from picture_files import encode, turned

from datasets import __main__
from datasets.preparation import contact_sheet
from utils.errors import UserError
from utils.files import locked


def write(folder, count=5):
    for n in range(count):
        save(folder / "train/images" / f"{n}.jpg", picture(n))
        save(folder / "train/masks" / f"{n}.png", square(n))


def test_check_says_what_would_be_read_and_how(tmp_path, capsys):
    write(tmp_path / "data")
    train = tmp_path / "data/train"
    (train / "images/1.jpg").write_bytes(turned(np.ascontiguousarray(np.rot90(picture(1))), 6))
    save(train / "masks/2.png", square(2) // 255)
    save(train / "masks/3.png", cv2.GaussianBlur(square(3), (5, 5), 0))
    (train / "masks/4.png").write_bytes(encode(np.full((*SIZE, 4), 255, np.uint8) & square(4)[..., None], ".png"))
    (train / "images/5.jpg").write_bytes((train / "images/0.jpg").read_bytes()[:300])
    save(train / "masks/5.png", square(5))
    (train / "labels").mkdir()
    (train / "labels/a.json").write_text("{}")
    __main__.main(["check", str(tmp_path / "data"), "--out", str(tmp_path / "sheet.jpg")])
    said = capsys.readouterr().out
    for line in (
        "train: 5 pairs",
        "images: 5 JPEG color",
        "from 48x64 to 48x64 (height x width), 1 turned upright as EXIF says",
        "2 PNG gray, 0 and 255; 1 PNG gray, 0 and 1; 1 PNG gray, grays, cut at 127; "
        "1 PNG color with alpha, what is opaque is lesion",
        "5.jpg: the file is cut off",
        "not used: train/labels (1 .json)",
        "sheet.jpg: image, mask and outline of 5 pairs",
    ):
        assert line in said
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape[1] > 3 * 3 * contact_sheet.WIDTH
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "sheet.jpg"]


def test_nothing_that_can_be_read(tmp_path):
    write(tmp_path / "data", 1)
    save(tmp_path / "data/train/masks/0.png", np.array([[0, 1, 2]] * 48, np.uint8).repeat(22, axis=1)[:, :64])
    with pytest.raises(UserError, match=r"(?s)not readable: .*0.png: mask values 0, 1, 2.*no pair can be read"):
        __main__.main(["check", str(tmp_path / "data"), "--out", str(tmp_path / "sheet.jpg")])
    __main__.main(["check", str(tmp_path / "data"), "--index_classes", "a,b", "--out", str(tmp_path / "sheet.jpg")])


def test_every_preparation_draws_a_sheet_and_the_seed_decides(tmp_path):
    write(tmp_path / "data", 30)
    where = ["--folders", str(tmp_path / "data"), "--size", "24x32"]
    for seed in ("0", "0", "1"):
        __main__.main(["folder", *where, "--root", str(tmp_path / f"out{seed}"), "--seed", seed])
    sheets = [(tmp_path / f"out{seed}/check.jpg").read_bytes() for seed in (0, 1)]
    assert sheets[0] != sheets[1]
    assert contact_sheet.chosen(30, 0) == contact_sheet.chosen(30, 0) != contact_sheet.chosen(30, 1)
    assert len(contact_sheet.chosen(30, 0)) == 24 and contact_sheet.chosen(3, 0) == [0, 1, 2]


def test_a_sheet_shows_image_mask_and_outline(tmp_path):
    image = np.full((48, 64, 3), 200, np.uint8)
    mask = np.zeros((48, 64, 2), np.uint8)
    mask[10:20, 10:30, 0] = mask[30:40, 30:50, 1] = 1
    contact_sheet.write(tmp_path / "a.jpg", ["x" * 99], [image], [mask])
    sheet = cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1].astype(int)
    top, left = contact_sheet.GAP + contact_sheet.CAPTION, 2 * contact_sheet.GAP
    step, scale = contact_sheet.WIDTH + contact_sheet.GAP, contact_sheet.WIDTH / 64

    def pixel(place, row, column):
        return sheet[top + round(row * scale), left + place * step + round(column * scale)]

    assert np.abs(pixel(0, 15, 20) - 200).max() < 9 and np.abs(pixel(2, 15, 20) - 200).max() < 9
    assert np.abs(pixel(1, 15, 20) - [0, 114, 178]).max() < 25 and np.abs(pixel(1, 35, 40) - [213, 94, 0]).max() < 25
    assert pixel(1, 4, 4).max() < 60


def test_two_preparations_of_one_folder(tmp_path):
    write(tmp_path / "data")
    arguments = ["folder", "--folders", str(tmp_path / "data"), "--root", str(tmp_path / "out"), "--size", "24x32"]
    with (
        locked(tmp_path / "out", "held"),
        pytest.raises(FileExistsError, match="is being written right now by another"),
    ):
        __main__.main(arguments)
    __main__.main(arguments)
