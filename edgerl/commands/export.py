"""`edgerl export`: a trained policy as one ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from edgerl.runs.terminal import warn


def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    out: Annotated[Path, typer.Option(help="the file to write", metavar="FILE")] = Path("policy.onnx"),
    force: Annotated[bool, typer.Option("--force", help="write over a file that is there")] = False,
) -> None:
    """Write a run's policy as one ONNX file, from pixels to actions, if it acts as the program does."""
    from edgerl.experiments.export.export import export as export_run

    written = export_run(run_folder, out, force=force)
    for line in written.passed:
        warn(f"passed over: {line}")
    print(f"{written.env}, {written.algo}, step {written.step:,}: {out} ({written.nbytes / 1e6:.2f} MB)")
    print(written.parity.line)
