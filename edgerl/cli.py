"""The command line. torch and the rest of training are imported by the commands that need them."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

import device_profiles
from edgerl import config as configs
from edgerl.config import Config, ConfigError
from memory_budget import BudgetError, parse_bytes

EXIT = {"finished": 0, "memory-limit": 3, "interrupted": 130, "failed": 1}
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Train pixel-based reinforcement-learning agents inside a byte budget.",
)


def _freeze_at(text: str) -> int | None:
    if text == "never":
        return None
    if not text.isdecimal():
        raise ConfigError(f"--freeze-at: {text!r} is neither a number of steps nor never")
    return int(text)


def _configuration(
    env: str,
    algo: str | None,
    budget: str,
    device: str | None,
    freeze_at: str | None,
    settings: dict[str, Any],
) -> tuple[Config, int | None, list[str]]:
    """The run's Config, the device's process limit in bytes, and notes for the user."""
    from edgerl.envs import canonical_name

    env = canonical_name(env)
    tables = configs.preset(env)
    run, notes = tables["run"], []
    for name, value in settings.items():
        if value is not None:
            run[name] = value
    if algo is not None and algo not in configs.ALGORITHMS:
        raise ConfigError(f"--algo: unknown algorithm {algo!r}; there is {', '.join(configs.ALGORITHMS)}")
    try:
        run["budget"] = parse_bytes(budget)
    except ValueError as error:
        raise ConfigError(f"--budget: {error}") from None
    for name, least in (("steps", 1), ("seed", 0), ("eval_every", 0), ("eval_episodes", 1), ("checkpoint_every", 0)):
        if run[name] < least:
            raise ConfigError(f"--{name.replace('_', '-')}: {run[name]} is below {least}")
    if freeze_at is not None:
        run["freeze_at"] = _freeze_at(freeze_at)
        if run["freeze_at"] is not None and run["freeze_at"] >= run["steps"]:
            raise ConfigError(
                f"--freeze-at: {run['freeze_at']} is not within the run; give 0 to {run['steps'] - 1}, or never"
            )
    elif run["freeze_at"] >= run["steps"]:
        notes.append(
            f"no freeze: the preset's step {run['freeze_at']:,} lies beyond --steps {run['steps']:,}; "
            f"--freeze-at chooses another"
        )
        run["freeze_at"] = None
    limit = None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = cores
    if device is not None:
        try:
            profile = device_profiles.load(device)
        except ValueError as error:
            raise ConfigError(f"--device: {error}") from None
        limit, threads = profile.application_bytes, min(profile.threads, cores)
    if settings["threads"] is None:
        run["threads"] = threads
    elif not 1 <= settings["threads"] <= 1024:
        raise ConfigError(f"--threads: {settings['threads']} is not from 1 to 1024")
    return configs.build({**tables, "run": {**run, "env": env, "device": device}}), limit, notes


@app.command()
def train(
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
    config, limit, notes = _configuration(env, algo, budget, device, freeze_at, settings)
    from rich.console import Console

    from edgerl import run, summary

    for note in notes if not quiet else []:
        print(f"edgerl: {note}", file=sys.stderr)
    folder = out or run.default_folder(config)
    found = run.train(config, folder, limit_bytes=limit, quiet=quiet)
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
