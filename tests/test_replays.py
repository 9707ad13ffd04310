"""The replays of several environments as one, against a plain list each, before and after a freeze."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_replay import (
    CODECS,
    EPISODES,
    build,
    check,
    encoded,
    expected_startable,
    latents,
    longer,
    look_ahead,
    numbers,
    pixels_of,
    play,
    stack,
)

from edgerl.replay.replays import Replays, concatenated, share

APART = 20_000  # the numbers of two environments' frames


def together(count, capacity, history, n_step, *, refill, codec):
    """Empty replays of so many environments, with one generator."""
    replays = [build(capacity, history, n_step, refill=refill, codec=codec) for _ in range(count)]
    for replay in replays:
        replay.sampler.rng = replays[0].rng
    return Replays(replays)


def deal(joined, episodes, lists):
    """Play episodes in turn in all environments, each into its replay and its list."""
    count = len(joined.replays)
    for turn, episode in enumerate(episodes):
        steps = lists[turn % count]
        start = steps[-1].frame + 10 if steps else turn % count * APART
        play(joined.replays[turn % count], [episode], steps, start)


def check_batch(joined, batch, lists, starting, read):
    """Every row of a batch is as the list of its environment has it."""
    history, refill = joined.replays[0].representation.history, pixels_of(joined.replays[0]).refill
    history = max(history, pixels_of(joined.replays[0]).history)
    obs, following = read(batch.obs), read(batch.next_obs)
    for row in range(len(batch.action)):
        place = (int(obs[row][-1]) - 1) // APART
        steps = lists[place]
        index = next(n for n, step in enumerate(steps) if step.frame == int(obs[row][-1]))
        assert index in starting[place]
        assert batch.index[row] % len(joined.replays) == place
        total, discount, then = look_ahead(steps, index, joined.replays[0].n_step)
        assert obs[row].tolist() == stack(steps, index, history, refill=refill)
        assert batch.reward[row] == pytest.approx(total, rel=1e-5)
        assert batch.discount[row] == pytest.approx(discount, rel=1e-6)
        if then is not None:
            assert following[row].tolist() == stack(steps, then, history, refill=refill)


def check_all(joined, lists, lost, history, n_step, read):
    """All windows of all replays, and what is drawn of all together."""
    starting = []
    for replay, steps, missing in zip(joined.replays, lists, lost, strict=True):
        check(replay, steps, history, n_step, missing, read)
        starting.append(expected_startable(steps, len(replay), history, n_step, missing))
    if any(starting):
        drawn = joined.sample(16, 0.5)
        check_batch(joined, drawn, lists, starting, read)
        joined.prioritize(drawn.index, np.full(16, 4.0, np.float32))
        for number, place in zip(*np.divmod(drawn.index, len(joined.replays)), strict=True):
            replay = joined.replays[place]
            assert replay.sampler.priorities()[replay.ring.slots(number)] == 2.0


@pytest.mark.parametrize("codec", CODECS)
@given(EPISODES, EPISODES, st.integers(2, 3), st.integers(8, 20), st.integers(1, 4), st.integers(1, 4), st.booleans())
@settings(max_examples=20)
def test_replays_are_their_environments_lists_through_a_freeze(
    codec, before, after, count, capacity, history, n_step, refill
):
    joined, lists = together(count, capacity, history, n_step, refill=refill, codec=codec), [[] for _ in range(count)]
    deal(joined, longer(before, codec) * 2, lists)
    lost = [history - 1 if len(steps) > len(replay) else 0 for replay, steps in zip(joined.replays, lists, strict=True)]
    check_all(joined, lists, lost, history, n_step, numbers)
    rows, told = len(joined), []
    dropped = joined.transcode(latents(joined.replays[0], "uint8"), told.append)
    assert len(joined) == rows - dropped
    assert told == sorted(told)
    lost = [history - 1 if len(steps) > len(replay) else 0 for replay, steps in zip(joined.replays, lists, strict=True)]

    def read(found):
        return encoded(found)[:, :history]

    check_all(joined, lists, lost, history, n_step, read)
    deal(joined, longer(after, codec), lists)
    for place, replay in enumerate(joined.replays):
        if replay.ring.wrapped:
            lost[place] = max(0, lost[place] - (replay.ring.head - replay.capacity))
    check_all(joined, lists, lost, history, n_step, read)


def test_rows_by_number_are_those_of_their_replays_in_the_order_asked_for():
    joined, lists = together(3, 20, 1, 2, refill=False, codec="raw"), [[], [], []]
    deal(joined, [(7, False), (5, True), (9, False)] * 4, lists)
    order = np.random.default_rng(0).permutation(joined.starting())
    seen = numbers(joined.observations(order))[:, 0]
    own = [numbers(joined.replays[n % 3].observations(np.array([n // 3])))[0, 0] for n in order]
    assert seen.tolist() == own
    assert set(joined.newest(6)) == {(replay.ring.head - back) * 3 + n for n, replay in enumerate(joined.replays)
                                     for back in (1, 2)}  # fmt: skip
    assert set(joined.spread(12)) <= set(joined.starting())


def test_restored_replays_go_on_as_the_saved_ones():
    saved, lists = together(2, 20, 4, 3, refill=False, codec="lz4"), [[], []]
    deal(saved, [(7, False), (5, True)] * 9, lists)
    saved.prioritize(saved.sample(8, 0.5).index, np.arange(8, dtype=np.float32))
    arrays, values = saved.state()
    again = together(2, 20, 4, 3, refill=False, codec="lz4")
    again.restore(values, lambda name, array: np.copyto(array, arrays[name]))
    assert [span.name for span in again.spans] == ["0.frames", "1.frames"]
    one, other = saved.sample(16, 0.5), again.sample(16, 0.5)
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def test_shares_are_whole_rows_of_eight_bytes_and_one_replay_has_them_all():
    assert (share(1003, 1), share(1003, 2), share(1003, 3)) == (1003, 496, 328)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_parts_of_a_batch_are_joined_where_they_are(library):
    xp = pytest.importorskip(library)
    joined = concatenated([xp.ones((2, 3)), xp.zeros((1, 3))])
    assert type(joined) is type(xp.ones(1))
    assert joined.tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
