"""What was asked for, as one value that every stage of a run's beginning reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgerl.config.settings import Config
from edgerl.output.listeners import Listeners
from edgerl.training.handover import Handover


@dataclass(frozen=True)
class Request:
    """A run to begin, or to go on with. Its fields are those of `edgerl.training.train.train`, and three more.

    `folder`: absolute, as an environment may change the working directory; `named`: the same as the user knows it.
    `launcher`: as in `Parts`. `handed`: what the program before this one handed over, which that one has checked and
    told to the user; None in a process that has only ever been this program.
    """

    config: Config
    folder: Path
    named: Path
    resume: bool
    fork: Path | None
    quiet: bool
    verbose: bool
    notes: Sequence[str]
    listeners: Listeners
    launcher: list[str] | None
    handed: Handover | None
