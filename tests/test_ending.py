"""The end of the program whose environment leaves a thread or a process running, or closes its streams."""

import subprocess
import sys

import pytest

PROGRAM = """
import multiprocessing, sys, threading, time
from edgerl.commands.app import main
from edgerl.output import ending

ending.PATIENCE = 0.3
patience, kind = float(sys.argv.pop(1)), sys.argv.pop(1)
begin = threading.Thread if kind == "thread" else multiprocessing.get_context("fork").Process
begin(target=time.sleep, args=(patience,), name="camera").start()
main()
"""
STILL_RUNS = "edgerl: ended what the environment left running: camera\n"


def ended(lasts, kind, *arguments):
    """The program with these arguments, in a process with a thread or a process that lasts so many seconds.

    A process that is left keeps the streams open, which are waited for.
    """
    command = [sys.executable, "-c", PROGRAM, str(lasts), kind, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize(
    ("arguments", "code", "stdout", "stderr"),
    [
        (["--version"], 0, "edgerl ", ""),
        (["plan", "--env", "atari/nothing"], 2, "", "edgerl: --env: unknown game 'atari/nothing'"),
    ],
)
def test_what_never_ends_does_not_hold_the_program(arguments, code, stdout, stderr, kind):
    process = ended(1000, kind, *arguments)
    assert process.returncode == code
    assert process.stdout.startswith(stdout)
    assert process.stderr.startswith(stderr)
    assert process.stderr.endswith(STILL_RUNS)


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_what_ends_is_waited_for(kind):
    process = ended(0.1, kind, "--version")
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize(
    ("after", "code", "stderr"),
    [
        ("from edgerl.envs.toy import Catch as make", 0, ""),
        ("raise SystemExit", 2, "edgerl: --env: 'closes:make' cannot be loaded: SystemExit (closes.py, line 4)\n"),
    ],
)
def test_an_environment_that_closes_a_stream_does_not_silence_the_program(stream, after, code, stderr, tmp_path):
    (tmp_path / "closes.py").write_text(f"import sys\n\nsys.{stream}.close()\n{after}\n")
    command = [sys.executable, "-m", "edgerl", "check", "closes:make"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (process.returncode, process.stderr) == (code, stderr)
    assert code or process.stdout.endswith("faults       none\n")
