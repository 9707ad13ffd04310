"""Which ONNX Runtime execution provider runs a stem: the one asked for where it agrees, otherwise the CPU's."""

import difflib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from runtime.session import CPU, Session

SUFFIX = "ExecutionProvider"


def full_name(name: str) -> str:
    """The provider of a name in any case, such as cuda or CUDAExecutionProvider; ValueError names the nearest."""
    known: dict[str, str] = {each.removesuffix(SUFFIX).lower(): each for each in onnxruntime.get_all_providers()}
    short = name.lower().removesuffix(SUFFIX.lower())
    if short not in known:
        near = difflib.get_close_matches(short, known, n=1)
        raise ValueError(
            f"ONNX Runtime knows no provider {name!r}; "
            + (f"the nearest is {near[0]}" if near else f"there are {', '.join(sorted(known))}")
        )
    return known[short]


def session(
    model: Path | bytes,
    provider: str,
    windows: npt.NDArray[Any],
    expected: npt.NDArray[np.float32] | None,
    tolerance: float,
    most: int | None = None,
) -> tuple[Session, float, str | None]:
    """The stem on `provider` where its latents of `windows` are as `expected`, otherwise on the CPU.

    `expected`: None for what the CPU makes of them; `tolerance`: the largest difference allowed; `most`: as in
    `Session`. Returns the session, its largest difference (NaN where one is), and why it is not `provider`'s.
    """
    passed = None
    if provider != CPU:
        try:
            wanted = Session(model, most=most)(windows) if expected is None else expected
            found = Session(model, most=most, provider=provider)
            difference = apart(found(windows), wanted)
            if difference <= tolerance:
                return found, difference, None
            passed = f"{provider} differs by {difference:.3g}, above {tolerance}"
            del found
        except Exception as error:  # whatever a vendor's provider raises: there is always the CPU
            passed = str(error).splitlines()[0] if isinstance(error, ValueError) else f"{provider} failed: {error}"
        passed = f"{' '.join(passed.split())}; the CPU encodes"
    found = Session(model, most=most)
    return found, 0.0 if expected is None else apart(found(windows), expected), passed


def apart(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """The largest absolute difference."""
    return float(np.abs(one - other).max())
