"""Cut off the episodes of an environment after a number of steps."""

from typing import Any

from edgerl.envs.base import interface
from edgerl.envs.outside import callables
from edgerl.types import Array, TimeStep


class Limited:
    """`env`, with episodes of `most` agent steps at most: the last of them is truncated, unless it is terminated.

    It can save its state if `env` can.
    """

    def __init__(self, env: Any, most: int) -> None:
        self.env, self._most, self._steps = env, most, 0
        self.most_steps = most
        self.spec, self.actions, self.interface = env.spec, env.actions, interface(env)
        if hasattr(env, "name"):
            self.name = env.name
        if hasattr(env, "state") and hasattr(env, "restore"):
            self.state, self.restore = self._state, self._restore

    @property
    def window(self) -> Array:
        window: Array = self.env.window
        return window

    def reset(self) -> TimeStep:
        timestep: TimeStep = self.env.reset()
        self._steps = 0
        return timestep

    def step(self, action: Any) -> TimeStep:
        timestep: TimeStep = self.env.step(action)
        self._steps += 1
        if self._steps < self._most or timestep.terminated:
            return timestep
        return timestep._replace(truncated=True, over=True)

    def render(self) -> Array:
        screen: Array = self.env.render()
        return screen

    def close(self) -> None:
        callables.close(self.env)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, values = self.env.state()
        return arrays, {"env": values, "steps": self._steps}

    def _restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        self.env.restore(arrays, values["env"])
        self._steps = values["steps"]
