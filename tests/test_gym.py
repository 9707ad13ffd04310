"""Gymnasium: real classic control, drawn, and environments made for what a real one would not show."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from edgerl.envs import (
    gym,  # noqa: F401  before pygame: it says how to draw without a screen
    suites,
)
from edgerl.envs.base import EnvSpec
from edgerl.errors import EnvError, EnvFailed

import gymnasium  # isort: skip
from gymnasium import spaces  # isort: skip


class Painted(gymnasium.Env):
    """Shows pixels itself, each channel in its own brightness, and keeps the actions it was given."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, shape=(50, 60, 3), actions=None, pixels=True, reward=1.0, render_mode=None):
        self.observation_space = spaces.Box(0, 255, shape, np.uint8 if pixels else np.float32)
        self.action_space = spaces.Discrete(3, start=-1) if actions is None else actions
        self.reward, self.render_mode, self.given, self.draws = reward, render_mode, [], not pixels

    def picture(self):
        shape = self.observation_space.shape
        return np.broadcast_to(np.array([200, 100, 10][: shape[2]] if len(shape) == 3 else 200, np.uint8), shape).copy()

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self.picture(), {}

    def step(self, action):
        self.given.append(action)
        return self.picture(), self.reward() if callable(self.reward) else self.reward, False, False, {}

    def render(self):
        return self.picture()


class Blind(Painted):
    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012


gymnasium.register("Painted-v0", Painted)
gymnasium.register("Blind-v0", Blind)


@pytest.fixture
def painted(monkeypatch):
    """Make gym/Painted-v0 with these settings: the environment, and the Painted in it."""

    def build(name="Painted-v0", **settings):
        monkeypatch.setattr(gymnasium.registry[name], "kwargs", settings)
        env = make(name)
        return env, env.env.env._simulator._env.unwrapped

    return build


def make(name):
    return suites.make(f"gym/{name}", np.random.default_rng(0), training=True)


def test_discrete_actions_come_with_four_gray_frames_and_blank_ones_before():
    env = make("CartPole-v1")
    assert env.spec == suites.describe("gym/CartPole-v1") == EnvSpec((84, 84), 4, 2, 1)
    timestep, seen = env.reset(), [np.zeros((84, 84), np.uint8)] * 3
    while not timestep.over:  # until the pole has fallen
        seen.append(env.window[-1].copy())
        np.testing.assert_array_equal(env.window, seen[-4:])
        timestep = env.step(1)
    assert timestep[1:] == (1.0, True, False, True)
    assert len({frame.tobytes() for frame in seen}) > 5


def test_continuous_actions_come_with_three_coloured_frames_and_a_time_limit_is_no_end():
    env = make("Pendulum-v1")
    assert env.spec == suites.describe("gym/Pendulum-v1") == EnvSpec((3, 100, 100), 3, 1, 1, True, True)
    timestep, steps = env.reset(), 0
    assert (env.window == env.window[-1]).all()
    while not timestep.over:
        timestep, steps = env.step(np.ones(1, np.float32)), steps + 1
    assert (steps, timestep.terminated, timestep.truncated) == (200, False, True)


@pytest.mark.parametrize(
    ("shape", "gray", "colours"),
    [((50, 60), 200, [200] * 3), ((50, 60, 1), 200, [200] * 3), ((50, 60, 3), 120, [200, 100, 10])],
)
def test_pixels_that_an_environment_observes_are_taken_as_they_are(painted, shape, gray, colours):
    """120: 0.299 x 200 + 0.587 x 100 + 0.114 x 10."""
    env, inner = painted(shape=shape)
    inner.render = None
    assert (env.reset().window[-1] == gray).all()
    env, _ = painted(shape=shape, actions=spaces.Box(-1, 1, (2,)))
    assert (env.reset().window == np.array(colours)[:, None, None]).all()


def test_actions_are_put_where_the_space_has_them(painted):
    env, inner = painted()
    env.reset()
    for action in range(env.actions):
        env.step(action)
    assert inner.given == [-1, 0, 1]
    env, inner = painted(actions=spaces.Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32)))
    env.reset()
    for action in ([-1, -1], [0, 0], [1, 1], [5, -5]):
        env.step(np.array(action, np.float32))
    np.testing.assert_array_equal(inner.given, np.array([[-2, 0], [0, 0.5], [2, 1], [2, 0]], np.float32))
    assert all(given in inner.action_space for given in inner.given)


@pytest.mark.parametrize(
    ("name", "settings", "line"),
    [
        ("Painted-v0", {"actions": spaces.MultiBinary(3)}, r"is acted in by MultiBinary\(3\)"),
        ("Painted-v0", {"actions": spaces.Box(-np.inf, 1, (2,))}, r"is acted in by Box\(-inf"),
        ("Painted-v0", {"actions": spaces.Box(-1, 1, (2, 2))}, r"is acted in by Box\(-1.0"),
        ("Painted-v0", {"shape": (0, 0)}, r"cannot be shown: its render\(\) gives uint8 \[0, 0\]"),
        ("Painted-v0", {"nonsense": 1}, "cannot be made: TypeError"),
        ("Blind-v0", {"pixels": False}, r"shows no pixels: it observes Box.* and draws no rgb_array"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(painted, name, settings, line):
    with pytest.raises(EnvError, match=f"^--env: gym/{name} {line}") as refused:
        painted(name, **settings)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["cartpole", "CartPole-v7", "CartPoole-v1"])
def test_an_unknown_id_names_the_nearest(name):
    with pytest.raises(EnvError, match="perhaps gym/CartPole-v1"):
        make(name)


@pytest.mark.parametrize(
    ("missing", "line"), [("gymnasium", "needs the package gymnasium"), ("pygame", "cannot be shown: .*pygame")]
)
def test_a_missing_package_is_one_line_before_the_first_step(missing, line):
    program = f"import sys; sys.modules[{missing!r}] = None\nfrom edgerl.envs import suites"
    program += "; from numpy.random import default_rng"
    program += "\ntry: suites.make('gym/CartPole-v1', default_rng(0), training=True)"
    program += "\nexcept ValueError as error: print(error)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ)
    assert (found.stdout.count("\n"), found.stderr) == (1, "")
    assert re.search(f"^--env: gym.* {line}.*pip install -c constraints.txt -e '.\\[gym\\]'", found.stdout)


@pytest.mark.parametrize(
    ("reward", "line"), [(float("nan"), "the reward is nan"), (lambda: 1 / 0, "ZeroDivisionError")]
)
def test_what_fails_on_the_way_is_one_line_with_the_environments_name(painted, reward, line):
    env, _ = painted(reward=reward)
    env.reset()
    with pytest.raises(EnvFailed, match=f"^gym/Painted-v0 failed: .*{line}"):
        env.step(0)


def test_an_atari_game_does_not_load_gymnasium():
    program = "import sys; from edgerl.envs import suites; from numpy.random import default_rng"
    program += "; suites.make('atari/pong', default_rng(0), training=True); print('gymnasium' in sys.modules)"
    program += "; import gymnasium; print(gymnasium.__name__)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ)
    assert found.stdout.split() == ["False", "gymnasium"], found.stderr
