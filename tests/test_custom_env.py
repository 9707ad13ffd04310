"""`--env module:callable` for callables that make no environment: one line that names the option and the name."""

import sys

import numpy as np
import pytest

from edgerl.envs import suites

MODULE = """
from edgerl.envs.base import EnvSpec
from edgerl.envs.toy import Catch

def raises(rng):
    raise ZeroDivisionError("of\\ntwo lines")

class Lacking:
    spec, actions, window = EnvSpec((84, 84), 4, 3, 1), 3, None

    def __init__(self, rng):
        pass

class Odd(Catch):
    def __init__(self, rng):
        super().__init__(rng)
        self.spec = {"frame": (84, 84)}

class Unsubclassed:
    observation_space = action_space = None

    def step(self, action):
        pass

    reset = step

class Vector(Unsubclassed):
    num_envs, single_action_space = 2, None

class Failing(Catch):
    window = property(lambda self: 1 // 0, lambda self, value: None)
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:Thing", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("json:Nothing", "cannot be loaded: AttributeError: module 'json' has no attribute 'Nothing'"),
        ("json:loads", "cannot be loaded: TypeError: the JSON object must be str, bytes or bytearray, not Generator"),
        ("json:decoder", "cannot be loaded: TypeError: 'module' object is not callable"),
        ("sys:exit", "cannot be loaded: SystemExit: Generator(PCG64)"),
        ("broken:Thing", "cannot be loaded: SyntaxError: "),
        ("bringing:raises", "cannot be loaded: ZeroDivisionError: of two lines"),
        ("bringing:Failing", "cannot be loaded: ZeroDivisionError: "),
        ("builtins:id", "is no environment: it has no spec, actions, window, reset, step"),
        ("bringing:Lacking", "is no environment: it has no reset, step"),
        ("bringing:Unsubclassed", "is no environment: it has no spec, actions, window; Gymnasium's environments are"),
        ("bringing:Vector", "is a vector environment; name what makes one environment, and give --envs"),
        ("bringing:Odd", "is no environment: its spec is a dict, not an EnvSpec"),
    ],
)
def test_what_makes_no_environment_is_one_line(name, message, program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bringing.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("def Thing(:\n")
    arguments = ("--env", name, "--budget", "3MB", "--steps", 10, "--freeze-at", "never", "--out", tmp_path / "run")
    code, _, lines = program("train", *arguments)
    assert (code, len(lines)) == (2, 1), lines
    assert f"--env: {name!r} {message}" in lines[0]
    assert not (tmp_path / "run").exists()


IMPORTING = """
from edgerl.envs.toy import Catch

class Importing(Catch):
    def step(self, action):
        import imported_late
        return super().step(imported_late.ACTION)
"""


def test_what_an_environment_imports_later_is_found_in_the_current_folder_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "importing.py").write_text(IMPORTING)
    (tmp_path / "imported_late.py").write_text("ACTION = 1\n")
    env = suites.make("importing:Importing", np.random.default_rng(0), training=True)
    env.reset()
    assert env.step(0).reward == 0
