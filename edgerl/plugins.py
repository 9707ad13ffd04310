"""Objects that users name as `module:callable`, imported as `python` would import them in the current folder."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def load(name: str) -> Any:
    """The object of that name. Raises ImportError or AttributeError if there is none, ValueError for no name.

    Importing the module runs it, so it may raise anything else too.
    """
    module, _, attribute = name.partition(":")
    if module.startswith("."):
        raise ImportError("a module's name here begins with no dot")
    with current_folder():
        return getattr(importlib.import_module(module), attribute)


@contextmanager
def current_folder() -> Iterator[None]:
    """Within, modules of the current folder can be imported."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")
