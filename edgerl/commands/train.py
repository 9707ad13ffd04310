"""`edgerl train`: a run from its options, and what the user is told at its end."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from edgerl import plugins
from edgerl.commands.options import Assignments, Paper, SettingsFile, setting_options, trust_option
from edgerl.config import resolve
from edgerl.errors import ConfigError
from edgerl.output.messages import warn
from edgerl.runs.status import EXIT_CODES


@trust_option
@setting_options()
def train(
    paper: Paper = False,
    config: SettingsFile = None,
    set_: Assignments = None,
    out: Annotated[Path | None, typer.Option(help="run folder (default: runs/<env>__<algo>__<seed>__<time>)")] = None,
    resume: Annotated[Path | None, typer.Option(help="go on with the run in this folder", metavar="RUN")] = None,
    fork: Annotated[
        Path | None,
        typer.Option(
            help="begin as the run in this folder did, with settings that matter only after T_f", metavar="RUN"
        ),
    ] = None,
    track: Annotated[
        str | None, typer.Option(help="log the metrics in this experiment tracker too", metavar="wandb|mlflow")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="also print what takes the memory, at every turn")] = False,
    **settings: Any,
) -> None:
    """Train an agent. At step T_f (--freeze-at) the encoder freezes, and the replay turns from pixels to latents.

    Both take the same bytes, --budget.
    """
    settings |= {"paper": paper}
    notes: list[str] = []
    with plugins.trusting(True):  # who trains on a file's settings asks for what they name
        if resume is not None:
            chosen = resolve.resumed(resume, settings | {"fork": fork, "out": out, "config": config, "set": set_})
        elif fork is not None:
            if config is not None:
                raise ConfigError("--config: --fork begins with the other run's settings; give --set")
            chosen, notes = resolve.forked(fork, settings, set_ or [])
        else:
            chosen, notes = resolve.started(settings, config, set_ or [])
    from edgerl.experiments.tracking.trackers import tracking
    from edgerl.output.terminal import console
    from edgerl.runs.folder import folder_of
    from edgerl.training import summary
    from edgerl.training.train import train as run

    with (
        folder_of(chosen, resume or out) as folder,
        nullcontext() if track is None else tracking(track, chosen, folder) as listeners,
    ):
        ended = run(
            chosen,
            folder,
            listeners=listeners,
            resume=resume is not None,
            fork=fork,
            quiet=quiet,
            verbose=verbose,
            notes=notes,
            replaceable=track is None,
        )
    if not quiet:
        summary.show(ended, folder, console())
    if ended["status"] == "memory-limit":
        warn(f"{ended['memory']['limit_reached']}; checkpoint saved in {folder / ended['checkpoint']}")
    if ended["status"] == "interrupted":
        warn(f"interrupted; checkpoint saved in {folder / ended['checkpoint']}")
    sys.exit(EXIT_CODES[ended["status"]])
