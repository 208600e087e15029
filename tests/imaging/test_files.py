"""Image files: found, turned upright, reduced."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from imaging import files


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(path, image):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def test_patterns_and_folders_name_each_file_once():
    for name in ("in/b.png", "in/a.JPG", "in/c.png"):
        save(name, np.zeros((4, 4, 3), np.uint8))
    assert list(files.find_images(["in/*.png", "in"])) == [Path("in/b.png"), Path("in/c.png"), Path("in/a.JPG")]


@pytest.mark.parametrize(("side", "expected"), [(100, (125, 188)), (126, (250, 375)), (600, (1000, 1500))])
def test_a_jpeg_is_decoded_as_small_as_is_enough(side, expected):
    save("a.jpg", np.zeros((1000, 1500, 3), np.uint8))
    image, full = files.decode_upright(Path("a.jpg").read_bytes(), (side, side // 2))
    assert (image.shape, full) == ((*expected, 3), (1000, 1500))


def test_shrinking_takes_the_mean():
    image = np.kron(np.uint8([[0, 200], [100, 60]]), np.ones((8, 8), np.uint8))[..., None].repeat(3, axis=-1)
    assert files.shrink(image, (1, 1)).ravel().tolist() == [90] * 3
    assert files.shrink(image, (2, 2))[..., 0].tolist() == [[0, 200], [100, 60]]
    assert files.shrink(image, (30, 40)).shape == (30, 40, 3)


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8 cut off"])
def test_what_is_no_picture_is_told(data):
    with pytest.raises(ValueError, match=r"not an image|an empty file|cut off|damaged"):
        files.decode_upright(data, (8, 8))


def test_litter_is_no_image():
    for name in ("a", "._a", ".hidden", "@eaDir/b", ".ipynb_checkpoints/a-checkpoint", "more/c"):
        save(f"in/{name}.png", np.zeros((4, 4, 3), np.uint8))
    assert files.find_images(["in"]) == {Path("in/a.png"): "a", Path("in/more/c.png"): "more/c"}
    assert files.find_images(["in/*.png"]) == {Path("in/a.png"): "a"}
    assert files.find_images(["in/*/*.png"]) == {Path("in/more/c.png"): "c"}
    assert files.find_images(["in/@eaDir/*.png"]) == {Path("in/@eaDir/b.png"): "b"}  # asked for by name
    assert files.walk("in") == [Path("in/a.png"), Path("in/more/c.png")]


def test_images_of_one_name_are_told_apart():
    for name in ("x/one/a.png", "y/one/a.png", "y/one/a.jpg", "one/a.png", "b.png"):
        save(name, np.zeros((4, 4, 3), np.uint8))
    found = files.find_images(["x", "y/one", "y", "one/a.png", "b.png", Path("b.png").absolute()])
    assert {path.as_posix(): name for path, name in found.items()} == {
        "x/one/a.png": "one/a",
        "y/one/a.jpg": "a.jpg",
        "y/one/a.png": "a.png",
        "one/a.png": "a",
        "b.png": "b",
    }
    found = files.find_images(["x/one/a.png", "one/a.png"])
    assert list(found.values()) == ["x/one/a", f"{Path.cwd().name}/one/a"]
    Path("y/c.png").write_bytes(Path("b.png").read_bytes())
    only = files.find_images(["x", "y"], skip=lambda folder: folder == Path("y/one"))
    assert only == {Path("x/one/a.png"): "one/a", Path("y/c.png"): "c"}


def test_links_are_followed_and_circles_end():
    save("disk/more/a.png", np.zeros((4, 4, 3), np.uint8))
    save("in/b.png", np.zeros((4, 4, 3), np.uint8))
    Path("in/linked").symlink_to(Path("disk").absolute())
    Path("disk/more/back").symlink_to(Path("in").absolute())
    Path("in/gone.png").symlink_to("nowhere")
    assert files.walk("in") == [Path("in/b.png"), Path("in/linked/more/a.png")]
