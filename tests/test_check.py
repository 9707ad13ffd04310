"""`edgerl check`: what is found out about environments, and that each fault is one line and exit code 2."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from edgerl.envs.base import EnvSpec
from edgerl.experiments.check.show import GAP, SIDE, draw
from edgerl.output.messages import figure

MINE = """
import numpy as np
import edgerl

class Plain:
    spec, actions, name = edgerl.EnvSpec((84, 84), 2, 2, 1), 2, "mine"
    shade = 200

    def __init__(self, rng):
        self.rng, self.window, self.steps, self.kept = rng, np.zeros((2, 84, 84), np.uint8), 0, []

    def reset(self):
        self.steps, self.window[:] = 0, 0
        return edgerl.TimeStep(self.window, 0.0, False, False, False)

    def step(self, action):
        self.steps += 1
        self.window[0] = self.window[1]
        self.window[1, self.steps] = self.shade
        ended = self.steps == 7
        return edgerl.TimeStep(self.window, self.reward(), ended, False, ended)

    def reward(self):
        return 0.5 * float(self.steps)

class Black(Plain):
    shade = 0

class Hoarding(Plain):
    def reward(self):
        self.kept.append(np.ones(60_000))
        return 1.0

class Failing(Plain):
    total = 0

    def reward(self):
        Failing.total += 1
        if Failing.total == 31:
            raise ValueError("the line is dead")
        return 1.0

class Unclosed(Plain):
    def close(self):
        print(self.port)

class Random(Plain):
    def reward(self):
        return float(np.random.rand())

class RandomLater(Plain):
    def reward(self):
        return float(np.random.rand()) if self.steps > 5 else 0.0

class FirstRepeated(Plain):
    def reset(self):
        returned = super().reset()
        self.window[:] = 7
        return returned

class SameRepeated(FirstRepeated):
    spec = Plain.spec._replace(refill=True)

class NewestFirst(Plain):
    def step(self, action):
        returned = super().step(action)
        self.seen = self.window[::-1].copy()
        return returned._replace(window=self.seen)

class NeverOver(Plain):
    def step(self, action):
        return super().step(action)._replace(over=False)

class Seeded(Plain):
    def reward(self):
        return float(self.rng.random())

class Guessing(Plain):
    def step(self, action):
        self.right = action == self.rng.integers(2)
        return super().step(action)

    def reward(self):
        return float(self.right)

class Lasting(Plain):
    def step(self, action):
        self.steps = (self.steps + 1) % 84
        self.window[0] = self.window[1]
        self.window[1, self.steps] = 9
        return edgerl.TimeStep(self.window, 0.0, False, False, False)

class Once(Plain):
    open = 0

    def __init__(self, rng):
        if Once.open:
            raise OSError("the camera is in use")
        Once.open += 1
        super().__init__(rng)

    def close(self):
        Once.open -= 1

class Misspelt(Plain):
    def __init__(self, rng):
        rmg.random()
"""


def place(text):
    """Where a line of MINE is that begins with this text."""
    (number,) = (number for number, line in enumerate(MINE.splitlines(), 1) if line.strip().startswith(text))
    return f"(checked.py, line {number})"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "checked.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("checked", None)


@pytest.fixture
def checked(program, mine):
    """Check an environment of MINE: exit code, what was found by name, lines on stderr."""

    def check(name, *options):
        code, printed, lines = program("check", f"checked:{name}", *options)
        return code, dict(line.split(maxsplit=1) for line in printed.replace("a second", "second").splitlines()), lines

    return check


def test_a_sound_environment_is_described(checked):
    code, found, lines = checked("Plain")
    assert (code, lines) == (0, [])
    speed = found.pop("speed")
    assert speed.endswith(" steps/s with random actions")
    assert found == {
        "environment": "mine",
        "sees": "its own windows, gray 84x84, 2 frames",
        "actions": "2 choices",
        "rewards": "0.5 to 3.5 a step",
        "episodes": "42 in 300 steps, of 7 steps; score 14 (14 to 14)",
        "resumes": "by playing the episode again, exactly",
        "second": "can be made: evaluations have an environment of their own",
        "left": "behind  nothing to speak of in memory",
        "faults": "none",
    }


def test_random_actions_are_not_the_numbers_that_an_environment_draws(checked):
    _, found, _ = checked("Guessing", "--steps", 700)
    assert found["rewards"] == "0 to 1 a step"
    assert 2.5 < float(found["episodes"].partition("score ")[2].split()[0]) < 4.5


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "FirstRepeated",
            "what stands before the first frame of its first window is unlike what learning sees: zeros, or",
        ),
        (
            "NewestFirst",
            "its window is not the one before without its oldest frame, and a new one: learning sees it so",
        ),
        ("Black", "every pixel of every window is 0, so an agent sees nothing: draw in shades from 0 to 255"),
        ("Hoarding", "150 steps left "),
        ("Failing", f"step() raised ValueError: the line is dead {place('raise ValueError')}"),
    ],
)
def test_a_fault_is_one_line_and_exit_code_2(name, line, checked):
    code, found, lines = checked(name)
    assert (code, found["faults"], len(lines)) == (2, "1", 1)
    assert lines[0].startswith(f"edgerl: checked:{name}: {line}")


def test_the_first_frame_again_is_what_refill_says(checked):
    assert checked("SameRepeated")[0] == 0


def test_what_cannot_be_closed_is_one_line(checked):
    code, found, lines = checked("Unclosed")
    assert (code, found) == (2, {})
    raised = "close() raised AttributeError: 'Unclosed' object has no attribute 'port'"
    assert lines == [f"edgerl: --env: mine failed: {raised} {place('print')}"]


def test_what_cannot_be_made_is_one_line(checked):
    code, found, lines = checked("Misspelt")
    assert (code, found) == (2, {})
    assert lines == [
        f"edgerl: --env: 'checked:Misspelt' cannot be loaded: NameError: name 'rmg' is not defined {place('rmg')}"
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Random", "with a new episode, not in the one under way: playing it again led elsewhere"),
        ("RandomLater", "by playing the episode again, but goes on otherwise: it depends on more than its seed"),
        ("Seeded", "by playing the episode again, exactly"),
    ],
)
def test_how_a_resume_goes_on_is_tried(name, words, checked):
    assert checked(name)[1]["resumes"].startswith(words)


def test_one_that_saves_its_state_resumes_by_it(program):
    assert "resumes      by the state that it saves, exactly\n" in program("check", "toy/catch")[1]


def test_one_without_an_end_says_when_games_are_cut(checked):
    assert checked("Lasting")[1]["episodes"] == "none ended in 300 steps; games of evaluations are cut after 27,000"


def test_one_whose_games_are_never_over_is_told_so(checked):
    assert checked("NeverOver")[1]["note"].startswith("no episode's end was `over`, a whole game: ")
    assert "note" not in checked("Plain")[1]


def test_one_that_can_exist_once_says_why(checked):
    code, found, _ = checked("Once")
    assert code == 0
    assert found["second"].startswith("cannot be made: evaluations wait for an episode's end")
    assert f"OSError: the camera is in use {place('raise OSError')}" in found["second"]


def test_the_picture_is_the_last_window_enlarged(program, tmp_path):
    file = tmp_path / "window.png"
    code, printed, _ = program("check", "toy/catch", "--steps", "3", "--picture", file)
    assert code == 0
    assert f"picture      {file}\n" in printed
    pixels = np.asarray(Image.open(file))
    assert pixels.shape == (252, 4 * 252 + 3 * 8)
    assert set(np.unique(pixels[:, -252:])) == {0, 160, 255}


@pytest.mark.parametrize(("channels", "width"), [(1, 1), (2, 2), (3, 1), (5, 5)])
def test_frames_of_any_number_of_channels_are_drawn(channels, width, tmp_path):
    window = np.full((2, channels, 8, 8), 7, np.uint8)
    draw(window, EnvSpec((channels, 8, 8), 2, 3, 1), tmp_path / "window.png")
    times = SIDE // 8
    pixels = np.asarray(Image.open(tmp_path / "window.png"))
    assert pixels.shape == (8 * times, 2 * width * 8 * times + GAP, *([3] if channels == 3 else []))


def test_options_of_the_environment_are_taken_and_others_are_not(program):
    code, printed, _ = program("check", "gym/CartPole-v1", "--frame", "rgb", "--frame-skip", "4", "--steps", "20")
    assert code == 0
    assert ", RGB 84x84, 4 frames\n" in printed
    assert program("check", "toy/catch", "--budget", "3MB")[0] == 2
    assert program("check", "toy/catch", "--steps", "0")[2] == ["edgerl: --steps: 0 is below 1"]


def test_json_has_the_same(program):
    code, printed, _ = program("check", "toy/catch", "--json")
    found = json.loads(printed)
    assert (code, found["steps"], found["faults"], found["rewards"]) == (0, 300, [], [-1.0, 1.0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (-0.42, "-0.42"), (0.001234, "0.00123"), (-0.00001, "-1e-05"), (1.0, "1"),
        (2.345, "2.35"), (21.7692, "21.8"), (300.0, "300"), (5666.7, "5,667"), (-0.0004, "-0.0004"), (1e308, "1e+308"),
        (float("inf"), "inf"), (float("nan"), "nan"), (123456789.0, "123,456,789"),
    ],
)  # fmt: skip
def test_numbers_have_the_digits_that_their_size_asks_for(value, text):
    assert figure(value) == text


def test_a_run_tries_some_steps_and_says_that_the_screen_stays_black(program, mine, tmp_path):
    code, _, lines = program(
        "train", "--env", "checked:Black", "--budget", "3MB", "--steps", 30, "--threads", 1, "--out", tmp_path / "run"
    )
    assert code == 0
    assert "every pixel of 8 windows is 0; `edgerl check` shows what an agent sees" in lines
