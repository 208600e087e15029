import numpy as np
import pytest
from discs import write_discs

import pipeline
from config import Settings
from datasets.arrays import open_split


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


def test_a_training_set_without_validation_images_is_divided(discs):
    split = open_split(discs, "train")
    rest, few = pipeline.divided(split, 0.2, seed=3)
    assert len(few.ids) == 4 and sorted(rest.ids + few.ids) == split.ids
    assert pipeline.divided(split, 0.2, seed=3)[1].ids == few.ids != pipeline.divided(split, 0.2, seed=4)[1].ids
    settings = Settings(batch_size=16, epochs=1, normalize="unit")
    for part in (rest, few):
        seen = np.concatenate([x for x, _ in batches(pipeline.training(part, settings))])
        assert sorted(split.ids[i] for i in numbers(split, seen)) == part.ids
        masks = np.concatenate([y for _, y in batches(pipeline.evaluation(part, settings))])
        assert np.array_equal(masks, split.masks[[split.ids.index(i) for i in part.ids]])
    with pytest.raises(ValueError, match="1 training images, all alike, cannot be divided"):
        pipeline.divided(pipeline.subset(split, np.array([2])), 0.5, 0)


def test_the_names_of_a_batch_are_known(discs):
    split, settings = open_split(discs, "train"), Settings(batch_size=8, epochs=2, normalize="unit", seed=5)
    for step, (images, _) in enumerate(batches(pipeline.training(split, settings))):
        assert pipeline.batch_ids(split, settings, step) == [split.ids[i] for i in numbers(split, images)]


def test_a_mosaic_is_four_images_of_half_the_size(discs):
    split = open_split(discs, "train")
    settings = Settings(normalize="unit", batch_size=8, epochs=3, mosaic=0.5, seed=3)  # 2 of 3 epochs
    found = batches(pipeline.training(split, settings))
    assert [len(images) for images, _ in found] == [8, 8, 4] * 3
    assert pipeline.mosaic_steps(split, settings) == 6
    images, masks = found[2]  # the last of an epoch, as small as it comes
    names = pipeline.batch_ids(split, settings, 2)
    assert len(names) == 16 and len(pipeline.batch_ids(split, settings, 6)) == 8
    for k, name in enumerate(names):  # 4 images of the first tile, then those of the second, ...
        tile, image = divmod(k, 4)
        rows, columns = slice(tile // 2 * 16, tile // 2 * 16 + 16), slice(tile % 2 * 24, tile % 2 * 24 + 24)
        n = split.ids.index(name)
        mean = split.images[n].reshape(16, 2, 24, 2, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(images[image, rows, columns] * 255, mean, atol=0.51)
        share = split.masks[n].reshape(16, 2, 24, 2, 1).mean(axis=(1, 3))
        np.testing.assert_array_equal(masks[image, rows, columns], share > 0.5)
    every = [name for step in range(3) for name in pipeline.batch_ids(split, settings, step)]
    assert sorted(every) == sorted(split.ids * 4)  # an epoch sees each image four times
    later = batches(pipeline.training(split, settings, first_step=5))
    for (images, masks), (again, masks_again) in zip(found[5:], later, strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(masks, masks_again)


def test_a_mosaic_wants_an_even_size(tmp_path):
    split = open_split(write_discs(tmp_path, size=(32, 33)), "train")
    with pytest.raises(ValueError, match=r"mosaic halves images, those here are \(32, 33\): prepare an even --size"):
        pipeline.training(split, Settings(normalize="unit", mosaic=0.5))


def test_evaluation_is_in_order_and_whole(discs):
    split = open_split(discs, "test")
    seen = batches(pipeline.evaluation(split, Settings(normalize="unit", flip=True), batch_size=2))
    assert [len(x) for x, _ in seen] == [2, 2, 1]
    assert numbers(split, np.concatenate([x for x, _ in seen])) == [0, 1, 2, 3, 4]
    assert np.array_equal(np.concatenate([y for _, y in seen]), split.masks)
    assert seen[0][0].dtype == seen[0][1].dtype == np.float32


def test_normalize_by_hand():
    images = np.array([0, 51, 102, 255], "uint8").reshape(1, 2, 2, 1).repeat(3, -1)
    unit = np.array([0, 0.2, 0.4, 1]).reshape(1, 2, 2, 1).repeat(3, -1)
    np.testing.assert_allclose(pipeline.normalize(images, "unit"), unit, atol=1e-6)
    np.testing.assert_allclose(pipeline.normalize(images, "gamma"), unit**1.6, atol=1e-6)
    np.testing.assert_allclose(pipeline.normalize(images, "minmax"), 2 * unit - 1, atol=1e-6)
    expected = (unit - [0.61788, 0.49051, 0.43048]) / [0.19839, 0.16931, 0.16544]
    np.testing.assert_allclose(pipeline.normalize(images, "standardize"), expected, rtol=1e-5)
    square = np.zeros((1, 16, 16, 3), "uint8")
    square[0, 4:12, 4:12] = 200
    edges = pipeline.normalize(square, "minmax_edges").numpy()[0]
    np.testing.assert_allclose(edges[..., :3], pipeline.normalize(square, "minmax")[0])
    assert set(np.unique(edges[..., 3])) == {0, 1}
    assert edges[7, 7, 3] == edges[0, 0, 3] == 0 and edges[:, 7, 3].sum() == 2  # one line above, one below
    flat = np.full((1, 2, 2, 3), 9, "uint8")
    np.testing.assert_allclose(pipeline.normalize(flat, "minmax"), -np.ones((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="expected unit, gamma, minmax, minmax_edges or standardize"):
        pipeline.normalize(flat, "none")


def test_a_split_without_masks_cannot_train(discs):
    split = open_split(discs, "train")
    bare = type(split)(split.images, None, split.ids, split.sizes, split.classes)
    with pytest.raises(ValueError, match="no masks"):
        pipeline.training(bare, Settings(normalize="unit"))
    images = list(pipeline.evaluation(bare, Settings(normalize="unit", batch_size=16)))
    assert [x.shape[0] for x in images] == [16, 4]
