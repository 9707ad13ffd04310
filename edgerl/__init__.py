"""edgerl: train pixel-based reinforcement-learning agents inside a byte budget.

For scripts: `configure` makes a configuration, `train` runs it, `load` gives the trained policy, `export` writes it as
one ONNX file, `card` makes a folder to share, `make_env` an environment to play on. An environment of your own gives
`TimeStep`s and has an `EnvSpec`; an encoder of your own is a list of `Conv`, `Block` and `Linear`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerl.config.architectures import Block, Conv, Linear
from edgerl.config.settings import Config
from edgerl.envs.base import Environment, EnvSpec
from edgerl.errors import CheckpointError, ConfigError, EnvError, EnvFailed, ExportError, FreezeError, TrainingError
from edgerl.types import TimeStep

if TYPE_CHECKING:
    import numpy as np

    from edgerl.training.policy import Policy

__version__ = "0.1.0"
__all__ = [
    "configure",
    "train",
    "load",
    "export",
    "card",
    "make_env",
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


def train(config: Config, out: str | Path | None = None, *, resume: bool = False, quiet: bool = True) -> dict[str, Any]:
    """Train, and return the summary (docs/metrics.md); `out`: the run folder, with `resume` one that holds a run.

    Raises ConfigError, EnvError or CheckpointError for what the caller must change, EnvFailed, TrainingError or
    FreezeError for what ended the run.
    """
    from edgerl.agents.build import threads_as_before
    from edgerl.training.train import train as run

    with threads_as_before():
        return run(config, None if out is None else Path(out), resume=resume, quiet=quiet)


def load(folder: str | Path, *, trust: bool = False) -> "Policy":
    """The policy of a run folder's newest checkpoint: `load(folder).act(window)`.

    `trust`: import code (module:callable) that the folder's config.toml names and this program does not. Raises
    ConfigError or CheckpointError if the folder holds no run that can be read.
    """
    from edgerl import plugins
    from edgerl.agents.build import threads_as_before
    from edgerl.training.policy import Policy

    with threads_as_before(), plugins.trusting(trust):
        return Policy(Path(folder))


def export(run: str | Path, out: str | Path, *, force: bool = False, trust: bool = False) -> dict[str, Any]:
    """Write the policy of a run folder's newest checkpoint to the file `out`, as ONNX; returns its parity by name.

    windows uint8 [B, C, H, W] to `action` and `values` or `log_std`. `force`: also over a file that is there.
    `trust`: as in `load`. Raises ConfigError, CheckpointError or EnvError for what the caller must change, ExportError
    if it acts otherwise than the program: nothing is written then.
    """
    from edgerl import plugins
    from edgerl.agents.build import threads_as_before
    from edgerl.experiments.export.export import export as export_run

    with threads_as_before(), plugins.trusting(trust):
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
    from edgerl.experiments.card.card import Options, make

    with plugins.trusting(trust):
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
