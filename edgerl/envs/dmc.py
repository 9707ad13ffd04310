"""The DeepMind Control Suite from pixels, as PlaNet, CURL and dmc2gym set it up: 100x100 RGB, three frames a window."""

import ctypes
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging import root
from types import ModuleType
from typing import Any

import numpy as np

from edgerl.envs.base import Interface
from edgerl.envs.dmc_tasks import SIDE, describe
from edgerl.envs.outside.screen import headless, missing_for_egl
from edgerl.envs.simulator import reason, scaled
from edgerl.errors import EnvError
from edgerl.types import Array

# Without a usable GL, PyOpenGL and dm_control raise one of these at import, or the first frame fails.
NO_GL = (ImportError, AttributeError, RuntimeError, ctypes.ArgumentError)


def _no_gl(error: Exception) -> EnvError:
    return EnvError(f"--env: dmc cannot draw here ({reason(error)}); {' and '.join(missing_for_egl())}")


class _Later(ModuleType):
    """Stands for a module until something of it is used. What only looks through all modules does not load it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            _load(self.__name__)
        return getattr(sys.modules[self.__name__], name)


def _load(name: str) -> None:
    """Load a module in the place of what stands for it."""
    del sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name)
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


def _put_off(package: ModuleType, *names: str) -> None:
    """Let modules of a package be loaded when they are first used, not when they are imported."""
    for name in names:
        full = f"{package.__name__}.{name}"
        if full not in sys.modules:
            sys.modules[full] = _Later(full)
            setattr(package, name, sys.modules[full])


@contextmanager
def _quiet() -> Iterator[None]:
    """Within, absl tells errors alone. What it tells first gives the root logger a handler, which goes again.

    It has something to tell whenever a model is loaded or a camera draws for the first time.
    """
    handlers, verbosity = list(root.handlers), logging.get_verbosity()
    logging.set_verbosity("error")
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        for handler in [handler for handler in root.handlers if handler not in handlers]:
            root.removeHandler(handler)


headless()
try:
    # Of dm_control's tasks only quadruped, lqr and humanoid_CMU use these: 20 MB that the others need not.
    import scipy

    _put_off(scipy, "linalg", "ndimage", "interpolate")
    from absl import logging

    with _quiet():
        from dm_control import mujoco, suite
except ModuleNotFoundError as error:
    raise EnvError(f"--env: dmc needs the package {error.name}: pip install -c constraints.txt -e '.[dmc]'") from error
except NO_GL as error:
    raise _no_gl(error) from error

# Published results use the first camera, except for the quadruped, which walks out of its sight.
CAMERAS = {"quadruped": 2}
# The models of lqr are drawn at random when they are loaded; a resumed run needs the same ones.
MODEL_SEED = 0
# lqr alone has no time limit; with this one its episodes have 1,000 steps, like all others.
LIMITS = {"lqr": {"time_limit": 30.0}}
SCREEN = 480  # height and width in pixels of pictures for people
UNBOUNDED = 1e10  # dm_control's bound of an actuator that has none (in lqr)


class _Screen(mujoco.Physics):  # type: ignore[misc]  # of a package without types
    """The same bodies, with a drawing buffer of their own; model and data are shared."""

    def after_reset(self) -> None:
        """Compute nothing: what a Physics computes when it is made would change how the episode goes on."""


class Dmc:
    """One task as a Simulator: actions scaled to the actuators' bounds and repeated, rewards summed over the repeats.

    Raises EnvError if nothing can be drawn.
    """

    most_steps: int | None = None  # all tasks have a limit, in seconds

    def __init__(self, task: str, repeat: int) -> None:
        self.spec = describe(task, repeat)
        domain, _, part = task.partition("-")
        headless()
        with _quiet():  # models are compiled with warnings about their age
            self._env = suite.load(domain, part, task_kwargs={"random": MODEL_SEED, **LIMITS.get(domain, {})})
        bounds = self._env.action_spec()
        self.steps_per_second = 1 / (self._env.control_timestep() * repeat)
        free = (bounds.minimum <= -UNBOUNDED) | (bounds.maximum >= UNBOUNDED)  # scaled to these, any action crashes
        self._low, self._high = np.where(free, -1.0, bounds.minimum), np.where(free, 1.0, bounds.maximum)
        self.interface = Interface(bounds=(self._low, self._high), pictures="the task's camera")
        physics = self._env.physics
        physics.model.vis.global_.offwidth = physics.model.vis.global_.offheight = SIDE  # before anything is drawn
        self._angle = CAMERAS.get(domain, 0)
        self._wide: Any = None  # the camera of pictures for people; made when the first is asked for
        try:
            with _quiet():
                self._camera = mujoco.Camera(physics, SIDE, SIDE, self._angle)
                self.frame()
        except Exception as error:  # GL may raise anything
            raise _no_gl(error) from error

    def reset(self, seed: int) -> None:
        self._env.task.random.seed(seed)
        self._env.reset()

    def step(self, action: Any) -> tuple[float, bool, bool]:
        """Repeat an action until the episode ends; a discount of 0 terminates it, a time limit truncates it."""
        control, reward = scaled(action, self._low, self._high), 0.0
        for _ in range(self.spec.repeat):
            timestep = self._env.step(control)
            reward += float(timestep.reward)
            if timestep.last():
                break
        if not all(np.isfinite(part).all() for part in timestep.observation.values()):
            raise ArithmeticError("an observation is not finite")
        terminated = timestep.last() and timestep.discount == 0.0
        return reward, terminated, timestep.last() and not terminated

    def frame(self) -> Array:
        picture: Array = self._camera.render()
        return picture.transpose(2, 0, 1)

    def render(self) -> Array:
        """The same scene in 480x480 pixels."""
        if self._wide is None:
            physics = self._env.physics
            physics.model.vis.global_.offwidth = physics.model.vis.global_.offheight = SCREEN
            self._wide = mujoco.Camera(_Screen(physics.data), SCREEN, SCREEN, self._angle)
        with _quiet():
            picture: Array = self._wide.render()
        return picture

    def close(self) -> None:
        self._env.close()
