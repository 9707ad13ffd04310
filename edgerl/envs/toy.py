"""toy/catch: a falling block and a paddle, 84x84 pixels; small enough to be learned in a minute."""

from typing import Any

import numpy as np

from edgerl.envs.base import EnvSpec, Interface
from edgerl.types import Array, TimeStep

SIDE, CELL = 84, 12
CELLS = SIDE // CELL
HISTORY = 4
SPEC = EnvSpec((SIDE, SIDE), HISTORY, actions=3, repeat=1)


class Catch:
    """Move left, stay or move right until the block reaches the bottom row; reward 1 if caught, -1 if not."""

    steps_per_second = 5.0  # for people who watch
    interface = Interface(meanings=("left", "stay", "right"), pictures="the board")

    def __init__(self, rng: np.random.Generator) -> None:
        self.name = "toy/catch"
        self.spec, self.actions = SPEC, SPEC.actions
        self.rng = rng
        self.window = np.zeros((HISTORY, SIDE, SIDE), np.uint8)
        self._row = self._column = self._paddle = 0

    def reset(self) -> TimeStep:
        self._row, self._paddle = 0, CELLS // 2
        self._column = int(self.rng.integers(CELLS))
        self.window[:] = 0
        self._draw()
        return TimeStep(self.window, 0.0, False, False, False)

    def step(self, action: Any) -> TimeStep:
        self._row += 1
        self._paddle = min(max(self._paddle + action - 1, 0), CELLS - 1)
        self.window[:-1] = self.window[1:]
        self._draw()
        done = self._row == CELLS - 1
        reward = (1.0 if self._paddle == self._column else -1.0) if done else 0.0
        return TimeStep(self.window, reward, done, False, done)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        values = {"row": self._row, "column": self._column, "paddle": self._paddle}
        return {"window": self.window}, values | {"rng": self.rng.bit_generator.state}

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        self.window[:] = arrays["window"]
        self._row, self._column, self._paddle = values["row"], values["column"], values["paddle"]
        self.rng.bit_generator.state = values["rng"]

    def render(self) -> Array:
        return np.repeat(self.window[-1][:, :, None], 3, axis=2)

    def _draw(self) -> None:
        frame = self.window[-1]
        frame[:] = 0
        for row, column, gray in ((self._row, self._column, 255), (CELLS - 1, self._paddle, 160)):
            frame[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = gray
