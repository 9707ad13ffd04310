"""The replay of continuous control against a plain list: vectors, refilled windows, random crops' latents, no priority.

A frame holds its number and where each of its pixels lies, so that a crop tells the frame and the offset it is of.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgerl.replay.buffer import LAST, Replay, row_dtype
from edgerl.replay.latents import Encoded, Latents, Stem
from edgerl.replay.representation import Pixels, pixel_field

FRAME, SIDE, HISTORY, K, L, GAMMA = (3, 12, 12), 8, 3, 4, 5, 0.9
ACTION = np.dtype((np.float32, (2,)))
PLACES = FRAME[-1] - SIDE + 1  # where a crop can begin, from above and from the left
LZ4_LEAST, LZ4_ROW = 16_700, 90  # bytes: of the smallest ring of such frames, and of a row
CODECS = ("raw", "lz4")
DTYPES = ("float32", "float16", "uint8")


@dataclass
class Step:
    """One stored row: its frame's number, and whether its episode starts, terminates or was cut off here."""

    number: int
    action: tuple[float, float]
    first: bool
    terminated: bool
    last: bool


def picture(number):
    """A frame of three channels: its number (modulo 256), and every pixel's row and column."""
    return np.stack([np.full(FRAME[1:], number % 256), *np.indices(FRAME[1:])]).astype(np.uint8)


def encode(windows):
    """A stem of two encoders that forgets nothing: which one, the three frames' numbers, and the crop's place."""
    assert windows.shape[1:] == (3 * HISTORY, SIDE, SIDE)
    corners = windows.reshape(-1, HISTORY, 3, SIDE, SIDE)[:, :, :, 0, 0].astype(np.float32)
    assert (corners[:, :, 1:] == corners[:, :1, 1:]).all()  # one crop for all frames of a window
    place = PLACES * corners[:, 0, 1] + corners[:, 0, 2]
    own = [np.column_stack([np.full(len(windows), twin), corners[:, :, 0], place]) for twin in (0, 1)]
    return np.stack(own, 1).astype(np.float32)


def build(capacity, seed=0, codec="raw"):
    """A replay of so many rows of pixels, without a byte for priorities; with lz4 the least, and about so many more."""
    budget = capacity * row_dtype(pixel_field(FRAME), ACTION).itemsize
    budget = budget if codec == "raw" else LZ4_LEAST + LZ4_ROW * capacity
    pixels = Pixels(FRAME, HISTORY, refill=True, crop=SIDE, augment=K, codec=codec)
    rng = np.random.default_rng(seed)
    replay = Replay(budget, pixels, ACTION, n_step=1, gamma=GAMMA, rng=rng, sampling="uniform")
    assert replay.capacity == capacity or codec == "lz4"
    return replay


def latents(replay, seed=0, dtype="float32"):
    """The representation of crops' latents; a scale's steps are 1, so uint8 is exact."""
    return Latents(Stem(encode, (2, L), replay.representation, views=K, rng=np.random.default_rng(seed)), dtype)


def play(replay, episodes, steps):
    """Append episodes of (length, truncated) to the replay, and to the list as Steps."""
    window = []
    for length, truncated in episodes:
        for position in range(length + truncated):
            number, end = len(steps) + 1, position == length - 1
            frame = picture(number)
            window = [frame] * HISTORY if position == 0 else [*window[1:], frame]
            stored = replay.representation.observe(np.stack(window))[1]
            if position == length:
                replay.truncate(stored)
                steps.append(Step(number, (0.0, 0.0), False, False, last=True))
                continue
            step = Step(number, (number / 256, -number / 128), position == 0, end and not truncated, last=False)
            replay.append(stored, np.array(step.action, np.float32), float(number), terminated=step.terminated)
            steps.append(step)
    return steps


def seen(steps, index):
    """The numbers of the frames in the window of steps[index]; an episode's first frame stands for those before it."""
    found = [steps[index].number % 256]
    while len(found) < HISTORY:
        index -= not steps[index].first
        found.insert(0, steps[index].number % 256)
    return found


def numbers(windows):
    """The frames' numbers in windows of pixels [B, 9, 12, 12]; nothing of them is cropped yet."""
    assert windows.shape[1:] == (3 * HISTORY, *FRAME[1:])
    assert (windows[:, 1::3] == np.arange(FRAME[1])[:, None]).all()
    return windows[:, ::3, 0, 0].astype(int)


def encoded(batch):
    """The same of latents [B, 2, L], the actor's first."""
    assert (batch[:, :, 0] == (0, 1)).all()
    assert (batch[:, 0, 1:] == batch[:, 1, 1:]).all()
    return batch[:, 0, 1:-1].astype(int)


def check(replay, steps, lost, read):
    """Every transition that the replay offers is as the list has it; it offers all but those that lack a neighbour."""
    low, high = replay.startable
    shift = len(steps) - replay.ring.head  # from row numbers to list indices
    kept = range(len(steps) - len(replay) + lost, len(steps) - 1)
    assert list(range(low + shift, high + shift)) == list(kept)
    offered = [index for index in kept if not steps[index].last]
    if not offered:
        return
    batch = replay.batch(np.array(offered) - shift, np.ones(len(offered), np.float32))
    assert batch.action.dtype == np.float32
    assert batch.action.tolist() == [list(steps[index].action) for index in offered]
    assert batch.reward.tolist() == [steps[index].number for index in offered]
    assert read(batch.obs).tolist() == [seen(steps, index) for index in offered]
    for row, index in enumerate(offered):
        assert batch.discount[row] == pytest.approx(0 if steps[index].terminated else GAMMA)
        if not steps[index].terminated:
            assert read(batch.next_obs)[row].tolist() == seen(steps, index + 1)
    drawn = replay.sample(16, beta=0.5)
    assert {int(window[-1]) for window in read(drawn.obs)} <= {steps[index].number % 256 for index in offered}


EPISODES = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("codec", CODECS)
@given(EPISODES, EPISODES, st.integers(8, 30))
@settings(max_examples=20)
def test_replay_is_the_naive_list_before_and_after_its_pixels_become_latents(codec, dtype, before, after, capacity):
    replay, often = build(capacity, codec=codec), 1 if codec == "raw" else 7
    steps = play(replay, before * often, [])
    kept = len(replay)
    assert kept == len(steps) or replay.ring.wrapped
    lost = HISTORY - 1 if len(steps) > kept else 0
    check(replay, steps, lost, numbers)
    dropped = replay.transcode(latents(replay, dtype=dtype))
    assert len(replay) == kept - dropped
    row = {"float32": 176, "float16": 96, "uint8": 56}[dtype]  # bytes, with action, reward and flags
    scales = 2 * 4 * 2 * L if dtype == "uint8" else 0
    if codec == "raw":  # 448 bytes before
        assert (dropped, replay.capacity) == (0, (448 * capacity - scales) // row)
    lost = HISTORY - 1 if len(steps) > len(replay) else 0
    check(replay, steps, lost, encoded)
    play(replay, after, steps)
    if replay.ring.wrapped:  # the rows without their history go first
        lost = max(0, lost - (replay.ring.head - replay.capacity))
    check(replay, steps, lost, encoded)


@pytest.mark.parametrize("turn", [0, 1, 2, 3, 7, 8, 9, 18, 19])
def test_every_row_of_a_wrapped_ring_becomes_the_latents_of_crops_drawn_for_it(turn):
    replay = build(20)
    steps = play(replay, [(5, False), (3, True)] * 2 + [(1, False)] * turn + [(1, True)], [])
    assert len(steps) == 20 + turn
    replay.transcode(latents(replay, seed=7))
    rows = replay.ring.rows[:20]
    assert rows["obs"].shape == (20, K, 2, L)
    for row, index in zip(rows["obs"], range(turn, 20 + turn), strict=True):
        assert (row[:, :, 0] == (0, 1)).all()
        if turn and index < turn + HISTORY - 1:  # its history was overwritten
            assert (row[:, :, HISTORY] == steps[index].number).all()
        else:
            assert (row[:, :, 1:-1] == seen(steps, index)).all()
    assert rows["action"].tolist() == [list(step.action) for step in steps[turn:]]
    tops, lefts = np.random.default_rng(7).integers(0, PLACES, (20 * K, 2)).T  # in the order of slots
    places = np.roll((PLACES * tops + lefts).reshape(20, K), -turn, axis=0)
    assert np.array_equal(rows["obs"][:, :, 0, -1], places)
    assert np.array_equal(rows["obs"][:, :, 1, -1], places)


def test_a_batch_reads_one_of_a_rows_latents_at_random():
    replay = build(20)
    steps = play(replay, [(19, False)], [])
    replay.transcode(latents(replay))
    places = replay.ring.rows["obs"][:19, :, 0, -1]
    distinct = [row for row in range(18) if len(set(places[row])) == K]
    assert len(distinct) > 5
    taken = np.zeros(K, int)
    for _ in range(200):
        batch = replay.batch(np.array(distinct), np.ones(len(distinct), np.float32))
        assert batch.obs.shape == (len(distinct), 2, L)
        assert encoded(batch.obs).tolist() == [seen(steps, row) for row in distinct]
        which = places[distinct] == batch.obs[:, 0, -1:]
        assert (which.sum(axis=1) == 1).all()
        taken += which.sum(axis=0)
    assert stats.chisquare(taken).pvalue > 1e-3


def test_a_row_keeps_other_latents_than_the_one_acted_on():
    """The centre is acted on; four crops of the same window are stored."""
    replay = build(20)
    replay.transcode(latents(replay, seed=3))
    acted, stored = replay.representation.observe(np.stack([picture(1)] * HISTORY))
    assert acted[:, -1].tolist() == [PLACES * 2 + 2] * 2
    assert stored.shape == (K, 2, L)
    tops, lefts = np.random.default_rng(3).integers(0, PLACES, (K, 2)).T
    assert stored[:, 0, -1].tolist() == (PLACES * tops + lefts).tolist()


@pytest.mark.parametrize("codec", CODECS)
def test_where_pixels_are_kept_every_reading_draws_another_crop(codec):
    replay = build(20, codec=codec)
    steps = play(replay, [(4, False), (6, True)], [])
    pixels, rng = replay.representation, np.random.default_rng(0)
    replay.transcode(Encoded(Stem(encode, (2, L), pixels, views=1, rng=rng)))
    assert replay.capacity == 20 or codec == "lz4"
    assert (replay.representation.codec, replay.representation.stores) == (codec, "pixels")
    check(replay, steps, 0, encoded)
    places = replay.observations(np.ones(2000, int))[:, 0, -1].astype(int)
    assert stats.chisquare(np.bincount(places, minlength=PLACES**2)).pvalue > 1e-3


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_every_row_that_starts_a_transition_is_drawn_as_often_as_any_other(codec, frozen):
    replay = build(40, codec=codec)
    steps = play(replay, [(3, True), (2, False), (1, True)] * (7 if codec == "raw" else 70), [])
    if frozen:
        replay.transcode(latents(replay))
        play(replay, [(3, True)] * 60, steps)
    assert replay.ring.wrapped
    batch = replay.sample(20_000, beta=0.4)
    assert (batch.weight == 1).all()
    assert batch.weight.dtype == np.float32
    low, high = replay.startable
    slots = replay.ring.slots(np.arange(low, high))
    slots = slots[replay.ring.rows["flags"][slots] & LAST == 0]
    assert len(slots) < high - low  # some rows only hold an episode's last observation
    drawn = np.bincount(replay.ring.slots(batch.index), minlength=slots.max() + 1)
    assert drawn.sum() == drawn[slots].sum()
    assert stats.chisquare(drawn[slots]).pvalue > 1e-3


def test_losses_change_nothing():
    replay, other = build(30), build(30)
    for each in (replay, other):
        play(each, [(9, True)] * 4, [])
    batch = replay.sample(8, 0.5)
    replay.prioritize(batch.index, np.arange(8, dtype=np.float32) + 100)
    assert batch.index.tolist() == other.sample(8, 0.5).index.tolist()
    assert replay.sample(64, 0.5).index.tolist() == other.sample(64, 1.0).index.tolist()


def test_a_replay_of_last_observations_only_says_so():
    replay = build(8)
    replay.truncate(picture(1))
    replay.truncate(picture(2))
    with pytest.raises(RuntimeError, match="no row of the replay"):
        replay.sample(4, 0.5)
