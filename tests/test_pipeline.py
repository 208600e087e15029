import numpy as np
import pytest

import pipeline
from config import Settings
from datasets.arrays import Writer, open_split
from datasets.split import subset


def batches(data):
    return [[x.numpy() for x in pair] for pair in data]


def numbers(split, images):
    """The image numbers of a batch that was only divided by 255."""
    flat = {image.tobytes(): i for i, image in enumerate(split.images)}
    return [flat[np.rint(image * 255).astype("uint8").tobytes()] for image in images]


def test_every_epoch_is_another_order_of_all_images(discs):
    split = open_split(discs, "train")
    settings = Settings(batch_size=8, epochs=3, normalize="unit")
    seen = batches(pipeline.training(split, settings))
    assert [len(x) for x, _ in seen] == [8, 8, 4] * 3
    orders = [numbers(split, np.concatenate([x for x, _ in seen[e * 3 : e * 3 + 3]])) for e in range(3)]
    for order in orders:
        assert sorted(order) == list(range(20))
    assert orders[0] != orders[1] != orders[2] != orders[0]
    masks = np.concatenate([y for _, y in seen[:3]])
    assert np.array_equal(masks, split.masks[orders[0]])


def test_a_run_goes_on_from_any_step(discs):
    split = open_split(discs, "train")
    settings = Settings(batch_size=8, epochs=2, normalize="gamma", flip=True, rotation=90.0, hue=10.0, seed=3)
    whole = batches(pipeline.training(split, settings))
    rest = batches(pipeline.training(split, settings, first_step=4))
    assert len(whole) == 6 and len(rest) == 2
    for a, b in zip(whole[4:], rest, strict=True):
        assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    other = batches(pipeline.training(split, Settings(batch_size=8, epochs=1, normalize="gamma", seed=4)))
    assert not np.array_equal(other[0][0], whole[0][0])


def test_parts_of_a_split_are_read_like_a_split(discs):
    split = open_split(discs, "train")
    settings = Settings(batch_size=16, epochs=1, normalize="unit")
    for part in (subset(split, np.array([0, 3, 4])), subset(split, np.array([7]))):
        seen = np.concatenate([x for x, _ in batches(pipeline.training(part, settings))])
        assert sorted(split.ids[i] for i in numbers(split, seen)) == part.ids
        masks = np.concatenate([y for _, y in batches(pipeline.evaluation(part, settings))])
        assert np.array_equal(masks, split.masks[[split.ids.index(i) for i in part.ids]])


def test_the_names_of_a_batch_are_known(discs):
    split, settings = open_split(discs, "train"), Settings(batch_size=8, epochs=2, normalize="unit", seed=5)
    for step, (images, _) in enumerate(batches(pipeline.training(split, settings))):
        assert pipeline.batch_ids(split, settings, step) == [split.ids[i] for i in numbers(split, images)]


def test_evaluation_is_in_order_and_whole(discs):
    split = open_split(discs, "test")
    seen = batches(pipeline.evaluation(split, Settings(normalize="unit", flip=True), batch_size=2))
    assert [len(x) for x, _ in seen] == [2, 2, 1]
    assert numbers(split, np.concatenate([x for x, _ in seen])) == [0, 1, 2, 3, 4]
    assert np.array_equal(np.concatenate([y for _, y in seen]), split.masks)
    assert seen[0][0].dtype == seen[0][1].dtype == np.float32


def test_a_split_without_masks_cannot_train(discs):
    split = open_split(discs, "train")
    bare = type(split)(split.images, None, split.ids, split.sizes, split.classes)
    with pytest.raises(ValueError, match="no masks"):
        pipeline.training(bare, Settings(normalize="unit"))
    images = list(pipeline.evaluation(bare, Settings(normalize="unit", batch_size=16)))
    assert [x.shape[0] for x in images] == [16, 4]


def test_one_annotator_drawn_at_each_step(tmp_path):
    with Writer(tmp_path, {"dataset": "lines", "task": 1}, (4, 8), ["lesion"]) as writer:
        for n in range(6):
            votes = np.zeros((4, 8, 1), np.uint8)
            for k in range(n % 3 + 1):  # annotator k has column k
                votes[:, k] = 1 << k
            mask = (votes & 1).astype(np.uint8)
            image = np.full((4, 8, 3), n, np.uint8)
            writer.add("train", f"{n}", image, mask, (4, 8), votes=votes, annotators=["a", "b", "c"][: n % 3 + 1])
    split = open_split(tmp_path, "train")
    settings = Settings(batch_size=4, epochs=40, normalize="unit", annotator="drawn", seed=1)
    whole = batches(pipeline.training(split, settings))
    drawn = {n: [] for n in range(6)}  # image -> annotators
    for images, masks in whole:
        for n, mask in zip(numbers(split, images), masks, strict=True):
            (columns,) = np.nonzero(mask[..., 0].all(axis=0))
            assert mask.sum() == 4 and len(columns) == 1
            drawn[n].append(columns[0])
    for n, found in drawn.items():
        counts = np.bincount(found, minlength=3)
        assert counts.sum() == 40 and (counts[: n % 3 + 1] >= 5).all() and not counts[n % 3 + 1 :].any()
    rest = batches(pipeline.training(split, settings, first_step=70))
    for a, b in zip(whole[70:], rest, strict=True):  # a function of seed and step alone
        assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    other = batches(pipeline.training(split, Settings(batch_size=4, epochs=40, normalize="unit", seed=1)))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(whole, other, strict=True))  # the order is the same
    assert all(masks[:, :, 0].all() and masks.sum() == 4 * len(masks) for _, masks in other)  # the consensus


def test_no_annotators_to_draw_of(discs):
    with pytest.raises(ValueError, match="annotator drawn: the training images have no masks of several annotators"):
        pipeline.training(open_split(discs, "train"), Settings(annotator="drawn"))
