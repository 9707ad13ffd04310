"""Metrics of a run, the same names in metrics.jsonl and in TensorBoard events. docs/metrics.md lists them."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


class Metrics:
    """Writes one JSON line, and one TensorBoard event, for each call of `write`."""

    def __init__(self, folder: Path) -> None:
        self._lines = (folder / "metrics.jsonl").open("a")
        self._events = EventFileWriter(str(folder))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log `values` by name at agent step `step`."""
        line: dict[str, Any] = {"step": step, "time": round(time.time(), 3), **values}
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def sync(self) -> int:
        """Bring all lines to the disk; returns how many bytes there are."""
        self._lines.flush()
        os.fsync(self._lines.fileno())
        return self._lines.tell()

    def cut(self, nbytes: int, step: int) -> None:
        """Forget what was logged after a checkpoint at `step`, when the file had `nbytes`."""
        if nbytes < self._lines.tell():
            self._lines.truncate(nbytes)
        self._events.add_event(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def close(self) -> None:
        self._lines.close()
        self._events.close()
