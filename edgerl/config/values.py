"""Values of settings, checked: by key, type and bounds; messages name the key."""

import difflib
import math
import reprlib
from typing import Any

from edgerl.config.setting import Setting
from edgerl.config.settings import SETTINGS, TABLES
from edgerl.errors import ConfigError
from memory_budget import parse_bytes

DEEPEST = 8  # tables and lists within each other, in a value that is a table
LARGEST = 2**63  # of whole numbers, and one more
_short = reprlib.Repr()
_short.maxlevel, _short.maxdict, _short.maxlist, _short.maxstring, _short.maxother = 4, 20, 20, 300, 300


def lookup(key: str) -> Setting:
    """The setting of a key written as `table.key` or `key`; raises ConfigError, naming the nearest one."""
    table, _, name = key.rpartition(".")
    for candidate in [table] if table else TABLES:
        if f"{candidate}.{name}" in SETTINGS:
            return SETTINGS[f"{candidate}.{name}"]
    known = {full for setting in SETTINGS.values() for full in (setting.name, setting.key)}
    raise ConfigError(f"unknown key {_short.repr(key)}{nearest(key, known)}")


def check(key: str, value: Any) -> Any:
    """`value` as its key's type (a whole number may stand for a float); raises ConfigError, naming the key."""
    setting = lookup(key)
    if setting.optional and value == "never":
        return value
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        raise ConfigError(f"{key} = a number of {value.bit_length()} bits is beyond 64 bits")
    _check_parts(key, value)
    if isinstance(value, int) and not isinstance(value, bool) and float in setting.types:
        value = float(value)
    if value == "":
        raise ConfigError(f"{key} = '' is empty")
    if value not in setting.words and type(value) not in setting.types:
        names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "a table"}
        wanted = " or ".join([*(names[kind] for kind in setting.types), *map(repr, setting.stand_ins)])
        raise ConfigError(f"{key} = {_short.repr(value)} is not {wanted}")
    if isinstance(value, int | float) and not isinstance(value, bool) and not setting.low <= value <= setting.high:
        side = (
            f"below {setting.low:g}" if value < setting.low else f"not from {setting.low:.10g} to {setting.high:.10g}"
        )
        raise ConfigError(f"{key} = {value!r} is {side}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key} = {value!r} is not a finite number")
    return value


def size(setting: Setting, value: Any, name: str) -> Any:
    """Bytes of a text such as 0.07GB; words and whole numbers stay. `name`: what an error calls the setting."""
    if isinstance(value, int) or value in setting.stand_ins:
        return value
    try:
        return parse_bytes(str(value))
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def _check_parts(key: str, value: Any) -> None:
    """Raise ConfigError for what lies too deep in a table or list to be written, and for a number beyond 64 bits."""
    level = [value]
    for _ in range(DEEPEST):
        for part in level:
            if isinstance(part, int) and not -LARGEST <= part < LARGEST:
                raise ConfigError(f"{key} holds a number of {part.bit_length()} bits, beyond 64 bits")
        groups = [part for part in level if isinstance(part, dict | list)]
        level = [part for group in groups for part in (group.values() if isinstance(group, dict) else group)]
    if level:
        raise ConfigError(f"{key} holds tables or lists within each other, more than {DEEPEST} deep")


def nearest(word: str, known: Any) -> str:
    """`; the nearest is ...`, or nothing if none of `known` is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; the nearest is {near[0]}" if near else ""
