"""edgerl: train pixel-based reinforcement-learning agents inside a byte budget.

For scripts: `configure` makes a configuration, `train` runs it, `load` gives the trained policy, `export` writes it as
one ONNX file, `card` makes a folder to share, `make_env` an environment to play on. An environment of your own gives
`TimeStep`s and has an `EnvSpec`; an encoder of your own is a list of `Conv`, `Block` and `Linear`. `ReplayBuffer` is
the replay alone, for other training loops; stable-baselines3 takes `edgerl.sb3.BudgetReplayBuffer`.
"""

import importlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerl.config.architectures import Block, Conv, Linear
from edgerl.config.settings import Config
from edgerl.envs.base import Environment, EnvSpec
from edgerl.errors import (
    CheckpointError,
    ConfigError,
    EnvError,
    EnvFailed,
    ExportError,
    FreezeError,
    StopTraining,
    TrainingError,
)
from edgerl.types import TimeStep

if TYPE_CHECKING:
    import numpy as np

    from edgerl.output.listeners import OnCheckpoint, OnEpisode, OnMetrics
    from edgerl.replay_buffer.buffer import ReplayBuffer
    from edgerl.training.policy import Policy

    __version__: str
else:  # not for type checkers: to them, every name would be there

    def __getattr__(name):
        """What takes a while: `ReplayBuffer`, which needs NumPy, and the installed distribution's `__version__`."""
        if name == "ReplayBuffer":
            from edgerl.replay_buffer.buffer import ReplayBuffer

            return ReplayBuffer
        if name == "__version__":
            from importlib.metadata import version

            return version("edgerl")
        raise AttributeError(f"module 'edgerl' has no attribute {name!r}")


__all__ = [
    "configure",
    "train",
    "load",
    "export",
    "card",
    "make_env",
    "ReplayBuffer",
    "Config",
    "Environment",
    "EnvSpec",
    "TimeStep",
    "Conv",
    "Block",
    "Linear",
    "CheckpointError",
    "ConfigError",
    "EnvError",
    "EnvFailed",
    "ExportError",
    "FreezeError",
    "StopTraining",
    "TrainingError",
]


def configure(**settings: Any) -> Config:
    """A configuration: the preset of `env`, and what is named here on top, such as n_step=10 or budget="0.03GB".

    Sizes may be text with a unit or whole bytes; freeze_at may be "never" or "auto". Raises ConfigError, naming the
    setting.
    """
    from edgerl import plugins
    from edgerl.config.resolve import configured

    config = configured(settings)
    plugins.ask_for(config.code)
    return config


def train(
    config: Config,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    quiet: bool = True,
    on_metrics: "OnMetrics | None" = None,
    on_episode: "OnEpisode | None" = None,
    on_checkpoint: "OnCheckpoint | None" = None,
) -> dict[str, Any]:
    """Train, and return the summary (docs/metrics.md); `out`: the run folder, with `resume` one that holds a run.

    `on_metrics(step, values)`: metrics by name; `on_episode(step, score)`: a training episode has ended;
    `on_checkpoint(step, folder)`: a checkpoint is on the disk. One that raises StopTraining ends the run in order; what
    else they raise is told once and ends nothing.
    Raises ConfigError, EnvError or CheckpointError for what the caller must change, EnvFailed, TrainingError or
    FreezeError for what ended the run.
    """
    with _process_as_before():
        from edgerl.output.listeners import Listeners
        from edgerl.training.train import train as run

        listeners = Listeners(on_metrics, on_episode, on_checkpoint)
        return run(config, None if out is None else Path(out), resume=resume, quiet=quiet, listeners=listeners)


def load(folder: str | Path, *, trust: bool = False) -> "Policy":
    """The policy of a run folder's newest checkpoint: `load(folder).act(window)`.

    `trust`: import code (module:callable) that the folder's config.toml names and this program does not. Raises
    ConfigError or CheckpointError if the folder holds no run that can be read.
    """
    from edgerl import plugins

    with _process_as_before(), plugins.trusting(trust):
        from edgerl.training.policy import Policy

        return Policy(Path(folder))


def export(run: str | Path, out: str | Path, *, force: bool = False, trust: bool = False) -> dict[str, Any]:
    """Write the policy of a run folder's newest checkpoint to the file `out`, as ONNX; returns its parity by name.

    windows uint8 [B, C, H, W] to `action` and `values` or `log_std`. `force`: also over a file that is there.
    `trust`: as in `load`. Raises ConfigError, CheckpointError or EnvError for what the caller must change, ExportError
    if it acts otherwise than the program: nothing is written then.
    """
    from edgerl import plugins

    with _process_as_before(), plugins.trusting(trust):
        from edgerl.experiments.export.export import export as export_run

        return export_run(Path(run), Path(out), force=force).parity.summary()


def card(
    run: str | Path,
    out: str | Path,
    *,
    episodes: int = 10,
    seed: int = 0,
    film: bool = True,
    license: str = "other",
    force: bool = False,
    trust: bool = False,
) -> dict[str, Any]:
    """Make a folder to share of a run's newest checkpoint: policy, film, scores, settings, README.md (docs/sharing.md).

    It plays `episodes` games; returns what its scores.json holds. `license`: of the policy, as model hubs write it;
    `force`: also over a card that is there; `trust`: as in `load`. Raises as `export`, and EnvFailed if the environment
    fails: nothing is written then.
    """
    from edgerl import plugins

    with _process_as_before(), plugins.trusting(trust):
        from edgerl.experiments.card.card import Options, make

        return make(Path(run), Path(out), Options(episodes, seed, film, license, force)).scores


def make_env(name: str, rng: "np.random.Generator", *, training: bool = False) -> Environment:
    """The environment of that name (atari/qbert, dmc/walker-walk, gym/CartPole-v1, toy/catch, module:callable).

    `rng`: all that it draws from; with `training`, losing a life ends an Atari episode. Raises EnvError for an unknown
    name, or one whose packages are not installed.
    """
    from edgerl import plugins
    from edgerl.envs import suites

    plugins.ask_for([name])
    return suites.make(name, rng, training=training)


@contextmanager
def _process_as_before() -> Iterator[None]:
    """Within, edgerl computes and draws as it must; afterwards its caller's process is as it was."""
    drawn = random.getstate()
    importlib.import_module("rich.style")  # draws numbers as it is first imported
    random.setstate(drawn)
    from edgerl.agents.build import computing_as_before
    from edgerl.envs.outside.screen import variables_as_before

    with computing_as_before(), variables_as_before("CUBLAS_WORKSPACE_CONFIG"):
        yield
