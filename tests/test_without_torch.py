"""What must work where torch is not installed: the main job, and every run that is frozen, whatever froze it.

Where torch is installed it is hidden from these processes, and must not be found in them.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgerl.agents.engine_choice import has_torch
from edgerl.runs import checkpoint

pytestmark = pytest.mark.without_torch
ROOT = Path(__file__).parents[1]
HIDDEN = "import sys; sys.modules['torch'] = None\nfrom edgerl.commands.app import main\nmain()"
RUN = ["--env", "toy/catch", "--budget", "1.5MB", "--threads", "1", "--steps", "300", "--freeze-at", "200"]
RUN += ["--eval-every", "0", "--checkpoint-every", "100", "--set", "replay.learn_start=30", "--set", "agent.hidden=8"]


def edgerl(*arguments, hidden=True):
    """Run `edgerl ARGUMENTS` in its own process, which has no torch if it is `hidden`; returns the finished process."""
    command = [sys.executable, *(["-c", HIDDEN] if hidden else ["-m", "edgerl"]), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def done(*arguments):
    """The text of a command that must succeed."""
    ended = edgerl(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def refused(*arguments):
    """The one line with which a command is refused."""
    ended = edgerl(*arguments)
    lines = [line for line in ended.stderr.splitlines() if "no freeze" not in line]
    assert (ended.returncode, len(lines)) == (2, 1), ended.stderr
    return lines[0]


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of the main job, trained through its freeze without torch. To be read only."""
    folder = tmp_path_factory.mktemp("without") / "run"
    done("train", *RUN, "--out", folder, "--quiet")
    return folder


def test_the_main_job_trains_through_its_freeze(finished):
    found = summary(finished)
    assert (found["status"], found["store"], found["freeze"]["step"]) == ("finished", "latents", 200)
    assert found["memory"]["torch_loaded"] is False
    assert found["freeze"]["parity_max_abs_diff"] < 1e-5


def test_it_never_imports_torch_where_it_could():
    program = (
        "import sys, tempfile, edgerl\n"
        "config = edgerl.configure(env='toy/catch', steps=120, freeze_at=80, learn_start=30, eval_every=60,"
        " eval_episodes=1, budget=1_500_000, threads=1)\n"
        "folder = tempfile.mkdtemp() + '/run'\n"
        "edgerl.train(config, folder, quiet=True)\n"
        "policy = edgerl.load(folder)\n"
        "edgerl.export(folder, folder + '/policy.onnx')\n"
        "from edgerl.commands import app, analyze, devices, evaluate, export, plan, report, sweep\n"
        "print('torch' in sys.modules, policy.step)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "False 120"


def test_it_is_planned_played_exported_and_reported(finished, tmp_path):
    assert "rows" in done("plan", "--env", "toy/catch", "--budget", "1.5MB")
    assert "score" in done("eval", finished, "--episodes", "2")
    assert "compared over 1,000 windows" in done("export", finished, "--out", tmp_path / "policy.onnx")
    done("report", finished.parent, "--out", tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_killed_run_goes_on_to_the_same_bits(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "checkpoint" / "000000300")
    done("train", "--resume", folder, "--quiet")
    expected, found = (checkpoint.newest(run / "checkpoint") for run in (finished, folder))
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        assert (found.arrays[name] == array).all(), name


@pytest.mark.skipif(not has_torch(), reason="torch is not installed: nothing can be trained with it first")
def test_a_run_that_torch_froze_goes_on_without_it(tmp_path):
    folder = tmp_path / "run"
    shortened = [*RUN[:7], "210", *RUN[8:]]
    ended = edgerl("train", *shortened, "--engine", "torch", "--keep-torch", "--out", folder, "--quiet", hidden=False)
    assert ended.returncode == 0, ended.stderr
    assert summary(folder)["memory"]["torch_loaded"] is True
    done("train", "--resume", folder, "--steps", "260", "--quiet")
    assert summary(folder)["steps"] == 260
    assert "score" in done("eval", folder, "--episodes", "1")


@pytest.mark.parametrize(("options", "words"), [
    (["--encoder", "impala"], ("--encoder: impala has blocks", "edgerl[torch]")),
    (["--engine", "torch"], ("--engine: torch is not installed", "edgerl[torch]")),
    (["--accelerator", "cuda"], ("--accelerator: cuda needs torch", "edgerl[torch]")),
    (["--encoder", "impala", "--engine", "numpy"], ("--engine: numpy trains plain convolutions", "impala has blocks")),
])  # fmt: skip
def test_what_needs_torch_is_refused_in_one_line(options, words, tmp_path):
    line = refused("train", *RUN, *options, "--out", tmp_path / "run")
    assert line.startswith("edgerl: ")
    for word in words:
        assert word in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("options", "words"), [
    (["--encoder", "canonical"], "torch is not installed"),
    (["--keep-torch"], "torch is not installed"),
])  # fmt: skip
def test_what_is_slower_without_torch_is_said(options, words, tmp_path):
    ended = edgerl("train", *[*RUN[:7], "40", *RUN[8:9], "never", *RUN[10:]], *options, "--out", tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    assert words in ended.stderr
