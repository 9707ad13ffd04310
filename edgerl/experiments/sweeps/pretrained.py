"""What the runs of an experiment begin with: runs of another sweep, which has to have ended."""

import shlex
from pathlib import Path
from typing import Any

from edgerl.errors import ConfigError
from edgerl.experiments.sweeps import manifest
from edgerl.experiments.sweeps.manifest import Cell
from edgerl.experiments.sweeps.paper import Experiment
from edgerl.runs.status import finished

OPTION = "--pretrained"
Sources = dict[tuple[Any, int], str]  # run folders by the variant of the other sweep and the seed of the new run


def find(given: dict[str, Any], experiment: Experiment | None, seeds: list[int]) -> Sources:
    """The runs that the experiment's variants name: each seed's own, or where there is but one, that one.

    `given`: the options of the command line. Raises ConfigError, with the command that makes or ends them, where they
    are not there.
    """
    folder: Path | None = given["pretrained"]
    if experiment is None or experiment.begins_with is None:
        if folder is not None:
            raise ConfigError(f"{OPTION}: is for a --preset whose runs begin with others', such as paper/figure7a")
        return {}
    names = dict.fromkeys(said["encoder_from"] for said in experiment.variants.values() if "encoder_from" in said)
    train = _command(given, experiment.begins_with, folder or Path("DIR"))
    if folder is None:
        raise ConfigError(
            f"{OPTION}: the runs of {experiment.name} begin with others': train these with {train}, then give "
            f"{OPTION} DIR"
        )
    if not (folder / manifest.FILE).exists():
        raise ConfigError(f"{OPTION}: {folder} holds no sweep; this makes it: {train}")
    cells = manifest.read(folder, OPTION).cells
    return {(name, seed): str(_run(folder, cells, name, seed)) for name in names for seed in seeds}


def _run(folder: Path, cells: tuple[Cell, ...], name: str, seed: int) -> Path:
    """The folder of one run; absolute, so that the new sweep may be resumed from anywhere."""
    theirs = {cell.seed: cell for cell in cells if cell.variant == name}
    cell = theirs.get(seed) or (next(iter(theirs.values())) if len(theirs) == 1 else None)
    if cell is None:
        raise ConfigError(f"{OPTION}: {folder} has no run {name!r} of seed {seed}")
    if not finished(folder / cell.folder):
        raise ConfigError(
            f"{OPTION}: {folder / cell.folder} has not finished; go on with it: edgerl sweep --resume "
            f"{shlex.quote(str(folder))}"
        )
    return (folder / cell.folder).resolve()


def _command(given: dict[str, Any], preset: str, folder: Path) -> str:
    parts = ["edgerl", "sweep", "--preset", preset]
    for name in ("seeds", "scale"):
        parts += [f"--{name}", str(given[name])] if given[name] is not None else []
    return shlex.join([*parts, "--out", str(folder)])
