"""Any Gymnasium environment that shows pixels: gray 84x84 for discrete actions, RGB 100x100 for continuous ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any

from edgerl import plugins
from edgerl.envs.base import EnvOptions, EnvSpec, Interface
from edgerl.envs.door import place
from edgerl.envs.outside import callables, names
from edgerl.envs.outside.screen import headless
from edgerl.envs.simulator import as_number, reason
from edgerl.errors import EnvError
from edgerl.types import Array

INSTALL = "pip install -c constraints.txt -e '.[gym]'"
headless()
try:
    import gymnasium

    from edgerl.envs.outside.actions import Choices, Controls, actions_of, line
    from edgerl.envs.outside.pictures import ALLOWED, PictureError, rendered
    from edgerl.envs.outside.sources import Source, source_of
except ImportError as error:
    raise EnvError(f"--env: gym needs the package {error.name}: {INSTALL}") from error

gymnasium.logger.min_level = gymnasium.logger.ERROR

GymEnv = gymnasium.Env[Any, Any]
DEFAULT = EnvOptions()


def describe(task: str, options: EnvOptions = DEFAULT) -> EnvSpec:
    """The spec of the environment with this id; raises EnvError if it cannot be made, shown or acted in."""
    name, env = f"gym/{task}", _made(task, options)
    spec = _described(name, env, options, _can_draw)
    _close(name, env)
    return spec


def registered(task: str, options: EnvOptions = DEFAULT) -> "Gym":
    """The environment with this id; raises EnvError if it cannot be made, shown or acted in."""
    name, env = f"gym/{task}", _made(task, options)
    with _closed_if_refused(name, env):
        source = _source(name, env, options, drawing=_can_draw(env))
        _actions(name, env)
    if source.draws and env.render_mode != "rgb_array":
        _close(name, env)
        env = _made(task, options, render_mode="rgb_array")
    return Gym(name, env, source, options)


def describe_brought(name: str, env: GymEnv, options: EnvOptions, *, close: bool) -> EnvSpec:
    """The spec of an environment that a user's callable made. `close`: whether it is closed afterwards."""
    spec = _described(name, env, options, _draws)
    if close:
        _close(name, env)
    return spec


def brought(name: str, env: GymEnv, options: EnvOptions) -> "Gym":
    """An environment that a user's callable made, as it is; raises EnvError if it cannot be shown or acted in."""
    with _closed_if_refused(name, env):
        source = _source(name, env, options, drawing=_draws(env))
    return Gym(name, env, source, options)


def _described(name: str, env: GymEnv, options: EnvOptions, drawing: Callable[[GymEnv], bool]) -> EnvSpec:
    """Its spec; `drawing`: says whether it draws. Raises EnvError if it cannot be shown or acted in; it is closed."""
    with _closed_if_refused(name, env):
        _source(name, env, options, drawing=drawing(env))
        return _spec(options, _actions(name, env))


@contextmanager
def _closed_if_refused(name: str, env: GymEnv) -> Iterator[None]:
    """Close an environment that is refused within. What else it raises there is an EnvError too, in one line."""
    try:
        yield
    except Exception as error:  # an environment may raise anything
        with suppress(Exception):
            callables.close(env)
        if isinstance(error, EnvError):
            raise
        if isinstance(error, PictureError):
            raise EnvError(f"--env: {name} cannot be shown: {error}") from error
        lacks = isinstance(error, ImportError | gymnasium.error.DependencyNotInstalled)
        where = f" ({INSTALL})" if lacks else place(error, libraries=False)
        raise EnvError(f"--env: {name} cannot be shown: {reason(error)}{where}") from None


def _close(name: str, env: GymEnv) -> None:
    """Close an environment; what that raises is an EnvError, in one line."""
    try:
        env.close()
    except (Exception, SystemExit) as error:
        raise EnvError(f"--env: {name} failed: close() raised {reason(error)}{place(error)}") from error


class Gym:
    """One environment as a Simulator, seeded at every reset. Raises EnvError if it cannot be shown or acted in.

    A step repeats its action `frame_skip` times or to the episode's end, and sums the rewards; the episode is cut off
    after `env_max_steps` of them.
    """

    def __init__(self, name: str, env: GymEnv, source: Source, options: EnvOptions) -> None:
        self._env, self._source = env, source
        self._repeat, self._most = options.frame_skip, options.env_max_steps
        self._seen: Any = None  # the newest observation, if it is the picture
        self._steps = 0  # of this episode
        with _closed_if_refused(name, env):
            self._actions = _actions(name, env)
            self.spec = _spec(options, self._actions)
            meanings = self._actions.meanings(_words(env, self._actions.count))
            self.interface = Interface(
                "area",
                meanings=meanings,
                bounds=self._actions.bounds,
                pictures=source.words,
                observation=source.observation,
            )
            self.most_steps = self._most or _own_limit(env, self._repeat)
            self.steps_per_second = float(env.metadata.get("render_fps") or 15) / self._repeat
            import cv2  # here, not above: its 17 MB are of no use to a plan

            self._cv2: Any = cv2
            self.reset(0)
            self.frame()

    def reset(self, seed: int) -> None:
        self._steps = 0
        returned = self._env.reset(seed=seed)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError("its reset() must give an observation and a dict, as Gymnasium has it")
        self._keep(returned[0])

    def step(self, action: Any) -> tuple[Any, Any, Any]:
        total: float | None = None
        for _ in range(self._repeat):
            returned = self._env.step(self._actions.taken(action))  # each its own: it may write into a vector
            if not isinstance(returned, tuple) or len(returned) != 5:
                raise TypeError("its step() must give observation, reward, terminated, truncated and a dict")
            seen, reward, terminated, truncated, _ = returned
            number = as_number(reward)  # which adds as it is worth: NumPy's small types overflow, its arrays change
            if number is None:
                return reward, terminated, truncated  # and the door refuses it
            total = number if total is None else total + number
            if terminated or truncated:
                break
        self._steps += 1
        self._keep(seen)
        return total, terminated, truncated or self._steps == self._most

    def frame(self) -> Array:
        """The picture, resized by areas, in gray or in colours as the spec's frames are."""
        picture, cv2 = self.render(), self._cv2
        if len(self.spec.frame) == 2:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        small: Array = cv2.resize(picture, self.spec.frame[-2:], interpolation=cv2.INTER_AREA)
        return small if len(self.spec.frame) == 2 else small.transpose(2, 0, 1)

    def render(self) -> Array:
        if self._source.picture is None:
            return rendered(self._env.render())
        return self._source.picture.read(self._seen)

    def close(self) -> None:
        callables.close(self._env)

    def _keep(self, seen: Any) -> None:
        if not self._source.draws:
            self._seen = seen if self._source.key is None else seen[self._source.key]


def _is_known(task: str) -> bool:
    """Whether Gymnasium itself knows this id, as that of an environment that is not ale-py's."""
    known = gymnasium.registry.get(task)
    return known is not None and "ale_py" not in str(known.entry_point)


def _made(task: str, options: EnvOptions, **settings: Any) -> GymEnv:
    """The environment with this id, made with the run's arguments and these settings where the run says nothing."""
    headless()
    arguments = settings | (options.env_arg or {})
    plugins.check(f"gym/{task}")
    if ":" not in task and not _is_known(task) and (game := names.atari_game(task)) is not None:
        raise EnvError(f"--env: gym/{task}: Atari's games are a suite of their own: {game}")
    try:
        if ":" in task:
            plugins.reach_current_folder()
        return gymnasium.make(task, disable_env_checker=True, **arguments)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv) as error:
        raise EnvError(f"--env: {names.unknown(task, gymnasium.registry)}") from error
    except (Exception, SystemExit) as error:  # an environment may raise anything
        raise EnvError(f"--env: gym/{task} cannot be made: {reason(error)}{place(error, libraries=False)}") from None


def _own_limit(env: GymEnv, repeat: int) -> int | None:
    """The agent steps after which the environment truncates an episode itself; None if its registration says none."""
    steps = None if env.spec is None else env.spec.max_episode_steps
    return None if steps is None else -(-steps // repeat)


def _can_draw(env: GymEnv) -> bool:
    return "rgb_array" in (env.metadata.get("render_modes") or ())


def _draws(env: GymEnv) -> bool:
    return env.render_mode == "rgb_array"


def _source(name: str, env: GymEnv, options: EnvOptions, *, drawing: bool) -> Source:
    """Where its pictures come from. `drawing`: whether it draws. Raises EnvError if there are none."""
    _refuse_stacks(name, env)
    source = source_of(name, env.observation_space, options)
    if not source.draws or drawing:
        return source
    shows = f"--env: {name} shows no pixels: it observes {line(env.observation_space)} and draws no rgb_array"
    if "render.modes" in env.metadata:
        raise EnvError(f"{shows}: its metadata has render.modes, of old Gym; Gymnasium reads render_modes")
    if _can_draw(env):
        raise EnvError(f"{shows}: it was made with render_mode {env.render_mode}; make it with rgb_array")
    raise EnvError(f"{shows}; {ALLOWED}; or let it draw, with rgb_array among its metadata's render_modes")


def _refuse_stacks(name: str, env: Any) -> None:
    """Raise EnvError for a wrapper that stacks frames: windows do."""
    while isinstance(env, gymnasium.Wrapper):
        if type(env).__name__ == "FrameStackObservation":
            raise EnvError(f"--env: {name} stacks frames (FrameStackObservation), and edgerl does; leave it out")
        env = env.env


def _actions(name: str, env: GymEnv) -> Choices | Controls:
    try:
        return actions_of(env.action_space)
    except ValueError as error:
        raise EnvError(f"--env: {name} is acted in by {error}") from None


def _words(env: GymEnv, count: int) -> tuple[str, ...]:
    """The actions in words if the environment says them, as ALE's do: a text, or the name of an Enum, for each."""
    try:
        said = tuple(env.unwrapped.get_action_meanings())  # type: ignore[attr-defined]
    except (Exception, SystemExit):  # most have none
        return ()
    words = tuple(word.name if isinstance(word, Enum) else word for word in said)
    return words if len(words) == count and all(isinstance(word, str) for word in words) else ()


def _spec(options: EnvOptions, actions: Choices | Controls) -> EnvSpec:
    """Frames as the run says; else gray 84x84 for choices, and RGB 100x100 for vectors."""
    continuous = isinstance(actions, Controls)
    side = options.frame_size or (100 if continuous else 84)
    gray = options.frame == "gray" or (options.frame is None and not continuous)
    frame = (side, side) if gray else (3, side, side)
    history, repeat = 3 if continuous else 4, options.frame_skip
    return EnvSpec(frame, history, actions.count, repeat, continuous=continuous, refill=continuous)
