"""What ids of Gymnasium that it does not know were meant for: packages that register them, and suites of edgerl."""

import difflib
import re
from collections.abc import Iterable

VERSIONED = re.compile(r"-v\d+$")
# The beginnings of ids, and the module that registers them when it is imported.
MODULES = {
    "minigrid": "minigrid",
    "babyai": "minigrid",
    "miniworld": "miniworld",
    "vizdoom": "vizdoom.gymnasium_wrapper",
    "fetch": "gymnasium_robotics",
    "hand": "gymnasium_robotics",
    "adroit": "gymnasium_robotics",
    "antmaze": "gymnasium_robotics",
    "pointmaze": "gymnasium_robotics",
    "frankakitchen": "gymnasium_robotics",
    "meta-world": "metaworld",
    "highway": "highway_env",
    "procgen": "procgen",
    "flappybird": "flappy_bird_gymnasium",
}


def is_id(name: str) -> bool:
    """Whether a name without a suite is an id of Gymnasium, such as CartPole-v1 or minigrid:MiniGrid-Empty-5x5-v0."""
    return VERSIONED.search(name) is not None


def module_of(name: str) -> str | None:
    """The module that registers this id, as far as is known."""
    plain = name.lower()
    return next((module for beginning, module in MODULES.items() if plain.startswith(beginning)), None)


def atari_game(name: str) -> str | None:
    """The game of an id such as ALE/Breakout-v5 or BreakoutNoFrameskip-v4, by its name here; None if it is none."""
    from edgerl.envs.atari_games import rom_id
    from edgerl.errors import EnvError

    game = VERSIONED.sub("", name.rpartition("/")[2])
    game = re.sub(r"(NoFrameskip|Deterministic|-ram)+$", "", game)
    try:
        return f"atari/{rom_id(game)}"
    except EnvError:
        return None


def unknown(name: str, registered: Iterable[str]) -> str:
    """What to say of an id that is not registered; one line."""
    line = f"Gymnasium knows no 'gym/{name}'"
    if ":" in name:
        return f"{line}: its module registers no such id"
    if (module := module_of(name)) is not None:
        return f"{line} by itself; gym/{module}:{name} names the package that registers it"
    others = [known for known in registered if atari_game(known) is None]  # there only if something imported ale-py
    near = difflib.get_close_matches(name, others, n=1)
    if near:
        return f"{line}, perhaps gym/{near[0]}"
    return f"{line}; gym/<module>:{name} names the module that registers it"


def suggested(name: str) -> str | None:
    """The name of an environment that was given as an id of Gymnasium without `gym/`; None if it is no id."""
    if not is_id(name):
        return None
    module, colon, own = name.rpartition(":")
    if not colon and (game := atari_game(own)) is not None:
        return game
    module = module or module_of(own) or ""
    return f"gym/{module}:{own}" if module else f"gym/{own}"
