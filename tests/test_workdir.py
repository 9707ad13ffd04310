"""An environment that changes the working directory: its relative paths stay its own, and ours stay ours."""

import os
import sys
import tempfile

import numpy as np
import pytest

import edgerl
from edgerl.envs.door import Door
from edgerl.envs.toy import Catch
from edgerl.errors import EnvFailed

MOVING = """
import os
from pathlib import Path

from edgerl.envs.toy import Catch

class Moving(Catch):
    def __init__(self, rng, when):
        self.when, self.steps = when, 0
        self.move("init")
        super().__init__(rng)

    def move(self, where):
        if where == self.when:
            os.chdir("sim")
            self.when = "moved"

    def reset(self):
        self.move("reset")
        return super().reset()

    def step(self, action):
        self.steps += 1
        if self.steps == 30:
            self.move("step")
        if self.when == "moved":
            assert Path("here").read_text() == "the simulator's folder"
        return super().step(action)
"""


class Gone(Catch):
    """Works in a folder that is gone after each step, the one that fails included."""

    def step(self, action):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            if action == 2:
                raise ValueError("no solution")
        return super().step(action)


def test_where_the_environments_folder_is_gone_the_program_is_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = Door(lambda: Gone(rng), rng := np.random.default_rng(0), "gone")
    env.reset()
    for _ in range(2):
        env.step(0)
        assert os.getcwd() == str(tmp_path)
    with pytest.raises(EnvFailed, match=r"step\(\) raised ValueError: no solution \("):
        env.step(2)
    assert os.getcwd() == str(tmp_path)


@pytest.fixture
def moving(tmp_path, monkeypatch):
    (tmp_path / "moving.py").write_text(MOVING)
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim/here").write_text("the simulator's folder")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("moving", None)


@pytest.mark.parametrize("when", ["init", "reset", "step"])
def test_nothing_goes_to_the_environments_folder(when, moving, program):
    settings = {"budget": 3_000_000, "threads": 1, "steps": 60, "freeze_at": 40, "checkpoint_every": 20}
    settings |= {"eval_episodes": 1, "hidden": 8, "batch_size": 8, "learn_start": 20}
    config = edgerl.configure(env="moving:Moving", env_arg={"when": when}, **settings)
    assert edgerl.train(config, "run", quiet=True)["status"] == "finished"
    assert program("eval", "run", "--episodes", 1, "--trust", "--video", "game.gif")[::2] == (0, [])
    assert program("export", "run", "--out", "policy.onnx", "--trust")[0] == 0
    assert os.getcwd() == str(moving)
    assert sorted(path.name for path in (moving / "sim").iterdir()) == ["here"]
    files = {"checkpoint", "config.toml", "encoder.onnx", "metrics.jsonl", "summary.json"}
    assert {path.name for path in (moving / "run").iterdir()} >= files
    assert {path.name for path in moving.iterdir()} >= {"run", "game.gif", "policy.onnx"}
