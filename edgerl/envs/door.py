"""The door: every environment of every suite comes in through it, is checked, and is closed."""

import json
import os
import reprlib
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import walk_tb
from typing import Any

import numpy as np

from edgerl.envs.base import fault, in_words, interface, window_fault
from edgerl.envs.outside import callables
from edgerl.envs.outside.workdir import Workdir, here
from edgerl.envs.resumable import Resumable
from edgerl.envs.simulator import as_number, reason
from edgerl.errors import EnvError, EnvFailed, EpisodeLost
from edgerl.types import Array, TimeStep

MOST_REWARD = float(np.finfo(np.float32).max)  # a row holds a reward as float32
OURS = str(Path(__file__).parents[1]) + os.sep
STANDARD = (sysconfig.get_path("stdlib") + os.sep, "<frozen ")
INSTALLED = ("site-packages", "dist-packages")
LOST, BETWEEN = "door:lost", "door:between"  # values of a state that the door itself makes


class Door:
    """An environment, and the one place where all that it gives is checked and converted.

    `make`: makes the environment of a suite, or the user's; `rng`: all that it draws from; `called`: its name on the
    command line. `env`: what was made, or the `Resumable` around it; `notes`: what the user should know, a line each;
    `most_steps`: agent steps after which it truncates an episode itself, None if that is not known.

    Raises EnvError if it cannot be made or is no environment. After that whatever it raises is an EnvFailed, and so is
    a value that cannot be used: a window of another dtype or shape than the spec's, a reward that is no finite float32,
    a flag that is neither true nor false.
    """

    def __init__(self, make: Callable[[], Any], rng: np.random.Generator, called: str) -> None:
        self.rng = rng
        self._make, self._called = make, called
        self.open()

    def open(self) -> None:
        """Make the environment, again if it was closed; reset or restore it then. Raises EnvError."""
        self._failed, self._closed, self._between, env = False, False, True, None
        self._workdir = Workdir()
        try:
            with self._workdir.within():
                env = self._make()
                if (wrong := fault(env)) is not None:
                    raise EnvError(f"--env: {self._called!r} {wrong}")
                self._take(env)
        except KeyboardInterrupt:
            raise
        except EnvError as error:
            self._close_quietly(env)
            raise EnvError(f"{error}{place(error.__cause__, libraries=False)}") from error
        except BaseException as error:
            self._close_quietly(env)
            raise EnvError(f"--env: {self._called!r} cannot be loaded: {reason(error)}{place(error)}") from error

    def _take(self, env: Any) -> None:
        """Read what stays of a whole environment. One that cannot save its state is played again at a resume."""
        self.spec, self.interface = env.spec.plain(), interface(env)
        self.actions = self.spec.actions
        self.most_steps: int | None = getattr(env, "most_steps", None)
        name, self.notes = getattr(env, "name", None), list[str]()
        self.name: str = name if isinstance(name, str) else self._called
        if not isinstance(name, str):
            self.notes.append(f"{self.name}: the environment has no name of its own; --env names it")
        self._window, self._shape = env.window, (self.spec.history, *self.spec.frame)
        saves_itself = hasattr(env, "state") and hasattr(env, "restore")
        self.env = env if saves_itself else Resumable(env, self.rng, self.name)

    @property
    def window(self) -> Array:
        """The window to act on, uint8 [history, *frame], as the last reset or step returned it."""
        window: Array = self._window
        return window

    def reset(self) -> TimeStep:
        """Begin an episode. After one that could not begin, the generator is as it was before."""
        before = self.rng.bit_generator.state
        try:
            begun = self._checked(self._call("reset", self.env.reset), "reset")
        except EnvFailed:
            self.rng.bit_generator.state = before
            raise
        self._between = False
        return begun

    def step(self, action: Any) -> TimeStep:
        """Act; a vector is the environment's to write into. After a step that failed, another episode must begin."""
        self._between = True
        given = action.copy() if isinstance(action, np.ndarray) else action
        timestep = self._checked(self._call("step", lambda: self.env.step(given)), "step")
        has_ended = timestep.terminated or timestep.truncated
        if timestep.over and not has_ended:
            raise self._refusal("over is True, but neither terminated nor truncated is: a game ends with its episode")
        self._between = has_ended
        return timestep

    def render(self) -> Array:
        """The screen as people see it; who shows it checks that it is a picture."""
        screen: Array = self._call("render", lambda: self.env.render())
        return screen

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All that determines what follows; of an environment that has failed and cannot say it, that it is lost.

        Between two episodes nothing is played again at a resume: the generator says all.
        """
        if self._between and isinstance(self.env, Resumable):
            return {"window": self.window}, {BETWEEN: True, "rng": self.rng.bit_generator.state}
        has_failed = self._failed
        try:
            arrays, values = self._call("state", lambda: _whole_state(self.env))
        except EnvFailed as error:
            if not has_failed:
                raise
            return {"window": self.window}, {LOST: str(error), "rng": self.rng.bit_generator.state}
        return {"window": self.window} | arrays, values

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        """Go on from what `state` gave. Raises EpisodeLost if that cannot be done; the window is undefined then."""
        if LOST in values or BETWEEN in values:
            self.rng.bit_generator.state, self._window = values["rng"], np.array(arrays["window"])
            if LOST in values:
                raise EpisodeLost(values[LOST])
            return
        self._call("restore", lambda: self.env.restore(arrays, values))
        self._window = self._checked_window(self._call("window", lambda: self.env.window))
        self._between = False

    def close(self) -> None:
        """Let go of all that the environment holds; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._failed:
            self._close_quietly(self.env)  # its first failure says more
            return
        self._call("close", lambda: callables.close(self.env))

    @contextmanager
    def drawing_from(self, rng: np.random.Generator) -> Iterator[None]:
        """Within, the environment draws what `rng` would draw; its own generator is left as it was."""
        own, self.rng.bit_generator.state = self.rng.bit_generator.state, rng.bit_generator.state
        try:
            yield
        finally:
            self.rng.bit_generator.state = own

    def _checked(self, returned: Any, method: str) -> TimeStep:
        """What `reset` or `step` gave, as a TimeStep of a uint8 window, a float and three bools."""
        if not isinstance(returned, TimeStep):
            fields = ", ".join(TimeStep._fields)
            raise self._refusal(f"{method}() gave {in_words(returned)}, not a TimeStep({fields})")
        window, reward, terminated, truncated, over = returned
        self._window = self._checked_window(window)
        right_types = type(reward) is float and type(terminated) is type(truncated) is type(over) is bool
        if right_types and -MOST_REWARD <= reward <= MOST_REWARD:
            return returned
        return TimeStep(
            window,
            self._reward(reward),
            self._flag(terminated, "terminated"),
            self._flag(truncated, "truncated"),
            self._flag(over, "over"),
        )

    def _checked_window(self, window: Any) -> Array:
        if (wrong := window_fault(window, self._shape)) is not None:
            raise self._refusal(wrong)
        checked: Array = window
        return checked

    def _reward(self, value: Any) -> float:
        number = as_number(value)
        if number is None or not -MOST_REWARD <= number <= MOST_REWARD:
            raise self._refusal(f"the reward is {reprlib.repr(value)}; allowed is a number that float32 holds")
        return number

    def _flag(self, value: Any, name: str) -> bool:
        number = as_number(value)
        if number not in (0.0, 1.0):
            raise self._refusal(f"{name} is {reprlib.repr(value)}; allowed is True or False")
        return bool(number)

    def _call(self, method: str, call: Callable[[], Any]) -> Any:
        """What a call of the environment gives. Whatever that raises is an EnvFailed, but for Ctrl-C.

        No context manager: it would take as long as all the rest, and let StopIteration pass.
        """
        before = self._workdir.enter()
        try:
            try:
                return call()
            finally:
                self._workdir.leave(before)
        except (KeyboardInterrupt, EpisodeLost):
            raise
        except BaseException as error:
            raise self._refusal(f"{method}() raised {reason(error)}{place(error)}") from error

    def _close_quietly(self, env: Any) -> None:
        with self._workdir.within(), suppress(Exception, SystemExit):
            callables.close(env)

    def _refusal(self, what: str) -> EnvFailed:
        self._failed = True
        return EnvFailed(f"{self.name} failed: {' '.join(what.split())}")


def place(error: BaseException | None, *, libraries: bool = True) -> str:
    """Where in the user's own file an error was raised, " (file, line N)"; "" if nowhere.

    With `libraries`, the place in a library's file if there is none in the user's.
    """
    frames = [] if error is None else walk_tb(error.__traceback__)
    places = [(frame.f_code.co_filename, line) for frame, line in frames]
    foreign = [where for where in places if not where[0].startswith((OURS, *STANDARD))]
    own = [where for where in foreign if not any(folder in where[0] for folder in INSTALLED)]
    if not own and not (libraries and foreign):
        return ""
    file, line = (own or foreign)[-1]
    return f" ({file.removeprefix(f'{here()}{os.sep}')}, line {line})"


def _whole_state(env: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """The state of an environment; raises TypeError or ValueError for one that a checkpoint cannot hold."""
    arrays, values = env.state()
    if not all(isinstance(name, str) and isinstance(array, np.ndarray) for name, array in arrays.items()):
        raise TypeError("the first part of a state holds arrays by name")
    for name, array in arrays.items():
        kind = array.dtype
        if kind.kind not in "biuf" or kind.itemsize > 8 or not kind.isnative:
            raise TypeError(f"{name} of a state is {kind}; a checkpoint holds numbers of 64 bits at most, and booleans")
    json.dumps(values, allow_nan=False)
    if not isinstance(values, dict) or not _has_text_keys(values):
        raise TypeError("the second part of a state holds values by name; names are text, within it too")
    return arrays, values


def _has_text_keys(value: Any) -> bool:
    """Whether all keys of a value for JSON are text: others come back as text."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _has_text_keys(part) for key, part in value.items())
    return not isinstance(value, list | tuple) or all(map(_has_text_keys, value))
