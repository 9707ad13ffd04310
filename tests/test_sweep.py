"""Sweeps as they run: real processes, killed, interrupted, failing, short of memory; and gone on with."""

import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from stopping import signalled_after
from waiting import until

GRID = ("--env", "toy/catch", "--budgets", "2MB,3MB", "--freeze-at", "30,60,never", "--steps", "80")
GRID += ("--threads", "1", "--set", "learn_start=20", "--eval-every", "50", "--eval-episodes", "2")
GRID += ("--checkpoint-every", "40")
LONG = ("--env", "toy/catch", "--budgets", "2MB", "--steps", "1000000", "--eval-every", "0", "--freeze-at", "never")
LONG += ("--threads", "1")
SHORT = ("--env", "toy/catch", "--budgets", "2MB", "--freeze-at", "never", "--eval-every", "0", "--threads", "1")
TROUBLE = """
import os
import time
from pathlib import Path

import numpy as np
from edgerl.envs.toy import Catch

class Broken(Catch):
    def step(self, action):
        raise RuntimeError("the joystick came off")

class Vanishing(Catch):
    def step(self, action):
        os._exit(0)

class Large(Catch):
    def __init__(self, rng):
        super().__init__(rng)
        self.held = np.ones(50_000_000)  # 400 MB that no plan knows of
    def step(self, action):
        if not Path(__file__).with_name("seen").exists():
            time.sleep(1)  # memory is looked at now and then, and these games must not be over before that
        return super().step(action)

class Leaking(Catch):
    held = []
    def step(self, action):
        if len(self.held) < 100:
            self.held.append(np.ones(1_000_000))  # 8 MB a step
        else:
            time.sleep(0.2)  # above its limit until that is seen
        return super().step(action)
"""


@pytest.fixture
def sweep():
    """Start `edgerl sweep` in a process of its own; what is left of it is killed at the end."""
    started = []

    def start(*arguments, **options):
        command = [sys.executable, "-m", "edgerl", "sweep", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        started.append(subprocess.Popen(command, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def at_work(out):
    """The processes that train in this folder or below it."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "train" in words and any(Path(word).is_relative_to(out) for word in words):
            found.append(process)
    return found


def manifest_of(out):
    return json.loads((out / "sweep.json").read_text())


def outcomes(out):
    """What every cell's run determines, by folder."""
    found = {}
    for cell in manifest_of(out)["cells"]:
        summary = json.loads((out / cell["folder"] / "summary.json").read_text())
        kept = {name: summary[name] for name in ("status", "steps", "returns", "flops", "replay", "capacity", "codec")}
        found[cell["folder"]] = kept | {"frozen": summary["freeze"]["step"], "seed": summary["seed"]}
    return found


@pytest.fixture
def trouble(tmp_path):
    """An environment variable in which programs find environments that make trouble."""
    (tmp_path / "trouble.py").write_text(TROUBLE)
    return os.environ | {"PYTHONPATH": str(tmp_path)}


@pytest.mark.long
def test_a_sweep_that_is_killed_goes_on_to_what_an_uninterrupted_one_gives(tmp_path, sweep, program):
    """kill -9 of the sweep midway: no process stays; what had finished is kept, and the rest is the same in the end."""
    out, whole = tmp_path / "killed", tmp_path / "whole"
    first = sweep(*GRID, "--out", out)
    until((out / "sweep.json").exists)
    folders = [out / cell["folder"] for cell in manifest_of(out)["cells"]]
    assert len(folders) == 6
    until(lambda: sum(status(folder) == "finished" for folder in folders) >= 2 and at_work(out))
    first.kill()
    first.communicate()
    until(lambda: not at_work(out))
    finished = [folder / "summary.json" for folder in folders if status(folder) == "finished"]
    kept = {summary: summary.stat().st_mtime_ns for summary in finished}
    assert 2 <= len(kept) < 6

    second = sweep("--resume", out)
    until(lambda: at_work(out))
    psutil.Process(second.pid).suspend()  # so that it is still at work when another one looks
    code, _, (line,) = program("sweep", "--resume", out)
    psutil.Process(second.pid).resume()
    assert (code, "another sweep runs in this folder" in line) == (2, True)
    printed, lines = second.communicate(timeout=300)
    assert second.returncode == 0, lines
    assert "6 finished" in printed
    assert f"edgerl report {out} --out report.html" in printed
    assert {summary: summary.stat().st_mtime_ns for summary in kept} == kept

    _, commands, _ = program("sweep", *GRID, "--out", whole, "--print-commands")
    for command in commands.splitlines():
        assert program(*shlex.split(command)[1:], "--quiet")[0] == 0
    (whole / "sweep.json").write_bytes((out / "sweep.json").read_bytes())
    assert outcomes(out) == outcomes(whole)


def test_ctrl_c_saves_every_cell_and_says_how_to_go_on(tmp_path, sweep):
    """On a terminal, where the table is; a Ctrl-C there is not for the cells, which the sweep asks to leave."""
    out, (ours, theirs) = tmp_path / "sweep", pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    process = sweep(*LONG, "--seeds", "3", "--jobs", "2", "--out", out, stderr=theirs, env=environment)
    os.close(theirs)
    until((out / "sweep.json").exists)
    folders = [out / cell["folder"] for cell in manifest_of(out)["cells"]]
    until(lambda: sum((folder / "metrics.jsonl").exists() for folder in folders) == 2)
    shown = b""
    while b"of 1,000,000" not in shown or shown.count(b"running") < 2:
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    while chunk := read(ours):
        shown += chunk
    printed = process.communicate(timeout=300)[0]
    os.close(ours)
    assert process.returncode == 130
    assert f"edgerl sweep --resume {out}" in shown.decode()
    for word in ("cell", "steps/s", "score", "memory", "2 running, 1 waiting", "elapsed", "MB"):
        assert word in shown.decode()
    assert "3 waiting" in printed
    assert not at_work(out)
    assert [status(folder) for folder in folders] == ["interrupted", "interrupted", None]
    assert all(list((folder / "checkpoint").iterdir()) for folder in folders[:2])


def test_a_second_ctrl_c_kills(tmp_path, sweep):
    """SIGTERM is as good; here a cell that hangs does not leave when it is asked to."""
    out = tmp_path / "sweep"
    process = sweep(*LONG, "--out", out)
    until(lambda: list(out.glob("*/metrics.jsonl")))  # the cell trains
    (cell,) = at_work(out)
    cell.suspend()
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    printed, lines = process.communicate(timeout=300)
    assert process.returncode == 130, printed + lines
    assert not at_work(out)


def test_cells_that_fail_are_told_and_the_others_go_on(tmp_path, sweep, trouble):
    out = tmp_path / "sweep"
    names = ("trouble:Broken", "trouble:Leaking", "trouble:Vanishing", "toy/catch")
    options = ("--algo", "rainbow", "--steps", "150", "--freeze-at", "never", "--budgets", "2MB", "--eval-every", "0")
    options += ("--set", "process_limit=800MB", "--set", "batch_size=16", "--set", "n_step=3")
    process = sweep(*[word for name in names for word in ("--env", name)], *options, "--out", out, env=trouble)
    printed, lines = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "2 failed" in printed
    assert "1 memory-limit" in printed
    assert "1 finished" in printed
    last = lines.splitlines()[-1]
    assert last.startswith("edgerl: 3 of 4 cells did not finish: ")
    assert "trouble-Broken__2MB-freeze-never__0 (failed: " in last
    assert "the joystick came off" in last
    assert "trouble-Leaking__2MB-freeze-never__0 (memory-limit: the process tree reached 97% of its limit" in last
    vanished = "trouble-Vanishing__2MB-freeze-never__0"
    assert f"{vanished} (failed: its process ended with exit code 0 before the run had: it has no summary; see " in last
    assert f"see {out / vanished}.log)" in last
    assert "the joystick came off" in (out / "trouble-Broken__2MB-freeze-never__0.log").read_text()


@pytest.mark.long
def test_memory_decides_how_many_cells_run(tmp_path, sweep, trouble):
    """Two fit as planned, but they take more: the younger one saves, waits, and goes on when the other has left."""
    out, told = tmp_path / "sweep", tmp_path / "told"
    options = ("--env", "trouble:Large", "--steps", "60", "--freeze-at", "never", "--budgets", "2MB", "--seeds", "2")
    options += ("--eval-every", "0", "--threads", "1", "--jobs", "2", "--memory-limit", "800MB")
    with told.open("w") as stderr:
        process = sweep(*options, "--out", out, env=trouble, stderr=stderr)
    until((out / "sweep.json").exists)
    older = out / manifest_of(out)["cells"][0]["folder"]
    until(lambda: any(cell.memory_info().rss > 400_000_000 for cell in at_work(older)))
    (cell,) = at_work(older)
    cell.suspend()  # so that it is still at work when the younger one has left
    until(lambda: "waiting" in told.read_text())
    (tmp_path / "seen").touch()
    cell.resume()
    process.communicate(timeout=300)
    lines = told.read_text().splitlines()
    assert process.returncode == 0, lines
    states = [(line.split()[0], line.partition("seed ")[2][:1]) for line in lines]
    assert states[:3] == [("running", "0"), ("running", "1"), ("stopping", "1")]
    assert states[3:] == [("waiting", "1"), ("finished", "0"), ("running", "1"), ("finished", "1")]


def test_cells_wait_where_two_are_planned_to_be_too_large(tmp_path, sweep):
    out = tmp_path / "sweep"
    process = sweep(*SHORT, "--steps", "5", "--seeds", "2", "--jobs", "2", "--memory-limit", "180MB", "--out", out)
    lines = process.communicate(timeout=300)[1].splitlines()
    assert [line.split()[0] for line in lines] == ["running", "finished", "running", "finished"]


def test_a_cell_that_trains_elsewhere_is_waited_for_and_leftovers_are_removed(tmp_path, sweep, program):
    out, told = tmp_path / "sweep", tmp_path / "told"
    options = (*SHORT, "--steps", "20", "--seeds", "2", "--jobs", "1", "--out", out)
    process = sweep(*options)
    until((out / "sweep.json").exists)
    process.kill()
    process.communicate()
    until(lambda: not at_work(out))
    elsewhere, leftover = (out / cell["folder"] for cell in manifest_of(out)["cells"])
    shutil.rmtree(elsewhere, ignore_errors=True)  # what the sweep had begun by then
    shutil.rmtree(leftover, ignore_errors=True)
    leftover.mkdir()
    (leftover / "metrics.jsonl").write_text("half a run")

    _, commands, _ = program("sweep", *options, "--print-commands")
    command = shlex.split(commands.splitlines()[0].replace("--steps 20", "--steps 30"))
    other = subprocess.Popen(signalled_after(5, signal.SIGSTOP, *command[1:], "--quiet"))
    until(lambda: psutil.Process(other.pid).status() == psutil.STATUS_STOPPED)  # still at work when the sweep looks
    with told.open("w") as stderr:
        process = sweep("--resume", out, "--jobs", "1", stderr=stderr)
    until(lambda: "\n" in told.read_text())
    psutil.Process(other.pid).resume()
    process.communicate(timeout=300)
    first, *lines = told.read_text().splitlines()
    assert (process.returncode, other.wait()) == (0, 0), lines
    assert first.split()[0] == "elsewhere"
    assert sorted(line.split()[0] for line in lines) == ["finished", "finished", "running"]
    assert json.loads((elsewhere / "summary.json").read_text())["steps"] == 30  # it was not begun anew
    assert "half" not in (leftover / "metrics.jsonl").read_text()


def test_quiet_says_nothing(tmp_path, program):
    out = tmp_path / "sweep"
    assert program("sweep", *SHORT, "--steps", "5", "--quiet", "--out", out) == (0, "", [])
    assert program("sweep", "--resume", out, "--quiet") == (0, "", [])
    code, printed, lines = program("sweep", "--resume", out)
    assert (code, [line.split()[0] for line in lines]) == (0, ["finished"])
    assert "1 finished" in printed


def status(folder):
    """How a run ended; None where it has not."""
    summary = folder / "summary.json"
    return json.loads(summary.read_text())["status"] if summary.exists() else None


def read(terminal):
    """What a terminal shows next; nothing once nobody writes to it."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
