"""At T_f `edgerl train` becomes a program without torch, in the same process; only its memory shows it.

Runs of toy/catch in their own processes, with torch until T_f.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from stopping import stopped_after
from test_event_file import events
from test_resume import final, logged
from waiting import until

from edgerl import configure
from edgerl.experiments.sweeps.executors.local import Local
from edgerl.runs import checkpoint
from edgerl.runs.folder import held
from edgerl.runs.saver import Saver
from edgerl.training import handover, train

LONG = {"budget": 1_500_000, "threads": 1, "steps": 430, "freeze_at": 410, "learn_start": 5, "batch_size": 2}
LONG |= {"hidden": 8, "eval_every": 410, "eval_episodes": 1, "checkpoint_every": 205, "engine": "torch"}
SHORT = LONG | {"steps": 60, "freeze_at": 40, "eval_every": 0, "checkpoint_every": 0}
PROGRAM = """
import os, signal, sys, threading
from edgerl.commands.app import main
from edgerl.training.start import networks
make_agent = networks.make_agent
def made(*arguments, **options):
    agent = make_agent(*arguments, **options)
    if not hasattr(agent, "needs_torch"):
        type(agent).needs_torch = False
    return agent
networks.make_agent = made
execv = os.execv
exec(sys.argv.pop(1))
main()
"""
KILLED = "os.execv = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
INTERRUPTED = """
def interrupted(*command):
    {}
    execv(*command)
os.execv = interrupted
"""
ONCE_BLOCKED = "signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)"  # pending in the new program
ONCE_CAUGHT = "os.kill(os.getpid(), signal.SIGINT)"  # another thread has it: the watchdog's, which blocks nothing


def command(*arguments, hook=""):
    """`edgerl ARGUMENTS`, whose agents need no torch after T_f; `hook`: run first, in each program of the process."""
    return [sys.executable, "-c", PROGRAM, hook, *map(str, arguments)]


def new(folder, settings, *options):
    """The options of a new run in this folder."""
    file = folder.with_suffix(".toml")
    file.write_text(configure(env="toy/catch", **settings).to_toml())
    return ["train", "--config", file, "--out", folder, *options]


def run(words):
    """Run a command to its end; returns its exit code and the lines on stderr."""
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    return ended.returncode, ended.stderr.splitlines()


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def assert_same(folder, other, step):
    """Both runs have left the same bits, and have logged the same."""
    (arrays, state, raw), (others, other_state, other_raw) = final(folder, step), final(other, step)
    assert arrays.keys() == others.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []
    assert (state, raw) == (other_state, other_raw)
    assert logged(folder) == logged(other)


@pytest.fixture(scope="module")
def shed(tmp_path_factory):
    """A finished run that has shed torch: folder, process number, lines, and whether its lock was held, each time."""
    folder, seen = tmp_path_factory.mktemp("shed") / "run", []
    words = command(*new(folder, LONG, "--verbose"))
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"})

    def look():
        until((folder / "config.toml").exists)
        while True:
            found = held(folder)
            if (folder / "summary.json").exists() or process.poll() is not None:
                return
            seen.append(found)
            time.sleep(0.002)

    looking = threading.Thread(target=look)
    looking.start()
    lines = process.communicate(timeout=300)[1].splitlines()
    looking.join()
    assert process.returncode == 0, lines
    return SimpleNamespace(folder=folder, pid=process.pid, lines=lines, seen=seen)


def test_it_is_the_run_that_stays_one_program(shed, uninterrupted):
    assert_same(shed.folder, uninterrupted(configure(env="toy/catch", **LONG)), 430)


def test_its_folder_is_never_free(shed):
    assert len(shed.seen) > 100
    assert all(shed.seen)


def test_the_user_is_told_in_one_line(shed):
    said = "\n".join(shed.lines)
    assert said.count("folder   ") == said.count("memory at the start") == said.count("memory after that") == 1
    assert "resumed" not in said
    (line,) = [line for line in shed.lines if "the process holds" in line]
    assert line.startswith("step 410: torch ")
    assert ("torch is shed" in line) is not summary_of(shed.folder)["memory"]["torch_loaded"]
    shares = [int(line.split("%")[0]) for line in shed.lines if line.lstrip()[:3].rstrip("%").isdigit()]
    assert len({share // 10 for share in shares}) == len(shares)


def test_metrics_go_on_without_a_gap_in_the_same_files(shed):
    lines = [json.loads(line) for line in (shed.folder / "metrics.jsonl").read_text().splitlines()]
    for name in ("step", "time", "seconds"):
        assert [line[name] for line in lines] == sorted(line[name] for line in lines)
    assert lines[-1]["time"] - lines[0]["time"] == pytest.approx(lines[-1]["seconds"] - lines[0]["seconds"], abs=0.1)
    for name in ("train/score", "eval/mean", "checkpoint/bytes"):
        steps = [line["step"] for line in lines if name in line]
        assert len(steps) == len(set(steps)) > 0, name
    (file,) = shed.folder.glob("events.*")
    assert file.name.endswith(f".{shed.pid}")
    version, *others = events(file)
    assert version.file_version
    assert [event.step for event in others] == [line["step"] for line in lines]
    assert not any(event.HasField("session_log") for event in others)


def test_a_checkpoint_of_the_step_is_from_after_the_freeze(shed):
    assert [int(place.name) for place in checkpoint.places(shed.folder / "checkpoint")] == [410, 430]
    state = json.loads((shed.folder / "checkpoint/000000410/state.json").read_text())
    assert state["trainer"]["freeze_report"]["step"] == 410


def test_the_summary_has_both_programs(shed):
    found = summary_of(shed.folder)
    memory = found["memory"]
    assert found["status"] == "finished"
    assert found["throughput"]["steps_per_s_before"] > 0
    assert 0 < memory["rss_baseline"] < memory["rss_before_freeze"] <= memory["rss_peak"]
    assert 0 < memory["rss_peak_after_freeze"] <= memory["rss_peak"]
    assert memory["rss_after_freeze"] <= memory["rss_peak_after_freeze"]


def test_a_run_that_stays_one_program_has_these_figures_too(tmp_path):
    for freeze_at, frozen in ((40, True), ("never", False)):
        memory = train.train(configure(env="toy/catch", **SHORT | {"freeze_at": freeze_at}), tmp_path / str(freeze_at))
        assert (memory["memory"]["rss_peak_after_freeze"] is not None) is frozen
        assert memory["memory"]["torch_loaded"] is ("torch" in sys.modules)


@pytest.mark.long
def test_killed_at_the_handover_it_resumes_to_the_same_bits(uninterrupted, tmp_path):
    folder = tmp_path / "run"
    assert run(command(*new(folder, SHORT, "--quiet"), hook=KILLED)) == (-signal.SIGKILL, [])
    assert [int(place.name) for place in checkpoint.places(folder / "checkpoint")] == [0, 40]
    assert not held(folder)
    assert run(command("train", "--resume", folder, "--quiet")) == (0, [])
    assert_same(folder, uninterrupted(configure(env="toy/catch", **SHORT)), 60)


@pytest.mark.parametrize("signals", [ONCE_BLOCKED, pytest.param(ONCE_CAUGHT, marks=pytest.mark.long)])
def test_an_interruption_during_the_switch_is_not_lost(signals, tmp_path):
    folder = tmp_path / "run"
    code, lines = run(command(*new(folder, SHORT, "--quiet"), hook=INTERRUPTED.format(signals)))
    assert (code, lines) == (130, [f"edgerl: interrupted; checkpoint saved in {folder}/checkpoint/000000040"])
    assert (summary_of(folder)["status"], summary_of(folder)["steps"]) == ("interrupted", 40)


def test_frozen_before_the_first_step_torch_is_never_there(tmp_path):
    settings = SHORT | {"freeze_at": 0, "engine": "auto", "encoder": "canonical"}
    code, lines = run(command(*new(tmp_path / "run", settings)))
    assert code == 0
    assert not any("the process holds" in line for line in lines)
    assert not json.loads((tmp_path / "run" / "summary.json").read_text())["memory"]["torch_loaded"]


@pytest.mark.long
def test_a_checkpoint_of_the_step_from_before_the_freeze_is_replaced(uninterrupted, tmp_path):
    """Stopped between the last step on pixels and the freeze, and resumed."""
    folder = tmp_path / "run"
    config = configure(env="toy/catch", **SHORT)
    with stopped_after(40):
        train.train(config, folder, quiet=True)
    code, lines = run(command("train", "--resume", folder))
    assert code == 0
    assert [line.split(": ")[0] for line in lines if "the process holds" in line] == ["step 40"]
    assert_same(folder, uninterrupted(config), 60)


@pytest.mark.long
def test_a_sweeps_cell_stays_one_job(tmp_path):
    """Its process is the executor's, before and after; it can still be stopped."""
    folder = tmp_path / "run"
    words = command(*new(folder, SHORT | {"steps": 10**6}, "--quiet"))
    job = Local().submit(words, tmp_path / "log", 1, 10**9)
    metrics = folder / "metrics.jsonl"
    until(lambda: metrics.exists() and '"step": 600,' in metrics.read_text())
    assert job.poll() is None
    assert held(folder)
    job.stop()
    until(lambda: job.poll() is not None)
    assert job.poll() == 130
    assert (tmp_path / "log").read_text().startswith("edgerl: interrupted; checkpoint saved")
    assert summary_of(folder)["store"] == "latents"
    assert len(list(folder.glob("events.*"))) == 1


@pytest.fixture
def alone(monkeypatch):
    """Let the tests' own process pass for `edgerl train` that no longer needs torch."""
    monkeypatch.setattr(handover, "launcher", lambda: ["edgerl"])
    monkeypatch.setattr(handover, "torch_is_idle", lambda parts: parts.launcher is not None)


def test_where_the_system_refuses_the_run_goes_on_as_it_is(alone, uninterrupted, tmp_path, monkeypatch, capfd):
    asked = []

    def refused(path, words):
        given = json.loads(os.environ[handover.VARIABLE])
        asked.append((path, words, given["pid"], os.get_inheritable(given["lock"]), given["lock"]))
        asked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= {signal.SIGINT, signal.SIGTERM})
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    def open_files():
        return len(os.listdir("/proc/self/fd"))

    monkeypatch.setattr(os, "execv", refused)
    folder, before, config = tmp_path / "run", open_files(), configure(env="toy/catch", **SHORT)
    assert train.train(config, folder, quiet=True, replaceable=True)["status"] == "finished"
    ((path, words, pid, inherited, _), blocked) = asked
    assert (path, words) == ("edgerl", ["edgerl", "train", f"--resume={folder}", "--quiet"])
    assert (pid, inherited, blocked) == (os.getpid(), True, True)
    assert capfd.readouterr().err.splitlines() == ["edgerl: step 40: torch stays: Cannot allocate memory; going on"]
    assert handover.VARIABLE not in os.environ
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}
    assert signal.set_wakeup_fd(-1) == -1
    assert open_files() == before
    assert_same(folder, uninterrupted(config), 60)


def test_interrupted_just_before_it_saves_and_leaves_as_the_program_it_is(alone, tmp_path, monkeypatch):
    def interrupted(saver, step, *arguments, **options):
        if step == 40:
            os.kill(os.getpid(), signal.SIGINT)
        return begin(saver, step, *arguments, **options)

    begin = Saver.begin
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("became another program"))
    config = configure(env="toy/catch", **SHORT)
    with monkeypatch.context() as patched:
        patched.setattr(Saver, "begin", interrupted)
        found = train.train(config, tmp_path / "run", quiet=True, replaceable=True)
    assert (found["status"], found["steps"], found["store"]) == ("interrupted", 41, "latents")
