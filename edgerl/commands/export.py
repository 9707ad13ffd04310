"""`edgerl export`: a trained policy as one ONNX file, or what a board goes on learning from."""

from pathlib import Path
from typing import Annotated

import typer

from edgerl.commands.options import trust_option
from edgerl.errors import ConfigError
from edgerl.output.messages import warn
from memory_budget import format_bytes

OUT, OUT_INT8, FOR_TRAINING = Path("policy.onnx"), Path("policy.int8.onnx"), "--for-training"


@trust_option
def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    out: Annotated[
        Path | None,
        typer.Option(help=f"the file to write (default: {OUT}, or {OUT_INT8})", metavar="FILE", show_default=False),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="in 8 bits, compared with the float policy; needs the package onnx")
    ] = False,
    episodes: Annotated[
        int | None, typer.Option(help="whole games that --int8 plays with both policies (default: 10)")
    ] = None,
    for_training: Annotated[
        Path | None,
        typer.Option(
            help="write no policy but a folder to begin other runs with: weights and settings, no replay", metavar="DIR"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="write over what is there")] = False,
) -> None:
    """Write a run's policy as one ONNX file, from pixels to actions, if it acts as the program does."""
    if for_training is not None:
        for name, is_given in (("out", out is not None), ("int8", int8), ("episodes", episodes is not None)):
            if is_given:
                raise ConfigError(f"--{name}: {FOR_TRAINING} writes no policy; give one of them")
        _write_for_training(run_folder, for_training, force=force)
    elif int8:
        _write_int8(run_folder, out or OUT_INT8, 10 if episodes is None else episodes, force=force)
    elif episodes is not None:
        raise ConfigError("--episodes: only --int8 plays games")
    else:
        _write_policy(run_folder, out or OUT, force=force)


def _write_policy(run_folder: Path, out: Path, *, force: bool) -> None:
    from edgerl.experiments.export.export import export as export_run

    written = export_run(run_folder, out, force=force)
    _warn_of(written.passed)
    print(f"{written.env}, {written.algo}, step {written.step:,}: {out} ({format_bytes(written.nbytes)})")
    print(written.parity.line)


def _write_int8(run_folder: Path, out: Path, episodes: int, *, force: bool) -> None:
    from edgerl.experiments.export.int8 import export_int8

    written, int8 = export_int8(run_folder, out, episodes=episodes, force=force)
    _warn_of(written.passed)
    size, float_size = (format_bytes(int8.nbytes[name]) for name in ("int8", "float"))
    about = f"{written.env}, {written.algo}, step {written.step:,}"
    print(f"{about}: {out} ({size}; the float policy: {float_size})")
    print(int8.lines)
    if int8.warning is not None:
        warn(int8.warning)


def _write_for_training(run_folder: Path, folder: Path, *, force: bool) -> None:
    from edgerl.experiments.export.for_training import export_for_training

    written = export_for_training(run_folder, folder, force=force)
    _warn_of(written.passed)
    print(f"{written.env}, {written.algo}, step {written.step:,}: {folder} ({format_bytes(written.nbytes)})")
    print(f"copy it to the board, and there:\n    {written.command}")
    if written.needs_torch:
        warn(f"{FOR_TRAINING}: its encoder has blocks, which only torch trains: the board needs torch too")


def _warn_of(passed: list[str]) -> None:
    for line in passed:
        warn(f"passed over: {line}")
