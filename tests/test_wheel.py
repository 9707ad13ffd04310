"""What is installed is whole: a wheel of the tracked files, unpacked and run outside the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import wheels

pytest.importorskip("build")
pytest.importorskip("setuptools")

ROOT = Path(__file__).parents[1]
PACKAGES = ("device_profiles", "memory_budget", "runtime", "edgerl_run", "edgerl")
TABLES = (
    "device_profiles/catalog/former_names.toml",
    "device_profiles/catalog/jetson.toml",
    "device_profiles/catalog/jetson_orin.toml",
    "device_profiles/catalog/phones.toml",
    "device_profiles/catalog/raspberry_pi.toml",
    "edgerl/envs/atari_games.toml",
    "edgerl/envs/dmc_tasks.toml",
    "edgerl/envs/human_scores.toml",
    "edgerl/experiments/sweeps/paper.toml",
    "edgerl/config/presets.toml",
)
DATA = (*TABLES, *(f"{package}/py.typed" for package in PACKAGES))


def tracked():
    """The files under version control; where this is no checkout, every file of the packages and beside them."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [name for name in listed.split("\0") if (ROOT / name).is_file()]
    inside = [file for package in PACKAGES for file in (ROOT / package).rglob("*") if "__pycache__" not in file.parts]
    return [str(file.relative_to(ROOT)) for file in (*inside, *ROOT.iterdir()) if file.is_file()]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The wheel's content in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "tree" / name)
    with zipfile.ZipFile(wheels.build(folder / "tree", folder / "dist", "edgerl")) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_every_module_and_data_file_is_in_the_wheel(unpacked):
    expected = [
        name for name in tracked() if name.endswith(".py") and name.startswith(tuple(f"{p}/" for p in PACKAGES))
    ]
    assert len(expected) > 20
    for name in (*expected, *DATA):
        assert (unpacked / name).is_file(), name
        assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes()


def test_nothing_else_is_in_the_wheel(unpacked):
    inside = {entry.name for entry in unpacked.iterdir() if not entry.name.endswith(".dist-info")}
    assert inside == set(PACKAGES)


def test_the_unpacked_program_runs_elsewhere(unpacked, tmp_path):
    program = (
        "import sys, device_profiles, edgerl.commands.app\n"
        "print(device_profiles.__file__, edgerl.commands.app.__file__, sep='\\n', file=sys.stderr)\n"
        "from edgerl.commands.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "devices"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "jetson_nano" in done.stdout
    modules = done.stderr.splitlines()
    assert [Path(module).is_relative_to(unpacked) for module in modules] == [True, True]  # not the checkout's


def test_the_version_is_the_packages(unpacked):
    (metadata,) = unpacked.glob("edgerl-*.dist-info/METADATA")
    version = next(line for line in metadata.read_text().splitlines() if line.startswith("Version: "))
    assert f'__version__ = "{version.removeprefix("Version: ")}"' in (unpacked / "edgerl/__init__.py").read_text()
