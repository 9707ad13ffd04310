"""The ONNX Runtime execution provider that runs a stem: the one asked for if it agrees with the CPU, else the CPU."""

import difflib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.onnx_runtime import onnxruntime
from runtime.session import CPU, Session

SUFFIX = "ExecutionProvider"


def full_name(name: str) -> str:
    """The full name of a provider, given as cuda or CUDAExecutionProvider, in any case.

    Raises ValueError, naming the nearest, for an unknown one.
    """
    providers: list[str] = onnxruntime.get_all_providers()
    known = {provider.removesuffix(SUFFIX).lower(): provider for provider in providers}
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
    """The stem on `provider` if its latents of `windows` are as `expected`, otherwise on the CPU.

    `expected`: None for the CPU's latents; `tolerance`: as in `allowed_difference`; `most`: as in `Session`.
    Returns the session, its largest difference (NaN if any is), and why the session is not `provider`'s.
    """
    refusal = None
    if provider != CPU:
        try:
            reference = Session(model, most=most)(windows) if expected is None else expected
            candidate = Session(model, most=most, provider=provider)
            difference = max_difference(candidate(windows), reference)
            if difference <= (most_allowed := allowed_difference(tolerance, reference)):
                return candidate, difference, None
            refusal = f"{provider} differs by {difference:.3g}, above {most_allowed:.3g}"
            del candidate
        except Exception as error:  # a vendor's provider may raise anything; the CPU is always there
            refusal = str(error).splitlines()[0] if isinstance(error, ValueError) else f"{provider} failed: {error}"
        refusal = f"{' '.join(refusal.split())}; the CPU encodes"
    encode = Session(model, most=most)
    return encode, 0.0 if expected is None else max_difference(encode(windows), expected), refusal


def allowed_difference(tolerance: float, expected: npt.NDArray[np.float32]) -> float:
    """The largest difference allowed from `expected`: `tolerance`, times the largest number if that is above 1.

    Engines add in another order, so that float32 differs by a share of what it adds.
    """
    return tolerance * max(1.0, float(np.abs(expected).max()))


def max_difference(latents: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """The largest absolute difference; NaN if any is."""
    return float(np.abs(latents - expected).max())
