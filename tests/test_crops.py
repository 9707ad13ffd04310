"""Crops against plain slices: where they may lie, and how often they lie where."""

import numpy as np
from scipy import stats

from edgerl.replay import crops


def test_a_crop_is_the_slice_at_every_one_of_the_17x17_offsets():
    offsets = np.mgrid[:17, :17].reshape(2, -1).T
    places = np.arange(20_000, dtype=np.int32).reshape(2, 100, 100)
    windows = 20_000 * np.arange(289, dtype=np.int32)[:, None, None, None] + places
    found = crops.crop(windows, offsets, 84)
    assert found.shape == (289, 2, 84, 84)
    for n, (top, left) in enumerate(offsets):
        assert np.array_equal(found[n], windows[n, :, top : top + 84, left : left + 84])
    assert np.array_equal(found[-1, 1, -1, -1], windows[-1, 1, 99, 99])
    before = found.copy()
    windows[:] = -1
    assert np.array_equal(found, before)  # a copy


def test_drawn_offsets_are_uniform_over_all_places_the_last_in_both_directions_too():
    windows = np.broadcast_to(np.uint8(0), (30_000, 9, 100, 100))
    offsets = crops.draw(windows, 84, np.random.default_rng(0))
    assert offsets.shape == (30_000, 2)
    assert offsets.min(axis=0).tolist() == [0, 0]
    assert offsets.max(axis=0).tolist() == [16, 16]
    counts = np.bincount(offsets @ [17, 1], minlength=289)
    assert len(counts) == 289
    assert stats.chisquare(counts).pvalue > 0.01


def test_offsets_fit_windows_that_are_not_square():
    windows = np.broadcast_to(np.uint8(0), (500, 1, 12, 9))
    offsets = crops.draw(windows, 8, np.random.default_rng(0))
    assert offsets.min(axis=0).tolist() == [0, 0]
    assert offsets.max(axis=0).tolist() == [4, 1]


def test_the_centre_of_100_is_at_offset_8_and_without_a_side_it_is_everything():
    windows = np.random.default_rng(0).integers(0, 256, (2, 3, 100, 100), dtype=np.uint8)
    assert np.array_equal(crops.centre(windows, 84), windows[..., 8:92, 8:92])
    assert np.array_equal(crops.centre(windows, 84), crops.crop(windows, np.full((2, 2), 8), 84))
    assert crops.centre(windows, 0) is windows
