"""Resuming an environment that cannot save its state: its generator as the episode began, and the actions since."""

import copy
from typing import Any

import numpy as np

from edgerl.envs import EpisodeLost
from edgerl.types import Array, TimeStep


class Replayed:
    """`env`, with a state made of the last reset and the actions taken since. `rng`: all that `env` draws from.

    Restoring plays the episode again, without anyone looking; `EpisodeLost` is raised where that leads elsewhere.
    """

    def __init__(self, env: Any, rng: np.random.Generator, name: str) -> None:
        self.env, self.rng = env, rng
        self.name, self.spec, self.actions = getattr(env, "name", name), env.spec, env.actions
        self._began = rng.bit_generator.state
        self._taken: list[Any] = []

    @property
    def window(self) -> Array:
        window: Array = self.env.window
        return window

    def reset(self) -> TimeStep:
        self._began, self._taken = copy.deepcopy(self.rng.bit_generator.state), []
        timestep: TimeStep = self.env.reset()
        return timestep

    def step(self, action: Any) -> TimeStep:
        self._taken.append(action)
        timestep: TimeStep = self.env.step(action)
        return timestep

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """The last reset and the actions since, and where they have led."""
        arrays = {"window": self.window, "taken": np.array(self._taken)}
        return arrays, {"began": self._began, "rng": self.rng.bit_generator.state}

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        self.rng.bit_generator.state = values["began"]
        try:
            self.reset()
            for action in arrays["taken"]:
                self.step(action)
        except Exception as error:  # a user's environment may raise anything
            raise EpisodeLost(f"playing it again failed: {error}") from error
        finally:
            led, self.rng.bit_generator.state = self.rng.bit_generator.state, values["rng"]
        if led != values["rng"] or not np.array_equal(self.window, arrays["window"]):
            raise EpisodeLost("playing it again led elsewhere")

    def render(self) -> Array:
        screen: Array = self.env.render()
        return screen
