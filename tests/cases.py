"""Of many cases of one test, those that `make test` shows; `make test-long` shows the others."""

from collections.abc import Iterable
from typing import Any

import pytest


def quick(cases: Iterable[Any], *chosen: Any) -> list[Any]:
    """All cases for `parametrize`, those that are not chosen marked long; a case of several arguments is a tuple."""
    cases = list(cases)
    assert all(case in cases for case in chosen)
    several = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [
        pytest.param(*values, marks=() if case in chosen else pytest.mark.long)
        for case, values in zip(cases, several, strict=True)
    ]
