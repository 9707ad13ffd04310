"""sweep.json: the cells of a sweep, each with the complete command that repeats it."""

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgerl import reading
from edgerl.config.settings import SETTINGS
from edgerl.errors import ConfigError
from edgerl.reading import COUNT, LARGEST, NAME, NUMBER, TEXT, Kind, Or
from edgerl.runs.files import write_whole

FORMAT, FILE = 1, "sweep.json"
THREADS = Kind("a number of threads", lambda value: type(value) is int and 1 <= value <= 1024)
STEPS = Kind("a number of steps", lambda value: type(value) is int and 1 <= value <= LARGEST)
CELL = {
    "name": TEXT, "folder": NAME, "env": TEXT, "variant": TEXT, "seed": COUNT, "arguments": [TEXT], "steps": STEPS,
    "threads": THREADS, "planned_bytes": COUNT, "begins_in?": Or(NAME), "differs?": [TEXT],
}  # fmt: skip
SHAPE = {"preset": Or(TEXT), "scale": NUMBER, "title": Or(TEXT), "cells": [CELL], "beginnings?": [CELL]}
# The options of `edgerl train` that a cell may have, and whether a value follows.
OPTIONS = {"--set": True} | {own.flag: bool not in own.types for own in SETTINGS.values() if own.option}


@dataclass(frozen=True)
class Cell:
    """One run: its folder within the sweep's, and the arguments of `edgerl train` (`--out` left out).

    `steps`: agent steps, as planned; `threads`: compute threads; `planned_bytes`: what its process is planned to hold.
    `begins_in`: the folder of the beginning that it is forked from, if it shares one; `differs`: the arguments of that
    fork.
    """

    name: str
    folder: str
    env: str
    variant: str
    seed: int
    arguments: tuple[str, ...]
    steps: int
    threads: int
    planned_bytes: int
    begins_in: str | None = None
    differs: tuple[str, ...] = ()

    @property
    def last_step(self) -> int:
        """The agent step that it must come to; 0 if so many multiply-adds may end it at any."""
        values = dict(pairwise(self.arguments))
        if values.get("--stop-at-flops", "never") != "never":
            return 0
        until = values.get("--until", "never")
        return self.steps if until == "never" else min(self.steps, int(until))


@dataclass(frozen=True)
class Sweep:
    """The cells in the order in which they start. `preset`, `title`: the paper's experiment, if it is one.

    `beginnings`: runs up to an earliest T_f, which cells are forked from.
    """

    preset: str | None
    scale: float
    title: str | None
    cells: tuple[Cell, ...]
    beginnings: tuple[Cell, ...] = ()


def write(sweep: Sweep, folder: Path) -> None:
    """Write the sweep into its folder; raises OSError, naming the file, if the disk refuses it."""
    text = json.dumps({"format": FORMAT, **asdict(sweep)}, indent=1) + "\n"
    write_whole(folder / FILE, text.encode())


def read(folder: Path, option: str = "--resume") -> Sweep:
    """The sweep in a folder that `option` names; raises ConfigError, naming the file, if none can be read there.

    The folders of its cells lie within its own, and their arguments are settings alone, whoever wrote the file.
    """
    file = folder / FILE
    try:
        values = reading.table(reading.inside(folder, FILE), {"format": COUNT})
        if values["format"] != FORMAT:
            raise ConfigError(f"{option}: {file} has format {values['format']}, this edgerl reads {FORMAT}")
        if (wrong := reading.fault(values, SHAPE)) is not None:
            raise ValueError(wrong)
        cells, beginnings = (tuple(map(_cell, entries)) for entries in (values["cells"], values.get("beginnings", [])))
        if not cells:
            raise ValueError("it has no cells")
        for cell in (*cells, *beginnings):
            _check_arguments(cell)
        return Sweep(values["preset"], values["scale"], values["title"], cells, beginnings)
    except FileNotFoundError:
        raise ConfigError(f"{option}: {file} does not exist: no sweep was begun there") from None
    except NotADirectoryError:
        raise ConfigError(f"{option}: {folder} is no folder") from None
    except ConfigError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{option}: {file} is not a sweep's: {error}") from None


def _cell(values: dict[str, Any]) -> Cell:
    """A cell as JSON gives it; raises TypeError for a key that it has not."""
    return Cell(**values | {name: tuple(values[name]) for name in ("arguments", "differs") if name in values})


def _check_arguments(cell: Cell) -> None:
    """Raise ValueError for arguments that are not settings and their values: `--out` would lead to another folder."""
    for arguments in (cell.arguments, cell.differs):
        left = iter(arguments)
        for option in left:
            if option not in OPTIONS:
                raise ValueError(f"{cell.folder} has the argument {option!r}, which is no setting's")
            if OPTIONS[option] and next(left, None) is None:
                raise ValueError(f"{cell.folder} has {option} without a value")
