"""`edgerl.ReplayBuffer` against plain lists, one an environment: stacks, n-step windows, ends, priorities."""

import gc
import os
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import GAMMA, PADDINGS, Player, build, can_start, check
from scipy import stats

import edgerl

ENDS = st.sampled_from(["terminated", "truncated", "cut"])
EPISODES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9), ENDS), min_size=1, max_size=20)


@pytest.mark.parametrize("codec", ["raw", "lz4"])
@pytest.mark.parametrize("envs", [1, 3])
@given(
    EPISODES,
    st.integers(8, 20),
    st.integers(1, 4),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.sampled_from(PADDINGS),
)
@settings(max_examples=30)
def test_a_buffer_is_its_environments_lists(
    envs, codec, episodes, rows, history, n_step, stacked, prioritized, padding
):
    options = {"history": history, "n_step": n_step, "prioritized": prioritized}
    buffer = build(rows, codec=codec, envs=envs, padding="auto" if stacked else padding, **options)
    player = Player(buffer, stacked=stacked, padding=padding)
    for env, length, end in episodes * (1 if codec == "raw" else 12):
        player.play(env % envs, length, end)
    starts = [can_start(player, env) for env in range(envs)]
    for env, replay in enumerate(buffer.replays):
        low, high = replay.startable
        offered = np.array([n for n in range(low, high) if replay.starts(replay.ring.slots(np.array([n])))[0]], int)
        assert len(offered) == len(starts[env])
        if len(offered):
            whole = replay.batch(offered, np.ones(len(offered), np.float32))
            assert check(player, whole) == [(env, index) for index in starts[env]]
    if not any(starts):
        return
    drawn = check(player, buffer.sample(32))
    assert set(drawn) <= {(env, index) for env in range(envs) for index in starts[env]}


@pytest.mark.parametrize("history", [2, 4])
@pytest.mark.parametrize("padding", PADDINGS)
def test_channels_of_colour_frames_stack_one_after_the_other(history, padding):
    rng = np.random.default_rng(0)
    frames = rng.integers(1, 256, (12, 3, 6, 5), dtype=np.uint8)
    before = frames[:1] if padding == "first" else np.zeros((1, 3, 6, 5), np.uint8)
    frames = np.concatenate([*[before] * (history - 1), frames])
    windows = [frames[n : n + history].reshape(3 * history, 6, 5) for n in range(12)]
    buffer = edgerl.ReplayBuffer(budget=40_000, observation=(3, 6, 5), action=(2,), history=history)
    for n in range(11):
        buffer.add(windows[n], (n / 16, -n / 16), n, windows[n + 1], terminated=False, truncated=n == 10)
    batch = buffer.sample(64)
    for n in range(64):
        number = int(batch.action[n, 0] * 16)
        assert batch.action[n].tolist() == [number / 16, -number / 16]
        assert np.array_equal(batch.obs[n], windows[number])
        assert np.array_equal(batch.next_obs[n], windows[number + 1])


def drawn_how_often(player, batches):
    """How often each row that can start a window was drawn, and the batches' weights by row."""
    places = [(env, index) for env in range(player.buffer.envs) for index in can_start(player, env)]
    counts = dict.fromkeys(places, 0)
    for _ in range(batches):
        for place in check(player, player.buffer.sample(64)):
            counts[place] += 1
    return counts


@pytest.mark.parametrize("envs", [1, 2])
def test_a_uniform_buffer_draws_all_rows_of_all_environments_alike(envs):
    player = Player(build(60, envs=envs, n_step=3), stacked=True)
    for n in range(8):
        player.play(0, 5, "truncated")
        if n < 3:
            player.play(envs - 1, 4, "cut")
    counts = drawn_how_often(player, 60)
    assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_a_prioritized_buffer_draws_by_priority_across_environments():
    player = Player(build(60, envs=2, n_step=3, prioritized=True, omega=1.0), stacked=True)
    for env, length in ((0, 8), (1, 8), (0, 9), (0, 8), (1, 4)):
        player.play(env, length, "terminated")
    batch = player.buffer.sample(256)
    places = check(player, batch)
    losses = {place: 0.1 + (7 * place[0] + place[1]) % 5 for place in places}
    player.buffer.update_priorities(batch.index, np.array([losses[place] for place in places]))
    counts = drawn_how_often(player, 60)
    assert counts.keys() == losses.keys()
    expected = np.array([losses[place] for place in counts])
    assert stats.chisquare(list(counts.values()), expected / expected.sum() * sum(counts.values())).pvalue > 0.01


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([0.5, 1.0]))
@settings(max_examples=20)
def test_weights_are_the_formula_s_and_new_rows_get_the_largest_priority(seed, beta, omega):
    rng = np.random.default_rng(seed)
    player = Player(build(60, envs=3, prioritized=True, omega=omega), stacked=True)
    known, largest = {}, 1.0
    for _ in range(4):
        for env in range(3):
            player.play(env, int(rng.integers(2, 6)), "truncated")
            for index, row in enumerate(player.rows[env]):
                known.setdefault((env, index), 0.0 if row.last else largest)
        batch = player.buffer.sample(24, beta)
        places = check(player, batch)
        weight = np.array([(len(player.buffer) * known[place] / sum(known.values())) ** -beta for place in places])
        assert batch.weight == pytest.approx(weight / weight.max(), rel=1e-5)
        losses = 10.0 ** rng.uniform(-6, 2, 24)
        player.buffer.update_priorities(batch.index, losses)
        known |= {place: max(loss, 1e-4) ** omega for place, loss in zip(places, losses, strict=True)}
        largest = max(largest, losses.max() ** omega)


def test_horizon_and_discount_may_change_between_batches():
    player = Player(build(40, n_step=3), stacked=True)
    player.play(0, 20, "truncated")
    check(player, player.buffer.sample(32))
    player.buffer.n_step = 5
    assert {round(float(d), 5) for d in player.buffer.sample(64).discount} <= {round(GAMMA**k, 5) for k in range(1, 6)}
    check(player, player.buffer.sample(32))


def test_bytes_are_the_budget_and_capacity_grows_with_what_compresses():
    buffer = edgerl.ReplayBuffer(budget="300kB", observation=(84, 84), action=4, history=4)
    least, black = buffer.capacity, np.zeros((84, 84), np.uint8)
    for n in range(200):
        black[0, 0] = n
        buffer.add(black.copy(), 0, 0.0, black.copy(), terminated=n % 10 == 9)
    assert least < 45
    assert len(buffer) >= 200
    assert buffer.capacity > 1000
    assert buffer.nbytes == 300_000


@pytest.mark.parametrize("codec", ["raw", "lz4"])
def test_a_late_update_of_rows_that_have_left_changes_no_other_byte(codec):
    """Batches that are drawn ahead: by the time their losses are known, frames may lie where their rows were."""
    rng = np.random.default_rng(0)
    settings = {"budget": 120_000, "observation": (32, 32), "action": 2, "n_step": 1, "prioritized": True}
    buffer = edgerl.ReplayBuffer(codec=codec, **settings)
    frame, ahead = np.zeros((32, 32), np.uint8), []
    for step in range(4000):
        noise = rng.integers(0, 256, (32, 32), np.uint8)
        following = noise if step // 300 % 2 else np.full((32, 32), step % 7, np.uint8)
        buffer.add(frame, 1, 1.0, following, terminated=False)
        frame = following
        if step > 20:
            ahead.append(buffer.sample(8).index)
            if len(ahead) > 40:
                buffer.update_priorities(ahead.pop(0), rng.random(8))
        if step % 100 == 99:
            (replay,) = buffer.replays
            slots = replay.ring.slots(np.arange(replay.ring.oldest, replay.ring.head))
            priorities = replay.sampler.priorities()
            assert replay.sampler.total == pytest.approx(priorities[slots].sum())
            assert priorities[slots].max() <= 1.0
    with pytest.raises(edgerl.ConfigError, match="index must be"):
        buffer.update_priorities(np.array([10**6]), np.array([1.0]))


@pytest.mark.parametrize("codec", ["raw", "lz4"])
@pytest.mark.parametrize("envs", [1, 2])
def test_late_losses_do_not_fall_on_the_rows_that_lie_there_now(codec, envs):
    rng, frame = np.random.default_rng(0), np.zeros((16, 16), np.uint8)
    buffer = edgerl.ReplayBuffer(
        budget=100_000, observation=(16, 16), action=2, prioritized=True, codec=codec, envs=envs
    )
    frames = [frame] * envs

    def play(steps):
        for step in range(steps):
            env = step % envs
            following = rng.integers(0, 256, (16, 16), np.uint8)
            buffer.add(frames[env], 1, 1.0, following, terminated=False, env=env)
            frames[env] = following

    play(800)
    late = buffer.sample(32).index
    play(1600)
    assert all(late.max() // envs < replay.ring.oldest for replay in buffer.replays)  # none of these rows is left

    def priorities():
        rings = [(replay.ring, replay.sampler.priorities()) for replay in buffer.replays]
        return np.concatenate([held[ring.slots(np.arange(ring.oldest, ring.head))] for ring, held in rings])

    before = priorities()
    buffer.update_priorities(late, np.full(32, 1e4))
    assert (priorities() == before).all()
    fresh = buffer.sample(8).index
    buffer.update_priorities(fresh, np.full(8, 9.0))
    assert (priorities() == 3.0).sum() == len(np.unique(fresh))


@pytest.mark.parametrize("codec", ["raw", "lz4"])
def test_its_bytes_are_its_own_and_free_again_when_it_is_dropped(codec):
    buffer = edgerl.ReplayBuffer(budget=100_000, observation=(8, 8), action=2, codec=codec)
    (replay,) = buffer.replays
    replay.ring.arena[:] = 1
    if (child := os.fork()) == 0:
        replay.ring.arena[:] = 2  # as a worker that goes on adding to its copy
        os._exit(0)
    os.waitpid(child, 0)
    assert (replay.ring.arena == 1).all()
    held = weakref.ref(replay.ring)
    gc.disable()  # which finds what holds itself, later
    try:
        del buffer, replay
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("envs", [1, 2])
def test_one_large_loss_does_not_slow_the_draws_down(envs, monkeypatch):
    """The newest rows get the largest priority ever seen, and start no window yet."""
    for module in ("sampling", "draw"):
        monkeypatch.setattr(f"edgerl.replay.{module}.TRIES", 60)
    buffer = edgerl.ReplayBuffer(
        budget=100_000, observation=(8, 8), action=2, codec="raw", n_step=5, envs=envs, prioritized=True
    )
    frame, largest = np.zeros((8, 8), np.uint8), 1e12
    for step in range(120):
        for env in range(envs):
            buffer.add(frame, 0, 0.0, frame, terminated=False, env=env)
        if step >= 60:
            index, losses = buffer.sample(32).index, np.full(32, 0.01)
            losses[0], largest = largest, 0.01
            buffer.update_priorities(index, losses)
