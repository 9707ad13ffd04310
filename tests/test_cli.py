"""The command line as users meet it: bad input, interruption, the memory limit, eval and devices."""

import json
import os
import signal
import subprocess
import sys

import pytest
from waiting import until

import edgerl

TRAIN = (
    "train",
    "--env",
    "toy/catch",
    "--budget",
    "3MB",
    "--steps",
    "300",
    "--eval-every",
    "0",
    "--threads",
    "1",
    "--quiet",
)

BAD = {
    "a budget without a unit": (["--budget", "70"], "--budget", "no unit"),
    "a zero budget": (["--budget", "0GB"], "--budget", "not above zero"),
    "a negative budget": (["--budget", "-1GB"], "--budget", "not above zero"),
    "a NaN budget": (["--budget", "nanGB"], "--budget", "not a number"),
    "a budget below one batch": (["--budget", "100kB"], "--budget", "at least"),
    "a budget above the machine": (["--budget", "900000GB"], "--budget", "larger than this machine"),
    "an unknown game": (["--env", "atari/qbrt"], "--env", "perhaps atari/qbert"),
    "an unknown suite": (["--env", "atary/qbert"], "--env", "perhaps atari/qbert"),
    "an unknown toy": (["--env", "toy/ctch"], "--env", "toy/catch"),
    "an unknown device": (["--device", "jetson_nona"], "--device", "jetson_nano"),
    "an unknown algorithm": (["--algo", "ppo"], "--algo", "rainbow"),
    "an unknown option": (["--bugdet", "1GB"], "--bugdet", "No such option"),
    "a freeze after the run": (["--freeze-at", "300"], "--freeze-at", "0 to 299"),
    "a negative freeze": (["--freeze-at", "-1"], "--freeze-at", "never"),
    "a freeze in words": (["--freeze-at", "soon"], "--freeze-at", "never"),
    "no steps": (["--steps", "0"], "--steps", "below 1"),
    "steps in words": (["--steps", "many"], "--steps", "valid int"),
    "no threads": (["--threads", "0"], "--threads", "below 1"),
    "a negative seed": (["--seed", "-3"], "--seed", "below 0"),
    "no evaluation games": (["--eval-episodes", "0"], "--eval-episodes", "below 1"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case)
def test_bad_input_is_one_line_that_names_the_option(case, program, tmp_path):
    arguments, option, says = BAD[case]
    out = tmp_path / "run"
    code, printed, (line,) = program(*TRAIN, *arguments, "--out", out)
    assert (code, printed) == (2, "")
    assert line.startswith("edgerl: ")
    assert option in line
    assert says in line
    assert not out.exists()


def test_the_process_itself_ends_with_the_code_and_the_line(edgerl, tmp_path):
    ended = edgerl(*TRAIN, "--budget", "70", "--out", tmp_path / "run")
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert ended.stderr.startswith("edgerl: --budget")


def test_an_out_folder_that_is_not_empty_is_refused_and_kept(program, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    code, _, (line,) = program(*TRAIN, "--out", tmp_path)
    assert (code, "--out" in line) == (2, True)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_an_out_folder_that_cannot_be_written_is_refused(program, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, (line,) = program(*TRAIN, "--out", tmp_path / "file" / "run")
    assert (code, "--out" in line) == (2, True)


def test_games_that_are_interrupted_end_in_one_line(program, snapshotted, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgerl.training.evaluate.evaluate", interrupted)
    assert program("eval", snapshotted) == (130, "", ["edgerl: interrupted"])


def test_train_then_eval(edgerl, program, tmp_path):
    out = tmp_path / "deep" / "run"
    ended = edgerl(*TRAIN, "--device", "jetson_nano", "--freeze-at", "250", "--out", out)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["device"] == "jetson_nano"
    assert summary["memory"]["limit_bytes"] == int(3.4 * 2**30)
    assert summary["memory"]["rss_peak"] < summary["memory"]["limit_bytes"]
    assert {file.name for file in out.iterdir()} >= {"config.toml", "metrics.jsonl", "encoder.onnx", "checkpoint"}
    code, printed, _ = program("eval", out, "--episodes", "3")
    assert code == 0
    assert "toy/catch at step 300: 3 games" in printed


def test_eval_of_what_is_no_run(program, tmp_path):
    code, _, (line,) = program("eval", tmp_path)
    assert (code, "config.toml" in line) == (2, True)


def test_a_preset_freeze_beyond_the_run_is_a_note(program, tmp_path):
    arguments = [word for word in TRAIN if word != "--quiet"]
    code, _, lines = program(*arguments, "--out", tmp_path / "run")
    assert code == 0
    assert any("no freeze" in line for line in lines)
    assert json.loads((tmp_path / "run/summary.json").read_text())["freeze"]["step"] is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interruption_saves_a_checkpoint_and_exits_130(number, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "edgerl", *TRAIN, "--steps", "100000", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    metrics = out / "metrics.jsonl"
    until(lambda: metrics.exists() and "train/score" in metrics.read_text())  # the first game's end
    process.send_signal(number)
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 130
    assert len(errors.splitlines()) == 1
    summary = json.loads((out / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert summary["steps"] > 0
    assert (out / summary["checkpoint"] / "state.json").exists()
    assert summary["checkpoint"] == f"checkpoint/{summary['steps']:09d}"


HOG = """
import time
import numpy as np
from edgerl.training.loop import TrainingLoop
from edgerl.commands.app import main
from memory_budget import Watchdog, rss_bytes
report, check, held, looks = TrainingLoop.report, Watchdog.check, [], []
def look(watchdog):
    found = check(watchdog)
    looks.append(found)
    return found
def hungry(loop):
    report(loop)
    if loop.state.step > 150:  # up to 80% at once, then 10 MB a step
        held.append(np.ones(max(10_000_000, 560_000_000 - rss_bytes()), np.uint8))
        before = len(looks)
        while len(looks) == before:  # so that the watchdog sees each part of the way
            time.sleep(0.01)
TrainingLoop.report, Watchdog.check = hungry, look
main()
"""


def test_the_memory_limit_saves_a_checkpoint_and_exits_3(tmp_path):
    """A leak inside the process: a warning, a trim, and then the run leaves in order."""
    out = tmp_path / "run"
    arguments = [*TRAIN[:-1], "--steps", "100000", "--process-limit", "700MB", "--out", str(out)]
    command = [sys.executable, "-c", HOG, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    lines = ended.stderr.splitlines()
    warned, trimmed = (
        [n for n, line in enumerate(lines) if word in line] for word in ("at 97% the run", "collected and trimmed")
    )
    assert len(warned) == len(trimmed) == 1
    assert warned < trimmed < [len(lines) - 1]
    assert "reached 97% of its limit of 700,000,000 bytes" in lines[-1]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["status"] == "memory-limit"
    assert summary["memory"]["limit_bytes"] == 700_000_000
    assert summary["memory"]["rss_peak"] < 800_000_000
    assert (out / summary["checkpoint"] / "weights.safetensors").exists()


def test_a_limit_below_what_the_run_needs_is_refused_with_the_ledger(edgerl, tmp_path):
    out = tmp_path / "run"
    for arguments in (["--process-limit", "120MB"], ["--device", "pi_zero_2_w", "--engine", "torch"]):
        ended = edgerl(*TRAIN, "--budget", "40MB", *arguments, "--out", out)
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1
        assert arguments[0] in ended.stderr
        for line in ("libraries", "networks", "optimizer", "replay 40.0 MB", "scratch"):
            assert line in ended.stderr
        assert not out.exists()


@pytest.mark.long
def test_a_limit_5_percent_above_steady_state_finishes(edgerl, tmp_path):
    """What a free run holds at most, and 5% more, is enough to run again."""
    free, bound = tmp_path / "free", tmp_path / "bound"
    options = (*TRAIN, "--budget", "60MB", "--freeze-at", "250")
    assert edgerl(*options, "--out", free).returncode == 0
    peak = json.loads((free / "summary.json").read_text())["memory"]["rss_peak"]
    ended = edgerl(*options, "--process-limit", f"{int(peak * 1.05)}B", "--out", bound)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_devices_lists_the_catalogue(program):
    code, printed, _ = program("devices")
    assert code == 0
    for name in ("jetson_nano", "orin_nano_8gb", "pi_4_1gb", "pi_zero_2_w", "pixel_6"):
        assert name in printed


def test_threads_never_exceed_the_machine_unless_asked(program, tmp_path):
    unset = [word for word in TRAIN if word not in ("--threads", "1")]
    for arguments, expected in (
        (["--device", "orin_nano_8gb"], min(6, len(os.sched_getaffinity(0)))),
        (["--threads", "3"], 3),
    ):
        out = tmp_path / str(expected)
        assert program(*unset, "--steps", "5", *arguments, "--out", out)[0] == 0
        assert f"threads = {expected}\n" in (out / "config.toml").read_text()


def test_alone_the_program_says_what_it_can_do(program):
    code, printed, lines = program()
    assert (code, lines) == (0, [])
    assert printed.splitlines()[0].startswith("Usage: ")
    assert "  train    train an agent, through the freeze\n" in printed


def test_its_version_and_a_command_that_is_none(program):
    assert program("--version")[:2] == (0, f"edgerl {edgerl.__version__}\n")
    code, _, lines = program("trian")
    assert code == 2
    assert lines == ["edgerl: No such command 'trian'. Did you mean 'train'? (edgerl --help lists them)"]
