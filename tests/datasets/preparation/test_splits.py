"""Seeded splits and near-duplicates, and what `python -m datasets` makes of them; data sets combined."""

import dataclasses
import shutil

import cv2
import numpy as np
import pytest
from miniature import SIZE, image_path, mask_path, picture, save, square, write_isic2018, zip_folders
from raw_folders import isic2017, ph2

from datasets import __main__, arrays
from datasets.preparation import near_duplicates, splits
from datasets.preparation.source_masks import source_masks
from utils.errors import UserError

HEIGHT, WIDTH = 96, 128


def lesion(seed):
    """uint8 (96, 128, 3) with the detail that real pictures have: a dark patch with spots on skin with hairs."""
    rng = np.random.default_rng(seed)
    pixels = np.full((HEIGHT, WIDTH, 3), (170, 190, 220), np.uint8)
    for number in range(40):
        center = tuple(int(v) for v in rng.uniform(0.15, 0.85, 2) * (WIDTH, HEIGHT))
        shade = tuple(int(v) for v in rng.integers(40, 200, 3))
        if number % 4:
            cv2.ellipse(pixels, center, (int(rng.integers(4, 20)), int(rng.integers(4, 20))), 0, 0, 360, shade, -1)
        else:
            cv2.line(pixels, center, (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))), shade, 1)
    return cv2.GaussianBlur(pixels, (3, 3), 0)


def altered(pixels, kind):
    """The same picture as a data set may hold it a second time."""
    if kind == "smaller":
        return cv2.resize(pixels, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    if kind == "JPEG":
        return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
    if kind == "brighter":
        return np.clip(pixels * 1.1 + 15, 0, 255).astype(np.uint8)
    assert kind == "tinted"
    return (pixels * (0.85, 1.0, 0.95)).astype(np.uint8)


# === Near-duplicates ===


def test_near_duplicates_are_near_and_others_are_not():
    prints = np.stack([near_duplicates.fingerprint(lesion(seed)) for seed in range(60)])
    apart = near_duplicates.distances(prints, prints)[np.triu_indices(60, 1)]
    assert apart.min() > near_duplicates.BOUND + 10 and abs(apart.mean() - near_duplicates.BITS / 2) < 10
    for kind in ("smaller", "JPEG", "brighter", "tinted"):
        again = np.stack([near_duplicates.fingerprint(altered(lesion(seed), kind)) for seed in range(60)])
        assert np.diag(near_duplicates.distances(prints, again)).max() < near_duplicates.BOUND - 10, kind


def test_distances_count_the_bits_that_differ():
    rng = np.random.default_rng(0)
    prints, others = (np.where(rng.random((n, near_duplicates.BITS)) < 0.5, 1, -1).astype(np.float32) for n in (4, 7))
    counted = (prints[:, None] != others[None]).sum(-1)
    assert np.array_equal(near_duplicates.distances(prints, others), counted)


def test_groups_are_linked_by_chains():
    prints = np.ones((6, near_duplicates.BITS), np.float32)
    for number, bits in enumerate((0, 40, 80, 200, 220, 120)):  # 0 - 40 - 80 - 120 a chain, 200 - 220 a pair
        prints[number, :bits] = -1
    label = near_duplicates.groups(prints)
    assert label[0] == label[1] == label[2] == label[5] != label[3] == label[4]


# === Division ===


def test_folds_are_even_disjoint_and_keep_groups_together():
    rng = np.random.default_rng(1)
    areas, groups = rng.random(500), np.repeat(np.arange(250), 2)
    rng.shuffle(groups)
    fold = splits.folds(areas, groups, 5, seed=0)
    assert all(len(set(fold[groups == group])) == 1 for group in range(250))
    assert np.bincount(fold).tolist() == [100] * 5
    means = np.bincount(groups, areas) / 2
    per_fold = [np.sort(means[np.unique(groups[fold == k])]) for k in range(5)]
    assert all(np.abs(one - per_fold[0]).max() < 0.1 for one in per_fold)  # from small to large in each
    tests = [splits.splits(fold, 5, chosen)["test"] for chosen in range(1, 6)]
    assert np.array_equal(np.sort(np.concatenate(tests)), np.arange(500))  # each image is tested on once
    for chosen in range(1, 6):
        parts = splits.splits(fold, 5, chosen)
        assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(500))
    assert not np.array_equal(fold, splits.folds(areas, groups, 5, seed=1))


def own(root, count, kinds=()):
    """Own data without splits: `count` lesions, then one more copy of lesion 0, 1, … for each of `kinds`."""
    pictures = [lesion(seed) for seed in range(count)] + [altered(lesion(n), kind) for n, kind in enumerate(kinds)]
    for n, pixels in enumerate(pictures):
        save(root / "images" / f"{n:03}.png", pixels)
        save(root / "masks" / f"{n:03}.png", square(n % 12, pixels.shape[:2]))


def test_few_images(tmp_path):
    arguments = ["folder", "--folders", str(tmp_path / "raw"), "--root", str(tmp_path / "out"), "--size", "48x64"]
    own(tmp_path / "raw", 2, ["tinted"])
    with pytest.raises(ValueError, match="2 images that are not near-duplicates are too few for fold 1 of 10; add"):
        __main__.main(arguments)
    own(tmp_path / "raw", 5)
    __main__.main(arguments)
    assert arrays.read_meta(tmp_path / "out")["counts"] == {"train": 3, "val": 1, "test": 1}
    with pytest.raises(ValueError, match="5 images that are not near-duplicates are too few for fold 7 of 10"):
        __main__.main([*arguments, "--fold", "7"])


def test_images_held_out_for_validation(tmp_path):
    own(tmp_path / "raw", 40, ["smaller", "JPEG", "brighter", "tinted"] * 5)
    (tmp_path / "raw").rename(tmp_path / "train")
    (tmp_path / "raw").mkdir()
    (tmp_path / "train").rename(tmp_path / "raw" / "train")
    arguments = ["folder", "--folders", str(tmp_path / "raw"), "--root", str(tmp_path / "out"), "--size", "48x64"]
    __main__.main(arguments)
    split = arrays.open_split(tmp_path / "out", "train")
    held = splits.held_out(split, 0.2, seed=0)
    assert np.array_equal(held[:20], held[40:])  # near-duplicates on one side
    assert held[:40].sum() == 8  # of the 40 different ones a fifth
    assert np.array_equal(held, splits.held_out(split, 0.2, seed=0))
    assert not np.array_equal(held, splits.held_out(split, 0.2, seed=1))
    areas = split.areas.copy()
    areas[:20] = (areas[:20] + areas[40:]) / 2
    order = np.argsort(areas[:40], kind="stable")
    assert (held[order].reshape(8, 5).sum(axis=1) == 1).all()  # one of each five neighbors in area

    def some(numbers):
        ids = [split.ids[n] for n in numbers]
        return dataclasses.replace(
            split, images=split.images[numbers], ids=ids, areas=split.areas[numbers], prints=None
        )

    assert splits.held_out(some([0, 1, 2]), 0.1, seed=0).sum() == 1
    assert splits.held_out(some([0, 1, 2]), 0.9, seed=0).sum() == 2
    alike = some([0, 40])
    with pytest.raises(ValueError, match="2 training images, all alike, cannot be divided: prepare a val split"):
        splits.held_out(alike, 0.1, seed=0)


def test_splits_do_not_depend_on_the_size_of_the_arrays(tmp_path):
    own(tmp_path / "raw", 40, ["smaller", "JPEG", "brighter", "tinted"] * 5)
    for n in range(40):  # masks whose order by area differs from size to size
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.circle(mask, (WIDTH // 2, HEIGHT // 2), 5 + n % 7, 255, 1 + n // 7)
        save(tmp_path / "raw" / "masks" / f"{n:03}.png", mask)
        data = cv2.imencode(".jpg", lesion(n), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]  # decoded as small as is enough
        (tmp_path / "raw" / "images" / f"{n:03}.png").unlink()
        (tmp_path / "raw" / "images" / f"{n:03}.jpg").write_bytes(data)
    found = []
    for size in ("8x16", "24x32", "48x64", "96x128", "33x57"):
        root = tmp_path / size
        __main__.main(["folder", "--folders", str(tmp_path / "raw"), "--root", str(root), "--size", size])
        split = arrays.open_split(root, "train")
        mask = cv2.imread(str(tmp_path / "raw" / "masks" / f"{split.ids[0]}.png"), 0)
        assert split.areas[0] == pytest.approx((mask > 127).mean(), abs=1e-8)
        held = splits.held_out(split, 0.2, seed=0).tolist()
        found.append((ids(root), held, arrays.open_split(f"folds:2/3:{root}", "val").ids, split.prints.tolist()))
    assert all(one == found[0] for one in found)


def ids(root):
    return {split: arrays.open_split(root, split).ids for split in arrays.read_meta(root)["counts"]}


def test_near_duplicates_do_not_straddle_own_splits(tmp_path):
    kinds = ["smaller", "JPEG", "brighter", "tinted"] * 5
    own(tmp_path / "raw", 40, kinds)
    tested = []
    for fold in range(1, 6):
        arguments = ["folder", "--folders", str(tmp_path / "raw"), "--root", str(tmp_path / "out"), "--size", "48x64"]
        __main__.main([*arguments, "--folds", "5", "--fold", str(fold)])
        split_of = {id: split for split, members in ids(tmp_path / "out").items() for id in members}
        assert len(split_of) == 60
        for n in range(len(kinds)):
            assert split_of[f"{n:03}"] == split_of[f"{40 + n:03}"]
        tested += [id for id, split in split_of.items() if split == "test"]
        meta = arrays.read_meta(tmp_path / "out")
        assert meta["near_copies"] == [] and "kept together: 20 near-duplicates" in " ".join(meta["notes"])
    assert sorted(tested) == sorted(split_of)


@pytest.mark.parametrize(
    ("name", "comma", "quote"),
    [
        ("metadata.csv", ",", ""),
        ("metadata.tab", "\t", '"'),
        ("metadata.csv", ";", ""),
        ("metadata.csv", ",", "mark"),
        ("metadata.csv", "\t", "utf-16"),
    ],
)
def test_images_of_one_lesion_do_not_straddle_own_splits(tmp_path, name, comma, quote, capsys):
    raw, lines = tmp_path / "raw", [("lesion_id", "image_id", "dx")]
    encoding = {"mark": "utf-8-sig", "utf-16": "utf-16"}.get(quote, "utf-8")
    quote = quote if quote == '"' else ""
    for n in range(40):
        save(raw / "HAM10000_images_part_1" / f"ISIC_{n:07d}.jpg", lesion(n))
        (raw / "HAM10000_images_part_2").mkdir(exist_ok=True)
        mask = raw / "HAM10000_segmentations_lesion_tschandl" / f"ISIC_{n:07d}_segmentation.png"
        save(mask, square(n % 12, (HEIGHT, WIDTH)))
        lines.append((f"{quote}HAM_{n % 20:07d}{quote}", f"{quote}ISIC_{n:07d}{quote}", "nv"))
    arguments = ["ham10000", "--folders", str(raw), "--root", str(tmp_path / "out"), "--size", "48x64"]
    __main__.main(arguments)
    assert "images of one lesion may be in different splits: HAM10000_metadata.csv" in capsys.readouterr().out
    (raw / f"HAM10000_{name}").write_text("\n".join(map(comma.join, lines)) + "\n", encoding)
    for seed in ("0", "1", "2"):
        __main__.main([*arguments, "--seed", seed])
        assert "kept together: 20 near-duplicates and images of one lesion" in capsys.readouterr().out
        split_of = {id: split for split, members in ids(tmp_path / "out").items() for id in members}
        assert len(split_of) == 40
        assert all(split_of[f"ISIC_{n:07d}"] == split_of[f"ISIC_{n + 20:07d}"] for n in range(20))
    for content in (b"a,b\n1,2\n", "image_id,lesion_id,sex\n1,2,männlich\n".encode("latin-1")):
        (raw / f"HAM10000_{name}").write_bytes(content)
        with pytest.raises(ValueError, match=r"HAM10000_metadata.* is no table in UTF-8 with columns image_id and"):
            __main__.main(arguments)


def test_folds_are_only_for_data_without_splits(tmp_path, capsys):
    write_isic2018(tmp_path, {"train": 4, "test": 1})
    with pytest.raises(ValueError, match="has official splits: --folds is for data sets without"):
        __main__.main(["isic2018", "--root", str(tmp_path), "--folds", "5"])
    for wrong in (["--folds", "2"], ["--folds", "5", "--fold", "6"]):
        with pytest.raises(SystemExit):
            __main__.main(["ph2", *wrong])
        assert "expected a fold from 1 on, of at least 3" in capsys.readouterr().err


# === Given splits ===


def test_leaks_are_reported_and_dropped(tmp_path, capsys):
    write_isic2018(tmp_path, {"train": 6, "val": 2, "test": 2})
    for n, split in enumerate(["train"] * 6 + ["val"] * 2 + ["test"] * 2):
        path = image_path(tmp_path, f"ISIC_{n:07d}", split)
        save(path, cv2.resize(lesion(n), SIZE[::-1], interpolation=cv2.INTER_AREA))
    save(image_path(tmp_path, "ISIC_0000001"), altered(cv2.resize(lesion(8), SIZE[::-1]), "tinted"))  # of test
    save(image_path(tmp_path, "ISIC_0000004"), altered(cv2.resize(lesion(6), SIZE[::-1]), "JPEG"))  # of val
    save(image_path(tmp_path, "ISIC_0000007", "val"), altered(cv2.resize(lesion(9), SIZE[::-1]), "brighter"))  # of test
    arguments = ["isic2018", "--root", str(tmp_path), "--size", "48x64"]
    __main__.main(arguments)
    pairs = [
        ["val", "ISIC_0000007", "test", "ISIC_0000009"],
        ["train", "ISIC_0000001", "test", "ISIC_0000008"],
        ["train", "ISIC_0000004", "val", "ISIC_0000006"],
    ]
    assert arrays.read_meta(tmp_path)["near_copies"] == pairs
    assert len(ids(tmp_path)["train"]) == 6 and "kept (--drop_leaks" in capsys.readouterr().out
    __main__.main([*arguments, "--drop_leaks"])
    assert ids(tmp_path)["train"] == [f"ISIC_000000{n}" for n in (0, 2, 3, 5)]
    assert len(ids(tmp_path)["val"]) == 2 and arrays.read_meta(tmp_path)["near_copies"] == pairs
    split = arrays.open_split(tmp_path, "train")
    for row, id in enumerate(split.ids):  # what follows a dropped pair has not slipped
        assert np.array_equal(split.masks[row, ..., 0], square(int(id[-1])) // 255)
    assert list(arrays.read_meta(tmp_path)["counts"]) == ["train", "val", "test"]
    printed = capsys.readouterr().out
    assert "3 near-duplicates across splits: val ISIC_0000007 of test ISIC_0000009" in printed and "left out" in printed


# === Several sets together ===


def test_sets_are_combined_and_shared_images_told(tmp_path, capsys):
    raw = tmp_path / "raw"
    isic2017(raw)  # ISIC_0000000 … 0000011 train, then each split from 0 again
    for split, part in (("Validation", 100), ("Test_v2", 200)):
        for folder in (f"ISIC-2017_{split}_Data", f"ISIC-2017_{split}_Part1_GroundTruth"):
            for path in sorted((raw / folder).glob("ISIC_*"), reverse=True):
                path.rename(path.with_name(f"ISIC_{int(path.name[5:12]) + part:07d}{path.name[12:]}"))
    for n in range(8, 15):  # of 2018: 8 … 11 are in training of 2017 too, 200 is in its test
        save(image_path(raw, f"ISIC_{n:07d}"), picture(n))
        save(mask_path(raw, f"ISIC_{n:07d}"), square(n))
    save(image_path(raw, "ISIC_0000200"), picture(0))
    save(mask_path(raw, "ISIC_0000200"), square(0))
    zip_folders(raw, raw)  # both of ISIC are found as archives, PH2 as folders
    for folder in [path for path in raw.iterdir() if path.is_dir()]:
        shutil.rmtree(folder)
    ph2(raw)
    root = tmp_path / "out"
    arguments = ["--combine", "isic2017,isic2018,ph2", "--folders", str(raw), "--root", str(root), "--size", "24x32"]
    __main__.main(arguments)
    printed = capsys.readouterr().out
    assert "4 images are in train of isic2017 and in train of isic2018, kept once" in printed
    assert "1 images are in test of isic2017 and in train of isic2018\n" in printed
    found = ids(root)
    assert len(found["train"]) == 12 + 4 + 16 and len(set(found["train"])) == len(found["train"])
    assert {"ISIC_0000200"} == set(found["train"]) & set(found["test"])
    meta = arrays.read_meta(root)
    assert meta["dataset"] == "isic2017+isic2018+ph2" and "CC0" in meta["licence"] and "education" in meta["licence"]
    assert ["train", "ISIC_0000200", "test", "ISIC_0000200"] in meta["near_copies"]
    for split, members in found.items():
        data, masks = arrays.open_split(root, split), source_masks(root, split)
        for row in range(len(members)):
            assert np.array_equal(data.masks[row], masks(row)[::2, ::2])
    __main__.main([*arguments, "--drop_leaks"])
    assert "ISIC_0000200" not in ids(root)["train"]


def test_sets_that_do_not_go_together(tmp_path, capsys):
    with pytest.raises(ValueError, match=r"same classes go together; ph2 has lesion and kvasir_seg has polyp"):
        __main__.main(["--combine", "ph2,kvasir_seg", "--folders", str(tmp_path)])
    for wrong, message in ((["--combine", "ph2,nothing"], "no data set nothing; there are"),
                           (["ph2", "--combine", "busi,ph2"], "either ph2 or --combine"),
                           (["--combine", "ph2,ph2"], "expected different names")):  # fmt: skip
        with pytest.raises(SystemExit):
            __main__.main(wrong)
        assert message in capsys.readouterr().err
    ph2(tmp_path)
    for kind in ("images", "masks"):
        for n, name in enumerate(("IMD003", "a", "b", "c")):
            save(tmp_path / kind / f"{name}.png", square(n) if kind == "masks" else picture(n))
    with pytest.raises(ValueError, match="ph2 and folder both have an image IMD003: rename one of them"):
        __main__.main(["--combine", "ph2,folder", "--folders", str(tmp_path), "--root", str(tmp_path / "out")])


# === Splits by a table ===


def table(path, *rows):
    path.write_text("\n".join(["id,split", *rows]) + "\n")
    return ["--splits", str(path)]


def test_a_table_divides_any_data_set_and_leaves_the_others_out(tmp_path, capsys):
    isic2017(tmp_path / "raw")  # its test images have the ids of its first training images
    rows = ["ISIC_0000011,test", "ISIC_0000009,train", "ISIC_0000010,val", "ISIC_0000008,train"]
    chosen = table(tmp_path / "splits.csv", *rows)
    out = str(tmp_path / "out")
    __main__.main(["isic2017", "--folders", str(tmp_path / "raw"), "--root", out, "--size", "24x32", *chosen])
    assert f"splits of {chosen[1]}; 8 images are in none of them" in capsys.readouterr().out
    ids = {split: arrays.open_split(out, split).ids for split in ("train", "val", "test")}
    assert ids == {"train": ["ISIC_0000009", "ISIC_0000008"], "val": ["ISIC_0000010"], "test": ["ISIC_0000011"]}
    assert np.array_equal(source_masks(out, "test")(0)[..., 0], square(11) // 255)  # from the training folder


def test_a_table_that_does_not_fit_is_refused(tmp_path):
    isic2017(tmp_path / "raw")
    given = ["isic2017", "--folders", str(tmp_path / "raw"), "--root", str(tmp_path / "out")]
    for rows, message in (
        (["ISIC_9999999,val", "ISIC_0000001,train"], "names 1 of 2 images that .* does not have, ISIC_9999999 first"),
        (["ISIC_0000001,train", "ISIC_0000001,val"], "splits.csv: ISIC_0000001 is there twice"),
        (["ISIC_0000001,validation"], "no split 'validation'; expected a CSV file .* one of train, val, test"),
    ):
        with pytest.raises(UserError, match=message):
            __main__.main([*given, *table(tmp_path / "splits.csv", *rows)])
    (tmp_path / "splits.csv").write_text("name,part\na,b\n")
    with pytest.raises(UserError, match=r"splits\.csv cannot be read .*'id'.*; expected a CSV file"):
        __main__.main([*given, "--splits", str(tmp_path / "splits.csv")])
    with pytest.raises(SystemExit):
        __main__.main([*given, "--splits", "splits.csv", "--folds", "5"])
    assert not (tmp_path / "out" / "meta.json").exists()


def test_arrays_of_another_size_are_named_before_they_are_replaced(tmp_path, capsys):
    isic2017(tmp_path / "raw")
    given = ["isic2017", "--folders", str(tmp_path / "raw"), "--root", str(tmp_path / "out"), "--size"]
    __main__.main([*given, "24x32"])
    assert "replaced" not in capsys.readouterr().out
    __main__.main([*given, "16x16"])
    assert f"{tmp_path}/out holds isic2017 at 24x32, which will be replaced" in capsys.readouterr().out
