"""Simulators as training sees them."""

import numpy as np

from edgerl.envs.door import Door
from edgerl.envs.simulator import Simulated


def environment(simulator, name):
    """A simulator as an environment behind the door, with a generator of its own."""
    rng = np.random.default_rng(0)
    return Door(lambda: Simulated(simulator, rng, name), rng, name)
