"""The Atari games by name, with their numbers of actions, as data: plans need neither ale-py nor a ROM."""

import difflib
import tomllib
from functools import cache
from importlib import resources

from edgerl.envs.base import EnvSpec
from edgerl.errors import EnvError

HISTORY, SIDE, REPEAT = 4, 84, 4
FULL = 18  # actions in the full set of nearly every game


@cache
def _table() -> dict[str, dict[str, int]]:
    return tomllib.loads(resources.files("edgerl.envs").joinpath("atari_games.toml").read_text())


def names() -> list[str]:
    """All games, as atari/qbert."""
    return [f"atari/{game}" for game in _table()["minimal"]]


def rom_id(game: str) -> str:
    """ale-py's name of a game given as qbert, crazy_climber or CrazyClimber; raises EnvError for an unknown one."""
    known = {name.replace("_", ""): name for name in _table()["minimal"]}
    wanted = game.lower().replace("_", "").replace("-", "")
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.4)
    hint = f", perhaps atari/{known[near[0]]}" if near else ""
    raise EnvError(f"--env: unknown game 'atari/{game}'{hint}; there are {len(known)} games, such as atari/qbert")


def describe(game: str, *, full_action_set: bool) -> EnvSpec:
    """The spec of one game; raises EnvError for an unknown one."""
    name, table = rom_id(game), _table()
    return spec(table["full"].get(name, FULL) if full_action_set else table["minimal"][name])


def spec(actions: int) -> EnvSpec:
    """The spec of a game with this number of actions."""
    return EnvSpec((SIDE, SIDE), HISTORY, actions, REPEAT)
