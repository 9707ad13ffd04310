"""What random play and a human tester score in the Atari games (constants: Wang et al. 2016, Table 2)."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from edgerl.output.messages import figure


@dataclass(frozen=True)
class References:
    """Game points per episode of random play and of a human tester."""

    random: float
    human: float

    def normalised(self, score: float) -> float:
        """(score - random) / (human - random): 0 is random play, 1 a human tester."""
        return (score - self.random) / (self.human - self.random)

    @property
    def words(self) -> str:
        """Both numbers for reading."""
        return f"random play {figure(self.random)}, a human tester {figure(self.human)}"


def references(env: str) -> References | None:
    """The constants of an environment such as atari/qbert; None without constants."""
    suite, _, game = env.partition("/")
    constants = _constants().get(game) if suite == "atari" else None
    return None if constants is None else References(**constants)


def human_normalised(env: str, score: float) -> float | None:
    """(score - random) / (human - random) of `score` in game points (Wang et al. 2016); None without constants."""
    known = references(env)
    return None if known is None else known.normalised(score)


def is_below_random(env: str, score: float) -> bool:
    """Whether `score` is below that of random play; False without constants."""
    known = references(env)
    return known is not None and score < known.random


@cache
def _constants() -> dict[str, dict[str, float]]:
    """Game points per episode of `random` and `human` by rom id (Wang et al. 2016)."""
    return tomllib.loads(files("edgerl.envs").joinpath("human_scores.toml").read_text(encoding="utf-8"))
