"""What the command line's options come to: a run's configuration, or the changes to one that is resumed."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from edgerl.config import architectures, toml
from edgerl.config.agent_settings import AGENTS
from edgerl.config.device import settle_machine
from edgerl.config.setting import Setting, flag
from edgerl.config.settings import SETTINGS, TABLES, Config
from edgerl.config.toml import Tables
from edgerl.config.updates import check_updates, settle_learn_start
from edgerl.config.values import check, lookup, size
from edgerl.envs import suites
from edgerl.envs.base import ENV_OPTIONS, EnvOptions
from edgerl.errors import ConfigError

DEFAULTS: dict[str, Any] = {"env": "atari/qbert", "budget": "0.07GB", "seed": 0}
PAPER = {"store": "auto", "pixel_codec": "raw", "latent_dtype": "float32"}  # what --paper stands for
RESUMABLE = [setting.name for setting in SETTINGS.values() if setting.resumable]


def started(options: dict[str, Any], file: Path | None, assignments: list[str]) -> tuple[Config, list[str]]:
    """A new run's Config, and notes for the user.

    It is made of the preset of the environment, the `--config` file, the `--set` assignments and the `options` (None:
    not given); of two that say the same setting the later one counts. Raises ConfigError, naming the option, for what
    is not allowed.
    """
    return _settled(_file(file), assigned(assignments), _given(_as_the_paper(options)))


def _as_the_paper(options: dict[str, Any]) -> dict[str, Any]:
    """`paper` as the options it stands for; raises ConfigError if one of them is given beside it."""
    options = dict(options)
    if options.pop("paper", False):
        for name in PAPER:
            if options.get(name) is not None:
                raise ConfigError(f"--paper: stands for {flag(name)} and more; give one of them")
        options |= PAPER
    return options


def configured(settings: dict[str, Any]) -> Config:
    """The Config of a script: the preset of its `env`, then these settings. Raises ConfigError, naming a setting."""
    said: Tables = {}
    for name, value in settings.items():
        setting = lookup(name)
        sized = size(setting, value, name) if setting.size else value
        said.setdefault(setting.table, {})[setting.name] = check(name, sized)
    return _settled(said)[0]


def resumed(folder: Path, options: dict[str, Any]) -> Config:
    """The Config of the run in `folder` with what may change changed.

    Raises ConfigError, naming the option, for one that may not change; and if the run's settings are damaged.
    """
    refuse_at_resume(options, [*RESUMABLE, "quiet"])
    config = toml.load(folder / "config.toml")
    changes = _given({name: options.get(name) for name in RESUMABLE})["run"]
    _settle_provider(changes)
    values: dict[str, Any] = {name: None if value == "never" else value for name, value in changes.items()}
    return replace(config, run=replace(config.run, **values))


def forked(source: Path, options: dict[str, Any], assignments: list[str]) -> tuple[Config, list[str]]:
    """The Config of a run that begins as the one in `source`, and notes for the user: its settings, then these.

    Raises ConfigError, naming the option, for what is not allowed.
    """
    try:
        theirs = toml.load(source / "config.toml")
    except ConfigError as error:
        raise ConfigError(f"--fork: {error}") from None
    written = tomllib.loads(theirs.to_toml())  # what an older run did by defaults of its time as well
    return _settled(written, {"run": {"until": "never"}}, assigned(assignments), _given(_as_the_paper(options)))


def refuse_at_resume(options: Mapping[str, Any], may_change: list[str]) -> None:
    """Raise ConfigError for an option that was given and may not change at a resume. A number 0 counts as given."""
    for name, value in options.items():
        if value is not None and value is not False and value not in ([], ()) and name not in may_change:
            allowed = ", ".join(map(flag, may_change))
            raise ConfigError(f"{flag(name)}: cannot change at --resume; what can: {allowed}")


def assigned(assignments: list[str], option: str = "--set") -> Tables:
    """`key=value` texts by table; a value is TOML, or else text. Raises ConfigError, naming the option."""
    tables: Tables = {}
    for text in assignments:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise ConfigError(f"{option}: {text!r} is not key=value, such as replay.n_step=10")
        try:
            setting = lookup(key)
            parsed = _toml_value(value)
            if setting.size:
                parsed = size(setting, parsed if isinstance(parsed, str) else value, setting.key)
            tables.setdefault(setting.table, {})[setting.name] = check(setting.key, parsed)
        except ConfigError as error:
            raise ConfigError(f"{option}: {error}") from None
    return tables


def _toml_value(text: str) -> Any:
    """A text as a TOML value, or as it is if it is none."""
    try:
        lines = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return lines["value"] if len(lines) == 1 else text


def _given(options: dict[str, Any]) -> Tables:
    """The options that were given, by table, checked; messages name the option."""
    tables: Tables = {name: {} for name in TABLES}
    for name, value in options.items():
        if value is None or value in ([], ()):  # of an option that may be given several times
            continue
        setting = lookup(name)
        if dict in setting.types and isinstance(value, list | tuple):
            value = "never" if list(value) == ["never"] else _table(setting, value)
        elif setting.size:
            value = size(setting, value, setting.flag)
        elif isinstance(value, str) and value not in setting.stand_ins:
            value = _number(setting, value)
        try:
            tables[setting.table][setting.name] = check(setting.name, value)
        except ConfigError as error:
            raise ConfigError(f"{setting.flag}: {str(error).removeprefix(f'{setting.name} = ')}") from None
    return tables


def _table(setting: Setting, texts: Sequence[str]) -> dict[str, Any]:
    """`key=value` texts as a table; a value is TOML, or else text. Raises ConfigError, naming the option."""
    table: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not key or not equals:
            raise ConfigError(f"{setting.flag}: {text!r} is not key=value, such as size=9")
        if key in table:
            raise ConfigError(f"{setting.flag}: {key} is given twice")
        table[key] = _toml_value(value)
    return table


def _number(setting: Setting, text: str) -> int | float | str:
    """A text as the number that its setting takes, as it is if that takes none. Raises ConfigError for another text."""
    words = " nor ".join(setting.stand_ins)
    if int in setting.types:
        if not text.isdecimal() or len(text) > 19:  # more than 64 bits hold
            raise ConfigError(f"{setting.flag}: {text!r} is neither a whole number nor {words}")
        return int(text)
    try:
        return float(text) if float in setting.types else text
    except ValueError:
        raise ConfigError(f"{setting.flag}: {text!r} is neither a number nor {words}") from None


def _file(file: Path | None) -> Tables:
    """The tables of the `--config` file; none if it is not given."""
    if file is None:
        return {}
    try:
        return toml.read(file)
    except ConfigError as error:
        raise ConfigError(f"--config: {error}") from None


def _settled(*layers: Tables) -> tuple[Config, list[str]]:
    """The Config that the preset and these layers come to, the last one first in rank; and notes for the user."""
    said: Tables = {name: {} for name in TABLES}
    for layer in layers:
        _drop_meaningless(said["run"], layer.get("run", {}))
        for name, table in layer.items():
            said[name] |= table
    env = suites.canonical_name(said["run"].get("env", DEFAULTS["env"]))
    tables = toml.preset(env, said["run"].get("algo") or _algorithm(env, said["run"]))
    _check_algorithm(tables["run"]["algo"], said["agent"])
    tables["run"] = DEFAULTS | tables["run"]
    if said["run"].get("budget") == "unbounded" and "freeze_at_unbounded" in tables["run"]:
        tables["run"]["freeze_at"] = tables["run"]["freeze_at_unbounded"]
    preset_freeze = tables["run"].get("freeze_at", "never")
    for name in tables:
        tables[name] |= said[name]
    run = tables["run"]
    run |= {"env": env, "budget": size(SETTINGS["run.budget"], run["budget"], "--budget")}
    _settle_encoder(tables["agent"], run["algo"])
    notes = settle_machine(run)
    if run["budget"] == "unbounded":
        if said["replay"].get("pixel_codec", "raw") != "raw":
            raise ConfigError("--pixel-codec: --budget unbounded makes room for raw frames; give raw, or a budget")
        tables["replay"]["pixel_codec"] = "raw"
    _settle_provider(run)
    _settle_transfer(run)
    _settle_latest_freeze(run, preset_freeze)
    notes = _settle_freeze(run, explicit="freeze_at" in said["run"]) + notes
    if "learn_start" not in said["replay"]:
        settle_learn_start(tables)
    config = toml.build(tables)
    return config, notes + check_updates(config)


def _drop_meaningless(said: dict[str, Any], layer: dict[str, Any]) -> None:
    """Forget what lower layers say of a choice that this one takes back."""
    if layer.get("freeze_at", "auto") != "auto":
        said.pop("freeze_by", None)
    if layer.get("encoder_from") == "never":
        said.pop("transfer", None)


def _algorithm(env: str, said: dict[str, Any]) -> str | None:
    """The algorithm that an environment's actions ask for, if its suite does not say one; None if it does."""
    if "algo" in toml.preset(env)["run"]:
        return None
    options = {name: said[name] for name in ENV_OPTIONS if said.get(name, "never") != "never"}
    return "curl" if suites.describe(env, EnvOptions(**options)).continuous else "rainbow"


def _check_algorithm(algo: str, said: dict[str, Any]) -> None:
    """Raise ConfigError if there is no such algorithm, or if it lacks one of the settings said of it."""
    if algo not in AGENTS:
        raise ConfigError(f"--algo: unknown algorithm {algo!r}; there are {', '.join(AGENTS)}")
    known = {field.name for field in fields(AGENTS[algo])}
    for key in said:
        if key not in known:
            raise ConfigError(f"agent.{key}: {algo} has no such setting")


def _settle_encoder(agent: dict[str, Any], algo: str) -> None:
    """The encoder that actor and critic can share, and the name of its last layer."""
    if AGENTS[algo].continuous:
        agent["encoder"] = architectures.SHARED.get(agent["encoder"], agent["encoder"])
    if agent["cut"] == "last":
        agent["cut"] = architectures.last_layer(agent["encoder"])


def _settle_provider(run: dict[str, Any]) -> None:
    """The execution provider by its full name; whether this machine has it shows when the stem is rehearsed."""
    if "ort_provider" in run:
        from runtime import providers

        try:
            run["ort_provider"] = providers.full_name(run["ort_provider"])
        except ValueError as error:
            raise ConfigError(f"--ort-provider: {error}") from None


def _settle_transfer(run: dict[str, Any]) -> None:
    """What is taken of another run, if one is named: its encoder, if nothing else is said."""
    what = run.get("transfer", "never")
    if run.get("encoder_from", "never") != "never":
        run["transfer"] = "encoder" if what == "never" else what
    elif what != "never":
        raise ConfigError(f"--transfer: {what} of which run? give --encoder-from RUN too")


def _settle_latest_freeze(run: dict[str, Any], preset: int | str) -> None:
    """The latest step of a freeze that is chosen on the way: as said, or the preset's T_f; it lies within the run."""
    latest, steps = run.pop("freeze_by", "never"), run["steps"]
    if run["freeze_at"] != "auto":
        if latest != "never":
            raise ConfigError(f"--freeze-by: {latest} is the latest step of --freeze-at auto; give that too")
        return
    latest = preset if latest == "never" else latest
    if latest == "never":
        raise ConfigError("--freeze-at: auto needs a latest step, and the preset has none; give --freeze-by N")
    if latest >= steps:
        raise ConfigError(f"--freeze-by: {latest} is not within the run; give {steps - 1} or less")
    run["freeze_by"] = latest


def _settle_freeze(run: dict[str, Any], *, explicit: bool) -> list[str]:
    """Hold T_f against the run's length: an explicit one must lie within it, a preset's is left out with a note."""
    freeze_at, steps = run["freeze_at"], run["steps"]
    if freeze_at in ("never", "auto") or freeze_at < steps:
        return []
    if explicit:
        raise ConfigError(f"--freeze-at: {freeze_at} is not within the run; give 0 to {steps - 1}, never or auto")
    run["freeze_at"] = "never"
    beyond = f"the preset's step {freeze_at:,} is not before the last of --steps {steps:,}"
    return [f"no freeze: {beyond}; --freeze-at chooses another"]
