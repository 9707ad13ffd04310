"""The runs of learning.toml: what each is, and how what is missing of them is trained."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgerl import ConfigError, configure
from edgerl.config.arguments import arguments
from edgerl.config.settings import Config

CHECKOUT = Path(__file__).parents[1]
ATTEMPTS = 3  # of one run: each goes on where the one before it ended
INPUT_ERROR = 2  # the exit code of a run that would be refused again


@dataclass(frozen=True)
class Variant:
    """Settings of `edgerl train` by name; `begins_as`: the variant that it is the same as until T_f, if any."""

    name: str
    settings: dict[str, Any]
    games: tuple[str, ...]
    begins_as: str | None


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
    """All of learning.toml. `jobs`: runs at a time; `paper`: the variant that the rule for defaults compares with."""

    games: tuple[str, ...]
    seeds: tuple[int, ...]
    jobs: int
    variants: tuple[Variant, ...]
    paper: str

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
        """Every run, game by game and seed by seed; a variant stands after the one that it begins as."""
        return [
            Cell(variant, game, seed)
            for game in self.games
            for seed in self.seeds
            for variant in self.variants
            if game in variant.games
        ]


def load(file: Path) -> Study:
    """Read a study; raises SystemExit, in one line, for a variant that begins as none of those before it."""
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    variants: dict[str, Variant] = {}
    for name, own in tables["variants"].items():
        begins_as = own.get("begins_as")
        if begins_as is not None and begins_as not in variants:
            sys.exit(f"{file}: {name} begins as {begins_as}, which does not stand before it")
        games = tuple(own.get("games", tables["games"]))
        variants[name] = Variant(name, tables["every"] | own["settings"], games, begins_as)
    return Study(
        tuple(tables["games"]), tuple(tables["seeds"]), tables["jobs"], tuple(variants.values()), tables["paper"]
    )


def is_finished(folder: Path) -> bool:
    """Whether a run's summary says that it came to its end."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder / "summary.json").read_text()).get("status") == "finished"
    return False


def command(cell: Cell, folder: Path) -> list[str]:
    """The command that begins a run or goes on with it; one killed before it had written its settings begins again."""
    if (folder / "config.toml").exists():
        options = ["--resume", str(folder)]
    else:
        shutil.rmtree(folder, ignore_errors=True)
        options = [*arguments(cell.config()), "--out", str(folder)]
    return [sys.executable, "-m", "edgerl", "train", *options, "--quiet"]


class Trainer:
    """Trains runs, several at a time. Once it is interrupted, the runs save checkpoints and end, and none begins."""

    def __init__(self, cells: list[Cell], root: Path) -> None:
        self._waiting, self._root = list(cells), root.resolve()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._interrupted = False
        self._lock = threading.Lock()

    def train(self, jobs: int) -> None:
        """Train the runs, `jobs` at a time; raises SystemExit, in one line, at Ctrl-C or SIGTERM."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        workers = [threading.Thread(target=self._work) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                worker.join()
        except KeyboardInterrupt:
            self._interrupt()
            for worker in workers:
                worker.join()
            sys.exit("interrupted: the runs have saved checkpoints, and the same command goes on")

    def _interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            for process in self._running:
                process.send_signal(signal.SIGTERM)

    def _work(self) -> None:
        """Train one run after another, until none is waiting."""
        while not self._interrupted:
            with self._lock:
                if not self._waiting:
                    return
                cell = self._waiting.pop(0)
            try:
                self._train(cell)
            except ConfigError as error:
                print(f"{cell.name}: {error}", flush=True)

    def _train(self, cell: Cell) -> None:
        """Train one run to its end; one that ends early goes on, ATTEMPTS times at most."""
        folder, began, code = self._root / cell.name, time.monotonic(), None
        print(f"{cell.name}: {'goes on' if (folder / 'config.toml').exists() else 'begins'}", flush=True)
        for _ in range(ATTEMPTS):
            code = self._run(command(cell, folder), Path(f"{folder}.log"))
            if code in (0, INPUT_ERROR, None):
                break
        why = "interrupted" if code is None else f"exit code {code}; see {folder}.log"
        ended = "finished" if is_finished(folder) else f"not finished, {why}"
        print(f"{cell.name}: {ended}, {(time.monotonic() - began) / 60:.1f} minutes", flush=True)

    def _run(self, words: list[str], log: Path) -> int | None:
        """Run a command, with its output added to a file; returns its exit code, None if all was interrupted."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            with self._lock:
                if self._interrupted:
                    return None
                environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
                process = subprocess.Popen(words, env=environment, stdout=output, stderr=output, start_new_session=True)
                self._running.add(process)
            code = process.wait()
        with self._lock:
            self._running.discard(process)
            return None if self._interrupted else code
