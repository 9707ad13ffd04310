"""Actions of Gymnasium environments: whole numbers from 0, or vectors in [-1, 1], as their space has them."""

from math import prod
from typing import Any

import numpy as np
from gymnasium import spaces

from edgerl.envs.base import MOST_ACTIONS
from edgerl.envs.simulator import scaled


class Choices:
    """Discrete, from any start; or MultiDiscrete, its combinations one after another, the last component fastest."""

    def __init__(self, space: Any) -> None:
        self._space = space
        self._sizes = (int(space.n),) if isinstance(space, spaces.Discrete) else tuple(map(int, space.nvec.ravel()))
        self.count = prod(self._sizes)
        self.bounds = None

    def taken(self, action: Any) -> Any:
        """What the environment is given for one of 0 to `count` - 1."""
        if isinstance(self._space, spaces.Discrete):
            return int(self._space.start + action)
        parts = np.array(np.unravel_index(int(action), self._sizes)).reshape(self._space.nvec.shape)
        return (parts + self._space.start).astype(self._space.dtype)

    def meanings(self, words: tuple[str, ...]) -> tuple[str, ...] | None:
        """The actions in words: the environment's own, or the components of a MultiDiscrete; None if there are none."""
        if isinstance(self._space, spaces.Discrete):
            return words or None
        return tuple(" ".join(map(str, self.taken(action).ravel())) for action in range(self.count))


class Controls:
    """A bounded Box of floats [A]."""

    def __init__(self, space: Any) -> None:
        self._space = space
        self.count = int(space.shape[0])
        self.bounds = (space.low, space.high)

    def taken(self, action: Any) -> Any:
        """float [A] in [-1, 1], scaled to the bounds, which rounding does not pass."""
        low, high = self.bounds
        return np.clip(scaled(action, low, high).astype(self._space.dtype), low, high)

    def meanings(self, words: tuple[str, ...]) -> None:
        """A vector has no words."""


def actions_of(space: Any) -> Choices | Controls:
    """How to act in this space. Raises ValueError, saying what is allowed, if agents cannot."""
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        choices = Choices(space)
        if 0 < choices.count <= MOST_ACTIONS:
            return choices
        raise ValueError(f"{line(space)}, {choices.count:,} actions; {MOST_ACTIONS} is the most")
    floats = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    if floats and len(space.shape) == 1 and space.shape[0] > 0:
        if space.is_bounded():
            return Controls(space)
        raise ValueError(f"{line(space)}; it must have bounds: a gymnasium.ActionWrapper gives it some")
    raise ValueError(
        f"{line(space)}; it must be Discrete or MultiDiscrete, of {MOST_ACTIONS} actions at most, or a bounded Box "
        "of floats in one dimension"
    )


def line(space: Any) -> str:
    """A space in one line."""
    return " ".join(str(space).split())
