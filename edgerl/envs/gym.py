"""Any Gymnasium environment that shows pixels: gray 84x84 for discrete actions, RGB 100x100 for continuous ones."""

import difflib
from typing import Any

import numpy as np

from edgerl.envs.base import EnvSpec, Interface
from edgerl.envs.simulator import headless, reason, scaled
from edgerl.errors import EnvError
from edgerl.types import Array

INSTALL = "pip install -c constraints.txt -e '.[gym]'"
headless()
try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise EnvError(f"--env: gym needs the package {error.name}: {INSTALL}") from error
gymnasium.logger.min_level = gymnasium.logger.ERROR

Made = gymnasium.Env[Any, Any]


def describe(name: str) -> EnvSpec:
    """The spec of the environment with this id; raises EnvError if it cannot be made, shown or acted in."""
    env = _made(name)
    try:
        return _spec(name, env)
    finally:
        env.close()


class Gym:
    """One environment as a Simulator, seeded at every reset. Raises EnvError if it cannot be made or shown."""

    def __init__(self, name: str) -> None:
        env = _made(name)
        self.spec = _spec(name, env)
        self._space: Any = env.action_space
        self._seen: Array | None = None  # the newest observation, if observations are pixels
        self._pixels = _are_pixels(env.observation_space)
        if not self._pixels:
            env.close()
            env = _made(name, render_mode="rgb_array")
        self._env = env
        self.most_steps = None if env.spec is None else env.spec.max_episode_steps
        try:
            self.steps_per_second = float(env.metadata.get("render_fps") or 15)
            import cv2  # here, not above: its 17 MB are of no use to a plan

            self._cv2: Any = cv2
            self.reset(0)
            self.frame()
        except Exception as error:  # an environment may raise anything
            raise EnvError(f"--env: gym/{name} cannot be shown: {reason(error)} ({INSTALL})") from error

    @property
    def interface(self) -> Interface:
        """Actions have meanings if the environment says them, as ALE's do."""
        bounds = (self._space.low, self._space.high) if self.spec.continuous else None
        meanings = getattr(self._env.unwrapped, "get_action_meanings", lambda: ())()
        return Interface("area", meanings=tuple(meanings) or None, bounds=bounds)

    def reset(self, seed: int) -> None:
        self._keep(self._env.reset(seed=seed)[0])

    def step(self, action: Any) -> tuple[Any, Any, Any]:
        if self.spec.continuous:
            taken: Any = scaled(action, self._space.low, self._space.high).astype(self._space.dtype)
        else:
            taken = int(self._space.start + action)
        seen, reward, terminated, truncated, _ = self._env.step(taken)
        self._keep(seen)
        return reward, terminated, truncated

    def frame(self) -> Array:
        """The picture, resized by areas, in gray or in colours as the spec's frames are."""
        picture, cv2 = self.render(), self._cv2
        if len(self.spec.frame) == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        small: Array = cv2.resize(picture, self.spec.frame[-2:], interpolation=cv2.INTER_AREA)
        return small if len(self.spec.frame) == 2 else small.transpose(2, 0, 1)

    def render(self) -> Array:
        seen: Any = self._seen if self._pixels else self._env.render()
        seen = np.asarray(seen)
        if seen.ndim == 2:
            seen = seen[:, :, None]
        return np.ascontiguousarray(np.broadcast_to(seen, (*seen.shape[:2], 3)))

    def close(self) -> None:
        self._env.close()

    def _keep(self, seen: Any) -> None:
        if self._pixels:
            self._seen = seen


def _made(name: str, **settings: Any) -> Made:
    try:
        return gymnasium.make(name, disable_env_checker=True, **settings)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv) as error:
        near = difflib.get_close_matches(name, gymnasium.registry, n=1)
        hint = f", perhaps gym/{near[0]}" if near else ""
        raise EnvError(f"--env: Gymnasium knows no 'gym/{name}'{hint}") from error
    except Exception as error:  # an environment may raise anything
        raise EnvError(f"--env: gym/{name} cannot be made: {reason(error)}") from error


def _spec(name: str, env: Made) -> EnvSpec:
    if not _are_pixels(env.observation_space) and "rgb_array" not in (env.metadata.get("render_modes") or ()):
        raise EnvError(
            f"--env: gym/{name} shows no pixels: it observes {_line(env.observation_space)} and draws no rgb_array"
        )
    space: Any = env.action_space
    if isinstance(space, spaces.Discrete) and space.n <= 256:
        return EnvSpec((84, 84), 4, int(space.n), 1)
    floats = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
    if floats and len(space.shape) == 1 and space.is_bounded():
        return EnvSpec((3, 100, 100), 3, space.shape[0], 1, continuous=True, refill=True)
    raise EnvError(
        f"--env: gym/{name} is acted in by {_line(space)}; it must be Discrete, of 256 at most, or a bounded Box "
        "of floats in one dimension"
    )


def _are_pixels(space: Any) -> bool:
    """Whether these observations are pictures: uint8 [H, W], [H, W, 1] or [H, W, 3]."""
    shape: tuple[int, ...] = getattr(space, "shape", None) or ()
    picture = len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3))
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and picture


def _line(space: Any) -> str:
    return " ".join(str(space).split())
