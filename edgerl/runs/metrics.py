"""Metrics of a run, the same names in metrics.jsonl and in TensorBoard events. docs/metrics.md lists them.

A failed write does not end the run: it is reported once, no part of the record stays, and the run goes on.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgerl import reading
from edgerl.messages import warn
from edgerl.reading import NUMBER
from edgerl.runs import event_file, strict_json

LAST_GAMES = 20  # training games whose mean score is reported beside evaluations
LONGEST_LINE = 4096  # bytes: more than any line has


class Metrics:
    """Writes one JSON line and one TensorBoard event per call of `write`; no file stays open between calls.

    A line has the agent step, `time` (since 1970) and `seconds`: how long the run has taken so far, without the time
    between a stop and a resume.
    """

    def __init__(
        self, folder: Path, *, opened: float | None = None, began: float | None = None, refused: bool = False
    ) -> None:
        """`opened`, `began`, `refused`: what `kept` gave, where this process goes on as another program."""
        self._lines = folder / "metrics.jsonl"
        self._opened = time.time() if opened is None else opened
        self._events = folder / f"events.out.tfevents.{self._opened:.0f}.{socket.gethostname()}.{os.getpid()}"
        self._refused = refused
        self._began = time.perf_counter() if began is None else began

    def kept(self) -> dict[str, Any]:
        """What another program in this process goes on with: the same event file, and the same clock."""
        return {"opened": self._opened, "began": self._began, "refused": self._refused}

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log `values` by name at agent step `step`."""
        seconds = round(time.perf_counter() - self._began, 3)
        line: dict[str, Any] = {"step": step, "time": round(time.time(), 3), "seconds": seconds, **values}
        with self._reporting_refusal():
            _append(self._lines, strict_json.dumps(line).encode() + b"\n")
        self._log_event(event_file.scalars_record(time.time(), step, values))

    def sync(self) -> int:
        """Flush all lines to the disk; returns how many bytes the file has."""
        with self._reporting_refusal(), open(self._lines, "ab", opener=reading.at_once) as lines:
            os.fsync(lines.fileno())
        return _size(self._lines)

    def cut(self, nbytes: int, step: int) -> None:
        """Remove what was logged after the checkpoint at `step`, when the file had `nbytes`, and a torn line."""
        with self._reporting_refusal():
            whole = _whole_lines(self._lines, nbytes)
            if whole < _size(self._lines):
                os.truncate(self._lines, whole)
            self._began = time.perf_counter() - _last_seconds(self._lines)
        self._log_event(event_file.restart_record(time.time(), step))

    def _log_event(self, record: bytes) -> None:
        """Append a record of an event; a new file begins with the version of its format."""
        with self._reporting_refusal():
            if not _size(self._events):
                _append(self._events, event_file.version_record(self._opened))
            _append(self._events, record)

    @contextlib.contextmanager
    def _reporting_refusal(self) -> Iterator[None]:
        """Go on if the disk refuses what the block writes; warn of the first refusal."""
        try:
            yield
        except OSError as error:
            if not self._refused:
                self._refused = True
                warn(f"metrics not logged: {error.strerror}; going on")


def _append(file: Path, record: bytes) -> None:
    """Append a record, or raise OSError and leave no part of it."""
    size = _size(file)
    try:
        with open(file, "ab", opener=reading.at_once) as stream:
            stream.write(record)
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(file, size)
        raise


def _whole_lines(file: Path, most: int) -> int:
    """How many of a file's bytes, `most` at most, are whole lines."""
    if not file.exists():
        return 0
    with open(file, "rb", opener=reading.at_once) as lines:
        beginning = lines.read(most)
    return beginning.rfind(b"\n") + 1


def _last_seconds(file: Path) -> float:
    """The `seconds` of the last line of metrics; 0 if there is no line that can be read."""
    with contextlib.suppress(ValueError, IndexError, OSError), open(file, "rb", opener=reading.at_once) as lines:
        lines.seek(max(0, _size(file) - LONGEST_LINE))
        last = reading.parsed(lines.read().splitlines()[-1])
        return float(last["seconds"]) if reading.fault(last, {"seconds": NUMBER}) is None else 0.0
    return 0.0


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
