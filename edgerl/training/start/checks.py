"""What can be checked before any network or replay is made, and what the checks find out."""

from dataclasses import dataclass
from pathlib import Path

from edgerl.config import toml
from edgerl.config.changes import check_resumed
from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.envs.door import Door
from edgerl.envs.fleet.fleet import Fleet
from edgerl.errors import ConfigError
from edgerl.planning import advice, limits, plan
from edgerl.planning.plan import Plan
from edgerl.replay import representation
from edgerl.replay.representation import Pixels
from edgerl.runs import checkpoint
from edgerl.runs.checkpoint import Saved
from edgerl.runs.folder import check_folder
from edgerl.training import fork, transfer
from edgerl.training.build import try_out
from edgerl.training.start.request import Request
from edgerl.training.state import freeze_report_of
from edgerl.training.transfer import Source


@dataclass(frozen=True)
class Checked:
    """A run that may begin. `config`: with what the plan settled; `pixels`: what the replay stores before the freeze.

    `limit`, `limit_source`: bytes that the process tree may hold, and the name of that limit. `places`: the folder's
    checkpoints as they were when `saved` was read, the checkpoint to begin from. `source`: the networks to begin with.
    `why_alone`: why there can be no second environment to evaluate on; None if there can.
    """

    config: Config
    plan: Plan
    pixels: Pixels
    limit: int | None
    limit_source: str
    places: list[Path]
    saved: Saved | None
    source: Source | None
    why_alone: str | None


def check(request: Request, env: Door | Fleet) -> Checked:
    """Check everything that needs no network; raises ConfigError, EnvError or CheckpointError. Nothing is changed."""
    config, folder = request.config, request.folder
    planned, pixels = plan.make_plan(config, env.spec), representation.pixels(env.spec, config.replay)
    config = advice.settled(config, planned, pixels.shape, load_device(config.run.device))
    limit, limit_source = limits.process_limit(config)
    if request.handed is None:
        limits.check_size(planned, limit, limit_source)
    places = checkpoint.places(folder / "checkpoint")
    saved = _newest(request.config, folder) if request.resume else None
    if request.resume and (saved is None or freeze_report_of(saved) is None):
        _check_freeze(config)
    if not request.resume:
        check_folder(folder)
    if request.fork is not None:
        saved = fork.find(request.fork, config)
    source = transfer.find(config, env.spec) if saved is None else None
    return Checked(config, planned, pixels, limit, limit_source, places, saved, source, try_out(env, config))


def _check_freeze(config: Config) -> None:
    """Raise ConfigError if a resumed run that is not frozen yet would end before its T_f."""
    latest, steps = config.run.latest_freeze, config.run.steps
    if latest is not None and latest >= steps:
        raise ConfigError(
            f"--steps: {steps} end before the freeze at step {latest}, which cannot change at a resume; "
            f"give {latest + 1} or more"
        )


def _newest(config: Config, folder: Path) -> Saved | None:
    """The checkpoint to go on from; None if the run was killed before its first."""
    checkpoints = folder / "checkpoint"
    if not checkpoint.exists(checkpoints):
        return None
    saved = checkpoint.newest(checkpoints)
    saved.check(config.identity)
    check_resumed(config, toml.load(folder / "config.toml"))
    if saved.for_training:
        raise ConfigError(f"--resume: {folder} holds no replay: begin a run with --encoder-from {folder}")
    if config.run.steps < saved.values["step"]:
        raise ConfigError(f"--steps: {config.run.steps} is below the {saved.values['step']} that are done")
    if config.run.until is not None and config.run.until < saved.values["step"]:
        raise ConfigError(f"--until: {config.run.until} is below the {saved.values['step']} that are done; give never")
    return saved
