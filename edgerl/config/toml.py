"""A run's configuration: settings from presets (presets.toml) and files, TOML in and TOML out."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_type_hints

import tomli_w

from edgerl import plugins, reading
from edgerl.config.agent_settings import AGENTS
from edgerl.config.replay_settings import ReplayConfig
from edgerl.config.settings import TABLES, Config, RunConfig
from edgerl.config.values import check, lookup, nearest, size
from edgerl.envs.suites import suite_of
from edgerl.errors import ConfigError

Tables = dict[str, dict[str, Any]]
LONGEST = 300  # characters of a name in an error
NAMING_CODE = (("run", "env"), ("agent", "encoder"))  # settings that may name a module to import
SEAL = "# SHA-256 of all that follows: "  # begins the first line of a run's settings


def preset(env: str, algo: str | None = None) -> Tables:
    """The settings of `suite/task` by table (run, replay, agent), as presets.toml has them.

    `algo`: another algorithm than the suite's own; None where the suite has none of its own gives no agent.
    """
    presets = tomllib.loads(resources.files("edgerl.config").joinpath("presets.toml").read_text())
    suite = presets["suite"].get(suite_of(env), {})
    task = presets["task"].get(env, {})
    algo = algo or suite.get("run", {}).get("algo")
    own = presets["algo"].get(algo, {})
    tables: Tables = {name: {} for name in TABLES}
    for layer in (presets["every"], presets["algo"].get(own.get("like"), {}), own, suite, task):
        for name in TABLES:
            tables[name] |= layer.get(name, {})
    if algo:
        tables["run"]["algo"] = algo
    return tables


def build(tables: Mapping[str, Mapping[str, Any]]) -> Config:
    """A Config from plain tables; keys it does not know are left out (presets hold some that apply elsewhere)."""

    def make(kind: Any, table: Mapping[str, Any]) -> Any:
        later = {field.name: field.default for field in fields(kind) if field.default is not MISSING}
        table = {**later, **table}
        known = [field.name for field in fields(kind)]
        types = get_type_hints(kind)
        optional = [name for name in known if type(None) in get_args(types[name])]
        missing = [name for name in known if name not in table and name not in optional]
        if missing:
            raise ConfigError(f"the configuration lacks {', '.join(missing)}")
        values = {name: table.get(name) for name in known}
        return kind(**{name: None if value == "never" else value for name, value in values.items()})

    run = make(RunConfig, tables["run"])
    if run.algo not in AGENTS:
        raise ConfigError(f"--algo: unknown algorithm {run.algo!r}; there are {', '.join(AGENTS)}")
    config = Config(run, make(ReplayConfig, tables["replay"]), make(AGENTS[run.algo], tables["agent"]))
    _check(config)
    return config


def _check(config: Config) -> None:
    """Raise ConfigError for what is wrong only between two settings."""
    replay, agent = config.replay, config.agent
    _check_text(config)
    agent.check()
    replay.check()
    _check_after_freeze(config)
    if config.run.freeze_at == "auto" and config.run.freeze_by is None:
        raise ConfigError('run.freeze_at = "auto" needs run.freeze_by, the latest step')
    if agent.continuous and replay.sampling == "prioritized":
        raise ConfigError(f"replay.sampling: {config.run.algo} gives rows no priorities; give uniform")
    envs = config.run.envs
    if replay.learn_start < envs * replay.n_step:
        per_env = f" for each of --envs {envs}" if envs > 1 else ""
        raise ConfigError(
            f"replay.learn_start = {replay.learn_start} is below replay.n_step = {replay.n_step}{per_env}"
        )
    if replay.augmentations > 1 and not replay.random_crop:
        raise ConfigError("replay.augmentations: more than one needs replay.random_crop = true")


def _check_text(config: Config) -> None:
    """Raise ConfigError for a value that no config.toml can hold, such as a path of bytes that are no UTF-8."""
    for setting, value in config.values():
        if value is None:
            continue
        try:
            tomli_w.dumps({setting.name: value}).encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{setting.key} = {value!r} is no UTF-8; name it otherwise") from None
        except TypeError:
            raise ConfigError(
                f"{setting.key} = {value!r} cannot be written; allowed are text, numbers, true and false, dates, lists "
                "and tables of these"
            ) from None


def _check_after_freeze(config: Config) -> None:
    """Raise ConfigError for a setting of what only happens after a freeze, if the run has none."""
    after = {
        "agent.reset_heads_every": config.agent.reset_heads_every,
        "replay.n_step_end": config.replay.n_step_end,
        "replay.gamma_start": config.replay.gamma_start,
    }
    for key, value in after.items():
        if value and config.run.freeze_at is None:
            raise ConfigError(f"{key} = {value:g} does nothing without a freeze; give --freeze-at N, or {key} = 0")


def read(path: Path) -> Tables:
    """The checked tables of a TOML file; raises ConfigError, naming file and key, where it is no configuration.

    Code that it names is not imported before the user asks for it (edgerl/plugins.py).
    """
    try:
        tables = reading.toml(reading.content(path, reading.MOST_SETTINGS))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except NotADirectoryError:
        raise ConfigError(f"{path.parent} is not a folder") from None
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path} is not a run's configuration: {error}") from None
    try:
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise ConfigError(f"{name[:LONGEST]!r} is not a table; the tables are [run], [replay] and [agent]")
            if name not in TABLES:
                raise ConfigError(f"unknown table {name[:LONGEST]!r}{nearest(name, TABLES)}")
            for key, value in table.items():
                setting = lookup(f"{name}.{key}")
                is_text = setting.size and isinstance(value, str)
                table[key] = check(setting.key, size(setting, value, setting.key) if is_text else value)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    named = [str(tables.get(name, {}).get(key, "")) for name, key in NAMING_CODE]
    plugins.given_by(path, [name for name in named if ":" in name])
    return tables


def load(path: Path) -> Config:
    """The configuration in a run folder's config.toml.

    Raises ConfigError, naming the file, where it is none, and where it is not the one that its first line seals.
    """
    try:
        reading.inside(path.parent, path.name)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not a run's configuration: {error}") from None
    tables = read(path)
    _check_seal(path)
    try:
        return build(tables)
    except (ConfigError, KeyError) as error:
        raise ConfigError(f"{path} is not a run's configuration: {error}") from None


def sealed(config: Config) -> bytes:
    """A run's settings as its folder keeps them: their checksum in a comment, then TOML."""
    text = config.to_toml()
    return f"{SEAL}{_digest(text)}\n{text}".encode()


def _check_seal(path: Path) -> None:
    """Raise ConfigError if a run's settings are not those that their first line seals; older runs have no such line."""
    first, _, text = path.read_text(encoding="utf-8-sig").partition("\n")
    if first.startswith(SEAL) and first.removeprefix(SEAL) != _digest(text):
        raise ConfigError(
            f"{path} is damaged, or was changed by hand: its checksum differs; without its first line it is taken as is"
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
