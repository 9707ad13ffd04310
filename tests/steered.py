"""Catch whose action is one number, -1 to 1: quick games for agents whose actions are vectors."""

import numpy as np

from edgerl.envs.base import EnvSpec, Interface
from edgerl.envs.toy import Catch


class Steered(Catch):
    """Left below -1/3, right above 1/3; the real one would be steered from -2 to 2."""

    interface = Interface(bounds=(np.float32([-2]), np.float32([2])))

    def __init__(self, rng):
        super().__init__(rng)
        self.name, self.spec = "steered:Steered", EnvSpec((84, 84), 4, actions=1, repeat=1, continuous=True)
        self.actions = self.spec.actions

    def step(self, action):
        assert action.dtype == np.float32
        assert np.abs(action).max() <= 1
        return super().step(1 + int(np.clip(np.rint(action[0] * 1.5), -1, 1)))


UNCROPPED = {"env": "steered:Steered", "crop": 0, "random_crop": False, "augmentations": 1}
