"""uint8 latents: how far a value may move, and what becomes of those that no scale reaches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgerl.replay.latents import FLOAT16_MAX, Latents, Stem
from edgerl.replay.quantization import HEADROOM, MIN_RANGE, Scales
from edgerl.replay.representation import Pixels

VALUES = st.floats(-(2**20), 2**20, width=32, allow_subnormal=False)
BLOCKS = arrays.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 6)), elements=VALUES)


def fitted(latents):
    scales = Scales(latents.shape[1:])
    scales.fit(latents)
    return scales


def through(scales, latents):
    codes = scales.encode(latents)
    assert codes.dtype == np.uint8
    assert codes.shape == latents.shape
    found = scales.decode(codes)
    assert found.dtype == np.float32
    return found


def rounding(scales):
    """What float32 itself loses of values on these scales."""
    low, step = scales.table.astype(np.float64)
    return 4 * np.finfo(np.float32).eps * np.maximum(np.abs(low), np.abs(low + 255 * step))


@given(BLOCKS, st.integers(0, 2**32 - 1))
def test_within_the_scale_a_value_moves_by_half_a_step_at_most(latents, seed):
    scales = fitted(latents)
    low, step = scales.table.astype(np.float64)
    share = np.random.default_rng(seed).random((50, *latents.shape[1:]))
    for values in (latents, (low + share * 255 * step).astype(np.float32)):
        assert (np.abs(through(scales, values) - values.astype(np.float64)) <= step / 2 + rounding(scales)).all()


@given(BLOCKS)
def test_every_scale_has_a_step_and_reaches_beyond_what_it_was_laid_over(latents):
    scales = fitted(latents)
    low, step = scales.table.astype(np.float64)
    assert np.isfinite(scales.table).all()
    assert (step > 0).all()
    most, least = latents.max(axis=0), latents.min(axis=0)
    span = (most - least).astype(np.float64)
    slack = rounding(scales)
    assert (low + 255 * step >= most + HEADROOM * np.maximum(span, MIN_RANGE * span.mean()) - slack).all()
    negative = least < 0
    assert (low[~negative] == 0).all()
    assert (low <= least - np.where(negative, HEADROOM * span, 0) + slack).all()


@given(BLOCKS, arrays.arrays(np.float32, (4,), elements=VALUES))
def test_a_value_outside_becomes_the_nearest_end(latents, others):
    scales = fitted(latents)
    low = scales.table[0]
    high = scales.decode(np.full(low.shape, 255, np.uint8))
    for value in others:
        found = through(scales, np.full(low.shape, value))
        assert (found[value <= low] == low[value <= low]).all()
        assert (found[value >= high] == high[value >= high]).all()


def test_infinities_become_the_ends():
    scales = fitted(np.array([[0, -1], [4, 1]], np.float32))
    high = scales.decode(np.full(2, 255, np.uint8))
    assert through(scales, np.full((1, 2), np.inf, np.float32)).tolist() == [high.tolist()]
    assert through(scales, np.full((1, 2), -np.inf, np.float32)).tolist() == [scales.table[0].tolist()]


@given(BLOCKS)
def test_zeros_of_a_channel_that_is_never_negative_stay_zeros(latents):
    latents = np.maximum(latents, 0)
    latents[0] = 0
    scales = fitted(latents)
    assert (through(scales, np.zeros_like(latents)) == 0).all()
    assert (through(scales, -latents) == 0).all()  # below the scale is its low end
    assert (through(scales, latents)[latents == 0] == 0).all()


def test_a_dead_channel_still_tells_small_from_large():
    """All others span 0 to 10; this one may wake up: a tenth of the mean span and the headroom are its scale."""
    latents = np.zeros((20, 5), np.float32)
    latents[:, 1:] = np.linspace(0, 10, 20, dtype=np.float32)[:, None]
    scales = fitted(latents)
    step = scales.table[1]
    assert 255 * step[0] == pytest.approx(0.8 * 1.25, rel=1e-5)
    assert 255 * step[1] == pytest.approx(12.5, rel=1e-5)
    woken = np.array([[0.5, 3, 3, 3, 3]], np.float32)
    assert through(scales, woken) == pytest.approx(woken, abs=0.03)


@pytest.mark.parametrize("value", [0.0, 3.0, 1000.0, -1000.0, -3.0, -1e20, 1e20])
def test_channels_that_never_moved_stay_where_they_are(value):
    """A stem on a hundred frames that are all alike."""
    latents = np.full((10, 3), value, np.float32)
    scales = fitted(latents)
    assert (scales.table[1] > 0).all()
    assert through(scales, latents) == pytest.approx(latents, rel=0.003)
    assert np.isfinite(through(scales, latents + 1)).all()


def test_a_constant_channel_beside_one_that_moves_stays_where_it_is():
    latents = np.array([[-1000, 0], [-1000, 1e-3]], np.float32)
    assert through(fitted(latents), latents) == pytest.approx(latents, rel=0.003, abs=1e-5)


def test_the_table_moves_into_the_arena_and_stays_there():
    latents = np.random.default_rng(0).normal(size=(50, 2, 7)).astype(np.float32)
    scales, arena = fitted(latents), np.zeros(1000, np.uint8)
    before, found = scales.table.copy(), through(scales, latents)
    place = arena[80 : 80 + scales.table.nbytes]
    scales.move(place)
    assert np.shares_memory(scales.table, place)
    assert np.array_equal(scales.table, before)
    assert place.tobytes() == before.tobytes()
    assert not arena[:80].any()
    assert not arena[80 + before.nbytes :].any()
    assert np.array_equal(through(scales, latents), found)
    place[:] = np.float32([[[2.0] * 7] * 2, [[0.5] * 7] * 2]).view(np.uint8).reshape(-1)  # a checkpoint is read there
    assert (scales.decode(np.full((1, 2, 7), 3, np.uint8)) == 3.5).all()


def stored(codec, latents):
    """What a row of this codec gives back of latents [n, 8]."""
    pixels = Pixels((8, 8), 1)
    found = Latents(Stem(lambda windows: latents[: len(windows)], (8,), pixels, rng=np.random.default_rng(0)), codec)
    if found.scales:
        found.fit([np.zeros((len(latents), 1, 8, 8), np.uint8)])
    kept = found.convert(np.zeros((len(latents), 1, 8, 8), np.uint8))
    assert kept.dtype == np.dtype(codec)
    read = found.read(kept, np.arange(len(latents))[:, None], np.ones((len(latents), 1), bool))
    assert read.dtype == np.float32
    return read


def test_float32_latents_are_read_as_they_were():
    latents = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    assert np.array_equal(stored("float32", latents), latents)


def test_float16_latents_lose_a_2048th_and_are_held_to_what_it_has():
    latents = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    assert stored("float16", latents) == pytest.approx(latents, rel=2**-11, abs=1e-7)
    large = np.full((1, 8), 1e6, np.float32)
    assert (stored("float16", large) == FLOAT16_MAX).all()
    assert (stored("float16", -large) == -FLOAT16_MAX).all()


def test_uint8_latents_lose_half_a_step_of_their_range_and_headroom():
    latents = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    span = latents.max(axis=0) - latents.min(axis=0)
    found = np.abs(stored("uint8", latents) - latents)
    assert (found <= (1 + 2 * HEADROOM) * span / 510 + 1e-6).all()
    assert found.max() > 0
