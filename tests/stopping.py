"""Signals in the middle of a run: at a step that a test names, however fast the machine is."""

import contextlib
import os
import signal
import sys
from unittest import mock

from edgerl.training.loop import TrainingLoop


@contextlib.contextmanager
def stopped_after(step):
    """Within, a Ctrl-C arrives after this step of a run."""
    report = TrainingLoop.report

    def stop(loop):
        report(loop)
        if loop.state.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    with mock.patch.object(TrainingLoop, "report", stop):
        yield


SIGNALLED = f"""
import os, sys
from edgerl.commands.app import main
from {TrainingLoop.__module__} import TrainingLoop
number, step, report = int(sys.argv.pop(1)), int(sys.argv.pop(1)), TrainingLoop.report
def signalled(loop):
    report(loop)
    if loop.state.step == step:
        os.kill(os.getpid(), number)
TrainingLoop.report = signalled
main()
"""


def signalled_after(step, number, *arguments):
    """The command of `edgerl ARGUMENTS` in a process that gets this signal after this step of its run."""
    return [sys.executable, "-c", SIGNALLED, str(int(number)), str(step), *map(str, arguments)]
