"""Human-normalised Atari scores: 0 is random play, 1 a human tester (constants: Wang et al. 2016, Table 2)."""

import tomllib
from functools import cache
from importlib.resources import files


def human_normalised(env: str, score: float) -> float | None:
    """(score - random) / (human - random) of `score` in game points (Wang et al. 2016); None without constants."""
    suite, _, game = env.partition("/")
    constants = _constants().get(game) if suite == "atari" else None
    if constants is None:
        return None
    random, human = constants["random"], constants["human"]
    return (score - random) / (human - random)


@cache
def _constants() -> dict[str, dict[str, float]]:
    """Game points per episode of `random` and `human` by rom id (Wang et al. 2016)."""
    return tomllib.loads(files("edgerl.experiments.reports").joinpath("human_scores.toml").read_text(encoding="utf-8"))
