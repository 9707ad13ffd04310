"""What the command line's options come to: a run's configuration, or the changes to one that is resumed."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import device_profiles
from device_profiles import DeviceProfile
from edgerl import config as configs
from edgerl.config import Config, ConfigError
from memory_budget import parse_bytes

LEAST = {"steps": 1, "seed": 0, "threads": 1, "eval_every": 0, "eval_episodes": 1, "checkpoint_every": 0}
MOST_THREADS = 1024
MAY_CHANGE = ("steps", "threads", "eval_every", "eval_episodes", "checkpoint_every", "quiet", "resume")


def _freeze_at(text: str) -> int | None:
    if text == "never":
        return None
    if not text.isdecimal():
        raise ConfigError(f"--freeze-at: {text!r} is neither a number of steps nor never")
    return int(text)


def started(
    env: str,
    algo: str | None,
    budget: str,
    device: str | None,
    freeze_at: str | None,
    settings: dict[str, Any],
) -> tuple[Config, int | None, list[str]]:
    """A new run's Config, the device's process limit in bytes, and notes for the user.

    Raises ConfigError, naming the option, for what is not allowed.
    """
    from edgerl.envs import canonical_name

    env = canonical_name(env)
    tables = configs.preset(env)
    run, notes = tables["run"], []
    for name, value in settings.items():
        if value is not None:
            run[name] = value
    if algo is not None and algo not in configs.ALGORITHMS:
        raise ConfigError(f"--algo: unknown algorithm {algo!r}; there is {', '.join(configs.ALGORITHMS)}")
    try:
        run["budget"] = parse_bytes(budget)
    except ValueError as error:
        raise ConfigError(f"--budget: {error}") from None
    profile = load_device(device)
    if settings["threads"] is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        run["threads"] = min(profile.threads, cores) if profile else cores
    check(run)
    limit = profile.application_bytes if profile else None
    if freeze_at is not None:
        run["freeze_at"] = _freeze_at(freeze_at)
        if run["freeze_at"] is not None and run["freeze_at"] >= run["steps"]:
            raise ConfigError(
                f"--freeze-at: {run['freeze_at']} is not within the run; give 0 to {run['steps'] - 1}, or never"
            )
    elif run["freeze_at"] >= run["steps"]:
        notes.append(
            f"no freeze: the preset's step {run['freeze_at']:,} lies beyond --steps {run['steps']:,}; "
            f"--freeze-at chooses another"
        )
        run["freeze_at"] = None
    return configs.build({**tables, "run": {**run, "env": env, "device": device}}), limit, notes


def resumed(folder: Path, given: list[str], settings: dict[str, Any]) -> tuple[Config, int | None]:
    """The Config of the run in `folder` with what may change, and its device's process limit in bytes.

    `given`: the options on the command line. Raises ConfigError, naming the option, for one that may not change.
    """
    for name in given:
        if name not in MAY_CHANGE:
            allowed = ", ".join(f"--{each.replace('_', '-')}" for each in MAY_CHANGE[:-1])
            raise ConfigError(f"--{name.replace('_', '-')}: cannot change at --resume; what can: {allowed}")
    config = configs.load(folder / "config.toml")
    changes = {name: settings[name] for name in given if settings.get(name) is not None}
    check(changes)
    profile = load_device(config.run.device)
    return replace(config, run=replace(config.run, **changes)), profile.application_bytes if profile else None


def check(settings: dict[str, Any]) -> None:
    """Raise ConfigError, naming the option, for a number out of its range."""
    for name, least in LEAST.items():
        value = settings.get(name)
        if value is not None and value < least:
            raise ConfigError(f"--{name.replace('_', '-')}: {value} is below {least}")
    if (settings.get("threads") or 1) > MOST_THREADS:
        raise ConfigError(f"--threads: {settings['threads']} is not from 1 to {MOST_THREADS}")


def load_device(name: str | None) -> DeviceProfile | None:
    """The profile of that name, if one is named; raises ConfigError for an unknown one."""
    if name is None:
        return None
    try:
        return device_profiles.load(name)
    except ValueError as error:
        raise ConfigError(f"--device: {error}") from None
