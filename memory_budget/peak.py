"""The highest resident memory during a stretch of code, from the kernel (Linux); unknown elsewhere."""

from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def status_bytes(key: str) -> int:
    """A line of this process's status in bytes, such as VmRSS; raises OSError if the kernel does not tell."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {key}")


class PeakMeter:
    """How far resident memory has risen, in bytes, above where it stood when the meter was made."""

    def __init__(self) -> None:
        try:
            _CLEAR.write_text("5")  # resets VmHWM to VmRSS
            self._start: int | None = status_bytes("VmRSS")
        except OSError:
            self._start = None

    def extra_bytes(self) -> int | None:
        """VmHWM now minus VmRSS at the start; None if the kernel does not tell."""
        return None if self._start is None else max(0, status_bytes("VmHWM") - self._start)
