"""Environments by name: `atari/<game>` and `toy/catch`."""

import difflib
from typing import Any, NamedTuple, Protocol

import numpy as np

from edgerl import custom
from edgerl.types import Array, TimeStep


class EnvError(ValueError):
    """An environment that does not exist or cannot start; the message is one line for the user."""


class EpisodeLost(RuntimeError):
    """An environment cannot go on where its saved episode stood; the message says why."""


class EnvSpec(NamedTuple):
    """What a plan needs of an environment: frame shape [H, W], frames a window, actions, env steps an agent step."""

    frame: tuple[int, int]
    history: int
    actions: int
    repeat: int


class Environment(Protocol):
    """A pixel environment with discrete actions 0 to `actions` - 1 and windows uint8 [history, *frame]."""

    name: str
    spec: EnvSpec
    actions: int

    def reset(self) -> TimeStep: ...

    def step(self, action: int) -> TimeStep: ...

    @property
    def window(self) -> Array:
        """The window to act on now, as the last reset or step showed it."""

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that determines what follows: arrays and JSON values."""

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Go on from what `state` gave; raises EpisodeLost where it cannot. What it then shows is undefined."""

    def render(self) -> Array:
        """The screen as people see it, uint8 [H, W, 3]."""


def canonical_name(name: str) -> str:
    """`suite/task` as presets write it: atari/CrazyClimber is atari/crazy_climber. Raises EnvError for unknown ones."""
    if ":" in name:
        return name
    suite, _, task = name.partition("/")
    if suite == "atari":
        from edgerl.envs.atari_games import rom_id

        return f"atari/{rom_id(task)}"
    if name == "toy/catch":
        return name
    if suite == "toy":
        raise EnvError(f"--env: unknown task {name!r}; the suite toy has toy/catch")
    near = difflib.get_close_matches(suite, ["atari", "toy"], n=1)
    hint = f", perhaps {near[0]}/{task or '...'}" if near else ""
    raise EnvError(
        f"--env: unknown suite in {name!r}{hint}; environments are atari/<game>, toy/catch and module:callable"
    )


def _custom(name: str, rng: np.random.Generator) -> Environment:
    """The environment that `module:callable` makes, called with its Generator; raises EnvError where it does not."""
    try:
        made: Environment = custom.load(name)(rng)
    except (ImportError, AttributeError, ValueError) as error:
        raise EnvError(f"--env: {name!r} cannot be loaded: {error}") from None
    missing = [part for part in ("spec", "actions", "window", "reset", "step") if not hasattr(made, part)]
    if missing:
        raise EnvError(f"--env: what {name!r} makes lacks {', '.join(missing)}")
    if hasattr(made, "state") and hasattr(made, "restore"):
        return made
    from edgerl.envs.replayed import Replayed

    return Replayed(made, rng, name)


def describe(name: str, *, full_action_set: bool = False) -> EnvSpec:
    """The spec of an environment, without making it ready to run; raises EnvError as `make` does."""
    if ":" in name:
        return _custom(name, np.random.default_rng(0)).spec
    suite, _, task = canonical_name(name).partition("/")
    if suite == "atari":
        from edgerl.envs import atari_games

        return atari_games.describe(task, full_action_set=full_action_set)
    from edgerl.envs.toy import SPEC

    return SPEC


def make(
    name: str,
    rng: np.random.Generator,
    *,
    training: bool,
    sticky_actions: float = 0.0,
    full_action_set: bool = False,
) -> Environment:
    """The environment `suite/task`. With `training`, losing a life ends an Atari episode; scores need it off.

    `sticky_actions`: the probability that an Atari game repeats the last action; `full_action_set`: all 18 actions.

    Raises EnvError, in one line, for an unknown suite or task, or one whose packages are not installed.
    """
    suite, _, task = canonical_name(name).partition("/")
    if suite == "atari":
        from edgerl.envs.atari import Atari

        return Atari(task, rng, training=training, sticky_actions=sticky_actions, full_action_set=full_action_set)
    if sticky_actions or full_action_set:
        raise EnvError(f"--sticky-actions and --full-action-set are of Atari games; {name} has neither")
    if ":" in name:
        return _custom(name, rng)
    from edgerl.envs.toy import Catch

    return Catch(rng)
