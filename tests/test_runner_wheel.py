"""The wheel of edgerl-run, in a virtual environment that has NumPy and ONNX Runtime and nothing else."""

import ast
import importlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import onnxruntime
import policies
import pytest
import wheels

import edgerl
import edgerl_run
from edgerl.envs.base import EnvSpec

pytest.importorskip("build")
pytest.importorskip("setuptools")

SOURCE = Path(edgerl_run.__file__).parent
LINKED = ("numpy", "numpy.libs", "onnxruntime")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel."""
    folder = tmp_path_factory.mktemp("runner")
    copytree(SOURCE, folder / "tree", ignore=ignore_patterns("__pycache__", "build", "*.egg-info"))
    return wheels.build(folder / "tree", folder / "dist", "edgerl_run")


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of a virtual environment with the wheel. NumPy and ONNX Runtime are links to those that are here."""
    folder = tmp_path_factory.mktemp("small") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    here = Path(np.__file__).parents[1]
    assert Path(onnxruntime.__file__).parents[1] == here
    for name in LINKED:
        if (here / name).exists():
            (packages / name).symlink_to(here / name)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    return folder / "bin" / "python"


def test_the_wheel_holds_its_files_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert names == {"edgerl_run/__init__.py", "edgerl_run/__main__.py", "edgerl_run/py.typed"}
        assert any(name.endswith("LICENSE") for name in archive.namelist())
        for name in names:
            assert archive.read(name) == (SOURCE.parent / name).read_bytes()


def test_it_plays_where_nothing_else_is_installed(python, tmp_path):
    policy = policies.balancing(tmp_path / "policy.onnx", policies.about(EnvSpec((84, 84), 4, 2, 1), "linear"))
    film = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    player = edgerl_run.Player(policy)
    expected = [str(player.act(frame)) for frame in film]
    program = [python, "-m", "edgerl_run", policy, "--camera", "-", "--camera-size", "64x48"]
    done = subprocess.run(program, input=film.tobytes(), cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode().split()) == (0, expected), done.stderr
    assert len(set(expected)) == 2
    refused = subprocess.run([*program[:4], "--env", "gym:CartPole-v1"], cwd=tmp_path, capture_output=True, check=False)
    assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1)
    assert b"gymnasium" in refused.stderr


@pytest.mark.parametrize("name", ["edgerl", "torch", "cv2", "onnx"])
def test_nothing_else_is_installed(python, name, tmp_path):
    if name != "torch":
        importlib.import_module(name)  # it is here
    done = subprocess.run(
        [python, "-I", "-c", f"import {name}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert f"No module named '{name}'" in done.stderr


def test_its_version_and_its_licence_are_edgerls():
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    assert project["version"] == edgerl_run.__version__ == edgerl.__version__
    assert (SOURCE / "LICENSE").read_text() == (SOURCE.parent / "LICENSE").read_text()


def test_it_is_written_in_the_oldest_python_that_it_asks_for():
    assert tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["requires-python"] == ">=3.10"
    for file in SOURCE.glob("*.py"):
        ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))
