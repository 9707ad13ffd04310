"""What an `edgerl.ReplayBuffer` does not take: options, steps, batches and priorities, each refused in one line."""

import numpy as np
import pytest
from played import FRAME, Player, build, picture

import edgerl


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
    (START, NEXT, {"reward": float("nan")}, "reward = nan must be one finite number"),
    (START, NEXT, {"reward": 1e39}, r"reward = 1e\+39 must be one finite number, at most 3.4e\+38 either way"),
    (START, NEXT, {"reward": None}, "reward = None"),
    (START, NEXT, {"reward": "1"}, "reward = '1'"),
    (START, NEXT, {"reward": [1.0, 2.0]}, "reward = "),
    (START, NEXT, {"terminated": None}, "terminated = None must be True or False"),
    (START, NEXT, {"truncated": 2}, "truncated = 2 must be True or False"),
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


@pytest.mark.parametrize(("action", "words"), [
    (["a", "b"], r"action must be numbers of the shape \[2\], not no numbers"),
    ([1.0], r"not \[1\]"),
    ([[1.0], [1.0, 2.0]], "not no numbers"),
    ([1.0, float("nan")], "action must be finite"),
    ([1.0, 1e39], "action must be finite"),
    ([1.0, 1j], "not no numbers"),
    (None, "not no numbers"),
])  # fmt: skip
@pytest.mark.parametrize("codec", ["raw", "lz4"])
def test_an_action_that_cannot_be_stored_leaves_no_row(action, words, codec):
    buffer = edgerl.ReplayBuffer(budget=20_000, observation=(8, 8), action=(2,), codec=codec, prioritized=True)
    frame = np.ones((8, 8), np.uint8)
    with pytest.raises(edgerl.ConfigError, match=words):
        buffer.add(frame, action, 9.0, frame, terminated=False)
    assert len(buffer) == 0
    buffer.add(frame, [1, True], np.float64(2), frame, terminated=np.bool_(False), truncated=0)
    buffer.add(frame, np.float16([0, 1]), np.ones(1), frame, terminated=1)
    buffer.add(frame, [0, 0], 0, frame, terminated=False)
    batch = buffer.sample(64)
    assert set(map(tuple, batch.action.tolist())) == {(1.0, 1.0), (0.0, 1.0)}
    assert set(batch.reward.tolist()) == {2.0, 1.0}


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
    ({"n_step": 500}, "n_step=500 take 505"),
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
    ({"prioritized": "no"}, "prioritized = 'no' must be True or False"),
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
        (index, np.array([1, 2, np.nan, 3]), "losses must be from 0 to 1e\\+30"),
        (index, np.array([1, 2, -5.0, 3]), "of TD errors give the absolute values"),
        (index, np.array([1, 2, 1e308, 3]), "losses must be from 0"),
        (index, ["a", "b", "c", "d"], "losses must be numbers"),
        (index, [[1], [1, 2]], "losses must be numbers"),
        (index, np.ones(3), "do not belong"),
        (index + 10_000, np.ones(4), "index must be a batch's"),
        (index.astype(float), np.ones(4), "do not belong"),
    ]:
        with pytest.raises(edgerl.ConfigError, match=words):
            player.buffer.update_priorities(wrong, losses)
    for wrong in ({"batch_size": 0}, {"beta": 2.0}):
        with pytest.raises(edgerl.ConfigError, match=next(iter(wrong))):
            player.buffer.sample(**{"batch_size": 4} | wrong)
