"""`edgerl sweep`: a grid of runs."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edgerl.commands.options import Assignments, Paper, complete_env, setting_options


@setting_options(without=["env", "budget", "freeze_at", "seed"])
def sweep(
    env: Annotated[
        list[str] | None,
        typer.Option(
            help="such as atari/qbert; may be given several times (with --preset: some of its environments)",
            autocompletion=complete_env,
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="an experiment of the paper, such as paper/table1-memory", metavar="NAME")
    ] = None,
    budgets: Annotated[
        str | None, typer.Option(help="an axis: such as 0.03GB,0.07GB,unbounded (default: the preset's)")
    ] = None,
    freeze_at: Annotated[
        str | None, typer.Option(help="an axis: T_f in agent steps, never, auto, or preset (each task's own)")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(help="an axis: any setting, such as replay.latent_dtype=float32,uint8", metavar="KEY=V1,V2"),
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option(help="for a preset whose runs begin with others': the sweep that trained these", metavar="SWEEP"),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="5: seeds 0 to 4; 3,7: these two; 3,: seed 3 (default: 0, or as many as the paper's)"),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="multiplies what presets say of steps, T_f, evaluations and multiply-adds")
    ] = None,
    paper: Paper = False,
    set_: Assignments = None,
    jobs: Annotated[
        int | None, typer.Option(help="runs at the same time (default: the cores divided by --threads)")
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option(help="bytes that all runs may hold (default: 90% of what is available)")
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            help="where runs run (default: local); for slurm and ray, --out must be on a disk that all machines share",
            metavar="local|slurm|ray",
        ),
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(help="a parameter of Slurm's: partition=gpu, or time=600 (minutes)", metavar="KEY=VALUE"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the sweep's folder", metavar="DIR")] = None,
    resume: Annotated[Path | None, typer.Option(help="go on with the sweep in this folder", metavar="DIR")] = None,
    print_commands: Annotated[
        bool, typer.Option("--print-commands", help="print the edgerl train command of every run, and run nothing")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
    **settings: Any,
) -> None:
    """Train a grid of environments, variants and seeds, each run in a process of its own.

    What was stopped, even by kill -9, goes on with --resume DIR: finished runs are kept, others go on where they stood.
    """
    own = {name.rstrip("_"): value for name, value in locals().items() if name != "settings"}
    own |= {name: own[name] or [] for name in ("env", "vary", "set", "slurm")}
    from edgerl.experiments.sweeps import launch

    sys.exit(launch.run_sweep(settings | own))
