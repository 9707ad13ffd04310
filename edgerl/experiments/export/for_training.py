"""What other runs begin with, in one small folder: a run's networks and settings, as `--encoder-from` reads them."""

import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from edgerl.agents.engine_choice import engines
from edgerl.config.arguments import arguments
from edgerl.config.settings import Config
from edgerl.config.toml import load
from edgerl.envs import suites
from edgerl.errors import CheckpointError, ConfigError
from edgerl.replay import representation
from edgerl.replay.stem import ONNX_FILE, stem_file
from edgerl.runs import checkpoint
from edgerl.runs.files import making_folder
from edgerl.training.policy import of_this_run
from edgerl.training.state import freeze_report_of
from runtime import CPU

OPTION = "--for-training"
VALUES = ("identity", "trainer", "agent")  # of a checkpoint, beside its arrays
MOMENTS = "optimizer."
LEFT_OUT = ("--device", "--threads", "--freeze-by")  # each machine has its own; the freeze is at step 0


@dataclass(frozen=True)
class ForTraining:
    """A folder that other runs begin with. `step`: agent steps that its networks were trained for.

    `command`: what goes on learning with all its networks, frozen from the start; `needs_torch`: whether only torch
    can begin that; `passed`: a line for every damaged newer checkpoint that was passed over.
    """

    env: str
    algo: str
    step: int
    nbytes: int
    command: str
    needs_torch: bool
    passed: list[str]


def export_for_training(run_folder: Path, folder: Path, *, force: bool = False) -> ForTraining:
    """Write the networks and settings of a run's newest whole checkpoint to `folder`, whole or not at all.

    It is a run's folder but for the moments, the replay and the environment. `force`: also in place of such a folder.
    Raises ConfigError or CheckpointError, in one line, for what the user must change.
    """
    _check(folder, force=force)
    config, saved = load(run_folder / "config.toml"), checkpoint.newest(run_folder / "checkpoint")
    with of_this_run(saved):
        saved.check(config.identity)
        report = freeze_report_of(saved)
        stem = None if report is None else stem_file(run_folder, report)
        step = int(saved.values["step"])
        arrays = {name: array for name, array in saved.agent_arrays.items() if not name.startswith(MOMENTS)}
        values = {name: saved.values[name] for name in VALUES} | {"for_training": True}
    board = _for_a_board(config, folder)
    needs_torch = _needs_torch(board)
    try:
        with making_folder(folder.resolve()) as part:
            for file in filter(None, (run_folder / "config.toml", stem)):
                shutil.copyfile(file, part / file.name)
            checkpoint.save(part / "checkpoint", step, arrays, values)
    except OSError as error:
        raise ConfigError(f"{OPTION}: {folder} cannot be written: {error.strerror}") from None
    return ForTraining(
        config.run.env,
        config.run.algo,
        step,
        sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        _command(board),
        needs_torch,
        saved.passed,
    )


def _check(folder: Path, *, force: bool) -> None:
    """Raise ConfigError if the folder may not be written; creates nothing."""
    try:
        if not folder.resolve().parent.is_dir():
            raise ConfigError(f"{OPTION}: there is no folder {folder.resolve().parent}")
        if not folder.exists():
            return
        if not folder.is_dir():
            raise ConfigError(f"{OPTION}: {folder} is a file; name a folder")
        if not force:
            raise ConfigError(f"{OPTION}: {folder} exists; name another folder, or give --force to replace it")
        if any(folder.iterdir()) and not _is_for_training(folder):
            raise ConfigError(f"{OPTION}: {folder} holds something else, which --force does not replace")
        if others := sorted({entry.name for entry in folder.iterdir()} - {"config.toml", "checkpoint", ONNX_FILE}):
            raise ConfigError(f"{OPTION}: {folder} holds {others[0]}, which --force does not replace")
    except OSError as error:
        raise ConfigError(f"{OPTION}: {folder} cannot be written: {error.strerror}") from None


def _is_for_training(folder: Path) -> bool:
    try:
        return checkpoint.newest(folder / "checkpoint").for_training
    except CheckpointError:
        return False


def _for_a_board(config: Config, folder: Path) -> Config:
    """The settings of a run that goes on with these networks, frozen from the start, on another machine."""
    begins = replace(config.run, encoder_from=str(folder), transfer="all", freeze_at=0, freeze_by=None, until=None)
    run = replace(begins, accelerator="cpu", engine="auto", keep_torch=False, ort_provider=CPU, process_limit=None)
    return replace(config, run=run)


def _command(board: Config) -> str:
    options = arguments(board)
    for flag in LEFT_OUT:
        if flag in options:
            at = options.index(flag)
            del options[at : at + 2]
    return shlex.join(["edgerl", "train", *options])


def _needs_torch(board: Config) -> bool:
    spec = suites.describe(board.run.env, board.run.env_options)
    return engines(board, representation.pixels(spec, board.replay).shape).before == "torch"
