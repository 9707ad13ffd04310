"""`edgerl report`: runs and sweeps as one file."""

from pathlib import Path
from typing import Annotated

import typer

from edgerl.output.messages import warn
from memory_budget import format_bytes


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN_OR_SWEEP...", help="run folders, sweeps, folders of runs")],
    out: Annotated[Path, typer.Option(help="the file to write")] = Path("report.html"),
    form: Annotated[
        str | None,
        typer.Option("--format", help="what to write (default: as --out ends)", metavar="html|md|json|png"),
    ] = None,
    title: Annotated[str | None, typer.Option(help="the page's title (default: from what it shows)")] = None,
) -> None:
    """Put runs together, in one page that works offline: scores with intervals over seeds, capacity, memory, cost."""
    from edgerl.experiments.reports import write

    left_out = write.write(runs, out, form, title)
    for folder, why in left_out:
        warn(f"left out: {folder}: {why}")
    print(f"report in {out} ({format_bytes(out.stat().st_size)})")
