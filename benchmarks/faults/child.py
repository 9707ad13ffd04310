"""The program `edgerl` under faults: in a forked process, and again where that becomes another program at T_f.

Beside what disk.c does to files, it notes how far a run is in the control file, and can be killed before any line of
Python of a phase.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from edgerl.commands import app
from edgerl.experiments.export import export
from edgerl.runs import checkpoint
from edgerl.runs.saver import Saver
from edgerl.training import handover, loop, resume, train
from edgerl.training.start import checks, networks
from faults import disk

PHASE, EVENT, STEP = "FAULTS_PHASE", "FAULTS_EVENT", "FAULTS_STEP"
INTERNAL = 70  # exit code of an exception that the program did not catch
OWN = tuple(f"/{name}/" for name in ("edgerl", "memory_budget", "runtime"))
PHASES: dict[str, list[tuple[Any, str]]] = {
    "saving": [
        (checkpoint.Draft, "__init__"),
        (checkpoint.Draft, "complete"),
        (checkpoint, "prune"),
        (resume, "settle"),
    ],
    "converting": [(loop.TrainingLoop, "freeze")],
    "shedding": [(loop.TrainingLoop, "shed_torch"), (handover, "take_over")],
    "resuming": [(checks, "_newest"), (train, "go_on"), (networks, "encode_once")],
    "exporting": [(export, "export")],
}


def traced(function: Callable[..., Any], fields: disk.Fields) -> Callable[..., Any]:
    """The same function, in which the process is killed before line number `fields.line` of the whole phase."""

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if not any(name in frame.f_code.co_filename for name in OWN):
            return None
        if event == "line":
            fields.lines += 1
            if fields.lines == fields.line:
                fields.hit = 1
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def run(*arguments: Any, **options: Any) -> Any:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            return function(*arguments, **options)
        finally:
            sys.settrace(before)

    return run


def watch(fields: disk.Fields) -> None:
    """Note the run's step, and the newest that is saved; at FAULTS_STEP let FAULTS_EVENT happen."""
    report, end = loop.TrainingLoop.report, Saver.end
    event, at = os.environ.get(EVENT, ""), int(os.environ.get(STEP, "-1"))

    def note_step(training: loop.TrainingLoop) -> None:
        fields.step = training.state.step
        if training.state.step == at:
            EVENTS[event](fields, training)
            fields.hit = 1
        report(training)

    def note_saved(saver: Saver) -> Path | None:
        place = end(saver)
        if place is not None:
            fields.steps_saved = int(place.name)
        return place

    loop.TrainingLoop.report = note_step
    Saver.end = note_saved


def set_clock_back(fields: disk.Fields, training: loop.TrainingLoop) -> None:
    """It is a year ago."""
    fields.clock = -365 * 24 * 3600


def remove_folder(fields: disk.Fields, training: loop.TrainingLoop) -> None:
    """Somebody removes the run's folder, as a whole."""
    place = training.parts.folder
    place.rename(place.with_name("removed"))


def interrupt(fields: disk.Fields, training: loop.TrainingLoop) -> None:
    """Ctrl-C: the run saves a checkpoint and ends."""
    os.kill(os.getpid(), signal.SIGINT)


EVENTS = {"clock": set_clock_back, "removed": remove_folder, "interrupt": interrupt}


def begin(file: Path) -> None:
    """Prepare this process for the faults that its environment and its control file name."""
    fields = disk.control(file)
    watch(fields)
    for owner, name in PHASES.get(os.environ.get(PHASE, ""), []):
        setattr(owner, name, traced(getattr(owner, name), fields))
    disk.begin(file)


def forked(words: list[str], file: Path, said: Path, environment: dict[str, str]) -> int:
    """Run `edgerl WORDS` in a forked process, stderr and stdout in the file `said`; returns the process number."""
    sys.stdout.flush()
    sys.stderr.flush()
    number = os.fork()
    if number:
        return number
    code: object = INTERNAL
    try:
        os.setsid()
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.environ |= environment
        sys.argv = ["edgerl", *words]
        sys.orig_argv[:] = [sys.executable, str(Path(__file__).resolve()), *words]
        begin(file)
        app.main()
        code = 0
    except SystemExit as ending:
        code = ending.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else code is not None)
    raise AssertionError


if __name__ == "__main__":
    if handover.VARIABLE in os.environ:
        begin(Path(os.environ[disk.VARIABLE]))
    app.main()
