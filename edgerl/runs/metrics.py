"""Metrics of a run, the same names in metrics.jsonl and in TensorBoard events. docs/metrics.md lists them.

A failed write does not end the run: it is reported once, no part of the record stays, and the run goes on.

The files are bounded: of each kind of line there are about MOST_LINES at most. Which lines a long run leaves out
depends on their steps and on its length alone, so that a resumed run leaves out the same.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgerl import reading
from edgerl.output.messages import warn
from edgerl.runs import event_file, strict_json

LAST_GAMES = 20  # training games whose mean score is reported beside evaluations
MOST_LINES = 25_000  # of a kind: with all kinds, about 20 MB
RARE = ("ledger/", "freeze/")  # kinds that a run has a few of, and all of them
TIMES = ("step", "time", "seconds")  # what every line has
BLOCK = 2**16  # bytes of a file that are read at a time


class Metrics:
    """Writes one JSON line and one TensorBoard event per call of `write`; no file stays open between calls.

    A line has the agent step, `time` (since 1970) and `seconds`: how long the run has taken so far, without the time
    between a stop and a resume. Its first metric is its kind. A run of more than MOST_LINES steps is divided into that
    many stretches, and has the first line of each kind of every stretch.
    """

    def __init__(
        self,
        folder: Path,
        steps: int = 0,
        *,
        told: Callable[[int, Mapping[str, float]], None] = lambda step, values: None,
        say: Callable[[str], None] = lambda line: None,
        opened: float | None = None,
        began: float | None = None,
        refused: bool = False,
        thinned: bool = False,
        logged: dict[str, int] | None = None,
    ) -> None:
        """`steps`: of the whole run; `told`: is told the values too; `say`: tells the user that lines are left out.

        The others: what `kept` gave, where this process goes on as another program.
        """
        self._stretch = max(1, -(-steps // MOST_LINES))
        self._told, self._say, self._thinned = told, say, thinned
        self._logged = logged or {}  # the last step of each kind that was logged
        self._lines = folder / "metrics.jsonl"
        self._opened = time.time() if opened is None else opened
        self._events = folder / f"events.out.tfevents.{self._opened:.0f}.{socket.gethostname()}.{os.getpid()}"
        self._refused = refused
        self._began = time.perf_counter() if began is None else began

    def kept(self) -> dict[str, Any]:
        """What another program in this process goes on with: the same event file, the same clock, the same lines."""
        return {
            "opened": self._opened,
            "began": self._began,
            "refused": self._refused,
            "thinned": self._thinned,
            "logged": self._logged,
        }

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log `values` by name at agent step `step`, unless this stretch of the run has a line of their kind."""
        self._told(step, values)
        if self._left_out(step, next(iter(values), "")):
            return
        seconds = round(time.perf_counter() - self._began, 3)
        line: dict[str, Any] = {"step": step, "time": round(time.time(), 3), "seconds": seconds, **values}
        with self._reporting_refusal():
            _append(self._lines, strict_json.dumps(line).encode() + b"\n")
        self._log_event(event_file.scalars_record(time.time(), step, values))

    @property
    def nbytes(self) -> int:
        """Bytes of the lines so far."""
        return _size(self._lines)

    def _left_out(self, step: int, kind: str) -> bool:
        """Whether this line is left out; if not, it is noted."""
        if self._stretch == 1 or kind.startswith(RARE):
            return False
        if self._logged.get(kind, -1) // self._stretch == step // self._stretch:
            if not self._thinned:
                self._thinned = True
                self._say(f"step {step:,}: metrics are thinned: one line of a kind in {self._stretch} steps")
            return True
        self._logged[kind] = step
        return False

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
            self._logged = self._logged_since(step // self._stretch * self._stretch)
        self._log_event(event_file.restart_record(time.time(), step))

    def _logged_since(self, first: int) -> dict[str, int]:
        """The last step of each kind of line in the file, from the step `first` on."""
        logged: dict[str, int] = {}
        for line in _read_backwards(self._lines):
            if line["step"] < first:
                break
            kinds = [name for name in line if name not in TIMES]
            logged.setdefault(next(iter(kinds), ""), line["step"])
        return logged

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
    for start, block in _blocks_backwards(file, most):
        if (newline := block.rfind(b"\n")) >= 0:
            return start + newline + 1
    return 0


def _last_seconds(file: Path) -> float:
    """The `seconds` of the last line of metrics; 0 if there is no line that can be read."""
    seconds = next((line.get("seconds") for line in _read_backwards(file)), None)
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _read_backwards(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of metrics in a file, the last one first; ends at one that is none."""
    rest = b""
    for start, block in _blocks_backwards(file, _size(file)):
        rest, *lines = (block + rest).split(b"\n")
        for line in filter(None, reversed(lines if start else [rest, *lines])):
            try:
                values = reading.parsed(line)
            except ValueError:
                return
            if not isinstance(values, dict) or not isinstance(values.get("step"), int):
                return
            yield values


def _blocks_backwards(file: Path, most: int) -> Iterator[tuple[int, bytes]]:
    """A file's first `most` bytes in blocks, the last one first, each with where it starts. None without the file."""
    end = min(most, _size(file))
    while end > 0:
        start = max(0, end - BLOCK)
        with open(file, "rb", opener=reading.at_once) as stream:
            stream.seek(start)
            yield start, stream.read(end - start)
        end = start


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
