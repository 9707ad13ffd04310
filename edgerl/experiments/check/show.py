"""What a check found, as lines for people and as a picture."""

from pathlib import Path

import numpy as np

from edgerl.envs.base import EnvSpec
from edgerl.envs.resumable import LONGEST
from edgerl.errors import ConfigError
from edgerl.experiments.check.check import Findings
from edgerl.output.messages import figure
from edgerl.runs.files import writing_whole
from edgerl.types import Array
from memory_budget import format_bytes

SIDE = 252  # pixels of a frame in the picture, at least
GAP = 8  # pixels between two frames
NOISE = 1_000_000  # bytes: what any process gains or loses


def lines(findings: Findings) -> list[tuple[str, str]]:
    """What was found, by name; what was not come to is left out."""
    shown = [("environment", findings.name), ("sees", findings.sees), ("actions", findings.actions)]
    if findings.rewards is not None:
        low, high = findings.rewards
        shown.append(
            ("rewards", f"{figure(low)} to {figure(high)} a step" if low != high else f"{figure(low)} at every step")
        )
        shown.append(("episodes", _episodes(findings)))
    if findings.speed is not None:
        shown.append(("speed", f"{findings.speed:,.0f} steps/s with random actions"))
    if findings.resumes is not None:
        shown.append(("resumes", findings.resumes))
        second = "can be made: evaluations have an environment of their own"
        if findings.second is not None:
            second = f"cannot be made: evaluations wait for an episode's end ({findings.second})"
        shown.append(("a second", second))
    if findings.left_bytes is not None:
        left = findings.left_bytes
        is_noise = left * (findings.steps // 2) < NOISE
        growth = "nothing to speak of" if is_noise else f"{format_bytes(round(left))} a step"
        shown.append(("left behind", f"{growth} in memory"))
    return shown


def _episodes(findings: Findings) -> str:
    lengths, returns = findings.lengths, findings.returns
    if not lengths:
        longest = findings.most_steps or LONGEST
        return f"none ended in {findings.steps:,} steps; games of evaluations are cut after {longest:,}"
    scores = f"score {figure(float(np.mean(returns)))} ({figure(min(returns))} to {figure(max(returns))})"
    shortest, longest = min(lengths), max(lengths)
    length = f"{shortest:,} to {longest:,}" if shortest < longest else f"{longest:,}"
    return f"{len(lengths)} in {findings.steps:,} steps, of {length} steps; {scores}"


def draw(window: Array, spec: EnvSpec, file: Path) -> None:
    """Save a window uint8 [history, *frame] as a picture: its frames side by side, oldest first, enlarged.

    Raises ConfigError if the package for it is missing, or the file cannot be written.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ConfigError("--picture: needs the package pillow: pip install pillow") from None
    times = max(1, SIDE // spec.frame[-1])
    frames = [_drawable(frame) for frame in window]
    large = [frame.repeat(times, axis=0).repeat(times, axis=1) for frame in frames]
    gap = np.full((large[0].shape[0], GAP, *large[0].shape[2:]), 255, np.uint8)
    row = np.concatenate([part for frame in large for part in (frame, gap)][:-1], axis=1)
    try:
        with writing_whole(file.resolve()) as part:
            Image.fromarray(row).save(part, format="png")
    except OSError as error:
        raise ConfigError(f"--picture: {file} cannot be written: {error.strerror}") from None


def _drawable(frame: Array) -> Array:
    """A frame [H, W], or [C, H, W] as [H, W, 3] if it has three channels; others lie side by side."""
    if frame.ndim == 2:
        return frame
    return frame.transpose(1, 2, 0) if len(frame) == 3 else np.concatenate(list(frame), axis=1)
