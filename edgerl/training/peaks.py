"""The highest memory of a run, over all of it and since its freeze."""

from memory_budget import Watchdog


class PeakWatchdog(Watchdog):
    """A watchdog that also keeps `peak_after_freeze`, the highest reading since the freeze in bytes; None before it."""

    def __init__(self, limit_bytes: int | None, *, peak: int = 0, frozen: bool = False) -> None:
        """`peak`: the highest reading so far; `frozen`: whether the freeze is past."""
        super().__init__(limit_bytes)
        self.peak = peak
        self.peak_after_freeze = 0 if frozen else None

    def check(self) -> int:
        found = super().check()
        if self.peak_after_freeze is not None:
            self.peak_after_freeze = max(self.peak_after_freeze, found)
        return found

    def freeze_ended(self) -> None:
        """Begin with the peak after the freeze."""
        self.peak_after_freeze = 0
        self.check()
