"""Gymnasium environments of users' own that misbehave, as `gym/...`: the same door as for all others."""

import os
import socket
import sys

import numpy as np
import pytest
from misbehaving import SMALL
from remaining import assert_same
from stopping import stopped_after

import edgerl
from edgerl.envs import (
    gym,  # noqa: F401  before pygame: it says how to draw without a screen
    suites,
)
from edgerl.errors import EnvError, EnvFailed

import gymnasium  # isort: skip
from gymnasium import spaces  # isort: skip

HERE = os.path.relpath(__file__)


class Striped(gymnasium.Env):
    """Shows a stripe that moves; seven steps an episode, each of which counts `reward`."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    resets, fails_at = 0, None  # of all of them; which one fails

    def __init__(self, reward=1.0, length=7, dimensions=0, render_mode=None):
        self.observation_space = spaces.Box(0, 255, (24, 24, 3), np.uint8)
        self.action_space = spaces.Box(-1, 1, (dimensions,), np.float32) if dimensions else spaces.Discrete(3)
        self.reward, self.length, self.render_mode, self.age = reward, length, render_mode, 0

    def picture(self):
        picture = np.zeros((24, 24, 3), np.uint8)
        picture[self.age % 24] = 200
        return picture

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        Striped.resets += 1
        if Striped.resets == Striped.fails_at:
            raise ConnectionError("simulator gone")
        self.age = 0
        return self.picture(), {}

    def step(self, action):
        self.age += 1
        reward = self.reward(self.age) if callable(self.reward) else self.reward
        return self.picture(), reward, self.age == self.length, False, {}


class OfNumpy(Striped):
    def step(self, action):
        picture, reward, terminated, truncated, info = super().step(action)
        return picture, np.float32(reward), np.bool_(terminated), np.bool_(truncated), info


class Port(Striped):
    port = 0

    def __init__(self, **settings):
        super().__init__(**settings)
        self.socket = socket.socket()
        try:
            self.socket.bind(("127.0.0.1", Port.port))
        except OSError:
            self.socket.close()
            raise
        Port.port = self.socket.getsockname()[1]

    def close(self):
        self.socket.close()


class Unlicensed(Striped):
    def __init__(self, **settings):
        raise RuntimeError("no licence")


class Leaving(Striped):
    def __init__(self, **settings):
        sys.exit(0)


class Global(Striped):
    def step(self, action):
        picture, _, terminated, _, info = super().step(action)
        return picture, float(np.random.rand()), terminated, np.random.rand() < 0.1, info  # noqa: NPY002


for kind in (Striped, OfNumpy, Port, Unlicensed, Leaving, Global):
    gymnasium.register(f"{kind.__name__}Door-v0", kind)


@pytest.fixture
def configured(monkeypatch):
    """Configure a short run of one of them, made with these settings."""

    def configure(name, settings=None, **changes):
        monkeypatch.setattr(gymnasium.registry[f"{name}Door-v0"], "kwargs", settings or {})
        monkeypatch.setattr(Port, "port", 0)
        monkeypatch.setattr(Striped, "resets", 0)
        return edgerl.configure(env=f"gym/{name}Door-v0", **SMALL | {"steps": 40} | changes)

    return configure


def leave(age):
    if age == 5:
        sys.exit(0)
    return 0.0


@pytest.mark.parametrize(
    ("reward", "line"),
    [
        (lambda age: float("inf") if age == 5 else 0.0, "the reward is inf; allowed is a number that float32 holds"),
        (lambda age: 1e308 if age == 5 else 0.0, r"the reward is 1e\+308; allowed is a number that float32 holds"),
        (lambda age: None if age == 5 else 0.0, "the reward is None; allowed is a number that float32 holds"),
        (leave, rf"step\(\) raised SystemExit: 0 \({HERE}, line \d+\)"),
    ],
    ids=["infinity", "huge", "none", "exit"],
)
def test_a_step_that_fails_is_a_line_and_a_checkpoint(reward, line, configured, tmp_path):
    config = configured("Striped", {"reward": reward})
    with pytest.raises(EnvFailed, match=f"^step 4: gym/StripedDoor-v0 failed: {line}; the whole traceback is in "):
        edgerl.train(config, tmp_path / "run")
    assert (tmp_path / "run/checkpoint/000000004").exists()
    assert (tmp_path / "run/environment-error.txt").exists()


def test_a_reset_that_fails_loses_no_step(configured, tmp_path, monkeypatch):
    config = configured("Striped")
    whole = edgerl.train(config, tmp_path / "whole")
    Striped.resets = 0
    monkeypatch.setattr(Striped, "fails_at", 5)  # the first is of the making, the second before step 0
    with pytest.raises(EnvFailed, match=r"^step 21: .*reset\(\) raised ConnectionError: simulator gone"):
        edgerl.train(config, tmp_path / "parts")
    resumed = edgerl.train(config, tmp_path / "parts", resume=True)
    assert resumed["episodes_restarted"] == whole["episodes_restarted"] == 0
    assert_same(tmp_path / "whole", tmp_path / "parts", 40)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Unlicensed", rf"cannot be made: RuntimeError: no licence \({HERE}, line \d+\)$"),
        ("Leaving", rf"SystemExit: 0 \({HERE}, line \d+\)$"),
    ],
)
def test_what_cannot_be_made_names_the_line(name, line):
    with pytest.raises(EnvError, match=rf"^--env: .*gym/{name}Door-v0.* {line}"):
        suites.make(f"gym/{name}Door-v0", np.random.default_rng(0), training=True)


def test_numbers_of_numpy_are_taken(configured, tmp_path):
    ended = edgerl.train(configured("OfNumpy", eval_every=40), tmp_path / "run")
    assert (ended["status"], ended["returns"][0]["mean"]) == ("finished", 7.0)


def test_what_binds_a_port_is_evaluated_on_itself(configured, tmp_path, capsys):
    ended = edgerl.train(configured("Port", eval_every=10), tmp_path / "run", quiet=False)
    assert [entry["step"] for entry in ended["returns"]] == [14, 21, 35, 40]
    said = capsys.readouterr().err
    assert "evaluations are played on the training environment, after an episode: " in said
    assert "Address already in use" in said
    with socket.socket() as free:
        free.bind(("127.0.0.1", Port.port))  # it was closed


def test_chance_of_its_own_begins_another_episode_at_a_resume(configured, tmp_path):
    config = configured("Global")
    with stopped_after(25):
        edgerl.train(config, tmp_path / "run")
    assert edgerl.train(config, tmp_path / "run", resume=True)["status"] == "finished"


@pytest.mark.parametrize(("algo", "dimensions"), [("rainbow", 0), ("curl", 2)])
def test_an_episode_without_an_end_is_trained_on_and_its_games_are_cut(algo, dimensions, configured, tmp_path):
    changes = {"algo": algo, "steps": 12, "eval_every": 12, "eval_max_steps": 6, "learn_start": 8, "n_step": 1}
    if algo == "curl":
        changes |= {"encoder": "curl", "batch_size": 2}
    config = configured("Striped", {"length": 0, "dimensions": dimensions}, **changes)
    ended = edgerl.train(config, tmp_path / "run")
    assert (ended["returns"][0]["scores"], ended["returns"][0]["cut"]) == ([6.0, 6.0], 2)


def test_a_time_limit_of_its_own_is_the_limit_of_a_game(configured):
    env = suites.make("gym/CartPole-v1", np.random.default_rng(0), training=False)
    assert env.most_steps == 500
    env.close()
