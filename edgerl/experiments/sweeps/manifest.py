"""sweep.json: the cells of a sweep, each with the complete command that repeats it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edgerl.errors import ConfigError
from edgerl.runs.files import write_whole

FORMAT, FILE = 1, "sweep.json"


@dataclass(frozen=True)
class Cell:
    """One run: its folder within the sweep's, and the arguments of `edgerl train` (`--out` left out).

    `steps`: agent steps; `threads`: compute threads; `planned_bytes`: what its process is planned to hold.
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


@dataclass(frozen=True)
class Sweep:
    """The cells in the order in which they begin. `preset`, `title`: the paper's experiment, where it is one."""

    preset: str | None
    scale: float
    title: str | None
    cells: tuple[Cell, ...]


def write(sweep: Sweep, folder: Path) -> None:
    """Leave the sweep in its folder; raises OSError, naming the file, where the disk refuses it."""
    text = json.dumps({"format": FORMAT, **asdict(sweep)}, indent=1) + "\n"
    write_whole(folder / FILE, text.encode())


def read(folder: Path, option: str = "--resume") -> Sweep:
    """The sweep in a folder that `option` names; raises ConfigError, naming the file, where none can be read there."""
    file = folder / FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ConfigError(f"{option}: {file} has format {found['format']}, this edgerl reads {FORMAT}")
        cells = tuple(Cell(**each | {"arguments": tuple(each["arguments"])}) for each in found["cells"])
        return Sweep(found["preset"], found["scale"], found["title"], cells)
    except FileNotFoundError:
        raise ConfigError(f"{option}: {file} does not exist: no sweep was begun there") from None
    except ConfigError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigError(f"{option}: {file} is not a sweep's: {error!r}") from None
