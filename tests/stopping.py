"""Signals in the middle of a run: at a step that a test names, however fast the machine is."""

import contextlib
import os
import signal
import sys
from unittest import mock

from edgerl.training.loop import Trainer


@contextlib.contextmanager
def stopped_after(step):
    """Within, a Ctrl-C arrives after this step of a run."""
    report = Trainer.report

    def stop(trainer):
        report(trainer)
        if trainer.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    with mock.patch.object(Trainer, "report", stop):
        yield


SIGNALLED = f"""
import os, sys
from edgerl.commands.app import main
from {Trainer.__module__} import Trainer
number, step, report = int(sys.argv.pop(1)), int(sys.argv.pop(1)), Trainer.report
def signalled(trainer):
    report(trainer)
    if trainer.step == step:
        os.kill(os.getpid(), number)
Trainer.report = signalled
main()
"""


def signalled_after(step, number, *arguments):
    """The command of `edgerl ARGUMENTS` in a process that gets this signal after this step of its run."""
    return [sys.executable, "-c", SIGNALLED, str(int(number)), str(step), *map(str, arguments)]
