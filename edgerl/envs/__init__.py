"""Environments by name: `atari/<game>` and `toy/catch`."""

import difflib
from typing import Any, Protocol

import numpy as np

from edgerl.types import Array, TimeStep


class EnvError(ValueError):
    """An environment that does not exist or cannot start; the message is one line for the user."""


class Environment(Protocol):
    """A pixel environment with discrete actions 0 to `actions` - 1 and windows uint8 [history, *frame]."""

    name: str
    frame: tuple[int, int]
    history: int
    actions: int
    repeat: int  # environment steps in one agent step

    def reset(self) -> TimeStep: ...

    def step(self, action: int) -> TimeStep: ...

    @property
    def window(self) -> Array:
        """The window to act on now, as the last reset or step showed it."""

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that determines what follows: arrays and JSON values."""

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Go on from what `state` gave."""

    def render(self) -> Array:
        """The screen as people see it, uint8 [H, W, 3]."""


def canonical_name(name: str) -> str:
    """`suite/task` as presets write it: atari/CrazyClimber is atari/crazy_climber. Raises EnvError for unknown ones."""
    suite, _, task = name.partition("/")
    if suite == "atari":
        from edgerl.envs.atari import rom_id

        return f"atari/{rom_id(task)}"
    if name == "toy/catch":
        return name
    if suite == "toy":
        raise EnvError(f"--env: unknown task {name!r}; the suite toy has toy/catch")
    near = difflib.get_close_matches(suite, ["atari", "toy"], n=1)
    hint = f", perhaps {near[0]}/{task or '...'}" if near else ""
    raise EnvError(f"--env: unknown suite in {name!r}{hint}; environments are atari/<game> and toy/catch")


def make(name: str, rng: np.random.Generator, *, training: bool) -> Environment:
    """The environment `suite/task`. With `training`, losing a life ends an Atari episode; scores need it off.

    Raises EnvError, in one line, for an unknown suite or task, or one whose packages are not installed.
    """
    suite, _, task = canonical_name(name).partition("/")
    if suite == "atari":
        from edgerl.envs.atari import Atari

        return Atari(task, rng, training=training)
    from edgerl.envs.toy import Catch

    return Catch(rng)
