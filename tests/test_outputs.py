"""Files that a user names for output: what they may not replace, and what stdout holds with --json."""

import json
import os
import shutil
import subprocess
import sys

import pytest

import edgerl
from edgerl.errors import ConfigError


@pytest.fixture
def run(real, tmp_path):
    """A finished run of its own."""
    return shutil.copytree(real, tmp_path / "run")


def test_what_a_run_or_a_sweep_needs_is_not_written_over(run, program):
    (run.parent / "sweep").mkdir()
    (run.parent / "sweep/sweep.json").write_text("{}")
    (run / "snapshots").mkdir()
    (run / "snapshots/000000000.safetensors").write_bytes(b"weights")
    for command, file in (
        (["report", run, "--format", "md"], run / "summary.json"),
        (["report", run, "--format", "md"], run.parent / "sweep/sweep.json"),
        (["export", run, "--force"], run / "encoder.onnx"),
        (["report", run, "--format", "md"], run / ".lock"),
        (["report", run, "--format", "md"], run / "checkpoint/000000400/state.json"),
        (["report", run, "--format", "md"], run / "snapshots/000000000.safetensors"),
    ):
        before = file.read_bytes()
        code, _, lines = program(*command, "--out", file)
        assert (code, lines) == (2, [f"edgerl: --out: {file} is a file of the run or sweep there; name another"])
        assert file.read_bytes() == before


def test_what_is_no_regular_file_stays(run, tmp_path, program):
    pipe, link = tmp_path / "pipe.png", tmp_path / "link.md"
    os.mkfifo(pipe)
    link.symlink_to("target.md")
    (tmp_path / "target.md").write_text("old")
    for command in (["report", run, "--out"], ["export", run, "--force", "--out"], ["check", "toy/catch", "--picture"]):
        code, _, (line,) = program(*command, pipe)
        assert (code, line) == (2, f"edgerl: {command[-1]}: {pipe} is no regular file; name another")
        assert pipe.is_fifo()
    assert program("report", run, "--out", link)[::2] == (0, [])
    assert link.is_symlink()
    assert (tmp_path / "target.md").read_text().startswith("#")


def test_a_picture_replaces_no_other_kind_of_file(tmp_path, program):
    module = tmp_path / "mine.py"
    module.write_text("x = 1")
    lines = program("check", "toy/catch", "--picture", module)[2]
    assert lines == [f"edgerl: --picture: {module} does not end in .png"]
    assert module.read_text() == "x = 1"


def test_a_folder_for_training_with_a_file_of_the_users_is_not_replaced(run, tmp_path, program):
    folder = tmp_path / "light"
    assert program("export", run, "--for-training", folder)[::2] == (0, [])
    assert program("export", run, "--for-training", folder, "--force")[0] == 0
    (folder / "notes.txt").write_text("mine")
    code, _, lines = program("export", run, "--for-training", folder, "--force")
    said = f"edgerl: --for-training: {folder} holds notes.txt, which --force does not replace"
    assert (code, lines) == (2, [said])
    assert (folder / "notes.txt").read_text() == "mine"


TALKING = """
import os
from edgerl.envs.toy import Catch

print("hello")

class Talking(Catch):
    def step(self, action):
        print("a step")
        os.write(1, b"from a library in C")
        return super().step(action)
"""


@pytest.mark.parametrize("command", [["check", "--steps", "20"], ["plan", "--trust", "--env"]])
def test_json_is_alone_on_stdout(command, tmp_path):
    (tmp_path / "talking.py").write_text(TALKING)
    words = [command[0], *command[1:], "talking:Talking", "--json"]
    ended = subprocess.run([sys.executable, "-m", "edgerl", *words], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)
    assert ended.stderr.startswith("hello\n")


def test_json_is_printed_without_a_stderr(tmp_path):
    command = ["/bin/sh", "-c", '"$@" 2>&-', "sh", sys.executable, "-m", "edgerl"]
    words = ["check", "toy/catch", "--steps", "20", "--json"]
    ended = subprocess.run([*command, *words], stdout=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 0
    assert json.loads(ended.stdout)


@pytest.mark.parametrize("value", [None, b"x", [1, None], "caf\udce9"])
def test_arguments_that_no_file_of_settings_can_hold_are_refused_at_once(value):
    said = "is no UTF-8" if isinstance(value, str) else "cannot be written"
    with pytest.raises(ConfigError, match=rf"^run\.env_arg = .*{said}"):
        edgerl.configure(env="gym/CartPole-v1", env_arg={"what": value}, algo="rainbow")


@pytest.mark.parametrize("command", ["eval", "analyze"])
@pytest.mark.parametrize("threads", ["0", "100000"])
def test_threads_are_bounded_as_a_runs_are(command, threads, real, program):
    code, _, (line,) = program(command, real, "--threads", threads)
    assert code == 2
    assert line.startswith(f"edgerl: --threads: {threads} is ")


def test_a_script_that_resumes_names_a_run(tmp_path):
    config = edgerl.configure(env="toy/catch", budget="3MB", steps=100)
    with pytest.raises(ConfigError, match=r"^resume: name the folder of the run to go on with$"):
        edgerl.train(config, resume=True)
    with pytest.raises(ConfigError, match=r"cannot be written: No such file or directory$"):
        edgerl.train(config, tmp_path / "none", resume=True)


def test_sizes_in_a_file_of_settings_may_be_text(tmp_path, parsed):
    file = tmp_path / "mine.toml"
    file.write_text('[run]\nenv = "toy/catch"\nbudget = "3MB"\nsteps = 100\nprocess_limit = "1GB"\n')
    run = parsed(["--config", file]).run
    assert (run.budget, run.process_limit) == (3_000_000, 10**9)


def test_an_id_of_gymnasiums_own_that_is_also_a_game_of_atari(program):
    code, printed, _ = program("check", "gym/Blackjack-v1", "--steps", 20)
    assert (code, "faults       none" in printed) == (0, True)
    assert "atari/pong" in program("check", "gym/Pong-v4")[2][0]


def test_ctrl_c_while_the_program_is_loaded_is_one_line(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")  # what the commands import first
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    ended = subprocess.run([sys.executable, "-m", "edgerl"], capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stderr) == (130, "edgerl: interrupted\n")
