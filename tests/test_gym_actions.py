"""Action spaces of Gymnasium: how actions of every kind arrive, and which are refused."""

from enum import Enum

import numpy as np
import pytest
from shown import RED, Shown, box, made

from edgerl.errors import EnvError

from gymnasium import spaces  # isort: skip


@pytest.mark.parametrize("start", [5, -1, 0])
def test_choices_begin_where_the_space_begins(start):
    inner = Shown(box((24, 30, 3)), RED, actions=spaces.Discrete(3, start=start))
    env = made(inner)
    for action in range(env.actions):
        env.step(action)
    assert inner.given == [start, start + 1, start + 2]
    assert all(given in inner.action_space for given in inner.given)


@pytest.mark.parametrize(
    ("space", "first", "last"),
    [
        (spaces.MultiDiscrete([3, 2]), [[0, 0], [0, 1], [1, 0]], [2, 1]),
        (spaces.MultiDiscrete([2, 3], start=[1, -1]), [[1, -1], [1, 0], [1, 1]], [2, 1]),
        (
            spaces.MultiDiscrete([[2, 2], [1, 2]]),
            [[[0, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 1], [0, 0]]],
            [[1, 1], [0, 1]],
        ),
        (spaces.MultiDiscrete([5, 51]), [[0, 0], [0, 1], [0, 2]], [4, 50]),
    ],
)
def test_combinations_follow_each_other_the_last_component_fastest(space, first, last):
    inner = Shown(box((24, 30, 3)), RED, actions=space)
    env = made(inner)
    assert env.actions == np.prod(space.nvec)
    for action in (0, 1, 2, env.actions - 1):
        env.step(action)
    np.testing.assert_array_equal(inner.given, [*first, last])
    assert all(given in space for given in inner.given)
    assert env.interface.meanings[1] == " ".join(map(str, np.ravel(first[1])))


@pytest.mark.parametrize(
    ("space", "line"),
    [
        (spaces.MultiDiscrete([16, 17]), r"272 actions; 256 is the most"),
        (spaces.Discrete(300), r"300 actions; 256 is the most"),
        (spaces.Box(-np.inf, np.inf, (2,)), r"it must have bounds"),
        (spaces.Box(-np.inf, 1, (2,)), r"it must have bounds"),
        (spaces.Box(-1, 1, (2, 2)), r"it must be Discrete or MultiDiscrete"),
        (spaces.Box(-5, 5, (2,), np.int64), r"it must be Discrete or MultiDiscrete"),
        (spaces.Tuple([spaces.Discrete(2)]), r"it must be Discrete or MultiDiscrete"),
    ],
)
def test_actions_that_agents_have_not_are_refused(space, line):
    with pytest.raises(EnvError, match=f"^--env: mine:made is acted in by .*{line}"):
        made(Shown(box((24, 30, 3)), RED, actions=space))


def test_vectors_reach_uneven_bounds_and_rounding_does_not_pass_them():
    rng = np.random.default_rng(0)
    low, width = rng.uniform(-9, 9, 50).astype(np.float32), rng.uniform(0, 300, 50).astype(np.float32)
    space = spaces.Box(low, low + width)
    inner = Shown(box((24, 30, 3)), RED, actions=space)
    env = made(inner)
    for value in (-1, 1, 0, -3, 3):
        env.step(np.full(50, value, np.float32))
    np.testing.assert_array_equal(inner.given[0], space.low)
    np.testing.assert_array_equal(inner.given[1], space.high)
    np.testing.assert_allclose(inner.given[2], (space.low + space.high) / 2, atol=1e-5)
    assert all(given in space for given in inner.given)


def test_an_environment_that_writes_into_its_action_is_given_each_repetition_anew():
    class Halving(Shown):
        def step(self, action):
            returned = super().step(action.copy())
            action *= 0.5
            return returned

    inner = Halving(box((24, 30, 3)), RED, actions=spaces.Box(-1, 1, (2,)))
    made(inner, frame_skip=3).step(np.float32([0.8, -0.4]))
    np.testing.assert_allclose(inner.given, [[0.8, -0.4]] * 3, rtol=1e-6)


class Keys(Enum):
    LEFT, STAY, RIGHT = range(3)


@pytest.mark.parametrize(("said", "meanings"), [
    (["left", "stay", "right"], ("left", "stay", "right")),
    (Keys, ("LEFT", "STAY", "RIGHT")),
    ({0: "left", 1: "stay", 2: "right"}, None),  # its keys are no texts
    (["left", "right"], None),  # of another number of actions
    (7, None),
    (SystemExit(), None),
])  # fmt: skip
def test_meanings_of_actions_are_texts_for_each_or_there_are_none(said, meanings):
    class Told(Shown):
        def get_action_meanings(self):
            if isinstance(said, BaseException):
                raise said
            return said

    env = made(Told(box((24, 30, 3)), RED))
    assert (env.interface.meanings, env.interface.resize) == (meanings, "area")
