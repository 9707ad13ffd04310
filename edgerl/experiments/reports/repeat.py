"""The exact command that repeats a run: what its configuration says beyond the presets."""

import shlex
from typing import Any

from edgerl.config import resolve
from edgerl.config.settings import Config
from edgerl.errors import ConfigError

# Options of their own; every other setting is said with --set.
OPTIONS = ("env", "algo", "budget", "device", "steps", "freeze_at", "encoder_from", "transfer", "seed", "threads")
SAID = ("store", "pixel_codec", "latent_dtype")  # said always: the presets' default may become another


def command(config: Config) -> str:
    """`edgerl train ...` for exactly this configuration, whatever the machine's number of cores is."""
    run, replay = config.run, config.replay
    parts = ["edgerl", "train"]
    for name in OPTIONS:
        value = getattr(run, name)
        if value is not None or name == "freeze_at":
            parts += [f"--{name.replace('_', '-')}", _text(name, value)]
    for name in SAID:
        parts += [f"--{name.replace('_', '-')}", str(getattr(replay, name))]
    given = [*(f"run.{name}" for name in OPTIONS), *(f"replay.{name}" for name in SAID)]
    for key, value in _beyond_presets(config).items():
        if key not in given:
            parts += ["--set", f"{key}={_text(key.partition('.')[2], value)}"]
    return shlex.join(parts)


def _beyond_presets(config: Config) -> dict[str, Any]:
    """The settings by `table.key` that are not what the preset of this environment and algorithm says."""
    run = config.run
    base = {"env": run.env, "algo": run.algo, "steps": run.steps, "freeze_at": _text("freeze_at", run.freeze_at)}
    own = _flat(config)
    try:
        preset = _flat(resolve.started(base, None, [])[0])
    except ConfigError:
        return own
    return {key: value for key, value in own.items() if key not in preset or preset[key] != value}


def _flat(config: Config) -> dict[str, Any]:
    tables = {"run": config.run, "replay": config.replay, "agent": config.agent}
    return {f"{name}.{key}": value for name, table in tables.items() for key, value in vars(table).items()}


def _text(name: str, value: Any) -> str:
    """A setting's value as the command line takes it."""
    if value is None:
        return "never"
    if name in resolve.BYTES and isinstance(value, int):
        return f"{value}B"
    return str(value).lower() if isinstance(value, bool) else str(value)
