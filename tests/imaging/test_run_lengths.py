"""Run lengths: to the byte as pycocotools and Label Studio's SDK write them, and damage that is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as reference

from imaging import run_lengths
from utils.errors import UserError

LABELING = Path(__file__).parents[1] / "labeling"


def some_masks():
    rng = np.random.default_rng(0)
    empty = np.zeros((7, 5), np.uint8)
    corner = empty.copy()
    corner[0, 0] = 1
    stripe = np.zeros((300, 400), np.uint8)
    stripe[:, 150:] = 1
    return [empty, empty + 1, corner, stripe, (rng.random((31, 45)) > 0.5).astype(np.uint8)]


@pytest.mark.parametrize("mask", some_masks())
def test_coco_as_pycocotools(mask):
    lengths = run_lengths.counts(mask.T.ravel())
    text = run_lengths.coco_text(lengths)
    assert text == reference.encode(np.asfortranarray(mask))["counts"].decode()
    assert run_lengths.coco_counts(text) == lengths
    assert np.array_equal(run_lengths.from_counts(lengths, mask.size).reshape(mask.T.shape).T, mask)


@pytest.mark.parametrize("name", ["ring", "noise", "soft"])
def test_brushes_as_label_studios_sdk(name):
    tasks = json.loads((LABELING / "label_studio.json").read_text())
    packed = next(t["annotations"][0]["result"][0]["value"]["rle"] for t in tasks if name in t["data"]["image"])
    alpha = np.load(LABELING / "label_studio.npz")[name]
    assert np.array_equal(run_lengths.from_brush(packed, 48, 64), alpha > 127)
    if name != "soft":  # the SDK ends in one zero byte more where the bits fill all bytes
        ours = run_lengths.brush_bytes((alpha > 127).astype(np.uint8))
        assert ours == packed[: len(ours)] and packed[len(ours) :] in ([], [0])


def test_long_runs_are_split():
    mask = np.zeros((200, 500), np.uint8)
    mask[100:] = 1
    assert np.array_equal(run_lengths.from_brush(run_lengths.brush_bytes(mask), 200, 500), mask)
    ones = run_lengths.brush_bytes(np.ones((2, 3), np.uint8))
    assert np.array_equal(run_lengths.from_brush(ones, 2, 3), np.ones((2, 3)))


def test_damage_is_refused_before_memory_is_taken():
    for lengths in ([1, 2], [-1, 7], [1.0, 5], [10**30, 6], ["6"], [True, 5]):
        with pytest.raises(UserError, match="do not add up to the 6 pixels"):
            run_lengths.from_counts(lengths, 6)
    for text in ("o", "\n", "ooooooooooo1", "é"):
        with pytest.raises(UserError, match="damaged run lengths"):
            run_lengths.coco_counts(text)
    packed = run_lengths.brush_bytes(np.eye(8, dtype=np.uint8))
    with pytest.raises(UserError, match="another size than 9x8"):
        run_lengths.from_brush(packed, 9, 8)
    for bad in (packed[:-3], [*packed[:5], 255, *packed[5:]], [300, *packed[1:]], [*packed[:7], *[255] * 20]):
        with pytest.raises(UserError, match="brush"):
            run_lengths.from_brush(bad, 8, 8)
    for size in ((0, 5), (True, 5), (5, None), ("5", 5), (10**6, 10**6)):
        with pytest.raises(UserError, match="a size of"):
            run_lengths.checked_size(*size)
