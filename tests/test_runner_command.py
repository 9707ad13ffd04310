"""`python -m edgerl_run`: games of Gymnasium, the frames of a camera, and one line for what cannot be done."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import policies
import pytest

from edgerl.envs import suites
from edgerl.envs.base import EnvSpec
from edgerl_run import Player

import gymnasium  # isort: skip  # after edgerl.envs, which says how to draw without a screen

ROOT = Path(__file__).parents[1]
BALANCE = EnvSpec((84, 84), 4, 2, 1)
SWING = EnvSpec((3, 100, 100), 3, 1, 1, continuous=True, refill=True)


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `python -m edgerl_run ARGS` in this process; returns exit code, lines on stdout and on stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgerl_run", *map(str, arguments)])
        code = 0
        try:
            runpy.run_module("edgerl_run", run_name="__main__")
        except SystemExit as left:
            code = left.code
        written = capsys.readouterr()
        return code, written.out.splitlines(), written.err.splitlines()

    return call


@pytest.fixture
def balancing(tmp_path):
    """A policy of CartPole's two actions."""
    return policies.balancing(tmp_path / "policy.onnx", policies.about(BALANCE, "area"))


@pytest.fixture
def filmed(tmp_path):
    """Three frames of 6x4 pixels as raw RGB24, the first of which is bright on the left, the others on the right."""
    film = np.zeros((3, 4, 6, 3), np.uint8)
    film[0, :, :3] = film[1:, :, 3:] = 200
    file = tmp_path / "film.rgb"
    file.write_bytes(film.tobytes())
    return file


def scores(policy, name, episodes, seed):
    """The scores of a policy in edgerl's own environment, acting on its windows."""
    player, env, found = Player(policy), suites.make(name, np.random.default_rng(seed), training=False), []
    for _ in range(episodes):
        timestep, score = env.reset(), 0.0
        while not (timestep.terminated or timestep.truncated):
            timestep = env.step(player.act_on(timestep.window))
            score += timestep.reward
        found.append(score)
    return found


def test_games_of_gymnasium_have_the_scores_of_edgerls_own(balancing, command):
    code, lines, errors = command(balancing, "--env", "gym:CartPole-v1", "--episodes", 2, "--seed", 3)
    found = scores(balancing, "gym/CartPole-v1", 2, 3)
    assert (code, errors) == (0, [])
    assert lines[:2] == [f"game {number}  score {score:g}" for number, score in enumerate(found, 1)]
    assert lines[2].startswith(f"score {np.mean(found):g} +- {np.std(found):g} (")
    assert command(balancing, "--env", "gym/CartPole-v1", "--episodes", 2, "--seed", 3)[1] == lines


class Short(gymnasium.Env):
    """Shows pictures of one brightness, one after each step; a step is rewarded with its action."""

    observation_space = gymnasium.spaces.Box(0, 255, (50, 60, 1), np.uint8)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    brightness = (51, 51, 51)

    def picture(self):
        return np.full((50, 60, 1), self.brightness[self.steps], np.uint8)

    def reset(self, seed=None, options=None):
        self.steps = 0
        return self.picture(), {}

    def step(self, action):
        self.steps += 1
        return self.picture(), float(action[0]), False, self.steps == len(self.brightness) - 1, {}


class Blinking(Short):
    """Bright between two actions."""

    brightness = (51, 255, 0, 0, 0)


class Faulty(Short):
    """Fails at its first step."""

    def step(self, action):
        raise RuntimeError("the motor\nis hot")


gymnasium.register("Short-v0", Short)
gymnasium.register("Blinking-v0", Blinking)
gymnasium.register("Faulty-v0", Faulty)


def test_vectors_act_in_gymnasium(tmp_path, command):
    policy = policies.steering(tmp_path / "policy.onnx", policies.about(SWING, "area"))
    code, lines, errors = command(policy, "--env", "gym:Short-v0", "--episodes", 1)
    assert (code, lines, errors) == (0, ["game 1  score 0.4", "score 0.4 +- 0 (0.4 to 0.4)"], [])
    code, lines, errors = command(policy, "--env", "gym:Faulty-v0")
    assert (code, lines, errors) == (1, [], ["edgerl_run: Faulty-v0 failed: RuntimeError: the motor is hot"])


def test_actions_are_repeated_and_pictures_are_joined_as_in_training(tmp_path, command):
    environment = {"frame_skip": 2, "max_of_last_two": True}
    policy = policies.steering(tmp_path / "policy.onnx", policies.about(SWING, "area", environment=environment))
    _, lines, _ = command(policy, "--env", "gym:Blinking-v0", "--episodes", 1)
    expected = 2 * 51 / 255 + 2 * (51 + 51 + 255) / 3 / 255  # the second action sees the brighter of two pictures
    assert lines[0] == f"game 1  score {round(expected, 2):g}"


def test_an_action_is_printed_for_every_frame_of_a_camera(tmp_path, filmed, command):
    metadata = policies.about(BALANCE, "area")
    metadata["action"]["meanings"] = ["LEFT", "RIGHT"]
    policy = policies.balancing(tmp_path / "policy.onnx", metadata)
    code, lines, errors = command(policy, "--camera", filmed, "--camera-size", "6x4")
    assert (code, lines, errors) == (0, ["0 LEFT", "0 LEFT", "1 RIGHT"], [])  # two of three frames, then


def test_components_are_printed_for_every_frame_of_a_camera(tmp_path, filmed, command):
    policy = policies.steering(tmp_path / "policy.onnx", policies.about(SWING, "area"))
    filmed.write_bytes(np.full((2, 4, 6, 3), 255, np.uint8).tobytes() + b"cut short")
    assert command(policy, "--camera", filmed, "--camera-size", "6x4") == (0, ["1", "1"], [])


def test_what_ffmpeg_writes_into_a_pipe_is_acted_on(balancing):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    film = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=2"]
    program = [sys.executable, "-m", "edgerl_run", str(balancing), "--camera", "-", "--camera-size", "64x48"]
    with subprocess.Popen([*film, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], stdout=subprocess.PIPE) as camera:
        done = subprocess.run(program, stdin=camera.stdout, cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 10
    assert set(done.stdout.split()) <= {"0", "1"}


def test_a_reader_that_leaves_early_is_no_error(balancing, filmed):
    program = [sys.executable, "-m", "edgerl_run", str(balancing), "--camera", filmed, "--camera-size", "6x4"]
    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.wait(), process.stderr.read()) == (0, b"")


@pytest.mark.parametrize(("options", "words"), [
    (["--env", "CartPole-v1"], "--env: 'CartPole-v1' is not gym:ID"),
    (["--env", "gym:Nothing-v0"], "--env: Nothing-v0 cannot be made: NameNotFound"),
    (["--env", "gym:Acrobot-v1"], "--env: Acrobot-v1 takes Discrete(3); the policy gives discrete actions, 2"),
    (["--env", "gym:Pendulum-v1"], "--env: Pendulum-v1 takes Box("),
    (["--env", "gym:CartPole-v1", "--episodes", "0"], "0 is no whole number from 1 to 2147483648"),
    (["--env", "gym:CartPole-v1", "--threads", "9" * 5000], "is no whole number from 1 to 1024"),
    (["--camera", "film.rgb", "--camera-size", "9999999x9999999"], "of at most 4096 pixels a side"),
    (["--camera", "/nowhere/film", "--camera-size", "6x4"], "/nowhere/film: No such file"),
    (["--camera", "film.rgb"], "--camera needs --camera-size WxH"),
    (["--camera", "film.rgb", "--camera-size", "6"], "--camera-size: 6 is not WxH"),
    (["--camera", "film.rgb", "--camera-size", "60x4"], "it has 216 bytes, a frame of 60x4 has 720"),
    ([], "--env --camera"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_line(options, words, balancing, filmed, command, monkeypatch):
    monkeypatch.chdir(filmed.parent)
    code, printed, errors = command(balancing, *options)
    assert (code, printed, len(errors)) == (2, [], 1)
    assert errors[0].startswith("edgerl_run: ")
    assert words in errors[0]


def test_without_gymnasium_the_line_says_so(balancing, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    code, _, errors = command(balancing, "--env", "gym:CartPole-v1")
    assert code == 2
    assert errors == ["edgerl_run: --env: needs the package gymnasium: pip install 'gymnasium[classic-control]'"]


def test_a_policy_that_is_none_is_one_line(tmp_path, command):
    assert command(tmp_path / "policy.onnx", "--env", "gym:CartPole-v1") == (
        2,
        [],
        [f"edgerl_run: {tmp_path / 'policy.onnx'}: there is no such file"],
    )


def test_what_cannot_be_printed_is_an_escape(tmp_path, command):
    code, _, lines = command(tmp_path / "a\x1b[2J.onnx", "--env", "gym:CartPole-v1")
    assert (code, lines) == (2, [f"edgerl_run: {tmp_path}/a\\x1b[2J.onnx: there is no such file"])
