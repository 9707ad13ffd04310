"""The replay against a naive Python list, before and after transcoding, wrapped at every slot; with every codec.

Compressed rows leave in groups, so which are present is the ring's to say; what they hold is the list's.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import FRAME, GAMMA, Step, look_ahead, numbers, picture

from edgerl.replay.buffer import Replay, row_dtype
from edgerl.replay.latents import Latents, Stem
from edgerl.replay.representation import Pixels, pixel_field
from edgerl.replay.sampling import Prioritized

ACTION = np.dtype(np.uint8)
LZ4_LEAST, LZ4_ROW = 5200, 45  # bytes: of the smallest ring of such frames, and of a row
CODECS = ("raw", "lz4")
DTYPES = ("float32", "float16", "uint8")


def encode(windows):
    """A stem that forgets nothing: float32 [B, 8] from windows [B, history, 8, 8], in bytes, which any dtype holds."""
    found = np.zeros((len(windows), 2, 4), np.float32)
    found[:, :, : windows.shape[1]] = np.stack(np.divmod(numbers(windows), 256), 1)
    return found.reshape(-1, 8)


def encoded(latents):
    """The frames' numbers in latents [B, 8]; zeros for a history of less than four."""
    found = np.asarray(latents, np.float64).astype(int).reshape(-1, 2, 4)
    return found[:, 0] * 256 + found[:, 1]


def budget_for(capacity):
    return capacity * row_dtype(pixel_field(FRAME), ACTION).itemsize + Prioritized.index_bytes(capacity)


def build(capacity, history=4, n_step=3, *, refill=False, codec="raw"):
    """A replay of so many rows; with lz4 the least there can be, and about so many more."""
    replay = Replay(
        budget_for(capacity) if codec == "raw" else LZ4_LEAST + LZ4_ROW * capacity,
        Pixels(FRAME, history, refill=refill, codec=codec),
        ACTION,
        n_step=n_step,
        gamma=GAMMA,
        omega=0.5,
        rng=np.random.default_rng(0),
    )
    assert replay.capacity == capacity or codec == "lz4"
    return replay


def latents(replay, dtype="float32"):
    """The representation that the stem above makes of this replay's pixels; scales have steps of 1: uint8 is exact."""
    return Latents(Stem(encode, (8,), replay.representation, rng=np.random.default_rng(0)), dtype)


def pixels_of(replay):
    """How the replay's windows are made of frames, before a freeze and after it."""
    representation = replay.representation
    return representation if representation.stores == "pixels" else representation.stem.pixels


def play(replay, episodes, steps=None, start=0):
    """Append episodes of (length, truncated) to the replay; the same as a list of Steps."""
    done, frame = steps if steps is not None else [], start
    for length, truncated in episodes:
        for position in range(length):
            frame += 1
            end = position == length - 1
            step = Step(frame, frame % 5, float(frame), position == 0, end and not truncated, last=False)
            window = np.stack([picture(max(0, frame - back)) for back in (3, 2, 1, 0)])
            stored = replay.representation.observe(blanked(window, position, replay))[1]
            replay.append(stored, step.action, step.reward, terminated=step.terminated)
            done.append(step)
        if truncated:
            frame += 1
            window = np.stack([picture(max(0, frame - back)) for back in (3, 2, 1, 0)])
            replay.truncate(replay.representation.observe(blanked(window, length, replay))[1])
            done.append(Step(frame, 0, 0.0, False, False, last=True))
    return done


def blanked(window, position, replay):
    """The environment's window at this position of an episode: blank, or refilled, before its start."""
    pixels = pixels_of(replay)
    window = window[4 - pixels.history :].copy()
    before = max(0, pixels.history - 1 - position)
    window[:before] = window[before] if pixels.refill else 0
    return window


def stack(steps, index, history, *, refill=False):
    """The numbers of the frames that make the observation of steps[index]; before its episode zeros, or its first."""
    found = [steps[index].frame]
    while len(found) < history:
        if index < 0 or steps[index].first:
            found.insert(0, found[0] if refill else 0)
        else:
            index -= 1
            found.insert(0, steps[index].frame if index >= 0 else -1)
    return found


def expected_startable(steps, kept, history, n_step, lost):
    """Indices that may start a window: `kept` rows present, the oldest `lost` of them without their history."""
    oldest = len(steps) - kept
    return [i for i in range(oldest + lost, len(steps) - n_step) if not steps[i].last]


def check(replay, steps, history, n_step, lost, read):
    """Every window of the replay is as the list has it; what is drawn is among them."""
    expected, refill = expected_startable(steps, len(replay), history, n_step, lost), pixels_of(replay).refill
    low, high = replay.startable
    shift = len(steps) - replay.ring.head  # from row numbers to list indices
    offered = [i for i in range(low + shift, high + shift) if not steps[i].last]
    assert offered == expected
    if not expected:
        return
    batch = replay.batch(np.array(expected) - shift, np.ones(len(expected), np.float32))
    obs, next_obs = read(batch.obs), read(batch.next_obs)
    for row, index in enumerate(expected):
        total, discount, following = look_ahead(steps, index, n_step)
        assert obs[row].tolist() == stack(steps, index, history, refill=refill)
        assert batch.action[row] == steps[index].action
        assert batch.reward[row] == pytest.approx(total, rel=1e-5)
        assert batch.discount[row] == pytest.approx(discount, rel=1e-6)
        if following is not None:
            assert next_obs[row].tolist() == stack(steps, following, history, refill=refill)
    drawn = replay.sample(16, beta=0.5)
    frames = {steps[i].frame for i in expected}
    assert {int(window[-1]) for window in read(drawn.obs)} <= frames


EPISODES = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=14)


def longer(episodes, codec):
    """With lz4 the smallest ring holds more than a hundred rows: as many episodes as wrap it, mostly."""
    return episodes * (1 if codec == "raw" else 6)


@pytest.mark.parametrize("codec", CODECS)
@given(EPISODES, st.integers(8, 30), st.integers(1, 4), st.integers(1, 5), st.booleans())
@settings(max_examples=60)
def test_replay_is_the_naive_list(codec, episodes, capacity, history, n_step, refill):
    replay = build(capacity, history, n_step, refill=refill, codec=codec)
    steps = play(replay, longer(episodes, codec))
    assert len(replay) == min(capacity if codec == "raw" else replay.ring.head - replay.ring.oldest, len(steps))
    lost = history - 1 if len(steps) > len(replay) else 0
    check(replay, steps, history, n_step, lost, numbers)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("codec", CODECS)
@given(EPISODES, EPISODES, st.integers(8, 30), st.integers(1, 4), st.integers(1, 5), st.booleans())
@settings(max_examples=25)
def test_transcoded_replay_is_the_naive_list(codec, dtype, before, after, capacity, history, n_step, refill):
    replay = build(capacity, history, n_step, refill=refill, codec=codec)
    steps = play(replay, longer(before, codec))
    kept = len(replay)
    found = latents(replay, dtype)
    dropped = replay.transcode(found)
    assert len(replay) == kept - dropped
    assert (replay.representation.codec, replay.representation.stores) == (dtype, "latents")
    assert dropped == 0 or (codec == "lz4" and kept > replay.capacity // 2)
    assert replay.capacity > capacity
    lost = history - 1 if len(steps) > len(replay) else 0

    def read(found):
        return encoded(found)[:, :history]

    check(replay, steps, history, n_step, lost, read)
    play(replay, longer(after, codec), steps, start=steps[-1].frame + 10)
    if replay.ring.wrapped:  # the rows without their history go first
        lost = max(0, lost - (replay.ring.head - replay.capacity))
    check(replay, steps, history, n_step, lost, read)


@pytest.mark.parametrize("turn", range(20))
@pytest.mark.parametrize("codec", CODECS)
def test_transcoding_a_ring_wrapped_at_every_slot(codec, turn):
    replay = build(20, n_step=2, codec=codec)
    steps = play(replay, [(5, False), (4, True)] * (2 if codec == "raw" else 30) + [(1, False)] * turn + [(3, True)])
    ring, sampler = replay.ring, replay.sampler
    slots = ring.slots(np.arange(ring.oldest, ring.head))
    given = np.where(sampler.priorities()[slots] > 0, np.arange(len(slots)) + 1.0, 0.0)
    sampler.set(slots, given)
    by_frame = dict(zip(numbers(ring.obs[slots]).tolist(), given.tolist(), strict=True))
    dropped, kept = replay.transcode(latents(replay)), len(replay)
    assert kept == (20 if codec == "raw" else len(slots) - dropped)
    check(replay, steps, 4, 2, 3, encoded)
    found = encoded(replay.ring.rows["obs"][:kept])[:, 3].tolist()
    assert found == [step.frame for step in steps[-kept:]]
    after = replay.sampler.priorities()
    assert [by_frame[frame] for frame in found] == after[:kept].tolist()
    assert after[kept:].sum() == 0
    assert replay.sampler.total == pytest.approx(after.sum())


@pytest.mark.parametrize("dtype", [None, *DTYPES])
@pytest.mark.parametrize("codec", CODECS)
def test_every_array_lies_in_the_arena_and_the_arena_is_the_budget(codec, dtype):
    replay = build(25, codec=codec)
    play(replay, [(40, False)] * (1 if codec == "raw" else 8))
    if dtype:
        replay.transcode(latents(replay, dtype))
    replay.sample(8, 0.5)
    arena = replay.ring.arena
    assert arena.nbytes == (budget_for(25) if codec == "raw" else LZ4_LEAST + LZ4_ROW * 25)
    assert replay.ring.wrapped == (dtype is None)
    arrays = [array for array in reachable(replay) if array.size]
    assert len(arrays) >= 3 + (dtype == "uint8")
    for array in arrays:
        assert np.may_share_memory(array, arena)


def reachable(thing, seen=None):
    """Every NumPy array that can be reached through attributes, lists, tuples and dicts."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield thing
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from reachable(part, seen)
    elif isinstance(thing, dict):
        for part in thing.values():  # no list of them: the next one may get the id of one that is gone
            yield from reachable(part, seen)
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        yield from reachable(vars(thing), seen)


@pytest.mark.parametrize("codec", CODECS)
def test_a_replay_without_a_whole_window_says_so(codec):
    replay = build(20, n_step=5, codec=codec)
    play(replay, [(5, False)])
    with pytest.raises(RuntimeError, match="no window of 5 steps"):
        replay.sample(4, 0.5)


@pytest.mark.parametrize("codec", CODECS)
def test_the_last_observation_of_a_truncated_episode_is_never_a_start(codec):
    replay = build(40, n_step=3, codec=codec)
    steps = play(replay, [(2, True)] * 10)
    drawn = replay.sample(2000, 0.5)
    last = {step.frame for step in steps if step.last}
    assert not last & set(numbers(drawn.obs)[:, -1].tolist())
    assert (drawn.discount > 0).all()
