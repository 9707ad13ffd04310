"""The end of the program: threads that a user's environment has left running do not hold it for ever."""

import contextlib
import os
import sys
import threading
from time import sleep

from edgerl.output.messages import warn

PATIENCE = 10.0  # seconds that threads have to end by themselves


def leave_threads(code: int) -> None:
    """Have the process end with this exit code in 10 s at most from now, if other threads would keep it.

    Python waits for every thread that is no daemon, once the main thread is done; a thread of an environment may never
    end. A main thread that is not done by then is left alone.
    """
    if _others():
        threading.Thread(target=_end, args=(code,), daemon=True).start()


def _end(code: int) -> None:
    sleep(PATIENCE)
    others = _others()
    if threading.main_thread().is_alive() or not others:
        return
    warn(f"ended, although the environment's threads still run: {', '.join(others)}")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or its reader is gone
            stream.flush()
    os._exit(code)


def _others() -> list[str]:
    """The names of threads that keep the process, beside the main one."""
    main = threading.main_thread()
    return [thread.name for thread in threading.enumerate() if not thread.daemon and thread is not main]
