"""What the suites dmc and gym share: simulators that draw a frame when asked, and may fail at any time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from edgerl.envs.base import EnvSpec, interface
from edgerl.types import Array, TimeStep

NUMBERS = (float, int, np.floating, np.integer, np.bool_)


class Simulator(Protocol):
    """Episodes that follow from a seed and the actions alone; a frame is drawn when it is asked for."""

    spec: EnvSpec
    steps_per_second: float  # agent steps, at the simulator's own speed
    most_steps: int | None  # agent steps after which it truncates an episode, if it says so

    def reset(self, seed: int) -> None: ...

    def step(self, action: Any) -> tuple[Any, Any, Any]:
        """One agent step: its reward, and whether it terminated or truncated the episode; `Door` checks them."""

    def frame(self) -> Array:
        """The frame of this moment, uint8 [*spec.frame], valid until the next call."""

    def render(self) -> Array:
        """The same moment as a picture for people, uint8 [H, W, 3]."""

    def close(self) -> None:
        """Let go of windows, files and processes."""


def reason(error: BaseException) -> str:
    """An error's type and message, in one line."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # of a user's own class
        message = ""
    return ": ".join(filter(None, (type(error).__name__, message)))


def as_number(value: Any) -> float | None:
    """A number, or an array of one, as a float; None for anything else."""
    try:
        if isinstance(value, NUMBERS):
            return float(value)
        array = np.asarray(value)
        return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else None
    except Exception:  # of a number too large, or of an object that is none
        return None


def scaled(action: Any, low: Array, high: Array) -> Array:
    """An action, clipped to [-1, 1], scaled to an actuator's bounds; float64."""
    low, high = low.astype(np.float64), high.astype(np.float64)
    control: Array = low + (np.clip(action, -1.0, 1.0).astype(np.float64) + 1.0) * ((high - low) / 2.0)
    return control


class Simulated:
    """A simulator as an environment: seeds are drawn from `rng` at every reset, frames are kept in a window."""

    def __init__(self, simulator: Simulator, rng: np.random.Generator, name: str) -> None:
        self.name, self.rng = name, rng
        self.spec, self.actions = simulator.spec, simulator.spec.actions
        self.steps_per_second, self.interface = simulator.steps_per_second, interface(simulator)
        self.window = np.zeros((self.spec.history, *self.spec.frame), np.uint8)
        self.most_steps = simulator.most_steps
        self._simulator = simulator
        self._drawing = True

    def reset(self) -> TimeStep:
        """The first window of an episode: the first frame, and before it that frame again (`refill`) or zeros."""
        self._simulator.reset(int(self.rng.integers(2**31)))
        self._look()
        self.window[:-1] = self.window[-1] if self.spec.refill else 0
        return TimeStep(self.window, 0.0, False, False, False)

    def step(self, action: Any) -> TimeStep:
        reward, terminated, truncated = self._simulator.step(action)
        self.window[:-1] = self.window[1:]
        self._look()
        return TimeStep(self.window, reward, terminated, truncated and not terminated, terminated or truncated)

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Draw no frames inside; the window is undefined then, except for its newest frame after the next step."""
        self._drawing = False
        try:
            yield
        finally:
            self._drawing = True

    def render(self) -> Array:
        return np.array(self._simulator.render())  # a copy: the simulator's own is drawn over

    def close(self) -> None:
        self._simulator.close()

    def _look(self) -> None:
        if self._drawing:
            self.window[-1] = self._simulator.frame()
