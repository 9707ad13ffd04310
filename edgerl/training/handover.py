"""A run that needed torch sheds it at T_f: its process becomes a program that goes on from the checkpoint without it.

`os.execv` changes the program and keeps the process: its number, its parent, its open files. So the folder's lock is
never free, and a shell or a sweep sees one process all along. What the next program must know besides the checkpoint
goes over in one environment variable. Ctrl-C and SIGTERM wait until it can answer them.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgerl.output.messages import warn
from edgerl.runs import versions
from edgerl.runs.signals import deliver, handling, held_back
from edgerl.training.resume import reopen
from edgerl.training.state import Parts, State
from memory_budget import format_bytes, rss_bytes
from memory_budget.malloc import trim

VARIABLE = "EDGERL_HANDOVER"


@dataclass
class Handover:
    """What no checkpoint holds. `pid`, `folder`: the process and the run it is of; others ignore it.

    `lock`: the descriptor of the folder's lock; `signals`: of the pipe that `held_back` gives; `began`: when the run
    began to shed torch, on the monotonic clock; `held`: resident bytes then; `baseline`, `peak`: as in the summary;
    `step`: done; `tenths`: of the reporter; `metrics`: what the metrics gave as `kept`.
    `interrupted`: whether an interruption has come since.
    """

    pid: int
    folder: str
    lock: int
    signals: int
    began: float
    held: int
    baseline: int
    peak: int
    step: int
    tenths: int
    metrics: dict[str, Any]
    interrupted: bool = False

    def line(self) -> str:
        """What the user is told once the run goes on."""
        seconds = time.monotonic() - self.began
        shed = "torch stays, as something else imports it" if versions.is_loaded("torch") else "torch is shed"
        now = f"{format_bytes(rss_bytes())} instead of {format_bytes(self.held)}"
        return f"step {self.step:,}: {shed}: {seconds:.1f} s; the process holds {now}"


def take_over(parts: Parts, state: State, handed: Handover) -> str:
    """Take over what no checkpoint holds, once the state is restored; returns when this is, in words."""
    trim()
    if handed.interrupted:
        state.stop = "interrupted"
    if state.rss_around_freeze is not None:
        state.rss_around_freeze = state.rss_around_freeze[0], rss_bytes()
    parts.reporter.say(handed.line())
    return "after that"


def launcher() -> list[str] | None:
    """The words that start `edgerl` as this process was started; None if its command line is not edgerl's own."""
    arguments = sys.argv[1:]
    start, own = len(sys.orig_argv) - len(arguments), sys.orig_argv[-len(arguments) :]
    return [sys.executable, *sys.orig_argv[1:start]] if own == arguments else None


def torch_is_idle(parts: Parts) -> bool:
    """Whether this process holds torch, needs it no more, and may become another program."""
    run = parts.config.run
    wanted = run.keep_torch or run.accelerator == "cuda" or parts.agent.needs_torch
    return versions.is_loaded("torch") and parts.launcher is not None and not wanted


def hand_over(parts: Parts, state: State, began: float) -> None:
    """Become the program that goes on from the checkpoint of this step. `began`: as in `Handover`.

    Returns if the run is to end, or if the system refuses, which the user is told: then this program goes on.
    """
    with parts.reporter.hidden(), held_back() as signals:
        if state.stop is not None:
            return
        handed = Handover(
            pid=os.getpid(),
            folder=str(parts.folder.resolve()),
            lock=parts.lock,
            signals=signals,
            began=began,
            held=rss_bytes(),
            baseline=parts.baseline,
            peak=parts.watchdog.peak,
            step=state.step,
            tenths=parts.reporter.tenths,
            metrics=parts.metrics.kept(),
        )
        arrays, values = parts.env.state()
        parts.env.close()  # what it holds, such as a child or a port, the next program's own needs
        try:
            _become(handed, parts)
        except OSError as error:
            warn(f"step {state.step:,}: torch stays: {error.strerror}; going on")
            reopen(parts, state, arrays, values)


def _become(handed: Handover, parts: Parts) -> None:
    """Start the next program in this process; if the system refuses it, all is as before, and OSError is raised."""
    command = [*(parts.launcher or []), "train", f"--resume={parts.folder}"]
    command += ["--quiet"] * parts.reporter.quiet + ["--verbose"] * parts.reporter.verbose
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # full, closed, or none
            stream.flush()
    os.environ[VARIABLE] = json.dumps(asdict(handed))
    try:
        for descriptor in (handed.lock, handed.signals):
            os.set_inheritable(descriptor, True)
        os.execv(command[0], command)  # noqa: S606
    finally:
        del os.environ[VARIABLE]
        os.set_inheritable(handed.lock, False)


@contextlib.contextmanager
def received(folder: Path) -> Iterator[Handover | None]:
    """What the program before this one handed over; None if this process has only ever been this program.

    Interruptions are let in, and noted in it; a handler that is set within the block gets the later ones.
    """
    handed = _read(folder)
    if handed is None:
        yield None
        return

    def note(number: int, frame: object) -> None:
        handed.interrupted = True

    with handling(note):
        deliver(handed.signals)
        yield handed


def _read(folder: Path) -> Handover | None:
    """Read the variable and remove it: no child of this process is to see it."""
    try:
        handed = Handover(**json.loads(os.environ.pop(VARIABLE, "null")))
    except (TypeError, ValueError):
        return None
    return handed if (handed.pid, handed.folder) == (os.getpid(), str(folder.resolve())) else None
