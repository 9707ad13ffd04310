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
        files = ("__init__.py", "__main__.py", "policy_file.py", "py.typed")
        assert names == {f"edgerl_run/{file}" for file in files}
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


def test_its_version_and_its_licence_are_edgerls(wheel):
    assert wheel.name.split("-")[1] == edgerl_run.__version__ == edgerl.__version__
    assert (SOURCE / "LICENSE").read_text() == (SOURCE.parent / "LICENSE").read_text()


def test_it_is_written_in_the_oldest_python_that_it_asks_for():
    assert tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["requires-python"] == ">=3.10"
    for file in SOURCE.glob("*.py"):
        ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))


OLDEST = ("onnxruntime==1.15.1", "numpy==1.26.4")
PLAY = """
import sys
import numpy as np
import onnxruntime
from edgerl_run import Player
player, rng = Player(sys.argv[1]), np.random.default_rng(0)
acted = [(player.act(rng.integers(0, 256, (84, 84), np.uint8)), player.values) for _ in range(20)]
print(onnxruntime.__version__)
np.savez(sys.argv[2], actions=[action for action, _ in acted], values=[values for _, values in acted])
"""


@pytest.mark.long
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="onnxruntime 1.15 has wheels up to Python 3.11")
@pytest.mark.parametrize("freeze_at", ["never", 80])
def test_a_policy_plays_on_the_oldest_onnx_runtime_that_it_asks_for(wheel, freeze_at, tmp_path):
    run, policy = tmp_path / "run", tmp_path / "policy.onnx"
    settings = {"budget": 3_000_000, "threads": 1, "steps": 120, "freeze_at": freeze_at, "hidden": 16, "eval_every": 0}
    edgerl.train(edgerl.configure(env="toy/catch", **settings), run)
    edgerl.export(run, policy)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "old"], check=True)
    old = tmp_path / "old/bin/python"
    installed = subprocess.run([old, "-m", "pip", "install", "-qq", wheel, *OLDEST], capture_output=True, check=False)
    if installed.returncode:
        pytest.skip("the oldest versions cannot be had here")
    versions = []
    for name, python in (("old", old), ("new", sys.executable)):
        command = [python, "-c", PLAY, policy, tmp_path / f"{name}.npz"]
        versions.append(subprocess.check_output(command, cwd=tmp_path, text=True).strip())
    assert versions == ["1.15.1", onnxruntime.__version__]
    old_acts, new_acts = (np.load(tmp_path / f"{name}.npz") for name in ("old", "new"))
    np.testing.assert_array_equal(old_acts["actions"], new_acts["actions"])
    np.testing.assert_allclose(old_acts["values"], new_acts["values"], atol=1e-4)
