"""Spaces of Gymnasium: what is a picture, and where pictures come from."""

import numpy as np
import pytest
from shown import GRAY_OF_RED, RED, VECTOR, Shown, box, made

from edgerl.envs import gym
from edgerl.envs.base import EnvOptions, EnvSpec, sees
from edgerl.errors import EnvError, EnvFailed

import gymnasium  # isort: skip
from gymnasium import spaces  # isort: skip

FLOATS = (RED / 255).astype(np.float32)
PAST_1 = (RED > 0) * np.float32(1.000001)
PICTURES = {
    "[H, W, 3]": (box((24, 30, 3)), RED, GRAY_OF_RED),
    "[H, W]": (box((24, 30)), RED[..., 0], 200),
    "[H, W, 1]": (box((24, 30, 1)), RED[..., :1], 200),
    "[H, W, 4], alpha dropped": (box((24, 30, 4)), np.dstack([RED, np.full((24, 30), 9, np.uint8)]), GRAY_OF_RED),
    "[3, H, W]": (box((3, 24, 30)), RED.transpose(2, 0, 1), GRAY_OF_RED),
    "[1, H, W]": (box((1, 24, 30)), RED[None, ..., 0], 200),
    "float32": (box((24, 30, 3), 1, np.float32), FLOATS, GRAY_OF_RED),
    "float64 where float32 is declared": (box((24, 30, 3), 1, np.float32), RED / 255, GRAY_OF_RED),
    "float32 that rounding took past 1": (box((24, 30, 3), 1, np.float32), PAST_1, 76),
    "float, channels first": (box((3, 24, 30), 1, np.float64), (RED / 255).transpose(2, 0, 1), GRAY_OF_RED),
    "3000x3000": (box((3000, 3000)), np.full((3000, 3000), 200, np.uint8), 200),
    "8x8": (box((8, 8)), np.full((8, 8), 200, np.uint8), 200),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_is_read_as_its_space_declares_it(kind):
    space, seen, gray = PICTURES[kind]
    env = made(Shown(space, seen, render_mode=None))
    assert (env.reset().window[-1] == gray).all()
    assert env.render().shape[2] == 3
    assert sees(env) == "what it observes, gray 84x84, 4 frames"


def test_an_observed_picture_stays_as_the_simulator_shows_it_though_it_is_drawn_over():
    seen = RED.copy()
    env = made(Shown(box((24, 30, 3)), seen))
    env.reset()
    seen[:] = 250
    assert (env.window[-1] == GRAY_OF_RED).all()
    assert (env.step(0).window[-1] == 250).all()


NO_PICTURES = {
    "a board of symbols": box((16, 16), 15),
    "a small board": box((4, 4)),
    "MiniGrid's symbols": box((7, 7, 3)),
    "int64": box((24, 30, 3), 255, np.int64),
    "float to 255": box((24, 30, 3), 255, np.float32),
    "two channels": box((24, 30, 2)),
    "a stack": box((4, 24, 30)),
    "nothing": box((0, 0)),
    "a volume": box((8, 8, 8, 3)),
    "a vector": VECTOR,
    "a Dict without a picture": spaces.Dict({"board": box((7, 7, 3)), "way": spaces.Discrete(4)}),
    "text": spaces.Text(9),
}


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_what_is_no_picture_is_drawn_instead_or_refused_with_what_is_allowed(kind):
    env = made(Shown(NO_PICTURES[kind], drawn=RED))
    assert (env.reset().window[-1] == GRAY_OF_RED).all()
    assert sees(env).startswith("render() of the whole screen (what it observes is no picture: ")
    assert sees(env).endswith("), gray 84x84, 4 frames")
    with pytest.raises(
        EnvError, match=r"^--env: mine:made shows no pixels: it observes .*a picture is uint8 from 0 "
    ) as no:
        made(Shown(NO_PICTURES[kind], render_mode=None))
    assert "\n" not in str(no.value)


DRAWN = {
    "None": (None, r"gives None"),
    "a list": ([RED], r"gives a list; .* render_mode is rgb_array, not rgb_array_list"),
    "float to 1": (FLOATS, r"gives float32 \[24, 30, 3\]; .*convert it"),
    "float to 255": (RED.astype(np.float32), r"gives float32"),
    "int64": (RED.astype(np.int64), r"gives int64"),
    "text": ("a picture", r"gives a str"),
    "gray": (RED[..., 0], r"gives uint8 \[24, 30\]; it must give uint8 \[H, W, 3\]"),
    "RGBA": (np.dstack([RED, RED[..., 0]]), r"gives uint8 \[24, 30, 4\]"),
    "one pixel": (RED[:1, :1], r"gives uint8 \[1, 1, 3\]; a picture has 8x8 pixels or more"),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_what_is_drawn_must_be_uint8_rgb(kind):
    drawn, line = DRAWN[kind]
    with pytest.raises(EnvError, match=f"^--env: mine:made cannot be shown: its render\\(\\) {line}"):
        made(Shown(drawn=drawn))


CONTRADICTIONS = {
    "float for uint8": (box((24, 30, 3)), FLOATS, r"float32 \[24, 30, 3\], but its space declares uint8"),
    "uint8 for float": (box((24, 30, 3), 1, np.float32), RED, r"uint8 .*declares float32"),
    "another size": (box((30, 30, 3)), RED, r"uint8 \[24, 30, 3\], but its space declares uint8 \[30, 30, 3\]"),
    "values to 255": (box((24, 30, 3), 1, np.float32), FLOATS * 255, r"values from 0 to 200, .*declares 0 to 1"),
    "NaN": (box((24, 30, 3), 1, np.float32), FLOATS * np.nan, r"values from nan to nan"),
    "nothing": (box((24, 30, 3)), None, r"None, but"),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_an_observation_that_contradicts_its_space_is_one_line_at_once_and_later(kind):
    space, wrong, line = CONTRADICTIONS[kind]
    with pytest.raises(EnvError, match=f"^--env: mine:made cannot be shown: it observes {line}"):
        made(Shown(space, wrong))
    right = np.zeros(space.shape, space.dtype)
    inner = Shown(space, right)
    env = made(inner)
    env.reset()
    inner.seen = wrong
    with pytest.raises(EnvFailed, match=rf"^mine:made failed: step\(\) raised PictureError: it observes {line}"):
        env.step(0)


DICT = spaces.Dict({"image": box((24, 30, 3)), "board": box((7, 7, 3)), "speed": VECTOR})
SEEN = {"image": RED, "board": RED[:7, :7], "speed": np.zeros(3, np.float32)}


def test_the_only_picture_of_a_dict_needs_no_key():
    env = made(Shown(DICT, SEEN, render_mode=None))
    assert (env.reset().window[-1] == GRAY_OF_RED).all()
    assert sees(env) == "'image' of what it observes, gray 84x84, 4 frames"


def test_of_several_pictures_one_is_named_or_what_is_drawn():
    space = spaces.Dict({"left": box((24, 30)), "right": box((24, 30))})
    seen = {"left": RED[..., 0], "right": RED[..., 1]}
    with pytest.raises(EnvError, match=r"^--observation: mine:made observes several pictures; give one of left, right"):
        made(Shown(space, seen, drawn=RED))
    assert (made(Shown(space, seen), observation="right").reset().window[-1] == 0).all()
    env = made(Shown(space, seen, drawn=RED), observation="render")
    assert (env.reset().window[-1] == GRAY_OF_RED).all()
    assert sees(env) == "render() of the whole screen, gray 84x84, 4 frames"


@pytest.mark.parametrize(
    ("space", "key", "line"),
    [
        (DICT, "depth", "observes no 'depth'; it has board, image, speed"),
        (DICT, "speed", r"'speed': it is float32 \[3\] from -1 to 1; a picture is uint8"),
        (box((24, 30, 3)), "image", "observes a Box, no Dict with a 'image'"),
    ],
)
def test_a_key_that_names_no_picture_is_refused_by_name(space, key, line):
    with pytest.raises(EnvError, match=f"^--observation: mine:made:? {line}"):
        made(Shown(space, SEEN, drawn=RED), observation=key)


def test_runs_of_before_the_setting_see_what_they_saw():
    """uint8 of one or three channels was taken whatever its range; all else was drawn."""
    observed = made(Shown(box((24, 30), 15), RED[..., 0] // 20), observation="older")
    assert (observed.reset().window[-1] == 10).all()
    env = made(Shown(DICT, SEEN, drawn=RED // 2), observation="older")
    assert (env.reset().window[-1] == GRAY_OF_RED // 2).all()


def test_a_wrapper_that_stacks_frames_is_refused():
    env = gymnasium.wrappers.FrameStackObservation(Shown(box((24, 30, 3)), RED), 4)
    with pytest.raises(
        EnvError, match=r"mine:made stacks frames \(FrameStackObservation\), and edgerl does; leave it out"
    ):
        made(env)


def test_frames_are_as_the_run_asks():
    shown = Shown(box((24, 30, 3)), RED)
    assert made(shown, frame="rgb").spec == EnvSpec((3, 84, 84), 4, 3, 1)
    assert made(shown, frame_size=40, frame_skip=3).spec == EnvSpec((40, 40), 4, 3, 3)
    window = made(shown, frame="rgb", frame_size=32).reset().window
    assert (window[-1] == np.array([200, 0, 0])[:, None, None]).all()
    vectors = Shown(box((24, 30, 3)), RED, actions=spaces.Box(-1, 1, (2,)))
    assert made(vectors, frame="gray", frame_size=64).spec == EnvSpec((64, 64), 3, 2, 1, True, True)


def test_a_skip_sums_rewards_and_stops_at_the_end_of_the_episode():
    inner = Shown(box((24, 30, 3)), RED, reward=np.float32(0.5))
    env = made(inner, frame_skip=3)
    env.reset()
    assert [env.step(0)[1:] for _ in range(3)] == [
        (1.5, False, False, False),
        (1.5, False, False, False),
        (0.5, True, False, True),
    ]
    assert len(inner.given) == 7


class Counting:
    """Its only reward, one array that it writes into at every step."""

    def __init__(self):
        self.reward = np.zeros(1)

    def __call__(self):
        self.reward += 1
        return self.reward


@pytest.mark.parametrize(
    ("reward", "total"),
    [(np.bool_(True), 3.0), (np.uint8(100), 300.0), (np.float16(60_000), 180_000.0), (Counting(), 1.0 + 2.0 + 3.0)],
    ids=["bool", "uint8", "float16", "one array"],
)
def test_a_skip_sums_rewards_as_numbers_of_any_kind(reward, total, monkeypatch):
    inner, step = Shown(box((24, 30, 3)), RED), Shown.step

    def rewarding(self, action):
        seen, _, *others = step(self, action)
        return seen, reward() if callable(reward) else reward, *others

    monkeypatch.setattr(Shown, "step", rewarding)
    env = made(inner, frame_skip=3)
    env.reset()
    assert env.step(0).reward == total


def test_a_reward_that_is_none_within_a_skip_is_named():
    env = made(Shown(box((24, 30, 3)), RED, reward=None), frame_skip=3)
    env.reset()
    with pytest.raises(EnvFailed, match="failed: the reward is None; allowed is a number that float32 holds"):
        env.step(0)


def test_an_episode_is_cut_off_after_so_many_agent_steps():
    inner = Shown(box((24, 30, 3)), RED)
    env = made(inner, env_max_steps=2, frame_skip=2)
    for _ in range(2):
        env.reset()
        inner.given.clear()
        assert [env.step(0)[2:] for _ in range(2)] == [(False, False, False), (False, True, True)]


@pytest.mark.parametrize(
    ("method", "gives", "line"),
    [
        ("reset", lambda seed=None: RED, r"its reset\(\) must give an observation and a dict"),
        ("step", lambda action: (RED, 1.0, False, {}), r"its step\(\) must give observation, reward, terminated"),
        ("step", lambda action: RED, r"its step\(\) must give observation, reward, terminated"),
    ],
    ids=["a reset of old Gym", "a step of old Gym", "an observation alone"],
)
def test_what_speaks_old_gym_is_told_so(method, gives, line):
    env = made(Shown(box((24, 30, 3)), RED))
    env.reset()
    setattr(env.env.env._simulator._env, method, gives)
    with pytest.raises(EnvFailed, match=rf"^mine:made failed: (reset|step)\(\) raised TypeError: {line}"):
        getattr(env, method)(*([0] if method == "step" else []))


@pytest.mark.parametrize("lacks", ["observation_space", "action_space", "metadata"])
def test_what_lacks_a_part_is_refused_in_one_line_and_closed(lacks):
    inner = Shown(drawn=RED)
    if lacks == "metadata":
        inner.metadata = None
    else:
        delattr(inner, lacks)
    with pytest.raises(EnvError, match=r"^--env: mine:made cannot be shown: AttributeError: .*\Z"):
        made(inner)
    assert inner.closed


def test_closing_reaches_the_environment():
    inner = Shown(box((24, 30, 3)), RED)
    made(inner).close()
    assert inner.closed


def test_what_cannot_be_closed_is_refused_in_one_line():
    def close():
        raise RuntimeError("it holds on")

    inner = Shown(box((24, 30, 3)), RED)
    inner.close = close
    with pytest.raises(
        EnvError, match=r"^--env: mine:made failed: close\(\) raised RuntimeError: it holds on \(.*\)\Z"
    ):
        gym.describe_brought("mine:made", inner, EnvOptions(), close=True)
