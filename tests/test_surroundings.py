"""A run in its surroundings: other runs, other threads, terminals that close, a library's caller."""

import subprocess
import sys
import threading
import time

import pytest
import threadpoolctl
import torch
from stopping import signalled_after

import edgerl
from edgerl.runs.folder import folder_of

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


def test_a_library_leaves_its_process_as_it_was(threads, tmp_path):
    before, state = threads(), torch.get_rng_state()
    edgerl.train(edgerl.configure(**TINY, threads=1, engine="torch"), tmp_path / "run")
    edgerl.load(tmp_path / "run")
    assert threads() == before == ({2}, 2)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_can_be_trained_in_a_thread_of_a_program(tmp_path):
    summaries = []
    config = edgerl.configure(**TINY, threads=1)
    thread = threading.Thread(target=lambda: summaries.append(edgerl.train(config, tmp_path / "run")))
    thread.start()
    thread.join()
    assert summaries[0]["status"] == "finished"


@pytest.mark.long
def test_torch_has_its_own_threads_after_the_first_run_that_loads_it(tmp_path):
    script = f"""
import edgerl
edgerl.train(edgerl.configure(**{TINY | {"threads": 1, "engine": "torch"}}), {str(tmp_path / "run")!r})
import sys, torch
count = torch.get_num_threads()
torch.set_num_threads(1)
print(count)
"""
    fresh = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(fresh.stdout) == int(
        subprocess.check_output([sys.executable, "-c", "import torch; print(torch.get_num_threads())"])
    )
