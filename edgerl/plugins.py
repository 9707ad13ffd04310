"""What users bring: objects named `module:callable`, found beside them as `python` itself would find them."""

import importlib
import sys
from typing import Any


def load(name: str) -> Any:
    """The object of that name. Raises ImportError or AttributeError where there is none, ValueError for no name."""
    module, _, attribute = name.partition(":")
    if module.startswith("."):
        raise ImportError("a module's name here begins with no dot")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), attribute)
    finally:
        sys.path.remove("")
