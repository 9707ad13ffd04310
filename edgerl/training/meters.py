"""What a run measures of itself: steps per second in both phases, and its highest memory in both."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from memory_budget import Surroundings, Watchdog

SETTLE = 200  # steps left out after learning starts and after the freeze; fewer timed steps than that give no figure


class Stopwatch:
    """Times single steps, without evaluations, checkpoints and the first steps of both phases.

    `before` and `after`: steps/s of updating steps, None for fewer than 200 of them.
    """

    def __init__(self, seconds: Sequence[float] = (0.0, 0.0), steps: Sequence[int] = (0, 0), recent: float = 0) -> None:
        """`seconds`, `steps`, `recent`: what `kept` gave."""
        self._seconds, self._steps, self._recent = list(seconds), list(steps), recent

    def kept(self) -> dict[str, Any]:
        """What was timed before the freeze and after it, and the mean of the last steps, in seconds."""
        return {"seconds": self._seconds, "steps": self._steps, "recent": self._recent}

    @contextmanager
    def step(self, step: int, learn_start: int, frozen_at: int | None, count: int = 1) -> Iterator[None]:
        """Time `count` steps made at once from this number on; `frozen_at`: the step of the freeze, None before it."""
        started = time.perf_counter()
        yield
        seconds = (time.perf_counter() - started) / count
        self._recent = seconds if self._recent == 0 else 0.98 * self._recent + 0.02 * seconds
        if step >= max(learn_start, frozen_at or 0) + SETTLE:
            self._seconds[frozen_at is not None] += seconds * count
            self._steps[frozen_at is not None] += count

    @property
    def recent(self) -> float:
        """Steps/s over about the last 50 steps."""
        return 1 / self._recent if self._recent else 0.0

    @property
    def before(self) -> float | None:
        return self._rate(frozen=False)

    @property
    def after(self) -> float | None:
        return self._rate(frozen=True)

    def _rate(self, *, frozen: bool) -> float | None:
        return self._steps[frozen] / self._seconds[frozen] if self._steps[frozen] >= SETTLE else None


class PeakWatchdog(Watchdog):
    """A watchdog that also keeps `peak_after_freeze`, the highest reading since the freeze in bytes; None before it."""

    def __init__(self, limit_bytes: int | None, *, peak: int = 0, frozen: bool = False) -> None:
        """`peak`: the highest reading so far; `frozen`: whether the freeze is past."""
        super().__init__(limit_bytes, surroundings=Surroundings())
        self.peak = peak
        self.peak_after_freeze = 0 if frozen else None

    def kept(self) -> dict[str, int | None]:
        """Both peaks, in bytes."""
        return {"peak": self.peak, "peak_after_freeze": self.peak_after_freeze}

    def go_on(self, peak: int = 0, peak_after_freeze: int | None = None) -> None:
        """Go on from the peaks of an earlier process, which `kept` gave."""
        self.peak = max(self.peak, peak)
        if self.peak_after_freeze is not None:
            self.peak_after_freeze = max(self.peak_after_freeze, peak_after_freeze or 0)

    def check(self) -> int:
        reading = super().check()
        if self.peak_after_freeze is not None:
            self.peak_after_freeze = max(self.peak_after_freeze, reading)
        return reading

    def freeze_ended(self) -> None:
        """Begin with the peak after the freeze."""
        self.peak_after_freeze = 0
        self.check()
