"""A run's configuration: frozen dataclasses, presets as data (presets.toml), TOML in and TOML out."""

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

ALGORITHMS = ("rainbow",)
Tables = dict[str, dict[str, Any]]


class ConfigError(ValueError):
    """A setting the user must change; the message is one line that names it."""


@dataclass(frozen=True)
class RunConfig:
    """What runs and for how long.

    `budget`: bytes, or "unbounded" for as many rows as there are steps. None: no device, no freeze ("never" in TOML),
    no limit of its own (`process_limit`, bytes), no end but `steps` (`stop_at_flops`, multiply-adds).
    """

    env: str
    algo: str
    budget: int | Literal["unbounded"]
    device: str | None
    steps: int
    freeze_at: int | None
    seed: int
    threads: int
    accelerator: Literal["cpu", "cuda", "auto"]
    eval_every: int
    eval_episodes: int
    eval_epsilon: float
    checkpoint_every: int
    process_limit: int | None
    stop_at_flops: float | None
    sticky_actions: float
    full_action_set: bool


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

    @property
    def identity(self) -> dict[str, Any]:
        """Whose a checkpoint is: no run where one of these is another can go on from it."""
        run, agent = self.run, self.agent
        return {"environment": run.env, "algorithm": run.algo, "encoder": agent.encoder, "seed": run.seed}

    def to_toml(self) -> str:
        tables = asdict(self)
        tables["run"] = {k: v for k, v in tables["run"].items() if v is not None}
        tables["run"].setdefault("freeze_at", "never")  # TOML has no null
        return tomli_w.dumps(tables)


TYPES: dict[str, dict[str, Any]] = {
    name: get_type_hints(kind)
    for name, kind in (("run", RunConfig), ("replay", ReplayConfig), ("agent", RainbowConfig))
}
# The smallest and largest value allowed, where not every number is; both count as allowed.
BOUNDS: dict[str, tuple[float, float]] = {
    "steps": (1, math.inf),
    "freeze_at": (0, math.inf),
    "seed": (0, 2**63 - 1),
    "threads": (1, 1024),
    "eval_every": (0, math.inf),
    "eval_episodes": (1, math.inf),
    "eval_epsilon": (0, 1),
    "checkpoint_every": (0, math.inf),
    "sticky_actions": (0, 1),
    "stop_at_flops": (1, math.inf),
    "process_limit": (1, math.inf),
    "budget": (1, math.inf),
    "batch_size": (1, 65536),
    "learn_start": (1, math.inf),
    "n_step": (1, 1000),
    "gamma": (0, 1),
    "omega": (0, 1),
    "beta_start": (0, 1),
    "beta_end": (0, 1),
    "reward_clip": (0, math.inf),
    "hidden": (1, 65536),
    "atoms": (2, 10_001),
    "v_min": (-1e9, 1e9),
    "v_max": (-1e9, 1e9),
    "learning_rate": (0, 10),
    "adam_eps": (1e-15, 1),  # above zero: a gradient of zero over a mean of zero is no number
    "clip_norm": (0, math.inf),
    "target_every": (1, math.inf),
    "sigma0": (0, 10),
}


def preset(env: str) -> Tables:
    """The settings of `suite/task` by table (run, replay, agent), as presets.toml has them."""
    data = tomllib.loads(resources.files("edgerl").joinpath("presets.toml").read_text())
    suite = data["custom"] if ":" in env else data.get(env.partition("/")[0], {})
    found: Tables = {name: {} for name in TYPES}
    for layer in (data["every"], suite, data["task"].get(env, {})):
        for name, table in layer.items():
            found[name] |= table
    return found


def build(tables: Mapping[str, Mapping[str, Any]]) -> Config:
    """A Config from plain tables; keys it does not know are left out (presets hold some that apply elsewhere)."""

    def make(kind: Any, table: Mapping[str, Any]) -> Any:
        known = [field.name for field in fields(kind)]
        optional = [name for name in known if type(None) in get_args(TYPES_OF[kind][name])]
        missing = [name for name in known if name not in table and name not in optional]
        if missing:
            raise ConfigError(f"the configuration lacks {', '.join(missing)}")
        values = {name: table.get(name) for name in known}
        return kind(**{name: None if value == "never" else value for name, value in values.items()})

    found = Config(
        make(RunConfig, tables["run"]), make(ReplayConfig, tables["replay"]), make(RainbowConfig, tables["agent"])
    )
    replay, agent = found.replay, found.agent
    if not agent.v_max - agent.v_min > 1e-6 * max(abs(agent.v_min), abs(agent.v_max)):  # what float32 tells apart
        raise ConfigError(f"agent.v_min = {agent.v_min:g} is not below agent.v_max = {agent.v_max:g}")
    if replay.learn_start < replay.n_step:
        raise ConfigError(f"replay.learn_start = {replay.learn_start} is below replay.n_step = {replay.n_step}")
    return found


TYPES_OF = {RunConfig: TYPES["run"], ReplayConfig: TYPES["replay"], RainbowConfig: TYPES["agent"]}


def read(path: Path) -> Tables:
    """The checked tables of a TOML file; raises ConfigError, naming file and key, where it is no configuration."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except (ValueError, OSError, RecursionError) as error:
        raise ConfigError(f"{path} is not a run's configuration: {error}") from None
    try:
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise ConfigError(f"{name!r} is not a table; the tables are [run], [replay] and [agent]")
            if name not in TYPES:
                raise ConfigError(f"unknown table {name!r}{_nearest(name, TYPES)}")
            for key, value in table.items():
                table[key] = check(f"{name}.{key}", value)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return tables


def load(path: Path) -> Config:
    """The configuration in a run folder's config.toml; raises ConfigError, naming the file, where it is none."""
    tables = read(path)
    try:
        return build(tables)
    except (ConfigError, KeyError) as error:
        raise ConfigError(f"{path} is not a run's configuration: {error}") from None


def find(key: str) -> tuple[str, str]:
    """The (table, key) of a key written as `table.key` or `key`; raises ConfigError, naming the nearest one."""
    table, _, name = key.rpartition(".")
    found = [(each, name) for each in TYPES if name in TYPES[each] and table in ("", each)]
    if not found:
        known = {full for each in TYPES for k in TYPES[each] for full in (k, f"{each}.{k}")}
        raise ConfigError(f"unknown key {key!r}{_nearest(key, known)}")
    return found[0]


def check(key: str, value: Any) -> Any:
    """`value` as its key's type (a whole number may stand for a float); raises ConfigError, naming the key."""
    table, name = find(key)
    allowed = TYPES[table][name]
    kinds = get_args(allowed) if get_args(allowed) and get_origin(allowed) is not Literal else (allowed,)
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    plain = [kind for kind in kinds if isinstance(kind, type) and kind is not type(None)]
    if type(None) in kinds and value == "never":
        return value
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ConfigError(f"{key} = a number of {value.bit_length()} bits is beyond 64 bits")
    if isinstance(value, int) and not isinstance(value, bool) and float in plain:
        value = float(value)
    if value == "":
        raise ConfigError(f"{key} = '' is empty")
    if value not in words and type(value) not in plain:
        wanted = " or ".join([*({int: "a whole number", float: "a number", str: "text", bool: "true or false"}[k]
                                for k in plain), *map(repr, words)])  # fmt: skip
        raise ConfigError(f"{key} = {value!r} is not {wanted}")
    low, high = BOUNDS.get(name, (-math.inf, math.inf))
    if isinstance(value, int | float) and not isinstance(value, bool) and not low <= value <= high:
        side = f"below {low:g}" if value < low else f"not from {low:g} to {high:g}"
        raise ConfigError(f"{key} = {value!r} is {side}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key} = {value!r} is not a finite number")
    return value


def _nearest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; the nearest is {near[0]}" if near else ""
