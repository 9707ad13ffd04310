"""An environment of Gymnasium that observes, draws and takes what a test says."""

import numpy as np
from simulators import environment

from edgerl.envs import gym
from edgerl.envs.base import EnvOptions

import gymnasium  # isort: skip
from gymnasium import spaces  # isort: skip

RED = np.zeros((24, 30, 3), np.uint8)
RED[..., 0] = 200
GRAY_OF_RED = 60  # 0.299 x 200
VECTOR = spaces.Box(-1, 1, (3,), np.float32)


def box(shape, high=255, dtype=np.uint8):
    return spaces.Box(0, high, shape, dtype)


class Shown(gymnasium.Env):
    """Observes `seen` in `space`, draws `drawn`, and keeps the actions it was given."""

    def __init__(self, space=VECTOR, seen=None, drawn=None, actions=None, reward=1.0, render_mode="rgb_array"):
        self.observation_space, self.seen, self.drawn, self.reward = space, seen, drawn, reward
        self.action_space = spaces.Discrete(3) if actions is None else actions
        self.metadata = {"render_modes": ["rgb_array"] if render_mode else []}
        self.render_mode, self.given, self.closed = render_mode, [], False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.seen, {}

    def step(self, action):
        self.given.append(action)
        return self.seen, self.reward, len(self.given) == 7, False, {}

    def render(self):
        return self.drawn

    def close(self):
        self.closed = True


def made(env, **options):
    """What the agent plays of an environment."""
    simulator = gym.brought("mine:made", env, EnvOptions(**options))
    return environment(simulator, "mine:made")
