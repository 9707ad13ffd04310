"""What the suites dmc and gym share: simulators that draw a frame when asked, and may fail at any time."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from edgerl.envs.base import EnvSpec, interface
from edgerl.envs.resumable import Resumable
from edgerl.errors import EnvFailed
from edgerl.types import Array, TimeStep


class Simulator(Protocol):
    """Episodes that follow from a seed and the actions alone; a frame is drawn when it is asked for."""

    spec: EnvSpec
    steps_per_second: float  # agent steps, at the simulator's own speed

    def reset(self, seed: int) -> None: ...

    def step(self, action: Any) -> tuple[float, bool, bool]:
        """One agent step: its reward, and whether it terminated or truncated the episode."""

    def frame(self) -> Array:
        """The frame of this moment, uint8 [*spec.frame], valid until the next call."""

    def render(self) -> Array:
        """The same moment as a picture for people, uint8 [H, W, 3]."""


def reason(error: BaseException) -> str:
    """An error's type and message, in one line."""
    return ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))


def scaled(action: Any, low: Array, high: Array) -> Array:
    """An action, clipped to [-1, 1], scaled to an actuator's bounds; float64."""
    low, high = low.astype(np.float64), high.astype(np.float64)
    control: Array = low + (np.clip(action, -1.0, 1.0).astype(np.float64) + 1.0) * ((high - low) / 2.0)
    return control


class Simulated:
    """A simulator as an environment: seeds are drawn from `rng` at every reset, frames are kept in a window.

    Raises EnvFailed if the simulator raises anything, and for a reward that is not finite.
    """

    def __init__(self, simulator: Simulator, rng: np.random.Generator, name: str) -> None:
        self.name, self.rng = name, rng
        self.spec, self.actions = simulator.spec, simulator.spec.actions
        self.steps_per_second, self.interface = simulator.steps_per_second, interface(simulator)
        self.window = np.zeros((self.spec.history, *self.spec.frame), np.uint8)
        self._simulator = simulator
        self._drawing = True

    def reset(self) -> TimeStep:
        """The first window of an episode: the first frame, and before it that frame again (`refill`) or zeros."""
        with self._named():
            self._simulator.reset(int(self.rng.integers(2**31)))
            self._look()
        self.window[:-1] = self.window[-1] if self.spec.refill else 0
        return TimeStep(self.window, 0.0, False, False, False)

    def step(self, action: Any) -> TimeStep:
        with self._named():
            reward, terminated, truncated = self._simulator.step(action)
            if not math.isfinite(reward):
                raise ArithmeticError(f"the reward is {reward}")
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
        getattr(self._simulator, "close", lambda: None)()

    def _look(self) -> None:
        if self._drawing:
            self.window[-1] = self._simulator.frame()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a simulator may raise anything
            raise EnvFailed(f"{self.name} failed: {reason(error)}") from error


def environment(simulator: Simulator, rng: np.random.Generator, name: str) -> Resumable:
    """A simulator as an environment; a resume plays its episode again, without drawing, to where it stood."""
    return Resumable(Simulated(simulator, rng, name), rng, name)
