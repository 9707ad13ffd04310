"""`python -m edgerl_run --env`: pictures, actions and lengths of Gymnasium environments are those of training."""

import numpy as np
import policies
import pytest
from test_runner_command import BALANCE, SWING, command, scores  # noqa: F401  # command is a fixture

from edgerl.envs import suites
from edgerl.envs.base import interface

import gymnasium  # isort: skip  # after edgerl.envs, which says how to draw without a screen
from gymnasium import spaces  # isort: skip

KINDS = {  # the space of observations, and what is observed of a picture uint8 [24, 30, 3]
    "gray": (spaces.Box(0, 255, (24, 30), np.uint8), lambda seen: seen[..., 0]),
    "channels first": (spaces.Box(0, 255, (3, 24, 30), np.uint8), lambda seen: seen.transpose(2, 0, 1)),
    "transparent": (spaces.Box(0, 255, (24, 30, 4), np.uint8), lambda seen: np.dstack([seen, 255 - seen[..., 0]])),
    "floats": (spaces.Box(0, 1, (24, 30, 3), np.float32), lambda seen: (seen / 255).astype(np.float32)),
    "one of a Dict": (
        spaces.Dict({"score": spaces.Box(0, 9, (1,)), "image": spaces.Box(0, 255, (24, 30, 3), np.uint8)}),
        lambda seen: {"score": np.zeros(1, np.float32), "image": seen},
    ),
    "a board": (spaces.Box(0, 15, (4, 4), np.uint8), lambda seen: np.tile(np.uint8([15, 0, 0, 0]), (4, 1))),
}


class Sides(gymnasium.Env):
    """One side of its picture is bright, a random one; a step is rewarded with the action, 1 and more."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    choices, length = spaces.Discrete(2), 12

    def __init__(self, kind="gray", render_mode=None):
        self.observation_space, self.observed = KINDS[kind]
        self.action_space, self.render_mode = self.choices, render_mode

    def shown(self):
        self.picture = np.zeros((24, 30, 3), np.uint8)
        right = int(self.np_random.integers(2))
        self.picture[:, 15 * right : 15 * right + 15] = 200
        return self.observed(self.picture)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.shown(), {}

    def step(self, action):
        self.steps += 1
        return self.shown(), 1.0 + float(np.sum(action)), self.steps == self.length, False, {}

    def render(self):
        return self.picture


class Several(Sides):
    """Two actions, the combinations of two components, the last of which has two values."""

    choices = spaces.MultiDiscrete([1, 2])


class Endless(Sides):
    length = -1


class Quits(Sides):
    def step(self, action):
        raise SystemExit


class Narrow(Sides):
    """Takes vectors, and refuses what is not within its bounds, which no float32 equals."""

    choices = spaces.Box(-0.1, 0.1, (1,), np.float64)

    def step(self, action):
        assert self.choices.contains(action)
        return super().step(action)


for number, kind in enumerate(KINDS):
    gymnasium.register(f"Sides{number}-v0", Sides, kwargs={"kind": kind})
for game in (Several, Endless, Quits, Narrow):
    gymnasium.register(f"{game.__name__}-v0", game)


def policy_of(path, name, spec=BALANCE, **changes):
    """A policy of this environment, whose metadata says what an export says of it."""
    env = suites.make(f"gym/{name}", np.random.default_rng(0), training=False)
    environment = {"frame_skip": 1, "max_of_last_two": False, "observation": interface(env).observation} | changes
    make = policies.steering if spec.continuous else policies.balancing
    return make(path / "policy.onnx", policies.about(spec, "area", environment=environment))


@pytest.mark.parametrize("name", [*(f"Sides{number}-v0" for number in range(len(KINDS))), "Several-v0"])
def test_it_sees_the_pictures_that_training_sees(name, command, tmp_path):  # noqa: F811
    policy = policy_of(tmp_path, name)
    code, lines, errors = command(policy, "--env", f"gym:{name}", "--episodes", 2, "--seed", 3)
    (first, second) = found = scores(policy, f"gym/{name}", 2, 3)
    assert (code, lines[:2], errors) == (0, [f"game 1  score {first:g}", f"game 2  score {second:g}"], [])
    assert all(12 < score < 24 for score in found)  # it has acted both ways


def test_a_game_is_cut_where_evaluations_cut_it(command, tmp_path):  # noqa: F811
    policy = policy_of(tmp_path, "Endless-v0", most_steps=7)
    code, lines, errors = command(policy, "--env", "gym:Endless-v0", "--episodes", 1)
    assert (code, errors) == (0, [])
    assert 7 <= float(lines[0].split()[-1]) <= 14


def test_an_environment_that_leaves_is_named(command, tmp_path):  # noqa: F811
    policy = policy_of(tmp_path, "Quits-v0")
    assert command(policy, "--env", "gym:Quits-v0") == (1, [], ["edgerl_run: Quits-v0 failed: SystemExit"])


def test_vectors_stay_within_bounds_that_float32_rounds(command, tmp_path):  # noqa: F811
    about = policies.about(SWING, "area", environment={"observation": "render"})
    policy = policies.steering(tmp_path / "policy.onnx", about)  # it steers by brightness: up to 0.39, far outside
    code, lines, errors = command(policy, "--env", "gym:Narrow-v0", "--episodes", 1)
    assert (code, len(lines), errors) == (0, 2, [])


@pytest.mark.parametrize(("said", "words"), [
    ({"frame_skip": 0}, "says frame_skip = 0, which is no number of steps"),
    ({"most_steps": 2.5}, "says most_steps = 2.5, which is no number of steps"),
    ({"observation": {"key": 3}}, "which names no picture"),
    ({"observation": "all"}, "says observation = 'all', which names no picture"),
    (["frame_skip"], "says of the environment ['frame_skip'], which is no table"),
])  # fmt: skip
def test_what_no_environment_can_be_is_refused(said, words, command, tmp_path):  # noqa: F811
    policy = policies.balancing(tmp_path / "policy.onnx", policies.about(BALANCE, "area", environment=said))
    code, lines, (error,) = command(policy, "--env", "gym:Sides0-v0")
    assert (code, lines) == (2, [])
    assert words in error
