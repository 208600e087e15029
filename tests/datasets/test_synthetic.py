import json
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from datasets import phantoms, synthetic

COUNTS = {"train": 3, "val": 2, "test": 1}


@pytest.fixture(scope="module")
def many():
    """84 phantoms of 96 × 128 pixels, in order of seed."""
    return [synthetic.phantom(seed, 96, 128) for seed in range(84)]


@pytest.fixture
def folder(tmp_path):
    synthetic.write(tmp_path / "isic", COUNTS, size=(48, 64))
    return tmp_path / "isic"


def lab(image):
    """uint8 (H, W, 3) RGB → CIE L*a*b*, float32, L 0 to 100."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def dice(a, b):
    return 2 * np.sum(a & b) / (a.sum() + b.sum())


# === Phantoms ===
@pytest.mark.parametrize("height, width", [(96, 128), (128, 96), (33, 47), (101, 101), (32, 200)])
def test_shapes_types_and_values(height, width):
    image, lesion, attributes = synthetic.phantom(7, height, width)
    assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)
    assert (lesion.shape, lesion.dtype) == ((height, width), np.uint8)
    assert (attributes.shape, attributes.dtype) == ((height, width, 5), np.uint8)
    assert set(np.unique(lesion)) == {0, 1}
    assert set(np.unique(attributes)) <= {0, 1}


def test_a_pure_function_of_its_arguments():
    np.random.seed(1)
    first = synthetic.phantom(21, 96, 128)
    np.random.seed(2)
    with ThreadPoolExecutor(2) as pool:
        for again in pool.map(synthetic.phantom, [21, 21], [96, 96], [128, 128]):
            assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.lesion, synthetic.phantom(22, 96, 128).lesion)


@pytest.mark.parametrize("seed", range(8))
def test_one_seed_gives_one_picture_at_every_size(seed):
    small, large = synthetic.phantom(seed, 96, 128), synthetic.phantom(seed, 480, 640)
    reduced = cv2.resize(large.image, (128, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(small.image.astype(int) - reduced).mean() < 6
    lesion = cv2.resize(large.lesion * 255, (128, 96), interpolation=cv2.INTER_AREA) > 127
    assert dice(small.lesion > 0, lesion) > 0.98
    for channel in range(5):
        assert small.attributes[..., channel].any() == large.attributes[..., channel].any()
        assert small.attributes[..., channel].mean() == pytest.approx(large.attributes[..., channel].mean(), abs=0.02)


def test_the_largest_size():
    image, lesion, attributes = synthetic.phantom(0, 3000, 4000)
    assert image.shape == (3000, 4000, 3)
    small = synthetic.phantom(0, 192, 256)
    assert dice(lesion > 0, cv2.resize(small.lesion, (4000, 3000), interpolation=cv2.INTER_NEAREST) > 0) > 0.97
    assert attributes.any((0, 1)).tolist() == small.attributes.any((0, 1)).tolist()
    row = lesion[1500].astype(int)
    assert 0 < np.abs(np.diff(row)).sum() < 20  # a smooth outline, not a frayed one


def test_areas_span_small_to_large_and_some_touch_the_border(many):
    areas = np.array([p.lesion.mean() for p in many])
    assert 0.005 <= areas.min() < 0.04
    assert 0.6 < areas.max() <= 0.9
    assert 0.1 < np.median(areas) < 0.25
    touching = [np.concatenate([p.lesion[0], p.lesion[-1], p.lesion[:, 0], p.lesion[:, -1]]).any() for p in many]
    assert 0.1 < np.mean(touching) < 0.35


def test_lesions_are_one_piece_without_holes(many):
    for p in many:
        contours, tree = cv2.findContours(np.pad(p.lesion, 1), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        areas, outer = np.array([cv2.contourArea(c) for c in contours]), tree[0, :, 3] < 0
        assert areas.max() > 0.98 * areas.sum()  # at this size a neck of one pixel may break, a bay may close
        assert areas[~outer].sum() < 0.02 * areas.max()


def test_the_border_of_the_mask_is_the_middle_of_the_visible_border(many):
    places, contrasts = [], []
    for p in many:
        inside, outside = (cv2.distanceTransform(m, cv2.DIST_L2, 5) for m in (p.lesion, 1 - p.lesion))
        color = lab(cv2.medianBlur(p.image, 5))
        bands = [(inside >= 6) & (inside < 12), (outside >= 6) & (outside < 12), (inside + outside < 2)]
        if min(band.sum() for band in bands) < 60:
            continue
        core, skin, edge = (np.median(color[band], axis=0) for band in bands)
        direction = core - skin
        contrasts.append(np.linalg.norm(direction))
        places.append((edge - skin) @ direction / max(direction @ direction, 1))
    assert len(places) > 50
    assert 0.35 < np.median(places) < 0.65
    assert np.min(contrasts) > 4  # ΔE: low, yet visible
    assert np.quantile(contrasts, 0.2) < 25


def test_shares_of_the_attributes(many):
    shown = np.array([p.attributes.any((0, 1)) for p in many])
    np.testing.assert_allclose(shown.mean(0), [0.587, 0.073, 0.06, 0.263, 0.232], atol=0.04)
    assert all(shown[start : start + 21].any(0).all() for start in range(len(shown) - 20))


def test_attributes_lie_in_the_lesion_and_streaks_along_its_edge(many):
    for channel, name in enumerate(synthetic.ATTRIBUTES):
        inside = [p.lesion[p.attributes[..., channel] > 0].mean() for p in many if p.attributes[..., channel].any()]
        assert np.mean(inside) > (0.5 if name == "streaks" else 0.95)
        part = [p.attributes[..., channel].sum() / p.lesion.sum() for p in many if p.attributes[..., channel].any()]
        assert 0.03 < np.median(part) < 0.8
    for p in many:
        if p.attributes[..., 2].any():
            kernel = np.ones((3, 3), np.uint8)
            edge = cv2.morphologyEx(p.lesion, cv2.MORPH_GRADIENT, kernel)
            assert (edge & p.attributes[..., 2]).any()


def test_structures_look_like_what_they_are():
    found = {0: [], 3: [], 4: []}
    for seed in range(25):
        image, lesion, attributes = synthetic.phantom(seed, 240, 320)
        light = lab(image)[..., 0]
        detail = light - cv2.GaussianBlur(light, (0, 0), 5)
        plain = (lesion > 0) & ~attributes.any(-1)
        for channel, values in found.items():
            region = attributes[..., channel] > 0
            if channel:
                others = np.delete(attributes, channel, axis=-1).any(-1)
                region &= ~others
            if min(region.sum(), plain.sum()) > 100:
                values.append(detail[region].std() / detail[plain].std() if channel == 0 else detail[region].mean())
    assert min(len(values) for values in found.values()) >= 3
    assert np.median(found[0]) > 1.2  # the network is a texture
    assert np.mean(found[3]) > 0.5  # cysts are bright spots
    assert np.mean(found[4]) < -0.2  # globules dark ones


@pytest.mark.parametrize("seed, height, width", [(-1, 96, 128), (0, 31, 128), (0, 96, 0)])
def test_bad_arguments(seed, height, width):
    with pytest.raises(ValueError, match="seed ≥ 0 and sides ≥ 32 pixels"):
        synthetic.phantom(seed, height, width)


# === Files ===
def test_official_folders_and_names(folder):
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file())
    expected = ["synthetic.json"]
    for part, first, count, version in (
        ("Training", 0, 3, "_v3"),
        ("Validation", 5_000_000, 2, ""),
        ("Test", 7_500_000, 1, ""),
    ):
        for number in range(first + 1, first + count + 1):
            name = f"ISIC_{number:07d}"
            expected.append(f"ISIC2018_Task1-2_{part}_Input/{name}.jpg")
            expected.append(f"ISIC2018_Task1_{part}_GroundTruth/{name}_segmentation.png")
            for attribute in ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules"):
                expected.append(f"ISIC2018_Task2_{part}_GroundTruth{version}/{name}_attribute_{attribute}.png")
    assert found == sorted(expected)


def test_files_hold_the_phantoms(folder):
    name, drawn = "ISIC_5000002", synthetic.phantom(5_000_002, 48, 64)
    image = cv2.imread(str(folder / "ISIC2018_Task1-2_Validation_Input" / f"{name}.jpg"), cv2.IMREAD_UNCHANGED)
    assert np.abs(image[..., ::-1].astype(int) - drawn.image).mean() < 6  # JPEG
    path = folder / "ISIC2018_Task1_Validation_GroundTruth" / f"{name}_segmentation.png"
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), drawn.lesion * 255)
    for channel, attribute in enumerate(synthetic.ATTRIBUTES):
        path = folder / "ISIC2018_Task2_Validation_GroundTruth" / f"{name}_attribute_{attribute}.png"
        np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), drawn.attributes[..., channel] * 255)


def test_phantoms_differ_between_images_splits_and_seeds(folder, tmp_path):
    synthetic.write(tmp_path / "other", {"train": 1}, size=(48, 64), seed=1)
    pictures = [path.read_bytes() for path in [*folder.rglob("*.jpg"), *tmp_path.glob("other/*/*.jpg")]]
    assert len(set(pictures)) == len(pictures) == 7


def test_a_second_call_writes_only_what_is_missing(folder, monkeypatch):
    gone, kept = sorted(folder.glob("ISIC2018_Task2_Training_*/*"))[:2]
    before, stamp = gone.read_bytes(), sorted(folder.rglob("*.jpg"))[-1].stat().st_mtime_ns
    gone.unlink()
    drawn = []
    monkeypatch.setattr(synthetic, "phantom", lambda *a: drawn.append(a) or phantoms.phantom(*a))
    synthetic.write(folder, COUNTS, size=(48, 64))
    assert drawn == [(1, 48, 64)]
    assert gone.read_bytes() == before
    assert kept.exists()
    assert sorted(folder.rglob("*.jpg"))[-1].stat().st_mtime_ns == stamp
    synthetic.write(folder, COUNTS, size=(48, 64))
    assert len(drawn) == 1


def test_an_interrupted_write_leaves_no_half_file(tmp_path, monkeypatch):
    def full(source, target, rename=os.replace):
        if target.suffix != ".json":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        synthetic.write(tmp_path, {"val": 1}, size=(48, 64))
    assert not list(tmp_path.glob("*/*"))
    monkeypatch.undo()
    synthetic.write(tmp_path, {"val": 1}, size=(48, 64))
    assert len(list(tmp_path.glob("*/*"))) == 7


@pytest.mark.parametrize("change", [{"size": (48, 65)}, {"seed": 1}, {"counts": {"train": 2}}])
def test_other_phantoms_in_the_folder_are_refused(folder, change):
    arguments = {"counts": COUNTS, "size": (48, 64), "seed": 0} | change
    with pytest.raises(ValueError, match=r"synthetic\.json describes other phantoms.*delete"):
        synthetic.write(folder, **arguments)
    assert json.loads((folder / "synthetic.json").read_text())["size"] == [48, 64]


def test_real_images_are_never_mixed_with_phantoms(tmp_path):
    (tmp_path / "ISIC2018_Task1-2_Training_Input").mkdir()
    with pytest.raises(ValueError, match=r"without synthetic\.json.*choose another folder"):
        synthetic.write(tmp_path, {"train": 1})


def test_unknown_split_and_bad_size_leave_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"unknown splits \['valid'\].*'train', 'val', 'test'"):
        synthetic.write(tmp_path / "a", {"valid": 1})
    with pytest.raises(ValueError, match="sides ≥ 32 pixels"):
        synthetic.write(tmp_path / "a", {"val": 1}, size=(20, 20))
    assert not (tmp_path / "a").exists()
