"""edgerl: train pixel-based reinforcement-learning agents inside a byte budget.

For scripts: `configure` makes a configuration, `train` runs it, `load` gives the trained policy.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerl.config.settings import Config
from edgerl.errors import ConfigError

if TYPE_CHECKING:
    from edgerl.training.policy import Policy

__version__ = "0.1.0"
__all__ = ["Config", "ConfigError", "configure", "load", "train"]


def configure(**settings: Any) -> Config:
    """A configuration: the preset of `env`, and what is named here on top, such as n_step=10 or budget="0.03GB".

    Sizes may be text with a unit or whole bytes; freeze_at may be "never". Raises ConfigError, naming the setting.
    """
    from edgerl.config.resolve import configured

    return configured(settings)


def train(config: Config, out: str | Path | None = None, *, resume: bool = False, quiet: bool = True) -> dict[str, Any]:
    """Train, and return the summary (docs/metrics.md); `out`: the run folder, with `resume` one that holds a run.

    Raises ConfigError, envs.EnvError or checkpoint.CheckpointError for what the caller must change.
    """
    from edgerl.training.train import train as run

    return run(config, None if out is None else Path(out), resume=resume, quiet=quiet)


def load(folder: str | Path) -> "Policy":
    """The policy of a run folder's newest checkpoint: `load(folder).act(window)`.

    Raises ConfigError or CheckpointError where the folder holds no run that can be read.
    """
    from edgerl.training.policy import Policy

    return Policy(Path(folder))
