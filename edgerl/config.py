"""A run's configuration: frozen dataclasses, presets as data (presets.toml), TOML in and TOML out."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w

ALGORITHMS = ("rainbow",)


class ConfigError(ValueError):
    """A setting the user must change; the message is one line that names it."""


@dataclass(frozen=True)
class RunConfig:
    """What runs and for how long. `budget` is in bytes; None: no device, no freeze."""

    env: str
    algo: str
    budget: int
    device: str | None
    steps: int
    freeze_at: int | None
    seed: int
    threads: int
    eval_every: int
    eval_episodes: int
    eval_epsilon: float
    checkpoint_every: int


@dataclass(frozen=True)
class ReplayConfig:
    """Replay and schedule; `learn_start` in agent steps."""

    batch_size: int
    learn_start: int
    n_step: int
    gamma: float
    omega: float
    beta_start: float
    beta_end: float
    reward_clip: float


@dataclass(frozen=True)
class RainbowConfig:
    """The agent's hyperparameters; `cut` names the encoder's last frozen layer."""

    encoder: str
    cut: str
    hidden: int
    atoms: int
    v_min: float
    v_max: float
    sigma0: float
    learning_rate: float
    adam_eps: float
    clip_norm: float
    target_every: int


@dataclass(frozen=True)
class Config:
    """Everything that determines a run, as written to its config.toml."""

    run: RunConfig
    replay: ReplayConfig
    agent: RainbowConfig

    def to_toml(self) -> str:
        tables = asdict(self)
        tables["run"] = {k: v for k, v in tables["run"].items() if v is not None}
        tables["run"].setdefault("freeze_at", "never")  # TOML has no null
        return tomli_w.dumps(tables)


def preset(env: str) -> dict[str, dict[str, Any]]:
    """The settings of `suite/task` by table (run, replay, agent); empty for a suite without a preset."""
    data = tomllib.loads(resources.files("edgerl").joinpath("presets.toml").read_text())
    suite = data.get(env.partition("/")[0], {})
    found: dict[str, dict[str, Any]] = {name: dict(table) for name, table in suite.items()}
    for name, table in data["task"].get(env, {}).items():
        found[name] |= table
    return found


def build(tables: Mapping[str, Mapping[str, Any]]) -> Config:
    """A Config from plain tables; keys it does not know are left out (presets hold some that apply elsewhere)."""

    def make(kind: Any, table: Mapping[str, Any]) -> Any:
        known = [field.name for field in fields(kind)]
        missing = [name for name in known if name not in table and name not in ("device", "freeze_at")]
        if missing:
            raise ConfigError(f"the configuration lacks {', '.join(missing)}")
        values = {name: table.get(name) for name in known}
        return kind(**{name: None if value == "never" else value for name, value in values.items()})

    return Config(
        make(RunConfig, tables["run"]), make(ReplayConfig, tables["replay"]), make(RainbowConfig, tables["agent"])
    )


def load(path: Path) -> Config:
    """The configuration in a run folder's config.toml; raises ConfigError, naming the file, where it is none."""
    try:
        return build(tomllib.loads(path.read_text()))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise ConfigError(f"{path} is not a run's configuration: {error}") from None
