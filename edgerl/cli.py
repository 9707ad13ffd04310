"""The command line. torch and the rest of training are imported by the commands that need them."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from edgerl import options
from edgerl.config import ConfigError
from memory_budget import BudgetError

EXIT = {"finished": 0, "memory-limit": 3, "interrupted": 130, "failed": 1}
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Train pixel-based reinforcement-learning agents inside a byte budget.",
)


@app.command()
def train(
    ctx: typer.Context,
    env: Annotated[str, typer.Option(help="atari/<game> or toy/catch")] = "atari/qbert",
    algo: Annotated[str | None, typer.Option(help="the algorithm (default: the preset's)")] = None,
    budget: Annotated[str, typer.Option(help="bytes the replay holds, with a unit, such as 0.07GB")] = "0.07GB",
    device: Annotated[str | None, typer.Option(help="a device profile (see edgerl devices)")] = None,
    steps: Annotated[int | None, typer.Option(help="agent steps (default: the preset's)")] = None,
    freeze_at: Annotated[
        str | None, typer.Option(help="T_f in agent steps, or never (default: the preset's)", metavar="N|never")
    ] = None,
    seed: Annotated[int, typer.Option(help="seeds environment, replay and agent")] = 0,
    threads: Annotated[int | None, typer.Option(help="compute threads (default: the device's, or all cores)")] = None,
    eval_every: Annotated[int | None, typer.Option(help="agent steps between evaluations; 0: none")] = None,
    eval_episodes: Annotated[int | None, typer.Option(help="whole games an evaluation plays")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="agent steps between checkpoints; 0: ends only")] = None,
    out: Annotated[Path | None, typer.Option(help="run folder (default: runs/<env>__<algo>__<seed>__<time>)")] = None,
    resume: Annotated[Path | None, typer.Option(help="go on with the run in this folder", metavar="RUN")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
) -> None:
    """Train an agent; the encoder freezes at T_f and the replay turns from pixels to latents in the same bytes."""
    settings = {
        "steps": steps,
        "seed": seed,
        "threads": threads,
        "eval_every": eval_every,
        "eval_episodes": eval_episodes,
        "checkpoint_every": checkpoint_every,
    }
    if resume is not None:
        given = [name for name in ctx.params if str(ctx.get_parameter_source(name)).endswith("COMMANDLINE")]
        config, limit = options.resumed(resume, given, settings)
        notes: list[str] = []
    else:
        config, limit, notes = options.started(env, algo, budget, device, freeze_at, settings)
    from rich.console import Console

    from edgerl import run, summary

    for note in notes if not quiet else []:
        print(f"edgerl: {note}", file=sys.stderr)
    folder = resume or out or run.default_folder(config)
    found = run.train(config, folder, resume=resume is not None, limit_bytes=limit, quiet=quiet)
    if not quiet:
        summary.show(found, folder, Console(highlight=False))
    if found["status"] == "memory-limit":
        _complain(
            f"the process tree reached its limit of {found['memory']['limit_bytes']:,} bytes; "
            f"checkpoint saved in {folder / found['checkpoint']}"
        )
    if found["status"] == "interrupted":
        _complain(f"interrupted; checkpoint saved in {folder / found['checkpoint']}")
    raise typer.Exit(EXIT[found["status"]])


@app.command("eval")
def evaluate(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    episodes: Annotated[int, typer.Option(help="whole games to play")] = 10,
    seed: Annotated[int, typer.Option(help="seeds the games")] = 0,
    threads: Annotated[int, typer.Option(help="compute threads")] = 1,
) -> None:
    """Play whole games with a run's newest checkpoint: unclipped scores, no exploration."""
    for name, value in (("episodes", episodes), ("threads", threads)):
        if value < 1:
            raise ConfigError(f"--{name}: {value} is below 1")
    if seed < 0:
        raise ConfigError(f"--seed: {seed} is below 0")
    from edgerl import run

    found = run.evaluate_run(run_folder, episodes=episodes, seed=seed, threads=threads, say=_complain)
    print(f"{found['env']} at step {found['step']:,}: {found['episodes']} games")
    print(f"score {found['mean']:,.1f} +- {found['std']:,.1f} ({found['min']:,.0f} to {found['max']:,.0f})")


@app.command()
def devices() -> None:
    """List the device profiles."""
    from rich.console import Console

    from edgerl.devices import table

    Console(highlight=False).print(table())


def _complain(message: str) -> None:
    print(f"edgerl: {message}", file=sys.stderr)


def main() -> None:
    """The `edgerl` program: errors a user can cause are one line on stderr and exit code 2."""
    try:
        sys.exit(app(standalone_mode=False))
    except (ConfigError, BudgetError) as error:
        _leave(str(error), 2)
    except TyperException as error:
        _leave(error.format_message().replace("\n", " "), 2)
    except (KeyboardInterrupt, typer.Abort):
        _leave("interrupted", 130)
    except OSError as error:
        _leave(f"{error.filename or 'the system'}: {error.strerror or error}", 1)
    except Exception as error:
        code = {"EnvError": 2, "CheckpointError": 2, "TrainingError": 1, "FreezeError": 1, "ExportError": 1}
        if type(error).__name__ in code:  # by name: importing them here would import torch
            _leave(str(error), code[type(error).__name__])
        raise


def _leave(message: str, code: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        _complain(message)
    sys.exit(code)


if __name__ == "__main__":
    main()
