"""Where cells run: the small protocol that a sweep needs, and processes on this machine."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, Protocol

import psutil

from edgerl import reading

CHILD = Path(__file__).with_name("child.py")


class Job(Protocol):
    """One submitted command."""

    def poll(self) -> int | None:
        """Its exit code, negative if a signal ended it; None while it waits or runs."""

    def stop(self) -> None:
        """Interrupt it: it saves a checkpoint and leaves with 130."""

    def kill(self) -> None: ...

    def rss(self) -> int | None:
        """Resident bytes of its processes; None if that is not known here."""


class Executor(Protocol):
    """Runs commands. `preempts`: whether it may interrupt one by itself, which is then to be resumed."""

    preempts: bool

    def submit(self, argv: list[str], log: Path, threads: int, nbytes: int) -> Job:
        """Start `argv` on `threads` cores and in `nbytes` of memory; its output is appended to `log`."""


def start(argv: list[str], output: BinaryIO, cwd: str | None = None) -> subprocess.Popen[bytes]:
    """Start a command in its own session, which no Ctrl-C reaches; it gets a SIGTERM when this thread ends."""
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", str(CHILD), str(os.getpid()), *argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        start_new_session=True,
    )


class Local:
    """Processes on this machine."""

    preempts = False

    def submit(self, argv: list[str], log: Path, threads: int, nbytes: int) -> Job:
        with open(log, "ab", opener=reading.here) as output:
            return LocalJob(start(argv, output))


class LocalJob:
    """A process and its children, which share its session."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def rss(self) -> int:
        total = 0
        for pid in psutil.pids():
            with contextlib.suppress(OSError, psutil.Error):
                if os.getsid(pid) == self._process.pid:
                    total += psutil.Process(pid).memory_info().rss
        return total
