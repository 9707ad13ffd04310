"""A run in its surroundings: other runs, other threads, terminals that close, a library's caller."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import threadpoolctl
import torch
from stopping import signalled_after

import device_profiles
import edgerl
import edgerl_run
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


def piped(*words, reader="true", encoding="utf-8", folder=None, **settings):
    """Run the program with stdout piped to `reader`; returns its exit code, what the reader wrote, and stderr."""
    command = 'set -o pipefail; "$@" | ' + reader
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    ended = subprocess.run(
        ["/bin/bash", "-c", command, "bash", sys.executable, "-m", "edgerl", *map(str, words)],
        capture_output=True, check=False, cwd=folder,
        env=environment | {"PYTHONIOENCODING": encoding} | settings,
    )  # fmt: skip
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


@pytest.mark.parametrize("words", [["plan"], ["devices"], ["--help"], ["check", "toy/catch", "--steps", "5"]])
def test_a_reader_that_goes_away_ends_a_command_in_order(words):
    assert piped(*words) == (0, "", "")


def test_a_run_whose_reader_is_gone_goes_on(tmp_path):
    code, _, errors = piped(*TRAIN, "--out", tmp_path / "run")
    assert (code, errors.count("step 60 of 60")) == (0, 1)
    assert edgerl.load(tmp_path / "run").step == 60


def test_a_full_disk_behind_stdout_is_said_in_one_line():
    ended = subprocess.run(
        ["/bin/bash", "-c", '"$@" > /dev/full', "bash", sys.executable, "-m", "edgerl", "plan"],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, "edgerl: the system: No space left on device\n")


def test_text_that_a_terminal_cannot_show_is_escaped(tmp_path):
    out = os.fsencode(tmp_path) + b"/\xff\xc3\xa9"
    code, text, errors = piped(*TRAIN, "--out", os.fsdecode(out), reader="cat", encoding="ascii")
    assert code == 0, errors
    assert f"are in {tmp_path}/\\udcff\\xe9" in text


@pytest.mark.parametrize("name", ["exp[lr=0.1]", "a[/b]", ":smile:", "[red]"])
def test_text_of_the_user_is_no_markup(name, tmp_path):
    code, text, errors = piped(*TRAIN, "--out", name, reader="cat", folder=tmp_path)
    assert code == 0, errors
    assert text.endswith(f"summary.json, metrics.jsonl and checkpoints are in {name}\n")
    assert f"folder   {name}\n" in errors


def test_a_path_of_any_bytes_goes_through_freeze_resume_and_export(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    summary = edgerl.train(edgerl.configure(**TINY, threads=1), folder)
    assert summary["freeze"]["step"] == 40
    assert edgerl.train(edgerl.configure(**TINY | {"steps": 80}, threads=1), folder, resume=True)["steps"] == 80
    edgerl.export(folder, folder / "policy.onnx")
    assert edgerl_run.Player(folder / "policy.onnx").about["env"] == "toy/catch"


def test_a_device_in_a_folder_that_is_no_utf8_is_refused_before_the_first_step(tmp_path, monkeypatch):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    clusters = '[[clusters]]\ncore = "A72"\ncount = 4\nsource = "mine"\nkind = "measured"\n'
    (folder / "mine.toml").write_text(f'title = "mine"\nplatform = "linux"\n{clusters}')
    monkeypatch.chdir(folder)
    with pytest.raises(edgerl.ConfigError, match=r"run\.device = .* is no UTF-8; name it otherwise"):
        edgerl.configure(**TINY, device="./mine.toml")


def test_nothing_is_wrapped_or_shortened_without_a_terminal():
    devices = ["raspberry_pi_4", "raspberry_pi_5", "jetson_nano:5w", "orin_nano_8gb", "pi_zero_2_w"]
    _, text, _ = piped("plan", *[word for name in devices for word in ("--device", name)], reader="cat")
    (heading,) = [line for line in text.splitlines() if line.startswith("process")]
    assert heading.split() == ["process", *devices]


@pytest.mark.parametrize("width", [44, 80])
def test_a_narrow_terminal_shows_every_name_whole(width):
    devices = ["raspberry_pi_4", "raspberry_pi_5", "jetson_nano:5w", "orin_nano_8gb", "pi_zero_2_w"]
    words = ("plan", *[word for name in devices for word in ("--device", name)])
    _, text, _ = piped(*words, reader="cat", COLUMNS=str(width))
    headings = [line.split()[1:] for line in text.splitlines() if line.startswith("process")]
    assert [name for heading in headings for name in heading] == devices
    assert len(headings) == {44: 4, 80: 2}[width]
    assert not re.search(r"/ ?$|\.\.\.|\u2026", text, re.MULTILINE)


def test_a_user_without_a_home_has_no_devices_of_their_own(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as where the user has no entry in passwd
    assert device_profiles.own_files() == {}


@pytest.mark.parametrize("module", ["runtime", "edgerl_run"])
def test_onnx_runtime_reports_nothing_to_its_maker(module, tmp_path):
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
    asked = subprocess.run(
        [sys.executable, "-c", f"import os, {module}; print(sorted(os.environ), os.listdir('/proc/self/task'))"],
        capture_output=True, check=False, text=True, env=kept | {"HOME": str(tmp_path)},
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert "ORT_DISABLE_TELEMETRY" not in asked.stdout
    assert list(tmp_path.iterdir()) == []  # no identifier of the machine


def test_a_shell_completes_environments_and_devices():
    def completed(words):
        asked = {"_EDGERL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        program = "import sys; sys.argv[0] = 'edgerl'; from edgerl.commands.app import main; main()"
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=False, text=True, env=os.environ | asked
        )
        return ended.stdout.split()

    assert completed("edgerl train --env atari/kr") == ["atari/krull"]
    assert completed("edgerl plan --device pi_z") == ["pi_zero_2_w"]


def test_a_long_run_says_first_how_long_it_is_and_what_would_be_shorter(program, tmp_path):
    long = ("--steps", "500000", "--freeze-at", "100000", "--out", tmp_path / "run", "--threads", "1")
    stopped = signalled_after(3, TERMINATION, "train", *long)
    ended = subprocess.run(stopped, capture_output=True, check=False, text=True)
    assert ended.returncode == 130
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("time ")]
    assert re.fullmatch(
        r"time     \S+ to \S+ h here \(a forecast, without evaluations\); "
        r"--steps 50000 --freeze-at 25000 takes a tenth of that", line
    )  # fmt: skip


def test_the_ledger_is_shown_if_it_is_asked_for(program, tmp_path):
    _, _, short = program(*TRAIN, "--out", tmp_path / "short")
    _, _, whole = program(*TRAIN, "--out", tmp_path / "whole", "--verbose")
    assert not [line for line in short if line.startswith("memory at")]
    assert [line.partition(":")[0] for line in whole if line.startswith("memory at")] == [
        "memory at the start", "memory at the end"
    ]  # fmt: skip
