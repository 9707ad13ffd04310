"""What is shown, and where: any text, any path, narrow terminals, pipes that close, shells that complete."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cases import quick
from stopping import signalled_after

import device_profiles
import edgerl
import edgerl_run

TERMINATION = 15
TINY = {"env": "toy/catch", "budget": 3_000_000, "steps": 60, "freeze_at": 40, "eval_every": 0, "checkpoint_every": 0}
TRAIN = ("train", "--env", "toy/catch", "--budget", "3MB", "--steps", "60", "--freeze-at", "never", "--threads", "1")


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


@pytest.mark.parametrize("name", quick(["exp[lr=0.1]", "a[/b]", ":smile:", "[red]"], "a[/b]"))
def test_text_of_the_user_is_no_markup(name, tmp_path):
    code, text, errors = piped(*TRAIN, "--out", name, reader="cat", folder=tmp_path)
    assert code == 0, errors
    assert text.endswith(f"summary.json, metrics.jsonl and checkpoints are in {name}\n")
    assert f"folder   {name}\n" in errors


def test_a_path_of_any_bytes_goes_through_freeze_resume_and_export(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    summary = edgerl.train(edgerl.configure(**TINY, threads=1), folder)
    assert summary["freeze"]["step"] == 40
    assert (
        edgerl.train(edgerl.configure(**TINY | {"steps": 80, "learn_start": 6}, threads=1), folder, resume=True)[
            "steps"
        ]
        == 80
    )
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
    devices = ["orin_nano_8gb:maxn_super", "pi_5_16gb", "jetson_nano:5w", "orin_nano_8gb", "pi_zero_2_w"]
    _, text, _ = piped("plan", *[word for name in devices for word in ("--device", name)], reader="cat")
    (heading,) = [line for line in text.splitlines() if line.startswith("process")]
    assert heading.split() == ["process", *devices]


@pytest.mark.parametrize("width", [44, 80])
def test_a_narrow_terminal_shows_every_name_whole(width):
    devices = ["orin_nano_8gb:maxn_super", "pi_5_16gb", "jetson_nano:5w", "orin_nano_8gb", "pi_zero_2_w"]
    words = ("plan", *[word for name in devices for word in ("--device", name)])
    _, text, _ = piped(*words, reader="cat", COLUMNS=str(width))
    headings = [line.split()[1:] for line in text.splitlines() if line.startswith("process")]
    assert [name for heading in headings for name in heading] == devices
    assert len(headings) == {44: 3, 80: 2}[width]
    assert not re.search(r"/ ?$|\.\.\.|\u2026", text, re.MULTILINE)


def test_a_terminal_without_a_width_shows_all():
    """COLUMNS=0 stands for none, as some programs set it."""
    assert piped("plan", reader="cat", COLUMNS="0") == piped("plan", reader="cat")


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
        r"--steps 50000 --freeze-at 25000 takes \S+ to \S+ (min|h)", line
    )  # fmt: skip


def test_the_ledger_is_shown_if_it_is_asked_for(program, tmp_path):
    _, _, short = program(*TRAIN, "--out", tmp_path / "short")
    _, _, whole = program(*TRAIN, "--out", tmp_path / "whole", "--verbose")
    assert not [line for line in short if line.startswith("memory at")]
    assert [line.partition(":")[0] for line in whole if line.startswith("memory at")] == [
        "memory at the start", "memory at the end"
    ]  # fmt: skip
