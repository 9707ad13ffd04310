"""What may differ between a run and one that goes on from its checkpoint: at a resume, or as a fork."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgerl.config import inline
from edgerl.config.setting import Setting
from edgerl.config.settings import Config
from edgerl.errors import ConfigError


def check_resumed(config: Config, begun: Config) -> None:
    """Raise ConfigError, naming the setting, if a run of settings `begun` cannot go on with those of `config`."""
    _check(config, begun, _resumable, "the run was begun", "this cannot change at a resume")


def check_forked(config: Config, theirs: Config, source: Path) -> None:
    """The same for a run that begins with a checkpoint of the run in `source`, which is from before T_f."""
    if config.run.freeze_at != theirs.run.freeze_at and "auto" in (config.run.freeze_at, theirs.run.freeze_at):
        raise ConfigError(f"--freeze-at: auto watches a run from its start, so it cannot differ from that of {source}")
    _check(config, theirs, _forkable, f"{source} was trained", "a fork differs only in what matters after T_f")


def _resumable(setting: Setting) -> bool:
    return setting.resumable


def _forkable(setting: Setting) -> bool:
    return setting.resumable or setting.after_freeze


def _check(config: Config, begun: Config, may_change: Callable[[Setting], bool], subject: str, why: str) -> None:
    values = {setting.key: value for setting, value in begun.values()}
    for setting, value in config.values():
        # The arena of an unbounded budget is as large as the steps ask for, and a ring's rows lie by its size.
        is_room = setting.key == "run.steps" and config.run.budget == "unbounded"
        if (is_room or not may_change(setting)) and _plain(values.get(setting.key)) != _plain(value):
            name = setting.flag if setting.option else f"--set {setting.key}"
            room = " and --budget unbounded, which makes room for so many" if is_room else ""
            raise ConfigError(f"{name}: {subject} with {_text(setting, values.get(setting.key))}{room}; {why}")


def _plain(value: Any) -> Any:
    """A value, a table as text: one with a NaN differs from itself."""
    return inline.text(value) if isinstance(value, dict) else value


def _text(setting: Setting, value: Any) -> str:
    if value is None:
        return "never"
    return f"{value:,} B" if setting.size and isinstance(value, int) else str(value)
