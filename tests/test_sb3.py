"""`edgerl.sb3.BudgetReplayBuffer` beside stable-baselines3's own buffers: the same windows to the bit, and training.

They need stable-baselines3: `make test-peers` runs them in an environment of their own. Elsewhere they are skipped.
"""

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
import gymnasium as gym
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecTransposeImage

import edgerl
from edgerl.replay.buffer import LAST
from edgerl.sb3 import BudgetReplayBuffer

SIDE, LIMIT = 36, 9


class Screen(gym.Env):
    """Pictures that tell the steps of an episode; it terminates at random, and is cut off after LIMIT steps."""

    def __init__(self, number=0, channels=1, continuous=False):
        self.observation_space = spaces.Box(0, 255, (SIDE, SIDE, channels), np.uint8)
        self.action_space = spaces.Box(-1, 1, (2,), np.float32) if continuous else spaces.Discrete(3)
        self.rng, self.shown = np.random.default_rng(number), number * 100

    def picture(self):
        self.shown += 1
        picture = np.zeros(self.observation_space.shape, np.uint8)
        picture[:2] = np.array(divmod(self.shown, 250)).reshape(2, 1, 1) + 1
        picture[4:, :, -1] = self.rng.integers(0, 256)
        return picture

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.picture(), {}

    def step(self, action):
        return self.picture(), float(self.rng.normal()), bool(self.rng.random() < 0.1), False, {}


def environment(envs, *, history=4, **options):
    """So many screens at once, stacked as stable-baselines3 stacks them."""

    def make(number):
        return lambda: gym.wrappers.TimeLimit(Screen(number, **options), LIMIT)

    screens = VecTransposeImage(DummyVecEnv([make(number) for number in range(envs)]))
    return VecFrameStack(screens, history, "first") if history > 1 else screens


def play(env, steps, buffers):
    """Random steps into several buffers, as stable-baselines3 stores them."""
    obs = env.reset()
    for _ in range(steps):
        actions = np.array([env.action_space.sample() for _ in range(env.num_envs)])
        new_obs, rewards, dones, infos = env.step(actions)
        following = new_obs.copy()
        for number, info in enumerate(infos):
            if dones[number]:
                following[number] = info["terminal_observation"]
        for buffer in buffers:
            buffer.add(obs, following, actions, rewards, dones, infos)
        obs = new_obs


def mine(env, **options):
    """A buffer of this project for an environment."""
    options = {"budget": "2MB"} | options
    return BudgetReplayBuffer(10**6, env.observation_space, env.action_space, "cpu", env.num_envs, **options)


def windows_of(buffer, number):
    """All windows of one environment that have n steps ahead, by age."""
    replay = buffer.rows.replays[number]
    low, high = replay.startable
    rows = np.arange(low, high)
    rows = rows[(replay.ring.rows["flags"][replay.ring.slots(rows)] & LAST) == 0]
    return replay.batch(rows, np.ones(len(rows), np.float32))


@pytest.mark.parametrize(("envs", "history", "channels", "continuous"), [
    (1, 4, 1, False), (3, 4, 1, False), (2, 2, 3, True), (1, 1, 3, True), (2, 1, 1, False)
])  # fmt: skip
@pytest.mark.parametrize("codec", ["raw", "lz4"])
@pytest.mark.parametrize("handled", [True, False])
def test_every_window_is_the_one_stable_baselines3_stores(envs, history, channels, continuous, codec, handled):
    env = environment(envs, history=history, channels=channels, continuous=continuous)
    options = {"handle_timeout_termination": handled}
    own = mine(env, history=history, codec=codec, **options)
    theirs = ReplayBuffer(80 * envs, env.observation_space, env.action_space, "cpu", envs, **options)
    play(env, 80, [own, theirs])
    for number in range(envs):
        batch = windows_of(own, number)
        count = len(batch.obs)
        assert count >= 79
        assert np.array_equal(batch.obs, theirs.observations[:count, number])
        assert np.array_equal(batch.action.reshape(count, -1), theirs.actions[:count, number])
        assert np.array_equal(batch.reward, theirs.rewards[:count, number])
        dones = theirs.dones[:count, number] * (1 - theirs.timeouts[:count, number])
        assert np.array_equal(batch.discount == 0, dones == 1)
        goes_on = dones == 0
        assert np.array_equal(batch.next_obs[goes_on], theirs.next_observations[:count, number][goes_on])
    assert theirs.timeouts.any() == handled


@pytest.mark.parametrize("envs", [1, 2])
def test_n_step_windows_are_those_of_its_own_buffer(envs, monkeypatch):
    env = environment(envs)
    own = mine(env, n_steps=4, gamma=0.9)
    theirs = NStepReplayBuffer(80 * envs, env.observation_space, env.action_space, "cpu", envs, n_steps=4, gamma=0.9)
    play(env, 80, [own, theirs])
    for number in range(envs):
        batch = windows_of(own, number)
        count = len(batch.obs)
        assert count >= 70
        monkeypatch.setattr(np.random, "randint", lambda *a, size, number=number, **k: np.full(size, number))
        samples = theirs._get_samples(np.arange(count))
        monkeypatch.undo()
        assert np.array_equal(batch.obs, samples.observations)
        assert batch.reward == pytest.approx(samples.rewards.numpy()[:, 0], abs=1e-5)
        dones = samples.dones.numpy()[:, 0]
        assert np.array_equal(batch.discount == 0, dones == 1)
        assert batch.discount == pytest.approx(samples.discounts.numpy()[:, 0] * (1 - dones), rel=1e-5)
        assert np.array_equal(batch.next_obs[dones == 0], samples.next_observations.numpy()[dones == 0])


def test_a_sample_is_as_its_algorithms_take_it():
    env = environment(2, continuous=True)
    own, theirs = mine(env, n_steps=3), NStepReplayBuffer(200, env.observation_space, env.action_space, "cpu", 2)
    play(env, 60, [own, theirs])
    for ours, other in zip(own.sample(5), theirs.sample(5), strict=True):
        assert (ours.shape, ours.dtype, ours.device) == (other.shape, other.dtype, other.device)
    assert own.size() >= 60
    one = mine(env)
    play(env, 20, [one])
    assert one.sample(4).discounts is None


def test_a_reset_by_hand_cuts_episodes_off_and_reset_drops_all_rows():
    env = environment(2)
    own = mine(env)
    for _ in range(3):
        play(env, 4, [own])
    assert sum((replay.ring.rows["flags"] & LAST != 0).sum() for replay in own.rows.replays) >= 4
    own.reset()
    assert own.size() == 0


OPTIONS = {"learning_starts": 40, "batch_size": 8, "seed": 1, "device": "cpu"}


def model_of(algorithm, envs, budget="1MB", **changes):
    """A small model with this project's buffer."""
    own = {"replay_buffer_class": BudgetReplayBuffer, "replay_buffer_kwargs": {"budget": budget} | changes}
    own["policy_kwargs"] = {"net_arch": [8]}  # the algorithm adds to it
    return algorithm("CnnPolicy", environment(envs, continuous=algorithm is SAC), **own, **OPTIONS)


def weights(model):
    return torch.cat([weight.detach().reshape(-1) for weight in model.policy.parameters()])


@pytest.mark.parametrize("envs", [1, 2])
@pytest.mark.parametrize(("algorithm", "changes"), [(DQN, {}), (SAC, {}), (DQN, {"n_steps": 3, "gamma": 0.99})])
def test_its_algorithms_train_and_the_same_seed_trains_the_same(algorithm, changes, envs):
    trained = []
    for _ in range(2):
        model = model_of(algorithm, envs, **changes)  # which seeds the generators that all models share
        before = weights(model).clone()
        trained.append(weights(model.learn(80)))
        assert model.replay_buffer.rows.nbytes == 1_000_000
        assert not torch.equal(before, trained[-1])
    assert torch.isfinite(trained[0]).all()
    assert torch.equal(*trained)


def test_a_saved_replay_goes_on_in_another_model(tmp_path):
    model = model_of(DQN, 2)
    model.learn(60)
    model.save_replay_buffer(tmp_path / "replay")
    other = model_of(DQN, 2)
    other.load_replay_buffer(tmp_path / "replay")
    for ours, theirs in zip(model.replay_buffer.sample(8)[:5], other.replay_buffer.sample(8)[:5], strict=True):
        assert torch.equal(ours, theirs)
    other.learn(60)


@pytest.mark.parametrize(("changes", "words"), [
    ({"history": 3}, "history = 3 does not divide the 4 channels"),
    ({"history": 2}, "frames that are not stacked take history=1"),
    ({"optimize_memory_usage": True}, "optimize_memory_usage must be False"),
    ({"budget": "1kB"}, "budget: 1.0 kB for each environment"),
])  # fmt: skip
def test_what_cannot_be_stored_is_refused_in_one_line(changes, words):
    env = environment(1)
    with pytest.raises(edgerl.ConfigError, match=words) as refused:
        play(env, 8, [mine(env, **changes)])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("observation", "action"), [
    (spaces.Box(0, 1, (4, SIDE, SIDE), np.float32), spaces.Discrete(2)),
    (spaces.Box(0, 255, (7,), np.uint8), spaces.Discrete(2)),
    (spaces.Box(0, 255, (4, SIDE, SIDE), np.uint8), spaces.MultiDiscrete([2, 2])),
    (spaces.Box(0, 255, (4, SIDE, SIDE), np.uint8), spaces.MultiBinary(2)),
])  # fmt: skip
def test_spaces_that_are_not_stored_are_named(observation, action):
    with pytest.raises(edgerl.ConfigError, match="BudgetReplayBuffer stores"):
        BudgetReplayBuffer(10, observation, action, budget="1MB")
