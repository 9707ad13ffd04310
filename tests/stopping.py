"""A Ctrl-C in the middle of a run that trains in this process."""

import contextlib
import os
import signal
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
