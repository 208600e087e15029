import cv2
import numpy as np
import pytest

import pipeline
from config import Settings
from datasets import phantoms
from datasets.arrays import Split
from imaging import hair_removal

SIZE = (192, 256)


@pytest.fixture(scope="module")
def pairs():
    """Phantoms with hair, the same ones without it, and how opaque the hair is, of 24 seeds."""
    drawn, rows = phantoms.hair, []
    for seed in range(24):
        layers = []

        def none(rng, frame, layers=layers):
            layers.append(drawn(rng, frame))
            return np.zeros_like(layers[0])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(phantoms, "hair", none)
            bald = phantoms.phantom(seed, *SIZE).image
        rows.append((phantoms.phantom(seed, *SIZE).image, bald, layers[0]))
    return rows


def difference(first, second):
    return np.abs(first.astype("int32") - second).mean(axis=-1)


def test_most_of_the_drawn_hair_is_removed(pairs):
    before = after = 0
    for hairy, bald, layer in pairs:
        where = layer > 0.3
        before += difference(hairy, bald)[where].sum()
        after += difference(hair_removal.remove(hairy), bald)[where].sum()
    assert before > 0
    assert after < 0.3 * before


def test_little_else_is_changed(pairs):
    found = [hair_removal.find(bald).mean() / 255 for _, bald, _ in pairs]
    assert np.mean(found) < 0.02 and np.max(found) < 0.1
    without = [bald for _, bald, layer in pairs if layer.max() == 0]
    assert np.mean([difference(hair_removal.remove(bald), bald).mean() for bald in without]) < 0.3


def test_a_line_goes_and_a_dot_stays():
    image = np.full((*SIZE, 3), (220, 180, 160), "uint8")
    cv2.line(image, (20, 30), (200, 120), (50, 35, 30), 2, cv2.LINE_AA)
    cv2.circle(image, (60, 150), 2, (90, 60, 50), -1)
    dot = image[140:160, 50:70].copy()
    clean = hair_removal.remove(image)
    assert clean.dtype == np.uint8 and clean.shape == image.shape
    assert np.abs(clean[25:125, 15:205].astype(int) - (220, 180, 160)).max() < 12
    assert np.array_equal(clean[140:160, 50:70], dot)


def test_large_images_and_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    image = np.full((900, 1200, 3), (160, 180, 220), "uint8")
    cv2.line(image, (100, 100), (1000, 700), (30, 35, 50), 7, cv2.LINE_AA)
    cv2.imwrite("arm.png", image)
    hair_removal.main(["."])
    assert capsys.readouterr().out == "cleaned/: 1 pictures of image, hair found, and image without it\n"
    before, found, after = np.split(cv2.imread("cleaned/arm.png"), 3, axis=1)
    assert np.array_equal(before, image)
    assert 0.005 < found.mean() / 255 < 0.05
    assert np.abs(after.astype(int) - (160, 180, 220)).max() < 12
    with pytest.raises(SystemExit, match=r"missing\.png: no image there"):
        hair_removal.main(["missing.png"])


def test_only_rgb_images():
    with pytest.raises(ValueError, match=r"expected an RGB image, uint8 \(H, W, 3\), received float32"):
        hair_removal.remove(np.zeros((8, 8, 3), "float32"))


def test_more_hair_than_skin_is_left_alone():
    image = np.full((*SIZE, 3), (220, 180, 160), "uint8")
    for x in range(-200, 256, 6):
        cv2.line(image, (x, 0), (x + 200, 191), (50, 35, 30), 2, cv2.LINE_AA)
    assert hair_removal.find(image).mean() / 255 > hair_removal.MOST
    assert np.array_equal(hair_removal.remove(image), image)


def test_the_setting_reaches_training_and_evaluation(pairs):
    images = np.stack([hairy for hairy, _, _ in pairs[:5]])
    split = Split(images, images[..., :1] // 128, list("abcde"), np.full((5, 2), SIZE), ["lesion"])
    settings = Settings(normalize="unit", batch_size=5, epochs=1, remove_hair=True)
    expected = np.stack([hair_removal.remove(image) for image in images])
    assert not np.array_equal(expected, images)
    seen = next(iter(pipeline.evaluation(split, settings)))[0].numpy()
    np.testing.assert_allclose(seen, expected / 255, atol=1e-6)
    trained = np.rint(next(iter(pipeline.training(split, settings)))[0].numpy() * 255).astype("uint8")
    assert {image.tobytes() for image in trained} == {image.tobytes() for image in expected}
