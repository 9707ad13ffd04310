"""Environments without a state of their own: a resume plays the episode again, or says that it starts again."""

import numpy as np
import pytest
import safetensors.numpy
from simulators import environment
from stopping import stopped_after

from edgerl.envs import suites
from edgerl.envs.base import EnvOptions, EnvSpec
from edgerl.envs.resumable import Resumable
from edgerl.errors import EpisodeLost
from edgerl.training import train

MODULE = """
import itertools

import numpy as np
from edgerl.envs.base import EnvSpec
from edgerl.types import TimeStep

count = itertools.count()


class Walk:
    \"\"\"A random walk of 30 steps whose drift is drawn at the reset; frames show where it stands.\"\"\"

    spec = EnvSpec((84, 84), 2, 3, 1)
    actions = 3

    def __init__(self, rng):
        self.rng, self.window = rng, np.zeros((2, 84, 84), np.uint8)

    def reset(self):
        self.place, self.age, self.drift = 40, 0, int(self.rng.integers(-2, 3))
        self.window[:] = 0
        return self.look(0.0)

    def step(self, action):
        self.place = int(self.place + action - 1 + self.drift + self.rng.integers(-1, 2)) % 84
        self.age += 1
        return self.look(float(self.place == 83))

    def look(self, reward):
        self.window[0] = self.window[1]
        self.window[1] = 0
        self.window[1, self.place] = 255
        return TimeStep(self.window, reward, False, self.age == 30, self.age == 30)


class Unseeded(Walk):
    \"\"\"Begins elsewhere every time, whatever the generator says.\"\"\"

    def reset(self):
        super().reset()
        self.place = next(count) % 84
        return self.look(0.0)


class Remembering(Walk):
    \"\"\"Counts its episodes. Its rewards grow with them.\"\"\"

    episodes = 0

    def reset(self):
        self.episodes += 1
        return super().reset()

    def step(self, action):
        return super().step(action)._replace(reward=float(self.episodes))


class Lengthening(Remembering):
    \"\"\"Its episodes grow longer.\"\"\"

    def step(self, action):
        return Walk.step(self, action)._replace(reward=0.0, truncated=self.age == 20 + self.episodes)
"""
SETTINGS = {"learn_start": 60, "batch_size": 4, "n_step": 2, "hidden": 16}


@pytest.fixture
def walks(tmp_path, monkeypatch):
    (tmp_path / "walks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def stopped_and_resumed(config, folder, step=105):
    """A run that a Ctrl-C ended after this step, in the middle of an episode, and then resumed."""
    with stopped_after(step):
        assert train.train(config, folder, quiet=True)["steps"] == step
    return train.train(config, folder, resume=True, quiet=True)


def test_playing_the_episode_again_leads_to_the_same_run(small, walks):
    config = small("walks:Walk", run={"steps": 160, "freeze_at": 130}, replay=SETTINGS)
    whole = train.train(config, walks / "whole", quiet=True)
    found = stopped_and_resumed(config, walks / "parts")
    assert whole["episodes_restarted"] == found["episodes_restarted"] == 0
    arrays, again = (
        safetensors.numpy.load_file(walks / name / "checkpoint/000000160/weights.safetensors")
        for name in ("whole", "parts")
    )
    assert arrays.keys() == again.keys()
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    assert len(again["env.taken"]) > 0


@pytest.mark.parametrize(
    ("name", "kept"),
    [("Unseeded", True), ("Unseeded", False), ("Remembering", True)],
    ids=["pixels", "latents", "rewards"],
)
def test_where_that_leads_elsewhere_the_episode_starts_again_and_the_summary_says_so(small, walks, name, kept):
    freeze_at = None if kept else 100
    config = small(f"walks:{name}", run={"steps": 160, "freeze_at": freeze_at}, replay=SETTINGS)
    found = stopped_and_resumed(config, walks / "run")
    assert (found["status"], found["steps"], found["episodes_restarted"]) == ("finished", 160, 1)
    # Five episodes of 30 steps at most, each cut off with a row of its own, and the one that was cut by the resume.
    assert found["replay"]["rows"] >= 160 + 1


@pytest.mark.parametrize("name", ["Remembering", "Lengthening"])
def test_what_an_environment_remembers_from_before_its_episode_leads_elsewhere(name, walks):
    first, second, third = (suites.make(f"walks:{name}", np.random.default_rng(0), training=True) for _ in range(3))
    for _ in range(3):
        first.reset()
    for _ in range(22):
        first.step(1)
    arrays, values = first.state()
    with pytest.raises(EpisodeLost, match="playing it again led elsewhere"):
        second.restore(arrays, values)
    if name == "Remembering":  # as checkpoints were before they held sums of rewards
        del values["rewards"]
        third.restore(arrays, values)
        np.testing.assert_array_equal(third.window, first.window)


def test_a_failing_replay_says_why():
    class Gone:
        spec, actions, window = EnvSpec((2, 2), 1, 2, 1), 2, np.zeros((1, 2, 2), np.uint8)

        def reset(self):
            raise RuntimeError("the simulator is gone")

    env = Resumable(Gone(), np.random.default_rng(0), "gone")
    arrays, values = env.state()
    with pytest.raises(EpisodeLost, match="the simulator is gone"):
        env.restore(arrays, values)


def drawn(name, seed):
    """An environment that draws its frames, in the middle of its seed-th episode, and its simulator."""
    repeat = 2 if name.startswith("dmc/") else None
    env = suites.make(name, np.random.default_rng(seed), training=True, options=EnvOptions(action_repeat=repeat))
    for _ in range(seed):
        env.reset()
    env.step(moves(env, 1)[0])
    return env, env.env.env._simulator


def moves(env, count):
    rng = np.random.default_rng(0)
    if not env.spec.continuous:
        return rng.integers(env.actions, size=count)
    return rng.uniform(-1, 1, (count, env.actions)).astype(np.float32)


DRAWN = ["dmc/reacher-easy", "dmc/cartpole-swingup", "gym/CartPole-v1", "gym/Pendulum-v1", "gym/Acrobot-v1"]


@pytest.mark.parametrize("name", [*DRAWN, pytest.param("dmc/quadruped-escape", marks=pytest.mark.long)])
def test_a_drawn_episode_goes_on_bit_for_bit_and_only_its_last_frame_is_drawn_again(name, monkeypatch):
    """The reacher's target and the quadruped's terrain are no part of the physics' state."""
    (env, _), (other, simulator) = drawn(name, 1), drawn(name, 2)
    draw, draws = simulator.frame, []
    monkeypatch.setattr(simulator, "frame", lambda: draws.append(1) or draw())
    for taken in (0, 5):
        env.reset()
        for action in moves(env, taken):
            env.step(action)
        arrays, values = env.state()
        arrays = {name: array.copy() for name, array in arrays.items()}
        draws.clear()
        other.restore(arrays, values)
        assert len(draws) == 1
        np.testing.assert_array_equal(other.window, arrays["window"])
        for action in moves(env, 3):
            one, same = env.step(action), other.step(action)
            assert one[1:] == same[1:]
            np.testing.assert_array_equal(one.window, same.window)
        np.testing.assert_array_equal(env.reset().window, other.reset().window)


class Sparks:
    """A simulator whose picture grows brighter each time that it is drawn."""

    spec, steps_per_second, most_steps = EnvSpec((2, 2), 3, 2, 1), 15.0, None

    def reset(self, seed):
        self.drawn = 0

    def step(self, action):
        return 0.0, False, False

    def frame(self):
        self.drawn += 1
        return np.full((2, 2), self.drawn, np.uint8)


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_simulator_that_drawing_changes_is_drawn_again(taken):
    """As LunarLander's sparks are, which grow older by being drawn."""
    env, other = (environment(Sparks(), "sparks") for _ in range(2))
    env.reset()
    for _ in range(taken):
        env.step(0)
    other.restore(*env.state())
    np.testing.assert_array_equal(other.window, env.window)
    np.testing.assert_array_equal(other.step(0).window, env.step(0).window)


def test_a_last_frame_that_was_not_seen_is_not_taken_for_the_same_episode(monkeypatch):
    env, simulator = drawn("gym/CartPole-v1", 1)
    arrays, values = env.state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    monkeypatch.setattr(simulator, "frame", lambda: np.full((84, 84), 7, np.uint8))
    with pytest.raises(EpisodeLost, match="led elsewhere"):
        env.restore(arrays, values)
