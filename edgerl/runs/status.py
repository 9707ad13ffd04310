"""How far a run is and how it ended, read from its folder by another process."""

from pathlib import Path
from typing import Any

from edgerl import reading
from edgerl.reading import COUNT, NUMBER, Or

EXIT_CODES = {"finished": 0, "failed": 1, "memory-limit": 3, "interrupted": 130}  # of `edgerl train`, by status

METRICS = {"step": COUNT, "throughput/steps_per_s?": Or(NUMBER), "eval/mean?": Or(NUMBER)}  # of a line


class RunProgress:
    """How far a run is, read from its metrics.jsonl as it grows: `step`, `speed` in steps/s and the last `score`."""

    def __init__(self, file: Path) -> None:
        self._file, self._read = file, 0
        self.step = 0
        self.speed: float | None = None
        self.score: float | None = None

    def read(self) -> None:
        """Read the new lines; all lines if a resumed run has cut the file back."""
        try:
            size = self._file.stat().st_size
            if size == self._read:
                return
            if size < self._read:
                self._read = 0
            with self._file.open("rb") as lines:
                lines.seek(self._read)
                complete, newline, _ = lines.read().rpartition(b"\n")
        except OSError:
            return
        self._read += len(complete) + len(newline)
        for line in complete.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            metrics = reading.parsed(line)
        except ValueError:
            return
        if reading.fault(metrics, METRICS) is not None:
            return
        self.step = metrics["step"]
        self.speed = metrics.get("throughput/steps_per_s", self.speed)
        self.score = metrics.get("eval/mean", self.score)


def finished(folder: Path, step: int = 0) -> bool:
    """Whether the summary of the run in a folder says that it came to its end, at this agent step or a later one."""
    summary = read_summary(folder)
    steps = summary.get("steps")
    return summary.get("status") == "finished" and isinstance(steps, int) and steps >= step


def read_summary(folder: Path) -> dict[str, Any]:
    """A run's summary; empty if there is none that can be read."""
    try:
        return reading.table(folder / "summary.json", {})
    except (OSError, ValueError):
        return {}
