"""`module:callable` of Gymnasium environments and others: how it is called, its arguments, and runs on it."""

import sys
import tomllib

import numpy as np
import pytest

from edgerl.envs import suites
from edgerl.envs.base import EnvOptions
from edgerl.errors import EnvError

MODULE = '''
import functools
import numpy as np
import gymnasium
from gymnasium import spaces
from edgerl.envs.toy import Catch

class Walk(gymnasium.Env):
    """A spot on a line; it drifts at random, and is moved left or right."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, side=24, length=9, render_mode=None):
        self.observation_space = spaces.Box(-1, 1, (1,), np.float32)
        self.action_space, self.render_mode = spaces.Discrete(2), render_mode
        self.side, self.length = side, length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = self.side // 2, 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.place = int(np.clip(self.place + 2 * action - 1 + self.np_random.integers(-1, 2), 0, self.side - 1))
        self.steps += 1
        return np.zeros(1, np.float32), self.place / self.side, self.steps == self.length, False, {}

    def render(self):
        picture = np.zeros((self.side, self.side, 3), np.uint8)
        picture[:, self.place] = 255
        return picture

called = []

def plain():
    return Walk(render_mode="rgb_array")

def with_rng(rng):
    called.append(rng)
    return plain()

def with_any_first(generator, side):
    called.append(generator)
    return Walk(side, render_mode="rgb_array")

def with_rng_later(side=24, *, rng=None):
    called.append(rng)
    return Walk(side, render_mode="rgb_array")

def blind():
    return Walk()

def wrapped(most=5):
    return gymnasium.wrappers.TimeLimit(plain(), most)

one = plain()

@functools.cache
def single():
    return plain()

def wrapped_single():
    return gymnasium.wrappers.TimeLimit(single(), 5)

@functools.cache
def single_of_mine():
    return Sides(np.random.default_rng(0))

class Sides(Catch):
    def __init__(self, rng, lives=1):
        super().__init__(rng)
        self.lives = lives

class Unsaved:
    """Catch without state and restore."""

    def __init__(self, rng):
        self._env = Catch(rng)
        self.spec, self.actions, self.name = self._env.spec, self._env.actions, "unsaved"
        self.reset, self.step = self._env.reset, self._env.step

    window = property(lambda self: self._env.window)
'''


@pytest.fixture
def bringing(tmp_path, monkeypatch):
    """The module, importable under a name of its own; returns that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    name = f"bringing_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    return name


def make(name, **options):
    return suites.make(name, np.random.default_rng(0), training=True, options=EnvOptions(**options))


@pytest.mark.parametrize("callable", ["Walk", "plain", "with_rng", "with_rng_later", "wrapped", "one"])
def test_whatever_makes_or_is_a_gymnasium_environment_is_played_as_it_is(callable, bringing):
    env = make(f"{bringing}:{callable}")
    assert env.spec == suites.describe(f"{bringing}:{callable}")
    assert (env.spec.frame, env.spec.actions, env.spec.continuous) == ((84, 84), 2, False)
    timestep = env.reset()
    steps = 0
    while not timestep.over:
        timestep, steps = env.step(1), steps + 1
    assert (steps, timestep.truncated) == ((5, True) if callable == "wrapped" else (9, False))
    assert env.window[-1].max() > 0
    assert env.render().shape == (24, 24, 3)
    env.close()


def test_a_callable_is_given_the_generator_where_it_takes_one_and_its_arguments(bringing):
    make(f"{bringing}:with_rng")
    make(f"{bringing}:with_rng_later", env_arg={"side": 30})
    assert make(f"{bringing}:with_any_first", env_arg={"side": 40}).render().shape == (40, 40, 3)
    called = __import__(bringing).called
    assert [type(generator) for generator in called] == [np.random.Generator] * 3
    assert make(f"{bringing}:Sides", env_arg={"lives": 3}).env.lives == 3
    assert make(f"{bringing}:Walk", env_arg={"side": 32}).render().shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("callable", "arguments", "line"),
    [
        ("Walk", {"size": 3}, "cannot be loaded: TypeError: .*unexpected keyword argument 'size'"),
        ("one", {"side": 3}, "cannot be loaded: TypeError: it is an environment, not a callable that takes arguments"),
        ("blind", None, "it was made with render_mode None; make it with rgb_array"),
        ("Walk", {"render_mode": "human"}, "it was made with render_mode human; make it with rgb_array"),
        ("Walk-v0", None, "has no attribute 'Walk-v0'; perhaps gym/.*:Walk-v0"),
    ],
)
def test_what_cannot_be_made_or_shown_is_one_line(callable, arguments, line, bringing):
    with pytest.raises(EnvError, match=rf"^--env: .*{line}\Z"):
        make(f"{bringing}:{callable}", env_arg=arguments)


@pytest.mark.parametrize("named", ["one", "single", "wrapped_single", "single_of_mine"])
def test_one_environment_is_not_used_twice_at_once(named, bringing):
    first = make(f"{bringing}:{named}")
    suites.describe(f"{bringing}:{named}")
    for _ in range(2):
        with pytest.raises(EnvError, match="it is one environment, and in use; name a callable"):
            make(f"{bringing}:{named}")
    first.close()
    make(f"{bringing}:{named}").close()


OF_GYM = {"env_arg": {"size": 9}, "frame_skip": 2, "frame": "rgb", "frame_size": 64, "observation": "image"}
OF_GYM |= {"env_max_steps": 9}


@pytest.mark.parametrize("option", OF_GYM)
@pytest.mark.parametrize("name", ["atari/pong", "dmc/walker-walk", "toy/catch"])
def test_what_is_of_gymnasium_is_refused_elsewhere_by_name(name, option):
    flag = f"--{option.replace('_', '-')}"
    with pytest.raises(EnvError, match=f"^{flag} is of gym and module:callable environments; {name} has none"):
        suites.describe(name, EnvOptions(**{option: OF_GYM[option]}))


@pytest.mark.parametrize("option", ["frame_skip", "frame", "frame_size", "observation"])
def test_what_is_of_pictures_is_refused_where_an_environment_makes_its_windows(option, bringing):
    name = f"{bringing}:Sides"
    for refuse in (make, lambda name, **options: suites.describe(name, EnvOptions(**options))):
        with pytest.raises(EnvError, match=f"^--{option.replace('_', '-')} is of Gymnasium environments; {name} makes"):
            refuse(name, **{option: OF_GYM[option]})


@pytest.mark.parametrize("callable", ["Sides", "Unsaved"])
def test_an_episode_cut_off_goes_on_from_its_state(callable, bringing):
    def played(env, count):
        steps = [env.step(1) for _ in range(count)]
        return [(step.reward, step.terminated, step.truncated, step.over) for step in steps]

    env, again = (make(f"{bringing}:{callable}", env_max_steps=4) for _ in range(2))
    env.reset()
    again.reset()
    assert played(env, 2) == [(0.0, False, False, False)] * 2
    again.restore(*env.state())
    assert played(env, 2) == played(again, 2) == [(0.0, False, False, False), (0.0, False, True, True)]
    assert env.reset().window.max() > 0
    assert played(env, 1) == [(0.0, False, False, False)]


SMALL = ("--budget", "3MB", "--threads", 1, "--batch-size", 8, "--set", "learn_start=40", "--set", "hidden=16")
SMALL += ("--steps", 120, "--freeze-at", 60, "--eval-every", 60, "--eval-episodes", 1, "--checkpoint-every", 50)
ASKED = ("--env-arg", "side=30", "--env-arg", "length=25", "--frame-skip", 2, "--frame-size", 48, "--env-max-steps", 11)


def test_a_run_keeps_what_was_asked_and_resumes_bit_for_bit(bringing, program, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run = ("train", "--env", f"{bringing}:Walk", *SMALL, *ASKED)
    code, printed, said = program(*run, "--out", whole)
    assert code == 0, said
    lines = printed + "".join(said)
    assert "sees     render() of the whole screen (what it observes is no picture: float32 [1] from -1 to 1), " in lines
    kept = tomllib.loads((whole / "config.toml").read_text())["run"]
    assert kept["env_arg"] == {"side": 30, "length": 25}
    assert (kept["frame_skip"], kept["frame_size"], kept["env_max_steps"], kept["observation"]) == (2, 48, 11, "auto")
    assert program(*run, "--until", 75, "--out", parts)[0] == 0
    code, _, (line,) = program("train", "--resume", parts, "--env-arg", "side=32")
    assert (code, line[: len("edgerl: --env-arg: cannot change")]) == (2, "edgerl: --env-arg: cannot change")
    assert program("train", "--resume", parts, "--until", "never")[0] == 0
    weights = [sorted(folder.glob("checkpoint/*/weights.safetensors"))[-1] for folder in (whole, parts)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_configuration_with_other_arguments_than_its_checkpoint_is_refused(bringing, program, tmp_path):
    run = tmp_path / "run"
    arguments = ("--env", f"{bringing}:Walk", *SMALL, "--env-arg", "side=30", "--until", 45)
    assert program("train", *arguments, "--out", run)[0] == 0
    text = (run / "config.toml").read_text().partition("\n")[2]  # without its seal
    for changed in (text.replace("side = 30", "side = 31"), text.replace("[run.env_arg]\nside = 30\n", "")):
        (run / "config.toml").write_text(changed)
        code, _, lines = program("train", "--resume", run, "--until", "never")
        assert (code, len(lines)) == (2, 1), lines
        assert "is of another run: its --env-arg is {" in lines[0]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["side"], "--env-arg: 'side' is not key=value, such as size=9"),
        (["=3"], "--env-arg: '=3' is not key=value, such as size=9"),
        (["side=1", "side=2"], "--env-arg: side is given twice"),
    ],
)
def test_a_bad_argument_is_one_line(given, line, bringing, program, tmp_path):
    texts = [word for text in given for word in ("--env-arg", text)]
    code, _, lines = program("train", "--env", f"{bringing}:Walk", *SMALL, *texts, "--out", tmp_path / "run")
    assert (code, lines) == (2, [f"edgerl: {line}"])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "gym/MiniGrid-Empty-5x5-v0",
            "by itself; gym/minigrid:MiniGrid-Empty-5x5-v0 names the package that registers it",
        ),
        ("gym/ALE/Breakout-v5", "Atari's games are a suite of their own: atari/breakout"),
        ("gym/BreakoutNoFrameskip-v4", "Atari's games are a suite of their own: atari/breakout"),
        ("gym/Something-v0", "gym/<module>:Something-v0 names the module that registers it"),
        ("gym/json:Something-v0", "its module registers no such id"),
        ("gym/no_such_module:Something-v0", "No module named 'no_such_module'"),
        ("CartPole-v1", "names no suite, perhaps gym/CartPole-v1"),
        ("ALE/Breakout-v5", "names no suite, perhaps atari/breakout"),
        ("BabyAI-GoTo-v0", "names no suite, perhaps gym/minigrid:BabyAI-GoTo-v0"),
        ("no_such_module:Something-v0", "; perhaps gym/no_such_module:Something-v0"),
    ],
)
def test_an_id_that_is_unknown_says_how_to_name_it(name, line):
    with pytest.raises(EnvError) as unknown:
        suites.make(name, np.random.default_rng(0), training=True)
    assert str(unknown.value).startswith("--env: ")
    assert line in str(unknown.value)
    assert "\n" not in str(unknown.value)


def test_an_id_with_its_module_is_found(bringing, tmp_path):
    with (tmp_path / f"{bringing}.py").open("a") as module:
        module.write(f"\ngymnasium.register('{bringing}/Walk-v0', Walk)\n")
    env = make(f"gym/{bringing}:{bringing}/Walk-v0", env_arg={"side": 40})
    assert env.render().shape == (40, 40, 3)


def test_the_commands_of_a_sweep_say_the_arguments(bringing, program):
    small = ("--budgets", "2MB,3MB", "--threads", 1, "--steps", 2000, "--batch-size", 8)
    arguments = ("--env-arg", "side=30", "--env-arg", "length=25")
    code, printed, said = program(
        "sweep", "--env", f"{bringing}:Walk", *small, *arguments, "--print-commands", "--out", "sweep"
    )
    assert code == 0, said
    assert len(printed.splitlines()) == 2
    assert all(" --env-arg side=30 --env-arg length=25 " in line for line in printed.splitlines())
