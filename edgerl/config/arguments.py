"""The options of `edgerl train` that repeat a run: sweeps start their cells with them, reports print them."""

from functools import cache
from typing import Any

from edgerl.config import inline, resolve
from edgerl.config.setting import Setting
from edgerl.config.settings import Config
from edgerl.errors import ConfigError


def arguments(config: Config) -> list[str]:
    """The options that come to exactly this configuration on any machine: what its preset does not say.

    Settings marked `always` are said in any case, so that they stay if the presets change.
    """
    run = config.run
    preset = _preset(run.env, run.algo, run.steps, None if run.freeze_at == "auto" else run.freeze_at)
    options: list[str] = []
    assignments: list[str] = []
    for setting, value in config.values():
        if _is_preset(setting, value, preset):
            continue
        if setting.option and value is True:
            options.append(setting.flag)
        elif isinstance(value, dict):
            for key, part in value.items():
                options += [setting.flag, f"{key}={inline.text(part)}"]
        elif setting.option and value is not False and (value is not None or setting.takes_never):
            options += [setting.flag, text(setting, value)]
        else:
            assignments += ["--set", f"{setting.key}={text(setting, value)}"]
    return options + assignments


def _is_preset(setting: Setting, value: Any, preset: dict[str, Any]) -> bool:
    """Whether nothing need be said of a setting."""
    if setting.always and (value is not None or setting.takes_never):
        return False
    return setting.key in preset and bool(preset[setting.key] == value)


def text(setting: Setting, value: Any) -> str:
    """A value as the command line takes it."""
    if value is None:
        return "never"
    if setting.size and isinstance(value, int):
        return f"{value}B"
    if isinstance(value, dict):
        return inline.text(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


@cache
def _preset(env: str, algo: str, steps: int, freeze_at: int | None) -> dict[str, Any]:
    """What these alone come to, by key; empty if they come to nothing (the user's own environment is elsewhere)."""
    options = {"env": env, "algo": algo, "steps": steps, "freeze_at": "never" if freeze_at is None else str(freeze_at)}
    try:
        config = resolve.started(options, None, [])[0]
    except ConfigError:
        return {}
    return {setting.key: value for setting, value in config.values()}
