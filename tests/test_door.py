"""Environments of users' own that misbehave: what the door lets in, and what it refuses."""

import numpy as np
import pytest
from misbehaving import opened, place

from edgerl.envs.base import Interface
from edgerl.errors import EnvFailed
from edgerl.types import TimeStep


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ManyActions", "its spec has 300 actions; allowed are 256 at most"),
        ("NoAction", "its spec has actions = 0; allowed is a whole number from 1"),
        ("OtherActions", "it has 3 actions, its spec 2"),
        ("FlatSpec", "its spec's frame is 84; allowed is (H, W) or (C, H, W)"),
        ("FloatLimit", "its most_steps is 500.0; allowed is a whole number from 1, or None"),
        ("FloatWindow", "the window is float32 [2, 84, 84]; allowed is uint8 [2, 84, 84]"),
        ("SmallWindow", "the window is uint8 [2, 80, 80]; allowed is uint8 [2, 84, 84]"),
        ("Five", "step() gave a tuple of 5, as Gymnasium's environments do, not a TimeStep(window, reward"),
        ("ResetOfTwo", "reset() gave a tuple of 2, as Gymnasium's environments do, not a TimeStep(window, reward"),
        ("Huge", "the reward is 1e+308; allowed is a number that float32 holds"),
        ("Numbered", "state() raised TypeError: the second part of a state holds values by name; names are text"),
        ("Misspelt", f"AttributeError: 'Misspelt' object has no attribute 'rmg' {place('self.rmg')}"),
        ("Leaving", f"SystemExit: 0 {place('sys.exit')}"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_before_step_0_and_closed(name, line, mine, program, tmp_path):
    settings = ("--budget", "3MB", "--freeze-at", "never", "--steps", 100, "--eval-every", 50)
    code, _, lines = program("train", "--env", f"mine:{name}", *settings, "--out", tmp_path / "run")
    assert (code, len(lines)) == (2, 1), lines
    assert line in lines[0]
    assert not (tmp_path / "run").exists()
    assert set(mine.closed) == set(mine.made)


def test_a_first_reset_that_fails_is_refused_before_step_0(mine, program, tmp_path):
    mine.faults["reset"] = 1
    code, _, lines = program("train", "--env", "mine:Plain", "--budget", "3MB", "--out", tmp_path / "run")
    assert code == 2
    assert lines[-1].endswith(f"plain failed: reset() raised ValueError: no more reset of two lines {place('raise V')}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "reward"),
    [(1, 1.0), (np.float32(0.5), 0.5), (np.int64(-3), -3.0), (np.array([2.0]), 2.0), (np.array(7), 7.0), (True, 1.0)],
)
def test_a_number_of_any_kind_is_a_reward(given, reward, mine, monkeypatch):
    env, step = opened("Plain"), mine.Plain.step
    monkeypatch.setattr(mine.Plain, "step", lambda self, action: step(self, action)._replace(reward=given))
    env.reset()
    timestep = env.step(0)
    assert (timestep.reward, type(timestep.reward)) == (reward, float)


@pytest.mark.parametrize("given", [True, np.bool_(True), 1, 1.0, np.array([True]), np.uint8(1)])
def test_a_flag_of_any_kind_is_true_or_false(given, mine, monkeypatch):
    env, step = opened("Plain"), mine.Plain.step
    flags = {"terminated": given, "over": given, "truncated": given * 0}
    monkeypatch.setattr(mine.Plain, "step", lambda self, action: step(self, action)._replace(**flags))
    env.reset()
    assert [flag for flag in env.step(0)[2:] if isinstance(flag, bool)] == [True, False, True]


@pytest.mark.parametrize(
    ("field", "given", "line"),
    [
        *(("reward", value, f"the reward is {value!r}; allowed is") for value in (None, "1.0", [1.0, 2.0], 1e39, 1j)),
        *(("reward", float(value), f"the reward is {value}; allowed is") for value in ("nan", "inf", "-inf")),
        *(("terminated", value, f"terminated is {value!r}; allowed is") for value in (None, 2, "no", [True, False])),
        ("over", float("nan"), "over is nan; allowed is True or False"),
        ("window", None, "the window is a NoneType; allowed is uint8"),
        ("window", np.zeros((2, 84, 84)), "the window is float64 [2, 84, 84]; allowed is uint8"),
        ("window", np.zeros((4, 84, 84), np.uint8), "the window is uint8 [4, 84, 84]; allowed is uint8 [2, 84, 84]"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line(field, given, line, mine, monkeypatch):
    env, step = opened("Plain"), mine.Plain.step
    monkeypatch.setattr(mine.Plain, "step", lambda self, action: step(self, action)._replace(**{field: given}))
    env.reset()
    with pytest.raises(EnvFailed) as failed:
        env.step(0)
    assert str(failed.value).startswith(f"plain failed: {line}")
    assert "\n" not in str(failed.value)


def test_a_vector_that_an_environment_writes_into_stays_what_the_agent_chose(mine, monkeypatch):
    step, given = mine.Plain.step, []

    def scaling(self, action):
        given.append(action.copy())
        action *= 10
        return step(self, 0)

    monkeypatch.setattr(mine.Plain, "spec", mine.Plain.spec._replace(continuous=True))
    monkeypatch.setattr(mine.Plain, "step", scaling)
    env, chosen = opened("Plain"), np.array([0.5, -1], np.float32)
    env.reset()
    env.step(chosen)
    assert chosen.tolist() == given[0].tolist() == env.state()[0]["taken"][0].tolist() == [0.5, -1]


def test_a_game_that_is_over_in_mid_episode_is_one_line(mine):
    env = opened("OverAlone")
    env.reset()
    for _ in range(6):
        env.step(0)
    with pytest.raises(EnvFailed, match="over is True, but neither terminated nor truncated is"):
        env.step(0)


def test_what_an_environment_calls_its_interface_may_be_its_own(mine):
    assert opened("OfAPort").interface == Interface()


def test_what_is_right_passes_as_it_is(mine):
    given = TimeStep(np.zeros((2, 84, 84), np.uint8), 1.0, False, False, False)
    env = opened("Plain")
    env.env.step = lambda action: given
    assert env.step(0) is given
    assert env.window is given.window
