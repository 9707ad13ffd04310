"""Catch on small frames, whose scores a test decides: `Rising` scores -1 in its first games and 1 in all later ones."""

import numpy as np

from edgerl.envs.base import EnvSpec
from edgerl.envs.toy import Catch

SIDE, CELL, LOSING = 50, 7, 30


class Level(Catch):
    """Every game scores -1."""

    def __init__(self, rng):
        super().__init__(rng)
        self.name, self.spec = "rising:Level", EnvSpec((SIDE, SIDE), 4, actions=3, repeat=1)
        self.window, self.games = np.zeros((4, SIDE, SIDE), np.uint8), 0

    def step(self, action):
        found = super().step(action)
        self.games += found.over
        return found._replace(reward=self.score if found.over else 0.0)

    @property
    def score(self):
        return -1.0

    def state(self):
        arrays, values = super().state()
        return arrays, values | {"games": self.games}

    def restore(self, arrays, values):
        super().restore(arrays, values)
        self.games = values["games"]

    def _draw(self):
        frame = self.window[-1]
        frame[:] = 0
        for row, column, gray in ((self._row, self._column, 255), (6, self._paddle, 160)):
            frame[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = gray


class Rising(Level):
    @property
    def score(self):
        return -1.0 if self.games <= LOSING else 1.0
