"""`edgerl analyze`: what a run's encoder learned, and when it had settled."""

from pathlib import Path
from typing import Annotated

import typer

from edgerl.commands.options import check_threads, trust_option
from edgerl.errors import ConfigError
from edgerl.experiments.analysis.output import check, show, write
from edgerl.output.messages import warn
from edgerl.settling.rule import MOVEMENT, SIMILARITY, Rule


@trust_option
def analyze(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder with snapshots")],
    frames: Annotated[
        int | None, typer.Option(help="windows to play and compare on (default: enough for the widest layer)")
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(help="steps between compared snapshots (default: 10,000; neighbours if the run is too short)"),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="whose attention, such as conv1 (default: the last convolution)")
    ] = None,
    similarity: Annotated[float, typer.Option(help="SVCCA that a settled layer keeps at least")] = SIMILARITY,
    movement: Annotated[
        float, typer.Option(help="how far settled attention moves at most, 1 - correlation")
    ] = MOVEMENT,
    threads: Annotated[int, typer.Option(help="compute threads")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="folder for analysis.json, svcca.png and attention.png (default: RUN)", metavar="DIR"),
    ] = None,
) -> None:
    """Say what a run's encoder learned and when it had settled: SVCCA of every layer, and where it attends.

    The run must have been trained with --snapshot-every.
    """
    for name, value in (("frames", frames), ("every", every)):
        if value is not None and value < 1:
            raise ConfigError(f"--{name}: {value} is below 1")
    for name, share in (("similarity", similarity), ("movement", movement)):
        if not 0 <= share <= 1:
            raise ConfigError(f"--{name}: {share:g} is not from 0 to 1")
    check_threads(threads)
    check(out, run_folder)
    from edgerl.experiments.analysis.analyze import analyze as analyze_run
    from edgerl.output.terminal import console, waiting

    with waiting("reading snapshots") as status:
        analysis, attention = analyze_run(
            run_folder,
            Rule(similarity, movement),
            frames=frames,
            every=every,
            layer=layer,
            threads=threads,
            say=status.update,
        )
        written = write(analysis, attention, out or run_folder)
    for note in analysis["notes"]:
        warn(note)
    show(analysis, console())
    print(f"{', '.join(written)} in {out or run_folder}")
