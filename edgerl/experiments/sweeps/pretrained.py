"""The finished runs of another sweep whose networks the runs of an experiment begin with."""

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


def find(options: dict[str, Any], experiment: Experiment | None, seeds: list[int]) -> Sources:
    """The folders of the runs that the experiment's variants name: of the same seed, or the only one there is.

    `options`: of the command line, by name. Raises ConfigError if one is not there or has not finished, with the
    command that trains it.
    """
    folder: Path | None = options["pretrained"]
    if experiment is None or experiment.begins_with is None:
        if folder is not None:
            raise ConfigError(f"{OPTION}: is for a --preset whose runs begin with others', such as paper/figure7a")
        return {}
    variants = experiment.variants.values()
    names = dict.fromkeys(variant["encoder_from"] for variant in variants if "encoder_from" in variant)
    train = _command(options, experiment.begins_with, folder or Path("DIR"))
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
    """The folder of variant `name` at this seed; absolute, so that the new sweep can be resumed from anywhere."""
    theirs = {cell.seed: cell for cell in cells if cell.variant == name}
    cell = theirs.get(seed) or (next(iter(theirs.values())) if len(theirs) == 1 else None)
    if cell is None:
        raise ConfigError(f"{OPTION}: {folder} has no run {name!r} of seed {seed}")
    if not finished(folder / cell.folder, cell.last_step):
        raise ConfigError(
            f"{OPTION}: {folder / cell.folder} has not finished; go on with it: edgerl sweep --resume "
            f"{shlex.quote(str(folder))}"
        )
    return (folder / cell.folder).resolve()


def _command(options: dict[str, Any], preset: str, folder: Path) -> str:
    """The `edgerl sweep` command that trains an experiment's runs, at the seeds and scale of this one."""
    parts = ["edgerl", "sweep", "--preset", preset]
    for name in ("seeds", "scale"):
        parts += [f"--{name}", str(options[name])] if options[name] is not None else []
    return shlex.join([*parts, "--out", str(folder)])
