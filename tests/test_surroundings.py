"""A run in its surroundings: other runs, other threads, terminals that close, a library's caller."""

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

import cv2  # noqa: F401  # what these two do to the process as they are first imported is not edgerl's
import gymnasium  # noqa: F401
import numpy as np
import pytest
import threadpoolctl
import torch
from stopping import signalled_after
from waiting import FORKING

import edgerl
from edgerl.agents.torch_encoder import tensors
from edgerl.envs.outside import screen
from edgerl.runs.folder import folder_of
from edgerl.runs.signals import handling

HANGUP, TERMINATION = 1, 15
TINY = {"env": "toy/catch", "budget": 3_000_000, "steps": 60, "freeze_at": 40, "eval_every": 0, "checkpoint_every": 0}
TRAIN = ("train", "--env", "toy/catch", "--budget", "3MB", "--steps", "60", "--freeze-at", "never", "--threads", "1")


def test_runs_that_start_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda form: "now")
    config = edgerl.configure(**TINY)
    with folder_of(config, None) as first, folder_of(config, None) as second, folder_of(config, None) as third:
        (second / "config.toml").touch()
        assert [folder.name for folder in (first, second, third)] == [
            "toy-catch__rainbow__0__now", "toy-catch__rainbow__0__now-2", "toy-catch__rainbow__0__now-3"
        ]  # fmt: skip
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == [second.name]


def test_a_refused_run_leaves_no_folder_of_its_own(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, _ = program(*TRAIN, "--process-limit", "50MB")
    assert code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_no_folder_can_be_is_named(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    code, _, lines = program(*TRAIN)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("edgerl: --out: runs/toy-catch__rainbow__0__")


def test_a_run_under_nohup_goes_on_when_the_terminal_closes(tmp_path):
    command = signalled_after(30, HANGUP, *TRAIN, "--quiet", "--out", tmp_path / "run")
    ended = subprocess.run(
        ["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command], capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_second_signal_ends_a_run_at_once(tmp_path):
    command = signalled_after(30, TERMINATION, *TRAIN, "--quiet", "--out", tmp_path / "run")
    twice = command[2].replace(
        "        os.kill(os.getpid(), number)\n",
        "        os.kill(os.getpid(), number)\n        import time; time.sleep(1.1)\n" * 2,
    )
    ended = subprocess.run([*command[:2], twice, *command[3:]], capture_output=True, check=False)
    assert ended.returncode == -TERMINATION
    assert not (tmp_path / "run/summary.json").exists()


@pytest.fixture
def threads():
    """Have BLAS and torch take two threads within a test; gives how many both have now."""
    limits, count = threadpoolctl.threadpool_limits(2, user_api="blas"), torch.get_num_threads()
    torch.set_num_threads(2)
    yield lambda: ({library["num_threads"] for library in blas()}, torch.get_num_threads())
    torch.set_num_threads(count)
    limits.restore_original_limits()


def blas():
    return [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture
def surroundings(threads, monkeypatch):
    """What a library could change in its caller's process, as it is now."""
    for name in screen.CHANGED:
        monkeypatch.delenv(name, raising=False)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    old = {number: signal.signal(number, lambda *_: None) for number in numbers}
    yield lambda: {
        "handlers of signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "threads": threads(),
        "generators": (repr(np.random.get_state()), random.getstate(), torch.get_rng_state().tolist()),  # noqa: NPY002
        "of torch": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_deterministic_debug_mode()),
        "of NumPy": (np.geterr(), np.get_printoptions()),
        "logging": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "variables": dict(os.environ),
        "places": (os.getcwd(), list(sys.path), list(sys.argv)),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
    }
    for number, handler in old.items():
        signal.signal(number, handler)


def export(run):
    edgerl.export(run, run.with_name("policy.onnx"))


def make_card(run):
    edgerl.card(run, run.with_name("card"), episodes=1, film=False)


@pytest.mark.parametrize(
    ("changed", "uses"),
    [
        ({"engine": "torch"}, (edgerl.load, export, make_card)),
        ({"env": "gym/CartPole-v1", "algo": "rainbow"}, (edgerl.load,)),  # the rest takes seconds with such frames
    ],
    ids=["toy", "gym"],
)
def test_a_library_leaves_its_process_as_it_was(changed, uses, surroundings, tmp_path):
    before = surroundings()
    assert before["threads"] == ({2}, 2)
    small = {"batch_size": 4, "hidden": 8, "eval_every": 50, "eval_episodes": 1, "eval_max_steps": 20}
    edgerl.train(edgerl.configure(**TINY | small | changed, threads=1), tmp_path / "run")
    assert surroundings() == before
    for use in uses:
        use(tmp_path / "run")
        assert surroundings() == before
    with pytest.raises(edgerl.ConfigError):
        edgerl.train(edgerl.configure(**TINY | changed, threads=1, process_limit="50MB"), tmp_path / "refused")
    assert surroundings() == before


def test_what_makes_cuda_repeatable_ends_with_the_run(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with edgerl._process_as_before():
        tensors._compute_repeatably()  # as for a run with --accelerator cuda
        assert torch.get_deterministic_debug_mode() == 2
    assert torch.get_deterministic_debug_mode() == 0
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_a_run_can_be_trained_in_a_thread_of_a_program(tmp_path):
    summaries = []
    config = edgerl.configure(**TINY, threads=1)
    thread = threading.Thread(target=lambda: summaries.append(edgerl.train(config, tmp_path / "run")))
    thread.start()
    thread.join()
    assert summaries[0]["status"] == "finished"


@pytest.mark.long
def test_torch_has_its_own_threads_and_random_numbers_follow_their_seed_after_the_first_run(tmp_path):
    script = f"""
import random
random.seed(3)
import edgerl
edgerl.train(edgerl.configure(**{TINY | {"threads": 1, "engine": "torch"}}), {str(tmp_path / "run")!r})
import sys, torch
count = torch.get_num_threads()
torch.set_num_threads(1)
print(count, random.random())
"""
    fresh = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    count, drawn = fresh.stdout.split()
    assert int(count) == int(
        subprocess.check_output([sys.executable, "-c", "import torch; print(torch.get_num_threads())"])
    )
    random.seed(3)
    assert float(drawn) == random.random()  # noqa: S311


FORKED = f"""{FORKING}
from edgerl.runs.signals import handling

with handling(print), handling(print):
    process = fork.Process(target=wait, daemon=True)
    process.start()
    begun.wait()
    process.terminate()
    process.join(20)
    print(process.exitcode)
"""


def test_a_process_that_an_environment_forks_does_not_have_the_handlers_of_the_run():
    forked = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    assert forked.stdout == f"{-signal.SIGTERM}\n"


def test_a_handler_that_was_not_set_in_python_stays(monkeypatch):
    """As in a program that embeds Python: what `signal` cannot name it could not set again."""
    getsignal, before = signal.getsignal, signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, "getsignal", lambda number: None if number == signal.SIGTERM else getsignal(number))
    with handling(lambda *_: None):
        assert getsignal(signal.SIGTERM) == before
        assert getsignal(signal.SIGINT) != before
    assert getsignal(signal.SIGTERM) == before
