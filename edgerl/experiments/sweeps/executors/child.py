"""Becomes a command that gets a SIGTERM when its parent ends for any reason: `python child.py PARENT COMMAND...`.

Linux only; elsewhere the command outlives its parent. It imports nothing of edgerl, so that it starts at once.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>; it holds across execv
INTERRUPTED = 130


def main() -> None:
    """Ask for the signal, see that the parent is still there, and become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored behind nohup, and blocked by Ray: both would be inherited
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before there was a signal to send
            sys.exit(INTERRUPTED)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
