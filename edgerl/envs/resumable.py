"""Resume an environment that cannot save its state, from its generator as the episode began and the actions since."""

import copy
import math
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from edgerl.envs.base import interface
from edgerl.envs.outside import callables
from edgerl.envs.simulator import as_number
from edgerl.errors import EpisodeLost
from edgerl.types import Array, TimeStep

LONGEST = 27_000  # agent steps of an episode, if nothing else limits it: as many as an Atari game has, 108,000 frames


class Resumable:
    """`env`, with a state made of the last reset and the actions since. `rng`: the only generator `env` draws from.

    Restoring plays the episode again. It raises EpisodeLost if that leads to another window or another sum of rewards,
    or ends the episode, or if it was longer than LONGEST: its later actions are not kept. An `env` whose frames are
    costly may have `unseen()`, a context in which it draws none: then only the last frame is drawn and compared, and
    all of them only if that is another.
    """

    def __init__(self, env: Any, rng: np.random.Generator, name: str) -> None:
        self.env, self.rng = env, rng
        self.name, self.spec, self.actions = getattr(env, "name", name), env.spec, env.actions
        self.interface = interface(env)
        self._kind = self.spec.action
        self._began = rng.bit_generator.state
        self._taken = bytearray()  # the actions since, as rows of the replay hold them
        self._rewards = 0.0  # their sum

    @property
    def window(self) -> Array:
        window: Array = self.env.window
        return window

    def reset(self) -> TimeStep:
        began = copy.deepcopy(self.rng.bit_generator.state)
        timestep: TimeStep = self.env.reset()
        self._began, self._taken, self._rewards = began, bytearray(), 0.0
        return timestep

    def step(self, action: Any) -> TimeStep:
        taken = np.asarray(action, self._kind.base).tobytes()  # before the step: `env` may write into its action
        timestep: TimeStep = self.env.step(action)
        if not self._too_long:
            self._taken += taken  # only if the step did not fail: a resume would fail there too
        if isinstance(timestep, TimeStep):
            self._rewards += as_number(timestep.reward) or 0.0
        return timestep

    @property
    def _too_long(self) -> bool:
        return len(self._taken) > LONGEST * int(self._kind.itemsize)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """The generator at the last reset, the actions since, and what they have led to: window and sum of rewards."""
        taken = np.frombuffer(b"" if self._too_long else bytes(self._taken), self._kind.base)
        values = {"began": self._began, "rng": self.rng.bit_generator.state, "too_long": self._too_long}
        values |= {"rewards": self._rewards}
        return {"window": self.window, "taken": taken.reshape(-1, *self._kind.shape)}, values

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> None:
        if values.get("too_long"):  # older checkpoints lack it
            self.rng.bit_generator.state = values["rng"]
            raise EpisodeLost(f"it had more than {LONGEST:,} steps, and no more are played again")
        unseen = getattr(self.env, "unseen", None)
        if unseen is not None and self._play_again(arrays, values, unseen(), drawn=False):
            return
        # Drawing changes some simulators: LunarLander's sparks grow older.
        if not self._play_again(arrays, values, nullcontext(), drawn=True):
            raise EpisodeLost("playing it again led elsewhere")

    def _play_again(
        self, arrays: dict[str, Array], values: dict[str, Any], context: AbstractContextManager[None], *, drawn: bool
    ) -> bool:
        """Play the episode again, all but its last step within the context; returns whether that led to the same.

        `drawn`: whether all frames of the window are; else the last is compared, and the others are taken.
        """
        self.rng.bit_generator.state = values["began"]
        taken = arrays["taken"] if self._kind.shape else arrays["taken"].tolist()
        *before, last = [self.reset, *(partial(self.step, action) for action in taken)]
        try:
            with context:
                ended = any(_ends(play()) for play in before)
            ended = _ends(last()) or ended
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a user's environment may raise anything
            raise EpisodeLost(f"playing it again failed: {error}") from error
        finally:
            led, self.rng.bit_generator.state = self.rng.bit_generator.state, values["rng"]
        if not drawn and np.array_equal(self.window[-1], arrays["window"][-1]):
            self.window[:] = arrays["window"]
        rewards = values.get("rewards", self._rewards)  # older checkpoints lack it
        same_rewards = math.isclose(self._rewards, rewards, rel_tol=1e-6, abs_tol=1e-9)  # rounded elsewhere, perhaps
        same_window = np.array_equal(self.window, arrays["window"])
        return bool(led == values["rng"] and same_window and same_rewards and not ended)

    def render(self) -> Array:
        screen: Array = self.env.render()
        return screen

    def close(self) -> None:
        callables.close(self.env)


def _ends(timestep: TimeStep) -> bool:
    return bool(timestep.terminated or timestep.truncated)
