"""What the command line's options come to: a run's configuration, or the changes to one that is resumed."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

from edgerl.config import architectures, settings, toml
from edgerl.config.device import load_device
from edgerl.config.settings import Config
from edgerl.envs import suites
from edgerl.errors import ConfigError
from memory_budget import parse_bytes

DEFAULTS: dict[str, Any] = {"env": "atari/qbert", "budget": "0.07GB", "seed": 0}
BYTES = ("budget", "process_limit")
PAPER = {"store": "auto", "pixel_codec": "raw", "latent_dtype": "float32"}
MAY_CHANGE = (
    "steps",
    "threads",
    "eval_every",
    "eval_episodes",
    "checkpoint_every",
    "snapshot_every",
    "process_limit",
    "stop_at_flops",
    "ort_provider",
    "quiet",
)


def started(options: dict[str, Any], file: Path | None, assignments: list[str]) -> tuple[Config, list[str]]:
    """A new run's Config, and notes for the user. What is said later beats what is said earlier:

    the preset of the environment, the `--config` file, `--set` assignments, `options` (None: not given).
    Raises ConfigError, naming the option, for what is not allowed.
    """
    return _settled(_file(file), assigned(assignments), _given(_as_the_paper(options)))


def _as_the_paper(options: dict[str, Any]) -> dict[str, Any]:
    """`paper` as the options it stands for; raises ConfigError where one of them is given beside it."""
    options = dict(options)
    if options.pop("paper", False):
        for name in PAPER:
            if options.get(name) is not None:
                raise ConfigError(f"--paper: stands for {_option(name)} and more; give one of them")
        options |= PAPER
    return options


def configured(given: dict[str, Any]) -> Config:
    """The Config of a script: the preset of its `env` and these settings, by name; raises ConfigError, naming one."""
    said: toml.Tables = {}
    for name, value in given.items():
        table, key = settings.find(name)
        said.setdefault(table, {})[key] = settings.check(key, _bytes(name, value) if key in BYTES else value)
    return _settled(said)[0]


def _settled(*layers: toml.Tables) -> tuple[Config, list[str]]:
    said: toml.Tables = {name: {} for name in settings.TYPES}
    for layer in layers:
        for name, table in layer.items():
            said[name] |= table
    env = suites.canonical_name(said["run"].get("env", DEFAULTS["env"]))
    tables = toml.preset(env, said["run"].get("algo") or _algorithm(env))
    algo = tables["run"]["algo"]
    if algo not in settings.AGENTS:
        raise ConfigError(f"--algo: unknown algorithm {algo!r}; there are {', '.join(settings.AGENTS)}")
    for key in said["agent"]:
        if key not in get_type_hints(settings.AGENTS[algo]):
            raise ConfigError(f"agent.{key}: {algo} has no such setting")
    tables["run"] = DEFAULTS | tables["run"]
    if said["run"].get("budget") == "unbounded" and "freeze_at_unbounded" in tables["run"]:
        tables["run"]["freeze_at"] = tables["run"]["freeze_at_unbounded"]
    for name in tables:
        tables[name] |= said[name]
    run, agent = tables["run"], tables["agent"]
    run |= {"env": env, "budget": _bytes("--budget", run["budget"])}
    if algo in settings.CONTINUOUS:
        agent["encoder"] = architectures.SHARED.get(agent["encoder"], agent["encoder"])
    if agent["cut"] == "last":
        agent["cut"] = architectures.last_layer(agent["encoder"])
    if run.get("device") == "never":
        del run["device"]
    profile = load_device(run.get("device"))
    if profile:
        run["device"] = profile.reference  # a file by its absolute path: a run is resumed from any folder
    if run.get("threads") is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        run["threads"] = min(profile.threads, cores) if profile else cores
    if run["budget"] == "unbounded":
        if said["replay"].get("pixel_codec", "raw") != "raw":
            raise ConfigError("--pixel-codec: --budget unbounded makes room for raw frames; give raw, or a budget")
        tables["replay"]["pixel_codec"] = "raw"
    _settle_provider(run)
    _settle_transfer(run)
    notes = _settle_freeze(run, given="freeze_at" in said["run"])
    if profile and profile.application is None and run.get("process_limit") is None:
        notes.append(f"--device: what {profile.name} leaves an application is not known; --process-limit sets a limit")
    return toml.build(tables), notes


def _algorithm(env: str) -> str | None:
    """The algorithm that an environment's actions ask for, where its suite does not say; None where it does."""
    if "algo" in toml.preset(env)["run"]:
        return None
    return "curl" if suites.describe(env).continuous else "rainbow"


def resumed(folder: Path, options: dict[str, Any]) -> Config:
    """The Config of the run in `folder` with what may change changed.

    Raises ConfigError, naming the option, for one that may not change.
    """
    for name, value in options.items():
        given = value is not False and value not in (None, [])  # a number 0 was given
        if given and name not in MAY_CHANGE:
            allowed = ", ".join(map(_option, MAY_CHANGE))
            raise ConfigError(f"{_option(name)}: cannot change at --resume; what can: {allowed}")
    config = toml.load(folder / "config.toml")
    changes = _given({name: options.get(name) for name in MAY_CHANGE if name != "quiet"})["run"]
    _settle_provider(changes)
    return replace(config, run=replace(config.run, **changes))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _given(options: dict[str, Any]) -> toml.Tables:
    """The options that were given, by table, checked; messages name the option."""
    found: toml.Tables = {name: {} for name in settings.TYPES}
    for name, value in options.items():
        if value is None:
            continue
        table, key = settings.find(name)
        if key in BYTES:
            value = _bytes(_option(key), value)
        if key == "freeze_at" and value != "never":
            if not value.isdecimal() or len(value) > 19:  # more than 64 bits hold
                raise ConfigError(f"--freeze-at: {value!r} is neither a number of steps nor never")
            value = int(value)
        try:
            found[table][key] = settings.check(key, value)
        except ConfigError as error:
            raise ConfigError(f"{_option(key)}: {str(error).removeprefix(f'{key} = ')}") from None
    return found


def _file(file: Path | None) -> toml.Tables:
    if file is None:
        return {}
    try:
        return toml.read(file)
    except ConfigError as error:
        raise ConfigError(f"--config: {error}") from None


def assigned(assignments: list[str], option: str = "--set") -> toml.Tables:
    """`key=value` texts by table; a value is TOML, or else text. Raises ConfigError, naming the option."""
    found: toml.Tables = {}
    for text in assignments:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise ConfigError(f"{option}: {text!r} is not key=value, such as replay.n_step=10")
        try:
            table, name = settings.find(key)
            try:
                lines = tomllib.loads(f"value = {value}")
            except (ValueError, RecursionError):
                lines = {}
            parsed = lines["value"] if len(lines) == 1 else value
            if name in BYTES and parsed != "never":
                parsed = _bytes(f"{table}.{name}", parsed if isinstance(parsed, str) else value)
            found.setdefault(table, {})[name] = settings.check(f"{table}.{name}", parsed)
        except ConfigError as error:
            raise ConfigError(f"{option}: {error}") from None
    return found


def _bytes(option: str, value: Any) -> Any:
    if isinstance(value, int) or (option in ("--budget", "budget", "run.budget") and value == "unbounded"):
        return value
    try:
        return parse_bytes(str(value))
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def _settle_provider(run: dict[str, Any]) -> None:
    """The execution provider by its full name; whether this machine has it shows when the stem is rehearsed."""
    if "ort_provider" in run:
        from runtime import providers

        try:
            run["ort_provider"] = providers.full_name(run["ort_provider"])
        except ValueError as error:
            raise ConfigError(f"--ort-provider: {error}") from None


def _settle_transfer(run: dict[str, Any]) -> None:
    """What is taken of another run, where one is named: its encoder, if nothing else is said."""
    what = run.get("transfer", "never")
    if run.get("encoder_from", "never") != "never":
        run["transfer"] = "encoder" if what == "never" else what
    elif what != "never":
        raise ConfigError(f"--transfer: {what} of which run? give --encoder-from RUN too")


def _settle_freeze(run: dict[str, Any], *, given: bool) -> list[str]:
    """Hold T_f against the run's length: an explicit one must lie within it, a preset's is left out with a note."""
    freeze_at, steps = run["freeze_at"], run["steps"]
    if freeze_at == "never" or freeze_at < steps:
        return []
    if given:
        raise ConfigError(f"--freeze-at: {freeze_at} is not within the run; give 0 to {steps - 1}, or never")
    run["freeze_at"] = "never"
    return [f"no freeze: the preset's step {freeze_at:,} lies beyond --steps {steps:,}; --freeze-at chooses another"]
