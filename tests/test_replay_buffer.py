"""`edgerl.ReplayBuffer` against plain lists, one an environment: stacks, n-step windows, ends of episodes, priorities.

Every frame holds a number of its own, so a window tells which frames it is made of. Compressed rows leave in groups:
which are present is the ring's to say, what they hold is the list's.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import edgerl

FRAME, GAMMA = (8, 8), 0.9
NOISE = np.random.default_rng(0).integers(0, 256, (7, *FRAME), dtype=np.uint8)
ROW_BYTES = {"raw": 90, "lz4": 110}  # at most, of such frames, with priorities
PADDINGS = ("zeros", "first")


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
    """A frame that holds its number (1 to 65,535)."""
    frame = NOISE[number % 7].copy() if number % 50 < 10 else np.full(FRAME, 7, np.uint8)
    frame[0, 0], frame[0, 1] = divmod(number, 256)
    return frame


def numbers(windows):
    """The frames' numbers in windows [..., 8, 8]; 0 for a blank frame."""
    windows = np.asarray(windows, np.int64)
    return windows[..., 0, 0] * 256 + windows[..., 0, 1]


class Player:
    """Plays episodes into a buffer, and writes down what its rows must be, by environment."""

    def __init__(self, buffer, *, stacked, padding="zeros"):
        self.buffer, self.stacked, self.padding = buffer, stacked, padding
        self.rows = [[] for _ in range(buffer.envs)]
        self.frames = [1 + 20_000 * env for env in range(buffer.envs)]  # each environment's next frame
        self.pending = [None] * buffer.envs  # the frame after a step that neither terminated nor was truncated

    def window(self, frames, position):
        """What an environment shows of an episode's frames at a position."""
        if not self.stacked:
            return picture(frames[position])
        filler = 0 if self.padding == "zeros" else frames[0]
        shown = [frames[n] if n >= 0 else filler for n in range(position - self.buffer.history + 1, position + 1)]
        return np.stack([picture(number) if number else np.zeros(FRAME, np.uint8) for number in shown])

    def play(self, env, length, end):
        """One episode, which ends terminated, truncated, or without being told."""
        frames = list(range(self.frames[env], self.frames[env] + length + 1))
        self.frames[env] += length + 1
        rows = self.rows[env]
        if self.pending[env] is not None:
            rows.append(Step(self.pending[env], 0, 0.0, False, False, last=True))
        for position in range(length):
            over = position == length - 1
            step = Step(frames[position], frames[position] % 5, float(frames[position] % 97), position == 0,
                        over and end == "terminated", last=False)  # fmt: skip
            self.buffer.add(
                self.window(frames, position), step.action, step.reward, self.window(frames, position + 1),
                terminated=step.terminated, truncated=over and end == "truncated", env=env,
            )  # fmt: skip
            rows.append(step)
        if end == "truncated":
            rows.append(Step(frames[-1], 0, 0.0, False, False, last=True))
        self.pending[env] = frames[-1] if end == "cut" else None


def stack(rows, index, history, padding):
    """The numbers of the frames in the window of rows[index]."""
    shown = [rows[index].frame]
    while len(shown) < history:
        if rows[index].first:
            shown.insert(0, 0 if padding == "zeros" else shown[0])
        else:
            index -= 1
            shown.insert(0, rows[index].frame)
    return shown


def look_ahead(rows, index, n_step):
    """(return, discount, index of the next observation) by walking the list; the next is None after a terminal."""
    total = 0.0
    for k in range(n_step):
        row = rows[index + k]
        if row.last:
            return total, GAMMA**k, index + k
        total += GAMMA**k * row.reward
        if row.terminated:
            return total, 0.0, None
    return total, GAMMA**n_step, index + n_step


def can_start(player, env):
    """Indices of the rows of an environment that can start a window."""
    rows, kept = player.rows[env], len(player.buffer.replays[env])
    lost = player.buffer.history - 1 if len(rows) > kept else 0
    return [n for n in range(len(rows) - kept + lost, len(rows) - player.buffer.n_step) if not rows[n].last]


def check(player, batch):
    """Every window of a batch is as its environment's list has it; returns (environment, index) of each."""
    buffer, places = player.buffer, []
    obs, following = numbers(batch.obs), numbers(batch.next_obs)
    for n, shown in enumerate(obs.tolist()):
        env = (shown[-1] - 1) // 20_000
        rows = player.rows[env]
        index = next(index for index, row in enumerate(rows) if row.frame == shown[-1])
        total, discount, ahead = look_ahead(rows, index, buffer.n_step)
        assert shown == stack(rows, index, buffer.history, player.padding)
        assert batch.action[n] == rows[index].action
        assert batch.reward[n] == pytest.approx(total, rel=1e-5)
        assert batch.discount[n] == pytest.approx(discount, rel=1e-6)
        if ahead is not None:
            assert following[n].tolist() == stack(rows, ahead, buffer.history, player.padding)
        places.append((env, index))
    return places


def build(rows, *, codec="raw", envs=1, **options):
    """A buffer of about so many rows for each environment; with lz4 of more."""
    options = {"history": 4, "n_step": 1, "gamma": GAMMA} | options
    if codec == "lz4":
        rows += 60
    budget = envs * (rows * ROW_BYTES[codec] + 600)
    return edgerl.ReplayBuffer(budget=budget, observation=FRAME, action=5, codec=codec, envs=envs, **options)


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


def window(*numbers_):
    """A stack of four frames of these numbers; 0 is a blank one."""
    return np.stack([picture(number) if number else np.zeros(FRAME, np.uint8) for number in numbers_])


START, NEXT = window(0, 0, 0, 1), window(0, 0, 1, 2)


@pytest.mark.parametrize(("obs", "next_obs", "changes", "words"), [
    (START, window(0, 0, 2, 3), {}, "next_obs is not obs moved on by one frame"),
    (window(0, 0, 9, 1), window(0, 9, 1, 2), {}, "stand no zeros or copies of it"),
    (START.astype(np.float32), NEXT, {}, r"obs must be uint8 .*, not float32 \[4, 8, 8\]"),
    (START[:3], NEXT[:3], {}, r"obs must be uint8 .* not uint8 \[3, 8, 8\]"),
    (START, NEXT[-1], {}, r"next_obs must be uint8 \[4, 8, 8\], not uint8 \[8, 8\]"),
    (START, NEXT, {"action": 5}, "action = 5 must be a whole number from 0 to 4"),
    (START, NEXT, {"env": 1}, "env = 1"),
    (START, window(0, 0, 0, 8), {"truncated": True}, "after a truncated step it is the episode's last"),
])  # fmt: skip
def test_a_step_that_cannot_be_rebuilt_is_refused_in_one_line_and_not_stored(obs, next_obs, changes, words):
    buffer = build(40)
    with pytest.raises(edgerl.ConfigError, match=words) as refused:
        buffer.add(**{"obs": obs, "action": 0, "reward": 0, "next_obs": next_obs, "terminated": False} | changes)
    assert "\n" not in str(refused.value)
    assert len(buffer) == 0
    buffer.add(START, 0, 0.0, NEXT, terminated=False)
    assert len(buffer) == 1


def test_paddings_are_not_mixed():
    buffer = build(40)
    buffer.add(START, 0, 0.0, NEXT, terminated=True)
    with pytest.raises(edgerl.ConfigError, match="stand no zeros; frames"):
        buffer.add(window(5, 5, 5, 5), 0, 0.0, window(5, 5, 5, 6), terminated=False)


@pytest.mark.parametrize(("changes", "words"), [
    ({"budget": "70"}, "budget: '70' has no unit"),
    ({"budget": 0}, "budget = 0"),
    ({"budget": 300}, "budget: 300 B for each environment are sure of"),
    ({"budget": 20_000, "envs": 80}, "for each environment"),
    ({"n_step": 0}, "n_step = 0"),
    ({"n_step": 500}, "n_step=500 take 504"),
    ({"gamma": 1.5}, "gamma = 1.5"),
    ({"omega": float("nan")}, "omega = nan"),
    ({"history": 2.0}, "history = 2.0"),
    ({"codec": "zip"}, "codec = 'zip' must be one of lz4, raw"),
    ({"padding": "last"}, "padding = 'last' must be one of auto, zeros, first"),
    ({"observation": 84}, "observation = 84"),
    ({"observation": (4, 1, 8, 8)}, "shape of one frame"),
    ({"action": 0}, "action = 0"),
    ({"envs": True}, "envs = True"),
    ({"seed": -1}, "seed = -1"),
])  # fmt: skip
def test_options_are_refused_by_name(changes, words):
    options = {"budget": 20_000, "observation": FRAME, "action": 5, "history": 4, "codec": "raw"} | changes
    with pytest.raises(edgerl.ConfigError, match=words) as refused:
        edgerl.ReplayBuffer(**options)
    assert "\n" not in str(refused.value)


def test_priorities_and_batches_are_refused_by_name():
    player = Player(build(40, prioritized=True, n_step=3), stacked=True)
    with pytest.raises(RuntimeError, match="0 rows hold no window of 3 steps"):
        player.buffer.sample(4)
    player.play(0, 10, "terminated")
    index = player.buffer.sample(4).index
    for wrong, losses, words in [
        (index, np.array([1, 2, np.nan, 3]), "finite"),
        (index, np.ones(3), "do not belong"),
        (index + 10_000, np.ones(4), "index must be a batch's"),
        (index.astype(float), np.ones(4), "do not belong"),
    ]:
        with pytest.raises(edgerl.ConfigError, match=words):
            player.buffer.update_priorities(wrong, losses)
    for wrong in ({"batch_size": 0}, {"beta": 2.0}):
        with pytest.raises(edgerl.ConfigError, match=next(iter(wrong))):
            player.buffer.sample(**{"batch_size": 4} | wrong)
