"""examples/deploy/ compiled against ONNX Runtime's own files: C++ also runs, beside edgerl_run.

Its C++ headers and the Java classes of onnxruntime-android come from an npm package that carries builds of Microsoft's
(150 MB); the library is that of the Python package.
"""

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import policies
import pytest

import edgerl
from edgerl.envs.base import EnvSpec
from edgerl_run import Player

pytestmark = pytest.mark.long

DEPLOY = Path(__file__).parents[1] / "examples" / "deploy"
BUILDS, KOTLIN = "com.github.asus4.onnxruntime@0.4.9", "kotlin-compiler@2.4.20"
ANDROID = "package/Plugins/Android/onnxruntime.aar"


def fetched(package, folder):
    """The archive of a package of npm, in `folder`."""
    if shutil.which("npm") is None:
        pytest.skip("no npm here: apt-get install npm")
    command = ["npm", "pack", "--silent", package]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"npm pack {package}: {' '.join(done.stderr.split())}")
    return folder / done.stdout.strip()


def tool(name):
    """Where a program is."""
    place = shutil.which(name)
    if place is None:
        pytest.skip(f"no {name} here")
    return place


@pytest.fixture(scope="module")
def android(tmp_path_factory):
    """The contents of onnxruntime-android: headers/ and classes.jar."""
    folder = tmp_path_factory.mktemp("android")
    with tarfile.open(fetched(BUILDS, folder)) as archive:
        archive.extract(ANDROID, folder, filter="data")
    with zipfile.ZipFile(folder / ANDROID) as archive:
        for name in archive.namelist():
            if name == "classes.jar" or name.startswith("headers/"):
                archive.extract(name, folder)
    return folder


@pytest.fixture(scope="module")
def act(android, tmp_path_factory):
    """The program of act.cpp, compiled by the line in it."""
    compiler, libraries = tool("g++"), list(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*"))
    if not libraries:
        pytest.skip("this build of the Python package onnxruntime carries no libonnxruntime.so")
    ort = tmp_path_factory.mktemp("ort")
    (ort / "lib").mkdir()
    (ort / "include").symlink_to(android / "headers")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (ort / "lib" / name).symlink_to(libraries[0])
    source = (DEPLOY / "act.cpp").read_text()
    (line,) = (line.removeprefix("//").split() for line in source.splitlines() if line.startswith("//   g++"))
    command = [compiler, *(word.replace("$ORT", str(ort)) for word in line[1:-1]), str(ort / "act")]
    subprocess.run([*command, "-Wall", "-Wextra", "-Werror"], cwd=DEPLOY, check=True)
    return ort / "act"


@pytest.fixture(scope="module")
def catching(small, tmp_path_factory):
    """A policy of toy/catch that has learned to move, frozen and exported."""
    folder = tmp_path_factory.mktemp("catching")
    edgerl.train(small(run={"steps": 1000, "freeze_at": 600}), folder / "run", quiet=True)
    edgerl.export(folder / "run", folder / "policy.onnx")
    return folder / "policy.onnx"


@pytest.fixture(scope="module")
def played():
    """200 windows of toy/catch, uint8 [200, 4, 84, 84], while all actions are taken in turn."""
    env, windows = edgerl.make_env("toy/catch", np.random.default_rng(0)), []
    timestep = env.reset()
    for number in range(200):
        windows.append(timestep.window.copy())
        timestep = env.step(number % 3)
        if timestep.terminated or timestep.truncated:
            timestep = env.reset()
    return np.stack(windows)


def rows(program, policy, source, sent):
    """The numbers that act.cpp prints for `sent`, a line each."""
    done = subprocess.run([program, policy, source], input=sent.tobytes(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return np.array([line.split() for line in done.stdout.decode().splitlines()], np.float64)


def compare(printed, sent, player, acted):
    """Hold lines of an action and its values against what a player's method `acted` gives."""
    expected = np.array([(acted(one), *player.values) for one in sent])
    assert printed.shape == expected.shape
    assert (np.abs(printed - expected) <= 1e-4 * np.maximum(1, np.abs(expected))).all()
    np.testing.assert_array_equal(printed[:, 0], expected[:, 0])
    assert len(set(expected[:, 0])) > 1


def test_windows_of_play_are_acted_on_as_edgerl_run_does(act, catching, played):
    player = Player(catching)
    compare(rows(act, catching, "windows", played), played, player, player.act_on)


def test_frames_of_play_are_acted_on_as_edgerl_run_does(act, catching, played):
    player, frames = Player(catching), np.repeat(played[:, -1, :, :, None], 3, axis=3)
    compare(rows(act, catching, "84x84", frames), frames, player, player.act)


def test_frames_of_a_camera_are_acted_on_as_edgerl_run_does(act, tmp_path):
    policy = policies.balancing(tmp_path / "policy.onnx", policies.about(EnvSpec((84, 84), 4, 2, 1), "linear"))
    player, frames = Player(policy), np.random.default_rng(0).integers(0, 256, (30, 120, 160, 3), np.uint8)
    compare(rows(act, policy, "160x120", frames), frames, player, player.act)


def test_vectors_are_actions_too(act, tmp_path):
    spec = EnvSpec((3, 100, 100), 3, 1, 1, continuous=True, refill=True)
    policy = policies.steering(tmp_path / "policy.onnx", policies.about(spec, "area", 84))
    sent = np.random.default_rng(0).integers(0, 256, (4, 9, 84, 84), np.uint8)
    player = Player(policy)
    np.testing.assert_allclose(
        rows(act, policy, "windows", sent), [player.act_on(window) for window in sent], rtol=1e-4
    )


@pytest.mark.parametrize(("source", "words"), [
    ("85x84", "give it windows"), ("84x", "usage"), ("0x84", "usage"), ("windows", "the input ends within the first"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_line(source, words, act, catching):
    done = subprocess.run([act, catching, source], input=b"", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert words in done.stderr.decode()


def test_kotlin_compiles_against_onnxruntimes_own_classes(android, tmp_path):
    tool("java")
    with tarfile.open(fetched(KOTLIN, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    compiler = ["bash", tmp_path / "package" / "bin" / "kotlinc", "-cp", android / "classes.jar", "-Werror"]
    command = [*compiler, DEPLOY / "Policy.kt", "-d", tmp_path / "policy.jar"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Policy.class" in zipfile.ZipFile(tmp_path / "policy.jar").namelist()
