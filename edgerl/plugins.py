"""Objects that users name as `module:callable`, imported as `python` would import them in the current folder.

A name that only a file gave, such as the config.toml of somebody else's run, is not imported before the user asks for
it: by naming it, by training on it, or by trusting the files that are read.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from edgerl.errors import NotTrusted

_files_of: dict[str, Path] = {}  # the file that gave a name, for names that a file gave
_asked_for: set[str] = set()
_trusts_files: ContextVar[bool] = ContextVar("_trusts_files", default=False)


def load(name: str) -> Any:
    """The object of that name. Raises ImportError or AttributeError if there is none, ValueError for no name.

    Importing the module runs it, so it may raise anything else too. Raises NotTrusted as `check` does.
    """
    check(name)
    module, _, attribute = name.partition(":")
    if module.startswith("."):
        raise ImportError("a module's name here begins with no dot")
    reach_current_folder()
    return getattr(importlib.import_module(module), attribute)


def check(name: str) -> None:
    """Raise NotTrusted for a name that a file gave, unless the user asked for it or trusts files."""
    if name not in _files_of or name in _asked_for:
        return
    if not _trusts_files.get():
        raise NotTrusted(f"{_files_of[name]} names code to import, {name!r}: if you trust it, give --trust")
    _asked_for.add(name)


def given_by(file: Path, names: Iterable[str]) -> None:
    """Note that a file gave these names."""
    for name in names:
        _files_of[name] = file


def ask_for(names: Iterable[str]) -> None:
    """Note that the user asks for these names."""
    _asked_for.update(names)


@contextmanager
def trusting(trusted: bool) -> Iterator[None]:
    """Within, files are trusted if that is said: what they name may be imported."""
    before = _trusts_files.set(trusted or _trusts_files.get())
    try:
        yield
    finally:
        _trusts_files.reset(before)


def reach_current_folder() -> None:
    """Have modules of the current folder be imported, from now on: code of the user's may import others at any time."""
    with suppress(OSError):  # the folder is gone
        here = os.getcwd()
        if sys.path[:1] != [here]:
            sys.path.insert(0, here)
