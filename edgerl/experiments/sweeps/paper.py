"""The paper's experiments by name (paper.toml): what ran, and the numbers that the paper prints of it."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from edgerl.config.values import nearest
from edgerl.errors import ConfigError


@dataclass(frozen=True)
class Experiment:
    """A grid of `envs`, `variants` (options of `edgerl train` by name) and `seeds` (how many).

    `x`: what the figure's horizontal axis shows (steps, env_steps or flops); `printed`: by environment and variant,
    mean and standard deviation as the paper prints them; `begins_with`: the experiment whose runs these begin with, if
    any: a variant's encoder_from names a variant of that experiment.
    """

    name: str
    title: str
    x: str
    envs: tuple[str, ...]
    variants: dict[str, dict[str, Any]]
    seeds: int
    printed: dict[str, dict[str, tuple[float, float]]]
    begins_with: str | None


def names() -> list[str]:
    """The experiments there are, as paper.toml has them."""
    return list(_tables())


def load(name: str) -> Experiment:
    """The experiment of that name; raises ConfigError, naming the nearest, if there is none."""
    tables = _tables()
    if name not in tables:
        hint = nearest(name, tables) or f"; there are {', '.join(tables)}"
        raise ConfigError(f"--preset: unknown experiment {name!r}{hint}")
    own = tables[name]
    grid = tables[own.get("like", name)]
    printed = {
        env: {variant: (float(mean), float(std)) for variant, (mean, std) in scores.items()}
        for env, scores in own.get("printed", {}).items()
    }
    return Experiment(
        name=name,
        title=own["title"],
        x=own["x"],
        envs=tuple(grid["envs"]),
        variants=grid["variants"],
        seeds=grid["seeds"],
        printed=printed,
        begins_with=grid.get("begins_with"),
    )


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(
        resources.files("edgerl.experiments.sweeps").joinpath("paper.toml").read_text(encoding="utf-8")
    )
