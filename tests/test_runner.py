"""The runner sees what the agents were trained on, to the bit, and refuses what it cannot play."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import policies
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerl.envs import suites
from edgerl.envs.atari import Atari
from edgerl.envs.base import EnvSpec
from edgerl.envs.shrink import Shrink
from edgerl.replay import crops
from edgerl_run import FrameError, Player, PolicyError, gray, resize

ROOT = Path(__file__).parents[1]
GRAY = EnvSpec((84, 84), 4, 3, 1)
COLOURS = EnvSpec((3, 100, 100), 3, 2, 1, continuous=True, refill=True)
INTERPOLATION = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
SIZES = [(210, 160), (250, 160), (400, 600), (480, 640), (84, 84), (100, 100), (168, 168), (252, 336), (200, 300)]
SIZES += [(50, 60), (42, 42), (42, 168), (300, 20), (1, 1), (1, 500), (83, 85)]


def as_opencv(picture, size, by):
    """A picture [H, W, C] resized by OpenCV."""
    small = cv2.resize(picture, size[::-1], interpolation=INTERPOLATION[by])
    return small.reshape(*size, picture.shape[2])


@pytest.mark.parametrize("by", ["linear", "area"])
@pytest.mark.parametrize("shape", SIZES)
def test_pictures_are_resized_as_opencv_resizes_them(shape, by):
    rng = np.random.default_rng(0)
    for size in ((84, 84), (100, 100), (64, 96), (7, 9)):
        for channels in (1, 3):
            noise = rng.integers(0, 256, (*shape, channels), np.uint8)
            for picture in (noise, np.where(noise > 127, np.uint8(255), np.uint8(0)), np.full_like(noise, 255)):
                np.testing.assert_array_equal(resize(picture, size, by), as_opencv(picture, size, by))


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 120), st.integers(1, 120), st.sampled_from([1, 3]))
def test_pictures_of_any_size_are_resized_as_opencv_resizes_them(height, width, new_height, new_width, channels):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    for by in INTERPOLATION:
        size = (new_height, new_width)
        np.testing.assert_array_equal(resize(picture, size, by), as_opencv(picture, size, by))


@pytest.mark.parametrize("shape", [(210, 160), (250, 160), (84, 84), (400, 90)])
def test_the_trainers_own_arithmetic_gives_the_same(shape):
    screen, small = np.random.default_rng(0).integers(0, 256, shape, np.uint8), np.empty((84, 84), np.uint8)
    Shrink(shape, 84)(screen, small)
    np.testing.assert_array_equal(resize(screen[:, :, None], (84, 84), "linear")[:, :, 0], small)


def test_grays_are_those_of_opencv():
    levels = np.arange(0, 256, 3, np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    np.testing.assert_array_equal(gray(colours), cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY))


def seen(player, shape):
    """The window that a policy of `policies.seeing` was given."""
    return player.values.reshape(shape)


@pytest.mark.parametrize("game", ["qbert", "crazy_climber"])
def test_it_sees_an_atari_game_as_the_agent_did(game, tmp_path):
    env, rng = Atari(game, np.random.default_rng(0), training=False), np.random.default_rng(1)
    player = Player(policies.seeing(tmp_path / "policy.onnx", policies.about(env.spec, "linear")))
    assert env.reset().window.any()
    env.render()  # from here on the screen before the newest is kept
    player.act(env.ale.getScreenRGB())
    np.testing.assert_array_equal(seen(player, env.window.shape), env.window)
    for _ in range(40):
        env.step(int(rng.integers(env.actions)))
        player.act(env.ale.getScreenRGB(), env._before)
        np.testing.assert_array_equal(seen(player, env.window.shape), env.window)


@pytest.mark.parametrize(("name", "side"), [("gym/CartPole-v1", 0), ("gym/Pendulum-v1", 84)])
def test_it_sees_an_environment_of_gymnasium_as_the_agent_did(name, side, tmp_path):
    env, rng = suites.make(name, np.random.default_rng(0), training=False), np.random.default_rng(1)
    player = Player(policies.seeing(tmp_path / "policy.onnx", policies.about(env.spec, "area", side)))
    for _ in range(2):
        player.reset()
        env.reset()
        for _ in range(6):
            player.act(env.render())
            stacked = env.window.reshape(env.spec.window)
            np.testing.assert_array_equal(seen(player, player.sight.window), crops.centre(stacked, side))
            env.step(rng.uniform(-1, 1, 1) if env.spec.continuous else int(rng.integers(env.actions)))


def test_it_acts_as_the_graph_says_and_keeps_the_stack(tmp_path):
    player = Player(policies.seeing(tmp_path / "policy.onnx", policies.about(GRAY)))
    assert player.values is None
    frames = np.random.default_rng(0).integers(0, 200, (6, 84, 84), np.uint8)
    for number, frame in enumerate(frames):
        frame[10, number] = 255
        oldest = max(0, number - 3)  # whose white pixel is the first of the brightest
        assert player.act(frame) == np.ravel_multi_index((3 - number + oldest, 10, oldest), (4, 84, 84))
    np.testing.assert_array_equal(seen(player, (4, 84, 84)), frames[2:])
    window = frames[:4][::-1]
    assert player.act_on(window) == 10 * 84 + 3
    np.testing.assert_array_equal(seen(player, (4, 84, 84)), window)
    player.act(frames[0])  # act_on left the stack as it was
    np.testing.assert_array_equal(seen(player, (4, 84, 84)), np.concatenate([frames[3:], frames[:1]]))


def test_vectors_are_actions_too(tmp_path):
    spec = COLOURS._replace(actions=1)
    player = Player(policies.steering(tmp_path / "policy.onnx", policies.about(spec, "area", 84)))
    frame = np.full((100, 100, 3), 51, np.uint8)
    action = player.act(frame)
    assert (action.dtype, action.shape, player.values) == (np.float32, (1,), None)
    np.testing.assert_allclose([action, player.log_std], 0.2, rtol=1e-4)


def test_windows_are_taken_before_and_after_the_crop(tmp_path):
    player = Player(policies.seeing(tmp_path / "policy.onnx", policies.about(COLOURS, "area", 84)))
    window = np.random.default_rng(0).integers(0, 256, (3, 3, 100, 100), np.uint8)
    player.act_on(window)
    before = seen(player, (9, 84, 84)).copy()
    np.testing.assert_array_equal(before, window[:, :, 8:92, 8:92].reshape(9, 84, 84))
    player.act_on(before.astype(np.uint8))
    np.testing.assert_array_equal(seen(player, (9, 84, 84)), before)


def test_gray_frames_serve_a_policy_that_sees_colours(tmp_path):
    player = Player(policies.seeing(tmp_path / "policy.onnx", policies.about(COLOURS, "none")))
    frame = np.random.default_rng(0).integers(0, 256, (100, 100), np.uint8)
    player.act(frame)
    np.testing.assert_array_equal(seen(player, (9, 100, 100)), np.broadcast_to(frame, (9, 100, 100)))


@pytest.mark.parametrize("frame", [
    np.zeros((84, 84), np.float32), np.zeros((84, 84, 4), np.uint8), np.zeros(84, np.uint8), np.zeros((), np.uint8),
    np.zeros((2, 84, 84, 3), np.uint8), np.zeros((0, 84), np.uint8), None,
])  # fmt: skip
def test_frames_of_the_wrong_kind_are_one_line(frame, tmp_path):
    player = Player(policies.seeing(tmp_path / "policy.onnx", policies.about(GRAY)))
    with pytest.raises(FrameError, match=r"^a frame is uint8 \[H, W\] or \[H, W, 3\], not .+$"):
        player.act(frame)
    player.act(np.ones((84, 84), np.uint8))  # still the first of its episode
    assert not seen(player, (4, 84, 84))[:3].any()


def test_windows_of_the_wrong_kind_are_one_line(tmp_path):
    player = Player(policies.seeing(tmp_path / "policy.onnx", policies.about(GRAY)))
    with pytest.raises(FrameError, match=r"^a window is uint8 \[4, 84, 84\], not uint8 \[3, 84, 84\]$"):
        player.act_on(np.zeros((3, 84, 84), np.uint8))
    with pytest.raises(FrameError, match=r"not float32 \[4, 84, 84\]$"):
        player.act_on(np.zeros((4, 84, 84), np.float32))


@pytest.mark.parametrize(("picture", "size", "by"), [
    (np.ones((10, 10, 1)) * 0.5, (5, 5), "area"),
    (np.ones((10, 10), np.uint8), (5, 5), "area"),
    (np.ones((10, 10, 1), np.uint8), (5, 5), "cubic"),
    (np.ones((10, 10, 1), np.uint8), (0, 5), "linear"),
    (np.ones((0, 10, 1), np.uint8), (5, 5), "linear"),
])  # fmt: skip
def test_pictures_of_the_wrong_kind_are_one_line(picture, size, by):
    with pytest.raises(FrameError, match=r"^(a picture is uint8 \[H, W, C\]|pictures are resized)"):
        resize(picture, size, by)
    with pytest.raises(FrameError, match=r"^a picture in colour is uint8 \[..., 3\], not float64"):
        gray(np.ones((4, 4, 3)) * 0.5)


@pytest.mark.parametrize(("path", "threads", "words"), [
    (".", 1, r"^\. is no file$"),
    (None, 1, "^a policy is the path of a file, not None$"),
    ("policy.onnx", 0, "^threads = 0 is no whole number from 1 to 1024$"),
    ("policy.onnx", "2", "^threads = '2' is no whole"),
    ("policy.onnx", 2.0, "^threads = 2.0 is no whole"),
])  # fmt: skip
def test_a_player_of_something_else_is_one_line(path, threads, words):
    with pytest.raises(PolicyError, match=words):
        Player(path, threads)


def without(metadata, table, name):
    return metadata | {table: {key: value for key, value in metadata[table].items() if key != name}}


@pytest.mark.parametrize(("entries", "words"), [
    ({}, "has no entry 'edgerl', and no other"),
    ({"author": "me", "licence": "MIT"}, "has no entry 'edgerl', only author, licence"),
    ({"edgerl": "{"}, "is no JSON object"),
    ({"edgerl": "[1]"}, "is no JSON object"),
    ({"edgerl": json.dumps(policies.about(GRAY, format=2))}, "is a policy of format 2; this runner reads format 1"),
    ({"edgerl": "{}"}, "is a policy of format None"),
    ({"edgerl": json.dumps(without(policies.about(GRAY), "frame", "colour"))}, "at 'colour'"),
    ({"edgerl": json.dumps(policies.about(GRAY, resize="cubic"))}, "at 'cubic'"),
])  # fmt: skip
def test_files_without_its_metadata_are_refused_in_one_line(entries, words, tmp_path):
    path = policies.seeing(tmp_path / "policy.onnx", policies.about(GRAY), entries)
    with pytest.raises(PolicyError) as refused:
        Player(path)
    assert str(refused.value).startswith(str(path))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_are_no_model_are_refused_in_one_line(tmp_path):
    path = policies.seeing(tmp_path / "policy.onnx", policies.about(GRAY))
    (tmp_path / "cut").write_bytes(path.read_bytes()[:100])
    (tmp_path / "text").write_text("not a model")
    for name in ("cut", "text", "missing", "."):
        with pytest.raises(
            PolicyError, match=r"^\S+ is no (ONNX file that runs here: .+|file)$|^\S+: there is no such file$"
        ):
            Player(tmp_path / name)


def test_it_loads_nothing_but_numpy_and_onnxruntime(tmp_path):
    path = policies.seeing(tmp_path / "policy.onnx", policies.about(GRAY))
    program = (
        "import sys, numpy, onnxruntime, numpy.typing\n"
        "known = {name.partition('.')[0] for name in sys.modules} | sys.stdlib_module_names\n"
        "import edgerl_run\n"
        f"player = edgerl_run.Player({str(path)!r})\n"
        "player.act(numpy.zeros((210, 160, 3), numpy.uint8))\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - known))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['edgerl_run']"
