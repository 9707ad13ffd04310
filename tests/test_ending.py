"""The end of the program, while a thread of the user's environment still runs."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading, time
from edgerl.commands.app import main
from edgerl.output import ending

ending.PATIENCE = 0.3
patience = float(sys.argv.pop(1))
threading.Thread(target=time.sleep, args=(patience,), name="camera").start()
main()
"""
STILL_RUNS = "edgerl: ended, although the environment's threads still run: camera\n"


def ended(lasts, *arguments):
    """The program with these arguments, in a process with a thread that lasts so many seconds."""
    command = [sys.executable, "-c", PROGRAM, str(lasts), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "code", "stdout", "stderr"),
    [
        (["--version"], 0, "edgerl ", ""),
        (["plan", "--env", "atari/nothing"], 2, "", "edgerl: --env: unknown game 'atari/nothing'"),
    ],
)
def test_a_thread_that_never_ends_does_not_hold_the_program(arguments, code, stdout, stderr):
    process = ended(1000, *arguments)
    assert process.returncode == code
    assert process.stdout.startswith(stdout)
    assert process.stderr.startswith(stderr)
    assert process.stderr.endswith(STILL_RUNS)


def test_a_thread_that_ends_is_waited_for():
    process = ended(0.1, "--version")
    assert (process.returncode, process.stderr) == (0, "")
