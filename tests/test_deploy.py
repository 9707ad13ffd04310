"""The files of examples/deploy/: what runs here is run, beside edgerl_run; docs/deploy.md quotes them as they are."""

import configparser
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import policies
import pytest
import stopping

from edgerl.envs.base import EnvSpec
from edgerl.runs.status import EXIT_CODES
from edgerl_run import Player

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "examples" / "deploy"
PAGE = ROOT / "docs" / "deploy.md"
COMPILER = shutil.which("g++")
OPTIONS = ["--env", "toy/catch", "--budget", "3MB", "--threads", "1", "--steps", "240", "--freeze-at", "160"]
OPTIONS += ["--eval-every", "0", "--checkpoint-every", "0"]
WINDOWS = """
#include "window.hpp"
#include <cstdio>
#include <cstdlib>
int main(int, char** numbers) {
  const auto number = [&](int i) { return std::atoi(numbers[i]); };
  const Size camera{number(1), number(2)}, size{number(3), number(4)};
  Window window(number(5), size_t(size.height) * size.width, number(6));
  Bytes frame(size_t(camera.height) * camera.width * 3);
  for (int count = 0; std::fread(frame.data(), 1, frame.size(), stdin) == frame.size(); ++count) {
    if (count == 3) window.reset();
    const Bytes& pixels = window.push(resize(gray(frame), camera, size));
    std::fwrite(pixels.data(), 1, pixels.size(), stdout);
  }
}
"""


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """A program that makes windows of raw frames with window.hpp."""
    if COMPILER is None:
        pytest.skip("no g++ here: apt-get install g++")
    folder = tmp_path_factory.mktemp("windows")
    (folder / "windows.cpp").write_text(WINDOWS)
    options = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", f"-I{DEPLOY}"]
    subprocess.run([COMPILER, *options, "windows.cpp", "-o", "windows"], cwd=folder, check=True)
    return folder / "windows"


@pytest.mark.parametrize("refill", [False, True])
@pytest.mark.parametrize("camera", [(210, 160), (480, 640), (84, 84), (50, 60), (42, 168), (1, 1), (83, 300)])
def test_windows_in_cpp_are_those_of_edgerl_run(camera, refill, windows, tmp_path):
    spec = EnvSpec((84, 84), 4, 3, 1, refill=refill)
    player = Player(policies.seeing(tmp_path / "policy.onnx", policies.about(spec, "linear")))
    frames = np.random.default_rng(0).integers(0, 256, (6, *camera, 3), np.uint8)
    program = [windows, *map(str, (*camera, 84, 84, 4, int(refill)))]
    made = subprocess.run(program, input=frames.tobytes(), capture_output=True, check=True).stdout
    for number, window in enumerate(np.frombuffer(made, np.uint8).reshape(6, -1)):
        if number == 3:
            player.reset()
        player.act(frames[number])
        np.testing.assert_array_equal(window, player.values)


def unit(name, folder):
    """A unit of examples/deploy/ as a copy in `folder`, where its /opt/edgerl is."""
    file = folder / name
    file.write_text((DEPLOY / name).read_text().replace("/opt/edgerl", str(folder)))
    return file


def service(name):
    """The settings of a unit's [Service]."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.optionxform = str
    settings.read_string((DEPLOY / name).read_text().replace("\\\n", " "))
    return dict(settings["Service"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here: apt-get install systemd")
@pytest.mark.parametrize("name", ["edgerl-train.service", "edgerl-act.service"])
def test_systemd_accepts_the_units(name, tmp_path):
    shutil.copy(DEPLOY / "train-or-resume", tmp_path)
    command = ["systemd-analyze", "verify", "--man=no", unit(name, tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_training_unit_is_little_exposed():
    analyze = shutil.which("systemd-analyze")
    if analyze is None or int(subprocess.check_output([analyze, "--version"], text=True).split()[1]) < 250:
        pytest.skip("no systemd-analyze here that judges a file: systemd 250 or newer")
    command = [analyze, "security", "--offline=yes", "--threshold=20", DEPLOY / "edgerl-train.service"]  # of 100
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_training_unit_has_the_programs_options_and_exit_codes(parsed):
    settings = service("edgerl-train.service")
    script, folder, *options = shlex.split(settings["ExecStart"])
    assert (Path(script).name, Path(folder).parent) == ("train-or-resume", Path(settings["WorkingDirectory"]))
    assert parsed(options).run.device == "pi_zero_2_w"
    assert int(settings["SuccessExitStatus"]) == EXIT_CODES["interrupted"]
    assert settings["RestartPreventExitStatus"] == "2"
    assert EXIT_CODES["memory-limit"] not in (0, 2)  # so it is started again


def test_the_script_begins_a_run_and_goes_on_with_it(tmp_path):
    run, program = tmp_path / "run", tmp_path / "edgerl"
    commands = {
        "stopped": stopping.signalled_after(120, signal.SIGTERM),
        "whole": [sys.executable, "-m", "edgerl"],
    }

    def start(command):
        program.write_text(f'#!/bin/sh\nexec {shlex.join(commands[command])} "$@"\n')
        program.chmod(0o755)
        environment = {"EDGERL": str(program), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        arguments = [DEPLOY / "train-or-resume", run, *OPTIONS]
        return subprocess.run(arguments, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    stopped = start("stopped")
    assert stopped.returncode == EXIT_CODES["interrupted"], stopped.stderr
    assert "interrupted; checkpoint saved in" in stopped.stderr
    whole = start("whole")
    assert whole.returncode == 0, whole.stderr
    assert re.search(r"resumed at step 120 from \S+/run/checkpoint/000000120", whole.stdout + whole.stderr)
    assert (run / "checkpoint" / "000000240").is_dir()
    assert start("whole").returncode == 0  # as at every boot after its end


def test_the_acting_unit_acts_on_what_ffmpeg_gives(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "ffmpeg").symlink_to(ffmpeg)
    (tmp_path / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    policies.balancing(tmp_path / "policy.onnx", policies.about(EnvSpec((84, 84), 4, 2, 1), "area"))
    line = service("edgerl-act.service")["ExecStart"].replace("/opt/edgerl", str(tmp_path))
    camera = "-f v4l2 -framerate 15 -video_size 640x480 -i /dev/video0"
    assert camera in line
    line = line.replace(camera, "-f lavfi -i testsrc=size=640x480:rate=15:duration=1")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(shlex.split(line), env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 15


def quoted():
    """The blocks of docs/deploy.md that quote a file, as (its name, its lines)."""
    for link in re.finditer(r"\(\.\./examples/deploy/([\w.-]+)\):\n\n((?:(?: {4}.*)?\n)+)", PAGE.read_text()):
        yield link[1], [line.removeprefix("    ") for line in link[2].strip("\n").split("\n")]


def test_the_page_quotes_the_files():
    names = [name for name, _ in quoted()]
    assert set(names) == {path.name for path in DEPLOY.iterdir()}
    for name, lines in quoted():
        source = f"\n{(DEPLOY / name).read_text()}"
        for piece in "\n".join(lines).split("\n...\n"):
            indented = (textwrap.indent(piece, " " * depth) for depth in (0, 4, 8))
            assert any(f"\n{text}\n" in source for text in indented), f"{name}:\n{piece}"
