"""The replay against a naive Python list, before and after transcoding, wrapped at every slot."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerl.replay import Replay, row_dtype
from edgerl.representation import Latents, Pixels, Stem, pixel_field
from edgerl.sampling import Prioritized

ACTION, FRAME, GAMMA = np.dtype(np.uint8), (8, 8), 0.9


@dataclass
class Step:
    """One stored row: its frame's number, and whether its episode starts, terminates or was cut off here."""

    frame: int
    action: int
    reward: float
    first: bool
    terminated: bool
    last: bool


def picture(number):
    """An 8x8 frame that holds its number (1 to 65,535) and nothing else that could be mistaken for one."""
    frame = np.full(FRAME, 7, np.uint8)
    frame[0, 0], frame[0, 1] = divmod(number, 256)
    return frame


def numbers(windows):
    """The frames' numbers in windows [..., 8, 8]; 0 for a blank frame."""
    windows = np.asarray(windows, np.int64)
    return windows[..., 0, 0] * 256 + windows[..., 0, 1]


def encode(windows):
    """A stem that forgets nothing: float32 [B, 8] from windows [B, history, 8, 8]."""
    found = np.zeros((len(windows), 8), np.float32)
    found[:, : windows.shape[1]] = numbers(windows)
    return found


def budget_for(capacity):
    return capacity * row_dtype(pixel_field(FRAME), ACTION).itemsize + Prioritized.index_bytes(capacity)


def build(capacity, history=4, n_step=3, *, refill=False):
    replay = Replay(
        budget_for(capacity),
        Pixels(FRAME, history, refill=refill),
        ACTION,
        n_step=n_step,
        gamma=GAMMA,
        omega=0.5,
        rng=np.random.default_rng(0),
    )
    assert replay.capacity == capacity
    return replay


def latents(replay):
    """The representation that the stem above makes of this replay's pixels."""
    return Latents(Stem(encode, (8,), replay.representation, rng=np.random.default_rng(0)))


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


def look_ahead(steps, index, n_step):
    """(return, discount, index of the next observation) by walking the list; the next is None after a terminal."""
    total = 0.0
    for k in range(n_step):
        step = steps[index + k]
        if step.last:
            return total, GAMMA**k, index + k
        total += GAMMA**k * step.reward
        if step.terminated:
            return total, 0.0, None
    return total, GAMMA**n_step, index + n_step


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


@given(EPISODES, st.integers(8, 30), st.integers(1, 4), st.integers(1, 5), st.booleans())
@settings(max_examples=150, deadline=None)
def test_replay_is_the_naive_list(episodes, capacity, history, n_step, refill):
    replay = build(capacity, history, n_step, refill=refill)
    steps = play(replay, episodes)
    assert len(replay) == min(capacity, len(steps))
    lost = history - 1 if len(steps) > capacity else 0
    check(replay, steps, history, n_step, lost, numbers)


@given(EPISODES, EPISODES, st.integers(8, 30), st.integers(1, 4), st.integers(1, 5), st.booleans())
@settings(max_examples=150, deadline=None)
def test_transcoded_replay_is_the_naive_list(before, after, capacity, history, n_step, refill):
    replay = build(capacity, history, n_step, refill=refill)
    steps = play(replay, before)
    kept = len(replay)
    lost = history - 1 if len(steps) > capacity else 0
    replay.transcode(latents(replay))
    assert len(replay) == kept
    assert replay.capacity > capacity

    def read(found):
        return found[:, :history].astype(int)

    check(replay, steps, history, n_step, lost, read)
    play(replay, after, steps, start=steps[-1].frame + 10)
    if replay.ring.wrapped:  # the rows without their history go first
        lost = max(0, lost - (replay.ring.head - replay.capacity))
    check(replay, steps, history, n_step, lost, read)


@pytest.mark.parametrize("turn", range(20))
def test_transcoding_a_ring_wrapped_at_every_slot(turn):
    replay = build(20, n_step=2)
    steps = play(replay, [(5, False), (4, True)] * 2 + [(1, False)] * turn + [(3, True)])
    given = np.where(replay.sampler.priorities() > 0, np.arange(20) + 1.0, 0.0)
    replay.sampler.set(np.arange(20), given)
    by_frame = {int(numbers(replay.ring.rows["obs"][slot])): given[slot] for slot in range(20)}
    replay.transcode(latents(replay))
    check(replay, steps, 4, 2, 3, lambda found: found[:, :4].astype(int))
    assert [int(row["obs"][3]) for row in replay.ring.rows[:20]] == [step.frame for step in steps[-20:]]
    after = replay.sampler.priorities()
    assert [by_frame[int(row["obs"][3])] for row in replay.ring.rows[:20]] == after[:20].tolist()
    assert after[20:].sum() == 0
    assert replay.sampler.total == pytest.approx(after.sum())


def test_every_array_lies_in_the_arena_and_the_arena_is_the_budget():
    for transcoded in (False, True):
        replay = build(25)
        play(replay, [(40, False)])
        if transcoded:
            replay.transcode(latents(replay))
        replay.sample(8, 0.5)
        arena = replay.ring.arena
        assert arena.nbytes == budget_for(25)
        arrays = list(reachable(replay))
        assert len(arrays) >= 3
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
        yield from reachable(list(thing.values()), seen)
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        yield from reachable(vars(thing), seen)


def test_a_replay_without_a_whole_window_says_so():
    replay = build(20, n_step=5)
    play(replay, [(5, False)])
    with pytest.raises(RuntimeError, match="no window of 5 steps"):
        replay.sample(4, 0.5)


def test_the_last_observation_of_a_truncated_episode_is_never_a_start():
    replay = build(40, n_step=3)
    steps = play(replay, [(2, True)] * 10)
    drawn = replay.sample(2000, 0.5)
    last = {step.frame for step in steps if step.last}
    assert not last & set(numbers(drawn.obs)[:, -1].tolist())
    assert (drawn.discount > 0).all()
