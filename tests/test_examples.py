"""The examples run as the README has them, and what they train has learned."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgerl

EXAMPLES = Path(__file__).parents[1] / "examples"


def output(name, tmp_path, *arguments):
    """What an example prints, run from its own folder."""
    environment = os.environ | {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, name, *arguments]
    done = subprocess.run(command, cwd=EXAMPLES, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_train_and_act(tmp_path):
    found = output("train_and_act.py", tmp_path)
    assert "1,406 rows in 5,000,000 bytes, as latents" in found
    assert int(re.search(r"caught (\d+) of 20", found)[1]) >= 12


def test_custom_environment(tmp_path):
    assert float(re.search(r"mean score ([\d.]+)", output("custom_environment.py", tmp_path))[1]) >= 0.9


@pytest.mark.long
def test_camera_environment(tmp_path):
    score, best = re.search(r"mean score ([\d.]+) of ([\d.]+)", output("camera_environment.py", tmp_path)).groups()
    assert float(score) >= 0.75 * float(best) > 2


def test_a_plain_loop_takes_the_replay_alone(tmp_path):
    printed = output("dqn_loop.py", tmp_path, "240", "228")
    rows, fit = re.search(r"(\d+) transitions of ([\d,]+) that fit 70,000,000 bytes", printed).groups()
    assert int(rows) >= 240
    assert int(fit.replace(",", "")) > 100_000


def test_a_policy_wants_the_windows_it_was_trained_on(small, tmp_path):
    edgerl.train(small(run={"steps": 20, "freeze_at": None}), tmp_path / "run")
    policy = edgerl.load(tmp_path / "run")
    assert policy.act(np.zeros((4, 84, 84), np.uint8)) in (0, 1, 2)
    for wrong in (np.zeros((84, 84), np.uint8), np.zeros((4, 84, 84), np.float32)):
        with pytest.raises(ValueError, match=r"uint8 \[4, 84, 84\], or more of them \[N, ...\], not"):
            policy.act(wrong)


def test_settings_by_name_are_checked():
    config = edgerl.configure(env="toy/catch", budget="2MB", n_step=2, freeze_at="never")
    assert (config.run.budget, config.replay.n_step, config.run.freeze_at) == (2_000_000, 2, None)
    with pytest.raises(edgerl.ConfigError, match="nearest is n_step"):
        edgerl.configure(env="toy/catch", nstep=2)


@pytest.mark.parametrize("name", ["no_such_module:Thing", "json:Nothing", "json:loads"])
def test_an_environment_that_cannot_be_loaded_is_one_line(name, program, tmp_path):
    options = ("--budget", "3MB", "--steps", "10", "--freeze-at", "never", "--out", tmp_path / "run")
    code, printed, (line,) = program("train", "--env", name, *options)
    assert (code, printed) == (2, "")
    assert line.startswith("edgerl: --env: ")
    assert name in line
    assert not (tmp_path / "run").exists()
