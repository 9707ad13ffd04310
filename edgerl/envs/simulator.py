"""What the suites dmc and gym have in common: simulators that draw a frame when asked, and may fail on the way."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from edgerl.envs.base import EnvSpec
from edgerl.envs.resumable import Resumable
from edgerl.errors import EnvFailed
from edgerl.types import Array, TimeStep


class Simulator(Protocol):
    """Episodes that follow from a seed and the actions alone, with a frame where one is asked for."""

    spec: EnvSpec
    steps_per_second: float  # of the agent, at the simulator's own speed

    def reset(self, seed: int) -> None: ...

    def step(self, action: Any) -> tuple[float, bool, bool]:
        """One agent step: its reward, and whether it terminated or truncated the episode."""

    def frame(self) -> Array:
        """What is to be seen now, uint8 [*spec.frame], valid until it is asked for again."""

    def render(self) -> Array:
        """The same for people, uint8 [H, W, 3]."""


def headless() -> None:
    """Let simulators draw without a screen; to be called before they are imported. What the user has set stays."""
    if sys.platform == "linux" and "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    # Mesa's rasteriser then draws in the calling thread: its own would take the cores from the learner's.
    os.environ.setdefault("LP_NUM_THREADS", "0")


def reason(error: BaseException) -> str:
    """What kind of error this is, and what it says, in one line."""
    return ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))


def scaled(action: Any, low: Array, high: Array) -> Array:
    """An action in [-1, 1], clipped to that, between an actuator's bounds; float64."""
    low, high = low.astype(np.float64), high.astype(np.float64)
    between: Array = low + (np.clip(action, -1.0, 1.0).astype(np.float64) + 1.0) * ((high - low) / 2.0)
    return between


class Simulated:
    """A simulator as an environment: its seeds drawn from `rng` at every reset, its frames in a window.

    What the simulator raises, and a reward that is no number, is raised as EnvFailed.
    """

    def __init__(self, simulator: Simulator, rng: np.random.Generator, name: str) -> None:
        self.name, self.rng = name, rng
        self.spec, self.actions = simulator.spec, simulator.spec.actions
        self.steps_per_second = simulator.steps_per_second
        self.window = np.zeros((self.spec.history, *self.spec.frame), np.uint8)
        self._simulator = simulator
        self._looking = True

    def reset(self) -> TimeStep:
        """The first window of an episode: the first frame all over it (`refill`), or blank before that frame."""
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
        """Draw no frames meanwhile; the window is then undefined, but for the newest frame after the next step."""
        self._looking = False
        try:
            yield
        finally:
            self._looking = True

    def render(self) -> Array:
        return np.array(self._simulator.render())  # a copy: the simulator's own is drawn over

    def _look(self) -> None:
        if self._looking:
            self.window[-1] = self._simulator.frame()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a simulator may raise anything
            raise EnvFailed(f"{self.name} failed: {reason(error)}") from error


def environment(simulator: Simulator, rng: np.random.Generator, name: str) -> Resumable:
    """A simulator as an environment that a resume plays again, without drawing, to where it stood."""
    return Resumable(Simulated(simulator, rng, name), rng, name)
