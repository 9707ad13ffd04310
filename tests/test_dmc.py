"""The DeepMind Control Suite through real MuJoCo and real rendering: dm_control itself says what is right."""

import os
import subprocess
import sys

import numpy as np
import pytest
from cases import quick

from edgerl.envs import (
    dmc,  # noqa: F401  before dm_control: it says how to draw without a screen
    suites,
)
from edgerl.envs.base import EnvOptions
from edgerl.envs.dmc_tasks import _actions, task_name
from edgerl.envs.outside import screen
from edgerl.errors import EnvError, EnvFailed

from dm_control import suite  # isort: skip


def make(task, seed=0, repeat=None):
    """The environment, and its simulator."""
    options = EnvOptions(action_repeat=repeat)
    env = suites.make(f"dmc/{task}", np.random.default_rng(seed), training=True, options=options)
    return env, env.env.env._simulator


@pytest.fixture(scope="module")
def cartpole():
    return make("cartpole-swingup", repeat=8)


def actions(env, count):
    return np.random.default_rng(1).uniform(-1, 1, (count, env.actions)).astype(np.float32)


def fresh_process(program, **variables):
    """What a program did in its own process, with these variables and no others that say how to draw."""
    drawing = ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM", *screen.ASIDE)
    others = {name: value for name, value in os.environ.items() if name not in drawing}
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=others | variables)


def test_tasks_are_found_however_they_are_written():
    written = ("ball_in_cup-catch", "ball-in-cup-catch", "BallInCup_catch", "ballincupcatch")
    assert {task_name(name) for name in written} == {"ball_in_cup-catch"}
    assert suites.canonical_name("dmc/Humanoid_cmu_run") == "dmc/humanoid_CMU-run"
    with pytest.raises(EnvError, match="perhaps dmc/walker-walk"):
        suites.canonical_name("dmc/waker-walk")


@pytest.mark.long
def test_the_table_of_tasks_is_what_dm_control_says():
    loaded = {f"{domain}-{task}": suite.load(domain, task) for domain, task in suite.ALL_TASKS}
    assert _actions() == {name: env.action_spec().shape[0] for name, env in loaded.items()}
    assert len({task_name(name) for name in loaded}) == len(loaded)


def test_names_and_specs_need_neither_mujoco_nor_gl():
    program = "import sys; from edgerl.envs import base, suites; options = base.EnvOptions(action_repeat=2)"
    program += "; print(suites.describe('dmc/WalkerWalk', options))"
    program += "; assert not {'dm_control', 'mujoco', 'OpenGL'} & set(sys.modules)"
    found = fresh_process(program)
    assert found.stdout.strip() == str(suites.describe("dmc/walker-walk", EnvOptions(action_repeat=2))), found.stderr


def test_windows_hold_the_last_three_frames_and_the_first_frame_at_the_start(cartpole):
    env = cartpole[0]
    assert env.spec == suites.describe("dmc/cartpole-swingup", EnvOptions(action_repeat=8))
    assert (env.spec.window, env.spec.action, env.spec.refill) == ((9, 100, 100), np.dtype((np.float32, (1,))), True)
    seen = [env.reset().window[-1].copy()] * 3
    assert (env.window.shape, env.window.dtype) == ((3, 3, 100, 100), np.uint8)
    for action in actions(env, 4):
        np.testing.assert_array_equal(env.window, seen[-3:])
        seen.append(env.step(action).window[-1].copy())
        assert (seen[-1] != seen[-2]).any()


@pytest.mark.parametrize(("task", "camera"), quick([("walker-walk", 0), ("quadruped-run", 2)], ("walker-walk", 0)))
def test_frames_and_summed_rewards_are_those_of_dm_control(task, camera):
    (env, _), plain = make(task, seed=3, repeat=4), suite.load(*task.split("-"))
    env.reset()
    plain.task.random.seed(int(np.random.default_rng(3).integers(2**31)))
    plain.reset()
    low, high = plain.action_spec().minimum, plain.action_spec().maximum
    for action in actions(env, 3):
        timestep, control = env.step(action), low + (action.astype(np.float64) + 1) * ((high - low) / 2)
        assert timestep.reward == sum(plain.step(control).reward for _ in range(4))
        screen = plain.physics.render(100, 100, camera_id=camera)
        np.testing.assert_array_equal(timestep.window[-1], screen.transpose(2, 0, 1))
        np.testing.assert_array_equal(env.render(), plain.physics.render(480, 480, camera_id=camera))


def test_actions_reach_the_bounds_of_every_actuator_and_no_farther():
    env, simulator = make("quadruped-walk")
    env.reset()
    bounds = simulator._env.action_spec()
    for value, expected in ((1, bounds.maximum), (-1, bounds.minimum), (0, (bounds.minimum + bounds.maximum) / 2)):
        for scale in (1, 3):
            env.step(np.full(12, scale * value, np.float32))
            np.testing.assert_allclose(simulator._env.physics.control(), expected, atol=1e-12)


@pytest.mark.parametrize(("task", "repeat"), [("reacher-easy", 3), ("lqr-lqr_2_1", 4)])
def test_an_episode_is_a_thousand_steps_then_cut_off_and_not_terminal(task, repeat):
    """lqr has neither a time limit of its own nor bounds, at which it would fall apart."""
    env, simulator = make(task, repeat=repeat)
    with env.env.env.unseen():
        for _ in range(2):
            timestep, steps = env.reset(), 0
            while not timestep.over:
                timestep, steps = env.step(np.full(env.actions, 0.25, np.float32)), steps + 1
            assert (steps, timestep.terminated, timestep.truncated) == (-(-1000 // repeat), False, True)
    np.testing.assert_array_equal(simulator._env.physics.control(), 0.25)


def test_a_discount_of_zero_is_terminal_and_ends_the_repeats(cartpole, monkeypatch):
    env, simulator = cartpole
    env.reset()
    monkeypatch.setattr(simulator._env.task, "get_termination", lambda physics: 0.0)
    monkeypatch.setattr(simulator._env.task, "get_reward", lambda physics: 0.5)
    assert env.step(np.zeros(1, np.float32))[1:] == (0.5, True, False, True)


@pytest.mark.parametrize(
    ("method", "gives", "line"),
    [
        ("get_reward", lambda physics: float("nan"), "the reward is nan"),
        ("get_observation", lambda physics: {"position": np.array([np.inf])}, "an observation is not finite"),
        ("before_step", lambda action, physics: physics.set_control([np.nan]), "PhysicsError: .*BADCTRL"),
    ],
)
def test_what_fails_on_the_way_is_one_line_with_the_environments_name(cartpole, monkeypatch, method, gives, line):
    env, simulator = cartpole
    env.reset()
    monkeypatch.setattr(simulator._env.task, method, gives)
    with pytest.raises(EnvFailed, match=f"^dmc/cartpole-swingup failed: .*{line}"):
        env.step(np.zeros(1, np.float32))


DRAW = """
import sys, numpy
from edgerl.envs import suites
if {missing!r}:
    sys.modules[{missing!r}] = None
try:
    env = suites.make("dmc/cartpole-swingup", numpy.random.default_rng(0), training=True)
    print("drawn" if env.reset().window.std() > 10 else "blank")
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("variables", "missing", "line"),
    [
        ({"__EGL_VENDOR_LIBRARY_DIRS": "/nonexistent"}, "", "; unset __EGL_VENDOR_LIBRARY_DIRS, which is /nonexistent"),
        ({"MUJOCO_EGL_DEVICE_ID": "77"}, "", "; unset MUJOCO_EGL_DEVICE_ID, which is 77"),
        ({"MUJOCO_GL": "disabled"}, "", "; unset MUJOCO_GL, which is disabled"),
        ({}, "dm_control", "needs the package dm_control: pip install -c constraints.txt -e '.[dmc]'"),
    ],
    ids=["no driver", "no such device", "disabled", "no dm_control"],
)
def test_where_it_cannot_start_one_line_says_what_is_wrong(variables, missing, line):
    ended = fresh_process(DRAW.format(missing=missing), **variables)
    assert (ended.stdout.count("\n"), ended.stderr) == (1, "")
    assert line in ended.stdout


LEFT_OVER = {
    "a stale display": {"DISPLAY": ":99"},
    "all empty": {"DISPLAY": "", "MUJOCO_GL": "", "PYOPENGL_PLATFORM": "", "MUJOCO_EGL_DEVICE_ID": ""},
    "a window on a stale display": {"DISPLAY": ":99", "MUJOCO_GL": "glfw", "PYOPENGL_PLATFORM": "glx"},
    "a library that is not there": {"MUJOCO_GL": "osmesa", "PYOPENGL_PLATFORM": "osmesa"},
}


@pytest.mark.parametrize("case", quick(LEFT_OVER, "a window on a stale display", "a library that is not there"))
def test_it_draws_whatever_is_left_over_in_the_environments_variables(case):
    ended = fresh_process(DRAW.format(missing=""), **LEFT_OVER[case])
    assert (ended.stdout, ended.stderr) == ("drawn\n", "")


@pytest.mark.parametrize(
    ("libraries", "advice"),
    [
        ([], ["apt-get install libegl1 libopengl0 libgl1-mesa-dri"]),
        (["OpenGL"], ["apt-get install libegl1 libgl1-mesa-dri"]),
        (["EGL", "OpenGL"], ["apt-get install libgl1-mesa-dri"]),
    ],
)
def test_the_advice_names_the_libraries_that_are_missing(libraries, advice, monkeypatch):
    for name in screen.ASIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(screen.ctypes.util, "find_library", lambda name: name if name in libraries else None)
    assert screen.missing_for_egl() == advice


SCIPY = """
import inspect, sys
from edgerl.envs import dmc
dmc.Dmc("walker-walk", 2)
for module in list(sys.modules.values()):  # as debuggers and torch look through them
    inspect.getmodule(module), hasattr(module, "__file__"), hasattr(module, "__warningregistry__")
loaded = [name for name in sys.modules if name.startswith(("scipy.linalg.", "scipy.ndimage.", "scipy.interpolate."))]
assert not loaded, loaded
dmc.Dmc("lqr-lqr_2_1", 2)
import scipy.linalg.blas, scipy.stats
from scipy import interpolate, linalg
assert linalg.norm([3, 4]) == 5 and interpolate.CubicSpline
"""


def test_scipy_is_loaded_by_the_tasks_that_use_it_and_works_for_everybody_else():
    ended = subprocess.run([sys.executable, "-c", SCIPY], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_making_one_leaves_the_programs_logging_as_it_was():
    """absl gives the root logger a handler with its first line: a program's own basicConfig would do nothing then."""
    made = fresh_process("""
import logging
from absl import logging as of_absl
before = logging.root.level, of_absl.get_verbosity()
import numpy, edgerl
env = edgerl.make_env("dmc/cartpole-swingup", numpy.random.default_rng(0))
env.reset()
env.close()
assert (logging.root.level, of_absl.get_verbosity()) == before
assert logging.root.handlers == []
""")
    assert (made.returncode, made.stderr) == (0, "")
