"""A sweep from its options to its exit code: make or read it, check it, run it, and report its end."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from edgerl.config.resolve import refuse_at_resume
from edgerl.errors import ConfigError
from edgerl.experiments.sweeps import grid, manifest
from edgerl.experiments.sweeps.cell import UNDONE, CellRun
from edgerl.experiments.sweeps.display import Display
from edgerl.experiments.sweeps.executors.local import Executor, Local
from edgerl.experiments.sweeps.manifest import Cell, Sweep
from edgerl.experiments.sweeps.runner import (
    BUSY,
    Runner,
    begin,
    check_new,
    counting_interruptions,
    memory_limit,
    parallel_jobs,
)
from edgerl.output.messages import warn
from edgerl.runs.folder import locked
from edgerl.runs.status import EXIT_CODES
from memory_budget import parse_bytes

EXECUTORS = ("local", "slurm", "ray")
AT_RESUME = ["jobs", "memory_limit", "executor", "slurm", "quiet"]
NAMED = 5  # cells that a message names; more are counted


def run_sweep(options: dict[str, Any]) -> int:
    """Do what the options of `edgerl sweep` ask for; returns an exit code.

    `options`: by name; None, empty or False if not given. Raises ConfigError or EnvError, in one line, for
    what the user must change; nothing is written then.
    """
    local = _check(options)
    folder: Path = options["resume"] or options["out"]
    notes: list[str] = []
    if options["resume"] is not None:
        sweep = manifest.read(folder)
    else:
        sweep, notes = grid.make(options, local=local)
    if options["print_commands"]:
        for cell in sweep.cells:
            print(shlex.join(["edgerl", "train", *cell.arguments, "--out", str(folder / cell.folder)]))
        return 0
    jobs = parallel_jobs(options["jobs"], sweep.cells, local=local)
    limit = memory_limit(_bytes(options["memory_limit"]), sweep.cells) if local else None
    if options["resume"] is None:
        check_new(folder)
    executor = _executor(options, folder, sweep.cells)
    if options["resume"] is None:
        begin(sweep, folder)
    for note in notes if not options["quiet"] else []:
        warn(note)
    return run_cells(sweep, folder, executor, jobs=jobs, limit=limit, quiet=options["quiet"])


def run_cells(sweep: Sweep, folder: Path, executor: Executor, *, jobs: int, limit: int | None, quiet: bool) -> int:
    """Run the cells that have not finished; returns the sweep's exit code.

    `jobs`: cells at the same time, at most; `limit`: see `Runner`. Raises ConfigError if another sweep runs in this
    folder.
    """
    with locked(folder, BUSY):
        runs, beginnings = cell_runs(sweep, folder.resolve())
        display = Display([*beginnings, *runs], limit, quiet=quiet)
        runner = Runner([*beginnings, *runs], executor, display, jobs=jobs, limit=limit)
        with counting_interruptions(runner), display:
            runner.run()
    if not quiet:
        counts = Counter(run.state for run in runs)
        print(f"{len(runs)} cells: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
        print(f"sweep.json, the runs and their logs are in {folder}")
        if counts["finished"]:
            print(f"next: edgerl report {shlex.quote(str(folder))} --out report.html")
    again = f"edgerl sweep --resume {shlex.quote(str(folder))}"
    if runner.interruptions:
        warn(f"interrupted; what the cells have done is saved; go on with: {again}")
        return EXIT_CODES["interrupted"]
    undone = [run for run in runs if run.state in UNDONE]
    if undone:
        told = "; ".join(f"{run.cell.folder} ({run.state}: {run.reason})" for run in undone[:NAMED])
        more = f"; and {len(undone) - NAMED} more" if len(undone) > NAMED else ""
        warn(f"{len(undone)} of {len(runs)} cells did not finish: {told}{more}; again: {again}")
        return 1
    return 0


def cell_runs(sweep: Sweep, folder: Path) -> tuple[list[CellRun], list[CellRun]]:
    """The runs of a sweep's cells, and of the beginnings that cells which have not begun are forked from."""
    beginnings = {cell.folder: CellRun(cell, folder) for cell in sweep.beginnings}
    runs = [CellRun(cell, folder, beginnings.get(cell.begins_in or "")) for cell in sweep.cells]
    needed = [run.beginning for run in runs if run.beginning is not None and not run.begun]
    return runs, list(dict.fromkeys(needed))


def _check(options: dict[str, Any]) -> bool:
    """Raise ConfigError for options that contradict each other; returns whether the cells run on this machine."""
    if options["resume"] is not None:
        refuse_at_resume({name: value for name, value in options.items() if name != "resume"}, AT_RESUME)
    elif options["out"] is None:
        raise ConfigError("--out: name the folder that the sweep's runs go to")
    if options["executor"] not in (None, *EXECUTORS):
        raise ConfigError(f"--executor: {options['executor']!r} is unknown; there are {', '.join(EXECUTORS)}")
    if options["jobs"] is not None and options["jobs"] < 1:
        raise ConfigError(f"--jobs: {options['jobs']} is below 1")
    if options["slurm"] and options["executor"] != "slurm":
        raise ConfigError("--slurm: is for --executor slurm")
    local = options["executor"] in (None, "local")
    if options["memory_limit"] is not None and not local:
        raise ConfigError(f"--memory-limit: is for this machine; {options['executor']} keeps its own account of memory")
    return local


def _bytes(text: str | None) -> int | None:
    try:
        return None if text is None else parse_bytes(text)
    except ValueError as error:
        raise ConfigError(f"--memory-limit: {error}") from None


def _executor(options: dict[str, Any], folder: Path, cells: tuple[Cell, ...]) -> Executor:
    if options["executor"] in (None, "local"):
        return Local()
    from edgerl.experiments.sweeps.executors import clusters

    if options["executor"] == "slurm":
        return clusters.Slurm(folder.resolve() / ".slurm", _parameters(options["slurm"]))
    return clusters.Ray(max(cell.threads for cell in cells), max(cell.planned_bytes for cell in cells))


def _parameters(texts: list[str]) -> dict[str, Any]:
    """Slurm's parameters from KEY=VALUE texts; numbers become int."""
    parameters: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value):
            raise ConfigError(f"--slurm: {text!r} is not KEY=VALUE, such as partition=gpu")
        parameters[key] = int(value) if value.isdecimal() else value
    return parameters
