"""A run that begins as another one did: with its checkpoint from before T_f, and settings that matter only after that.

With as many steps to train, it goes on bit for bit as if it had been trained from its own first step.
"""

from pathlib import Path

from edgerl.config.changes import check_forked
from edgerl.config.settings import Config
from edgerl.config.toml import load
from edgerl.errors import CheckpointError, ConfigError
from edgerl.runs import checkpoint, snapshots
from edgerl.runs.checkpoint import Saved
from edgerl.runs.files import name_file
from edgerl.training.state import freeze_report_of

OPTION = "--fork"


def find(source: Path, config: Config) -> Saved:
    """The newest whole checkpoint of the run in `source`, which a run of this configuration can begin with.

    Raises ConfigError, in one line, if there is none, if it lies past the T_f of either run, or if the two runs would
    have differed before it. Nothing is changed.
    """
    if not source.is_dir():
        raise ConfigError(f"{OPTION}: there is no folder {source}")
    try:
        theirs, saved = load(source / "config.toml"), checkpoint.newest(source / "checkpoint")
        saved.check(theirs.identity)
    except (ConfigError, CheckpointError) as error:
        raise ConfigError(f"{OPTION}: {error}") from None
    if saved.for_training:
        raise ConfigError(f"{OPTION}: {source} holds no replay: begin a run with --encoder-from {source}")
    check_forked(config, theirs, source)
    report, step, run = freeze_report_of(saved), int(saved.values["step"]), config.run
    if report is not None:
        raise ConfigError(
            f"{OPTION}: {source} is past its T_f, step {report['step']:,}; --until {report['step']} ends there"
        )
    if run.latest_freeze is not None and _round_of(run.latest_freeze, run.envs) < step:
        raise ConfigError(f"--freeze-at: {run.latest_freeze} is below {step}, the step at which {source} is forked")
    if run.steps < step:
        raise ConfigError(f"--steps: {run.steps} is below {step}, the step at which {source} is forked")
    if run.until is not None and run.until < step:
        raise ConfigError(f"--until: {run.until} is below {step}, the step at which {source} is forked")
    return saved


def _round_of(step: int, envs: int) -> int:
    """The step after which what is due at `step` happens: `envs` steps are made at once."""
    return -(-step // envs) * envs


def take_over(saved: Saved, source: Path, config: Config, folder: Path) -> Saved:
    """Copy a checkpoint, with metrics and snapshots up to it, into the new run's folder; returns the copy as read.

    Raises OSError, naming the file, if the disk refuses them, and CheckpointError for a damaged snapshot.
    """
    trainer = saved.values["trainer"] | {"fork": {"run": str(source), "step": saved.values["step"]}}
    checkpoint.copy(saved, folder / "checkpoint", saved.values | {"trainer": trainer})
    metrics = folder / "metrics.jsonl"
    try:
        with (source / metrics.name).open("rb") as lines, metrics.open("wb") as copied:
            copied.write(lines.read(saved.values["metrics_bytes"]))
    except OSError as error:
        name_file(error, metrics)
        raise
    snapshots.copy(source, folder, _snapshots(config, int(saved.values["step"])))
    return checkpoint.newest(folder / "checkpoint")


def _snapshots(config: Config, last: int) -> list[int]:
    """The steps up to the last one at which a run of these settings takes snapshots."""
    run = config.run
    freeze = None if run.latest_freeze is None else _round_of(run.latest_freeze, run.envs)
    return [
        step
        for step in range(0, last + 1, run.envs)
        if snapshots.due(step, run.snapshot_every, freezing=step == freeze, done=step >= run.steps, stride=run.envs)
    ]
