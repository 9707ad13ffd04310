"""The end of the program: threads and processes that a user's environment leaves running do not hold it for ever."""

import contextlib
import os
import sys
import threading
from time import sleep
from typing import Any

from edgerl.output.messages import warn

PATIENCE = 10.0  # seconds that they have to end by themselves


def leave_threads(code: int) -> None:
    """Have the process end with this exit code in 10 s at most from now, if other threads or processes would keep it.

    Python waits for every thread and every process of `multiprocessing` that is no daemon, once the main thread is
    done; one of an environment may never end. A main thread that is not done by then is left alone.
    """
    if _threads() or _processes():
        threading.Thread(target=_end, args=(code,), daemon=True).start()


def _end(code: int) -> None:
    sleep(PATIENCE)
    threads, processes = _threads(), _processes()
    if threading.main_thread().is_alive() or not (threads or processes):
        return
    warn(f"ended what the environment left running: {', '.join(other.name for other in (*threads, *processes))}")
    for process in processes:  # it may hold the run's folder
        process.terminate()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or its reader is gone
            stream.flush()
    os._exit(code)


def _threads() -> list[threading.Thread]:
    """The threads that keep the process, beside the main one."""
    main = threading.main_thread()
    return [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]


def _processes() -> list[Any]:
    """The processes of `multiprocessing` that keep this one."""
    used = sys.modules.get("multiprocessing")
    return [] if used is None else [process for process in used.active_children() if not process.daemon]
