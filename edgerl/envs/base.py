"""What an environment is: its spec, and the protocol that the training loop uses."""

from typing import Any, NamedTuple, Protocol

import numpy as np

from edgerl.types import Array, TimeStep


class EnvSpec(NamedTuple):
    """What a plan needs of an environment.

    `frame`: a frame's shape, [H, W] or [C, H, W]; `history`: frames a window; `actions`: how many there are or, where
    they are `continuous`, an action's components, float32 in [-1, 1]; `repeat`: env steps an agent step; `refill`:
    what stands before an episode's first frame, that frame again or zeros.
    """

    frame: tuple[int, ...]
    history: int
    actions: int
    repeat: int
    continuous: bool = False
    refill: bool = False

    @property
    def action(self) -> np.dtype[Any]:
        """How a row stores an action."""
        return np.dtype((np.float32, (self.actions,))) if self.continuous else np.dtype(np.uint8)

    @property
    def window(self) -> tuple[int, int, int]:
        """A window as encoders see it, its frames' channels one after another: [history C, H, W]."""
        channels = 1 if len(self.frame) == 2 else self.frame[0]
        return (self.history * channels, self.frame[-2], self.frame[-1])


class Environment(Protocol):
    """A pixel environment with windows uint8 [history, *frame].

    Actions are whole numbers from 0 to `actions` - 1 or, where the spec says continuous, float32 [actions] in [-1, 1].
    """

    name: str
    spec: EnvSpec
    actions: int

    def reset(self) -> TimeStep: ...

    def step(self, action: Any) -> TimeStep: ...

    @property
    def window(self) -> Array:
        """The window to act on now, as the last reset or step showed it."""

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that determines what follows: arrays and JSON values."""

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Go on from what `state` gave; raises EpisodeLost where it cannot. What it then shows is undefined."""

    def render(self) -> Array:
        """The screen as people see it, uint8 [H, W, 3]."""


def random_action(env: Environment, rng: np.random.Generator) -> Any:
    """An action drawn uniformly."""
    if env.spec.continuous:
        return rng.uniform(-1, 1, env.actions).astype(np.float32)
    return int(rng.integers(env.actions))
