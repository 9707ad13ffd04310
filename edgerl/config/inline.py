"""A value as TOML in one line, as the command line takes it."""

import json
import re
from typing import Any


def text(value: Any) -> str:
    """A value of TOML: text, number, true or false, date or time, list, table."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_quoted(key)} = {text(part)}' for key, part in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(text, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


def _quoted(word: str) -> str:
    """A basic string of TOML, which is one of JSON but for the character 127."""
    return re.sub("\x7f", r"\\u007f", json.dumps(word, ensure_ascii=False))
