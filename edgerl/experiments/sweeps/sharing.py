"""Cells that differ only in what matters after T_f train their beginning once, and fork from it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from edgerl.config.arguments import arguments, text
from edgerl.config.settings import Config
from edgerl.experiments.sweeps.manifest import Cell

SHORTEST = 1000  # agent steps of a beginning: a shorter one takes longer to start than to train again


class Shared(NamedTuple):
    """The cells, which know where they begin, and the beginnings, each a run up to the earliest T_f of its cells."""

    cells: tuple[Cell, ...]
    beginnings: tuple[Cell, ...]

    @property
    def saved_steps(self) -> int:
        """Agent steps that the cells need not train because of their beginnings."""
        return sum(
            beginning.steps * (sum(cell.begins_in == beginning.folder for cell in self.cells) - 1)
            for beginning in self.beginnings
        )


def share(cells: Sequence[tuple[Cell, Config]]) -> Shared:
    """Find the beginnings that these cells share."""
    groups: dict[Any, list[tuple[Cell, Config]]] = defaultdict(list)
    for cell, config in cells:
        groups[_before_freeze(config)].append((cell, config))
    forks: dict[str, Cell] = {}
    beginnings: list[Cell] = []
    for group in groups.values():
        step = min((config.run.latest_freeze for _, config in group if config.run.latest_freeze is not None), default=0)
        first, config = group[0]
        if len(group) < 2 or step < SHORTEST or (config.run.until is not None and config.run.until <= step):
            continue
        config = replace(config, run=replace(config.run, freeze_at=step, until=step))
        folder = f"{first.folder.partition('__')[0]}__beginning-{len(beginnings) + 1}__{first.seed}"
        name = f"{first.env}, beginning of {len(group)} cells to step {step:,}, seed {first.seed}"
        beginnings.append(replace(first, name=name, folder=folder, arguments=tuple(arguments(config)), steps=step))
        forks |= {
            cell.folder: replace(cell, begins_in=folder, differs=tuple(_differences(own, config)))
            for cell, own in group
        }
    return Shared(tuple(forks.get(cell.folder, cell) for cell, _ in cells), tuple(beginnings))


def _before_freeze(config: Config) -> tuple[str, ...]:
    """What must be equal for runs to share their beginning: everything, if the replay's size or T_f follows from it."""
    everything = config.run.budget == "unbounded" or config.run.freeze_at == "auto"
    return tuple(text(setting, value) for setting, value in config.values() if everything or not setting.after_freeze)


def _differences(config: Config, beginning: Config) -> list[str]:
    """The options of `edgerl train --fork` that make a run of this configuration of its beginning."""
    theirs = {setting.key: value for setting, value in beginning.values()}
    options = []
    for setting, value in config.values():
        ends = setting.name == "until" and value is None  # as a fork does if nothing else is said
        if value != theirs[setting.key] and not ends:
            options += ["--set", f"{setting.key}={text(setting, value)}"]
    return options
