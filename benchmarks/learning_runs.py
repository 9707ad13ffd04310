"""The runs of a study such as learning.toml: what each is, and how those that are missing are trained."""

import os
import sys
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgerl import ConfigError, configure
from edgerl.config.arguments import arguments
from edgerl.config.settings import Config
from edgerl.envs.suites import describe
from edgerl.experiments.sweeps import manifest
from edgerl.experiments.sweeps.executors.local import Local
from edgerl.experiments.sweeps.launch import run_cells
from edgerl.experiments.sweeps.manifest import Sweep
from edgerl.experiments.sweeps.runner import memory_limit, parallel_jobs
from edgerl.experiments.sweeps.sharing import share
from edgerl.planning.plan import make_plan

CHECKOUT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Variant:
    """Settings of `edgerl train` by name, and the games that it is trained on."""

    name: str
    settings: dict[str, Any]
    games: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One run: a variant, a game, a seed."""

    variant: Variant
    game: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder below that of all runs."""
        return f"{self.game}/{self.variant.name}__{self.seed}"

    @property
    def env(self) -> str:
        return f"atari/{self.game}"

    def belongs_to(self, variant: Variant, game: str) -> bool:
        """Whether it is a run of this variant and this game."""
        return (self.variant.name, self.game) == (variant.name, game)

    def config(self) -> Config:
        """Its settings; raises ConfigError if this version of edgerl does not know one of them."""
        return configure(env=self.env, seed=self.seed, **self.variant.settings)


@dataclass(frozen=True)
class Study:
    """All of a study's file. `jobs`: runs at a time; `paper`: the variant that the rule for defaults compares with."""

    games: tuple[str, ...]
    seeds: tuple[int, ...]
    jobs: int
    variants: tuple[Variant, ...]
    paper: str | None = None

    def only(self, games: list[str], variants: list[str]) -> "Study":
        """The same with these games and these variants alone; all, if none are named."""
        for given, known in ((games, self.games), (variants, [variant.name for variant in self.variants])):
            if unknown := [name for name in given if name not in known]:
                sys.exit(f"{unknown[0]} is none of {', '.join(known)}")
        kept = tuple(game for game in self.games if game in (games or self.games))
        chosen = [
            replace(variant, games=tuple(game for game in variant.games if game in kept))
            for variant in self.variants
            if not variants or variant.name in variants
        ]
        return replace(self, games=kept, variants=tuple(variant for variant in chosen if variant.games))

    def cells(self) -> list[Cell]:
        """Every run, game by game and seed by seed."""
        return [
            Cell(variant, game, seed)
            for game in self.games
            for seed in self.seeds
            for variant in self.variants
            if game in variant.games
        ]


def load(file: Path) -> Study:
    """Read a study."""
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    games = tuple(tables["games"])
    variants = [
        Variant(name, tables["every"] | own["settings"], tuple(own.get("games", games)))
        for name, own in tables["variants"].items()
    ]
    return Study(games, tuple(tables["seeds"]), tables["jobs"], tuple(variants), tables.get("paper"))


def sweep_of(study: Study, whole: Study, done: Collection[str] = ()) -> tuple[Sweep, dict[str, str]]:
    """The runs of `study` as a sweep, and why variants are left out whose settings this version of edgerl refuses.

    `done`: names of runs that are not trained.
    They share beginnings as those of `whole` do, of which they are a part: what is chosen changes no run's beginning.
    """
    by_game_and_seed: dict[tuple[str, int], list[tuple[manifest.Cell, Config]]] = {}
    refused: dict[str, str] = {}
    for cell in whole.only(list(study.games), []).cells():
        try:
            by_game_and_seed.setdefault((cell.game, cell.seed), []).append(_sweep_cell(cell))
        except ConfigError as error:
            refused[cell.variant.name] = str(error)
    shared = [share(together) for together in by_game_and_seed.values()]  # apart, so that other games change no names
    chosen = {cell.name for cell in study.cells()} - set(done)
    cells = tuple(cell for group in shared for cell in group.cells if cell.name in chosen)
    begun_in = {cell.begins_in for cell in cells}
    beginnings = tuple(beginning for group in shared for beginning in group.beginnings if beginning.folder in begun_in)
    return Sweep(preset=None, scale=1.0, title=None, cells=cells, beginnings=beginnings), refused


def train(study: Study, whole: Study, root: Path, done: Collection[str], *, jobs: int, quiet: bool) -> int:
    """Train the runs of `study`, a part of `whole`, that have not finished, as a sweep in `root`; its exit code.

    `done`: names of runs that are not trained. A variant with a setting that this version of edgerl does not know is
    named and left out.
    """
    sweep, refused = sweep_of(study, whole, done)
    for name, why in refused.items():
        print(f"{name} is not trained: {why}", file=sys.stderr)
    if not sweep.cells:
        return 0
    for game in study.games:
        (root / game).mkdir(parents=True, exist_ok=True)
    manifest.write(sweep, root)
    os.environ["PYTHONPATH"] = str(CHECKOUT)  # where the runs find edgerl
    at_a_time = parallel_jobs(jobs, sweep.cells, local=True)
    return run_cells(sweep, root, Local(), jobs=at_a_time, limit=memory_limit(None, sweep.cells), quiet=quiet)


def _sweep_cell(cell: Cell) -> tuple[manifest.Cell, Config]:
    """A run as a sweep knows it; raises ConfigError if this version of edgerl does not know one of its settings."""
    config = cell.config()
    planned = make_plan(config, describe(cell.env, config.run.env_options))
    own = manifest.Cell(
        name=cell.name,
        folder=cell.name,
        env=cell.env,
        variant=cell.variant.name,
        seed=cell.seed,
        arguments=tuple(arguments(config)),
        steps=config.run.steps,
        threads=config.run.threads,
        planned_bytes=sum(planned.ledger.values()),
    )
    return own, config
