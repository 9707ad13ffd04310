"""Films of games: what is in them, that nobody plays otherwise for being watched, and what is left where one fails."""

import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import cv2
import imageio_ffmpeg
import numpy as np
import psutil
import pytest
from disk import files_end_at
from PIL import Image
from waiting import until

import edgerl
from edgerl.envs import suites
from edgerl.envs.base import EnvSpec
from edgerl.envs.outside.limited import Limited
from edgerl.envs.resumable import Resumable
from edgerl.errors import EnvFailed
from edgerl.experiments.video import writers
from edgerl.experiments.video.recorder import VideoRecorder, framed, picture
from edgerl.training.evaluate import Games, Hooks, evaluate, show_nothing
from edgerl.types import TimeStep

GAME = 7  # frames of a game of toy/catch: its reset and six steps


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of toy/catch."""
    settings = {"budget": 3_000_000, "steps": 200, "freeze_at": 150, "hidden": 8, "threads": 1, "eval_every": 0}
    folder = tmp_path_factory.mktemp("trained") / "run"
    edgerl.train(edgerl.configure(env="toy/catch", **settings), folder, quiet=True)
    return folder


def frames(file):
    """All frames of a film, uint8 [N, H, W, 3], and how long it plays, in seconds."""
    if file.suffix == ".gif":
        shown, milliseconds = [], 0
        with Image.open(file) as film:
            for number in range(film.n_frames):
                film.seek(number)
                shown.append(np.asarray(film.convert("RGB")))
                milliseconds += film.info["duration"]
        return np.stack(shown), milliseconds / 1000
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", file, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run(command, capture_output=True, check=True)
    width, height, fps = re.search(r"Video: h264.* yuv420p\b.* (\d+)x(\d+).* (\S+) fps", read.stderr.decode()).groups()
    shown = np.frombuffer(read.stdout, np.uint8).reshape(-1, int(height), int(width), 3)
    return shown, len(shown) / float(fps)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_film_shows_the_games_and_changes_no_score(suffix, trained, program, tmp_path):
    file = tmp_path / f"out{suffix}"
    file.write_text("an older film")
    code, plain, _ = program("eval", trained, "--episodes", 3)
    assert code == 0
    code, out, errors = program("eval", trained, "--episodes", 3, "--video", file, "--video-games", 2)
    assert (code, errors, os.listdir(tmp_path)) == (0, [], [file.name])
    *scores, line = out.splitlines()
    assert scores == plain.splitlines()
    assert re.fullmatch(rf"video {file}: 14 frames, 2\.8 s, \d+\.\d kB", line)
    shown, seconds = frames(file)
    assert (shown.shape, seconds) == ((2 * GAME, 370, 336, 3), pytest.approx(2.8))
    env = suites.make("toy/catch", np.random.default_rng(0), training=False)  # as the evaluation begins
    env.reset()
    expected = framed(env.render(), "game 1   step 0", "score 0").astype(int)
    assert np.abs(shown[0] - expected).mean() < (0.01 if suffix == ".gif" else 2)
    assert (shown[1] != shown[0]).any()


def test_one_game_is_filmed_where_no_number_is_given(trained, program, tmp_path):
    assert program("eval", trained, "--episodes", 2, "--video", tmp_path / "OUT.GIF")[0] == 0
    with Image.open(tmp_path / "OUT.GIF") as film:
        assert (film.n_frames, film.info["loop"]) == (GAME, 0)


BAD = {
    "neither of the two": (["--video", "out.avi"], "--video: out.avi is neither .gif nor .mp4"),
    "no name": (["--video", ""], "--video: . is neither .gif nor .mp4"),
    "no suffix": (["--video", "out"], "--video: out is neither .gif nor .mp4"),
    "no such folder": (["--video", "no/out.gif"], "--video: no/out.gif: there is no folder no"),
    "a folder": (["--video", "folder.mp4"], "--video: folder.mp4 is a folder"),
    "a name too long": (["--video", f"{'x' * 251}.gif"], "cannot be written: File name too long"),
    "no games": (["--video", "out.gif", "--video-games", "0"], "--video-games: 0 is below 1"),
    "no video": (["--video-games", "2"], "--video-games: there is no video; give --video FILE too"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case)
def test_what_cannot_be_written_is_one_line_before_the_games(case, program, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.mp4").mkdir()
    arguments, says = BAD[case]
    code, out, errors = program("eval", "no-run", *arguments)  # which is looked for after that
    assert (code, out, len(errors), os.listdir(tmp_path)) == (2, "", 1, ["folder.mp4"])
    assert says in errors[0]


@pytest.mark.parametrize("package", ["PIL", "imageio_ffmpeg"])
def test_a_missing_package_is_one_line_that_says_what_to_install(package, tmp_path):
    program = f"import sys; sys.modules[{package!r}] = None; from edgerl.commands.app import main; main()"
    command = [sys.executable, "-c", program, "eval", str(tmp_path), "--video", str(tmp_path / "out.gif")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    line = f"edgerl: --video: needs the package {package}: pip install -c constraints.txt -e '.[video]'\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", line)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_where_the_disk_refuses_the_older_film_stays_and_nothing_else(suffix, trained, program, tmp_path):
    file = tmp_path / f"out{suffix}"
    file.write_text("an older film")
    with files_end_at(2000):
        code, _, errors = program("eval", trained, "--episodes", 2, "--video", file, "--video-games", 2)
    assert (code, len(errors)) == (1, 1)
    assert errors[0].startswith(f"edgerl: {file}: ")
    assert (os.listdir(tmp_path), file.read_text()) == ([file.name], "an older film")
    assert psutil.Process().children() == []


def test_what_ffmpeg_says_is_said(tmp_path):
    writer = writers.Mp4Writer(tmp_path / "no" / "out.mp4", (64, 64, 3), 15.0)
    with pytest.raises(OSError, match=r"ffmpeg: .*No such file or directory"):
        writer.finish()
    writer.release()


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_an_interruption_leaves_neither_film_nor_ffmpeg(suffix, trained, tmp_path):
    part, file = tmp_path / f".out{suffix}.part", tmp_path / f"out{suffix}"
    arguments = ["eval", trained, "--episodes", "100000", "--video", file, "--video-games", "100000"]
    command = [sys.executable, "-m", "edgerl", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: part.exists() and part.stat().st_size)  # from the first frames on
    children = psutil.Process(process.pid).children()
    assert len(children) == (suffix == ".mp4")
    os.killpg(process.pid, signal.SIGINT)  # ffmpeg too, as a terminal does it
    assert "Traceback" not in process.communicate(timeout=300)[1]
    assert (process.returncode, os.listdir(tmp_path)) == (130, [])
    assert not any(child.is_running() for child in children)


def played(name, film=None, steps=12):
    """What `steps` random actions show an agent, by step, with or without being filmed."""
    env = suites.make(name, np.random.default_rng(0), training=False)
    seen = []

    def shown(env, game, score):
        seen.append((game, score, env.window.copy()))
        (film.show if film else show_nothing)(env, game, score)

    rng = np.random.default_rng(1)
    stopping = lambda: len(seen) > steps  # noqa: E731
    evaluate(None, None, env, Games(9, 1.0, rng), Hooks(stopping=stopping, show=shown))
    return seen, env


@pytest.mark.parametrize(
    ("name", "speed", "size"),
    [
        ("toy/catch", 5, (336, 336)),
        ("atari/ms_pacman", 15, (420, 640)),
        ("gym/CartPole-v1", 50, (400, 600)),
        ("dmc/cartpole-swingup", 100, (480, 480)),
    ],
)
def test_nobody_plays_otherwise_for_being_filmed(name, speed, size, tmp_path):
    with VideoRecorder(tmp_path / "out.mp4", games=9) as film:
        filmed, _ = played(name, film)
    unfilmed, _ = played(name)
    assert len(filmed) == len(unfilmed) == film.frames == 13
    for (*numbers, window), (*others, other) in zip(filmed, unfilmed, strict=True):
        assert numbers == others
        np.testing.assert_array_equal(window, other)
    shown, seconds = frames(tmp_path / "out.mp4")
    assert shown.shape == (13, size[0] + 34, size[1], 3)
    assert seconds == pytest.approx(13 / speed) == film.seconds


def test_pictures_of_dmc_show_in_480x480_what_the_agent_sees():
    _, env = played("dmc/cartpole-swingup", SimpleNamespace(show=lambda env, game, score: env.render()), steps=3)
    small = cv2.resize(picture(env), (100, 100), interpolation=cv2.INTER_AREA)
    assert picture(env).shape == (480, 480, 3)
    assert np.abs(small - env.window[-1].transpose(1, 2, 0).astype(int)).mean() < 5


def test_pictures_of_atari_are_the_brighter_of_two_screens():
    """The ghosts of Ms. Pac-Man take turns at being drawn: one screen shows half of them."""
    _, env = played("atari/ms_pacman", SimpleNamespace(show=lambda env, game, score: env.render()), steps=80)
    screen = env.env.ale.getScreenRGB().repeat(2, axis=1)
    assert (env.render() >= screen).all()
    assert (env.render() != screen).any()


class Blinking:
    """A user's environment: windows of one frame that is brighter at every step; render() where it is given."""

    def __init__(self, frame, render=None):
        self.spec = EnvSpec(frame, 1, actions=2, repeat=1)
        self.actions, self.window = 2, np.zeros((1, *frame), np.uint8)
        if render is not None:
            self.render = lambda: render(int(self.window.max()))

    def reset(self):
        return TimeStep(self.window, 0.0, False, False, False)

    def step(self, action):
        self.window[:] += 10
        return TimeStep(self.window, 0.5, False, False, False)


@pytest.mark.parametrize("frame", [(41, 41), (3, 41, 41)], ids=["gray", "colours"])
def test_an_environment_without_render_shows_its_newest_frame(frame, tmp_path):
    env = Resumable(Limited(Blinking(frame), 7), np.random.default_rng(0), "mine:make")  # as --env-max-steps has it
    with VideoRecorder(tmp_path / "out.gif") as film:
        film.show(env, 0, 0.0)
        env.step(0)
        film.show(env, 0, 0.5)
    shown, _ = frames(tmp_path / "out.gif")
    assert shown.shape == (2, 328 + 34, 328, 3)  # the frame eight times as large
    assert ((shown[0, :328] == 0).all(), (shown[1, :328] == 10).all()) == (True, True)


def test_a_film_goes_to_the_file_that_a_link_leads_to(tmp_path):
    link, target = tmp_path / "link.gif", tmp_path / "target.gif"
    target.write_text("an older film")
    link.symlink_to(target)
    with VideoRecorder(link) as film:
        film.show(Blinking((40, 40)), 0, 0.0)
    assert (link.is_symlink(), len(frames(target)[0]), sorted(os.listdir(tmp_path))) == (
        True,
        1,
        [link.name, target.name],
    )


@pytest.mark.parametrize("speed", [-30.0, 0.0, 1e-9, float("nan")])
def test_a_speed_that_is_of_no_use_is_replaced(speed, tmp_path):
    env = Blinking((40, 40))
    env.steps_per_second = speed
    with VideoRecorder(tmp_path / "out.gif") as film:
        film.show(env, 0, 0.0)
    assert film.seconds == pytest.approx(1 / 15)


@pytest.mark.parametrize(
    ("render", "line"),
    [
        (lambda _: None, "it drew object [], not uint8 [H, W, 3]"),
        (lambda _: np.zeros((50, 50, 3)), "it drew float64 [50, 50, 3], not uint8 [H, W, 3]"),
        (lambda light: np.zeros((50 + light, 50, 3), np.uint8), "it drew [60, 50, 3] after [50, 50, 3]"),
    ],
    ids=["nothing", "floats", "another size"],
)
def test_a_picture_that_is_none_is_one_line_and_leaves_nothing(render, line, tmp_path):
    env = Resumable(Blinking((40, 40), render), np.random.default_rng(0), "mine:make")

    def play():
        with VideoRecorder(tmp_path / "out.mp4") as film:
            film.show(env, 0, 0.0)
            env.step(0)
            film.show(env, 0, 0.0)

    with pytest.raises(EnvFailed, match=re.escape(f"mine:make failed: {line}")):
        play()
    assert os.listdir(tmp_path) == []
    assert psutil.Process().children() == []


def test_a_gif_of_few_colours_is_exact_and_its_delays_add_up(tmp_path):
    """Also where nothing changes, where one pixel does, and where it does in the last corner."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(2, size=(32, 48, 3), dtype=np.uint8) * 255 for _ in range(28)]
    pictures[1] = pictures[0]
    pictures[3] = pictures[2].copy()
    pictures[3][-1, -1] ^= 255
    pictures[5] = pictures[4].copy()
    pictures[5][7, 9] ^= 255
    writer = writers.GifWriter(tmp_path / "out.gif", (32, 48, 3), 15.0)
    for shown in pictures:
        writer.write(shown)
    writer.finish()
    shown, seconds = frames(tmp_path / "out.gif")
    np.testing.assert_array_equal(shown, np.stack(pictures))
    assert seconds == pytest.approx(28 / 15, abs=0.005)


def test_a_gif_shows_fifty_frames_a_second_at_most(tmp_path):
    with VideoRecorder(tmp_path / "out.gif", games=9) as film:
        played("dmc/cartpole-swingup", film, steps=3)
    assert frames(tmp_path / "out.gif")[1] == film.seconds == pytest.approx(0.08)
    assert str(film).startswith(f"video {tmp_path / 'out.gif'}: 4 frames, 0.1 s, ")
