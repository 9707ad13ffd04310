"""What `edgerl` offers to scripts: exactly these names, each documented, and light to import."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgerl

NAMES = {
    "configure", "train", "load", "export", "card", "make_env", "ReplayBuffer", "Config", "Environment", "EnvSpec",
    "TimeStep", "Conv", "Block", "Linear", "CheckpointError", "ConfigError", "EnvError", "EnvFailed", "ExportError",
    "FreezeError", "StopTraining", "TrainingError",
}  # fmt: skip
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_the_public_names_are_these():
    assert set(edgerl.__all__) == NAMES
    assert len(edgerl.__all__) == len(NAMES)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_name_is_there_and_says_what_it_is(name):
    assert len(inspect.getdoc(getattr(edgerl, name))) > 20


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_import_from_edgerl_alone(example):
    modules = set()
    for node in ast.walk(ast.parse(example.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module)
            if node.module == "edgerl":
                assert {alias.name for alias in node.names} <= NAMES
    assert {module for module in modules if module.startswith("edgerl")} == {"edgerl"}


def test_a_name_that_is_not_there_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        edgerl.trian  # noqa: B018


def test_an_environment_is_made_by_its_name():
    env = edgerl.make_env("toy/catch", np.random.default_rng(0))
    assert env.reset().window.shape == (4, 84, 84)
    with pytest.raises(edgerl.EnvError, match="toy/cath"):
        edgerl.make_env("toy/cath", np.random.default_rng(0))


def test_the_program_is_also_a_module():
    done = subprocess.run([sys.executable, "-m", "edgerl", "--help"], capture_output=True, text=True, check=True)
    assert "train an agent, through the freeze" in done.stdout
