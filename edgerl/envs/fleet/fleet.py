"""Several environments of one name that act at once, each in a process of its own (ale-py holds the GIL)."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from edgerl import plugins
from edgerl.envs import suites
from edgerl.envs.base import EnvOptions
from edgerl.envs.fleet.remote import Remote
from edgerl.envs.outside import callables
from edgerl.errors import EnvError, EnvFailed, EpisodeLost
from edgerl.types import Array, TimeStep
from memory_budget import rss_bytes, tree_bytes


class Fleet:
    """`count` environments of that name, with generators of their own that are spawned from `rng`.

    `remotes`: the environments; `scores`: of their current games; `between`: which are reset before their next step.
    Raises EnvError if one cannot be made; after that one that fails raises EnvFailed, which names it.
    """

    def __init__(self, name: str, options: EnvOptions, count: int, rng: np.random.Generator) -> None:
        if is_single(name):
            raise EnvError(f"--envs: {name} is one environment; name a callable, which makes as many as are asked for")
        self._named, self._options, self._rngs = suites.canonical_name(name), options, rng.spawn(count)
        self.open()
        first = self.remotes[0]
        self.name, self.spec, self.actions, self.notes = first.name, first.spec, first.spec.actions, first.notes

    def open(self) -> None:
        """Make the environments, again if they were closed; reset or restore them then. Raises EnvError."""
        count = len(self._rngs)
        self.scores, self.between = [0.0] * count, [True] * count
        self.remotes: list[Remote] = []
        self._closed, self._nbytes = False, 0
        try:
            for place, rng in enumerate(self._rngs):
                called = f"environment {place} of {count}"
                self.remotes.append(Remote(self._named, self._options, rng, called))
            self._all(Remote.answer_made)
            first = self.remotes[0].spec
            for other in self.remotes:
                if other.spec != first:
                    raise EnvError(f"--envs: {other.called} has {other.spec}, the first {first}")
        except BaseException:
            with suppress(EnvFailed):
                self.close()
            raise

    def __len__(self) -> int:
        return len(self.remotes)

    @property
    def sees(self) -> str | None:
        """What the agent sees, in one line."""
        return self.remotes[0].sees

    @property
    def window(self) -> Array:
        """The window of the first, uint8 [history, *frame]."""
        return self.remotes[0].window

    @property
    def windows(self) -> Array:
        """The windows to act on, uint8 [N, history, *frame]."""
        return np.stack([remote.window for remote in self.remotes])

    def reset(self) -> None:
        """Begin an episode in every environment."""
        self.between = [True] * len(self)
        self.begin()

    def begin(self) -> None:
        """Begin an episode in every environment that is between two."""
        waiting = [remote for remote, is_between in zip(self.remotes, self.between, strict=True) if is_between]
        for remote in waiting:
            remote.ask_reset()
        self._all(Remote.answer_window, waiting)
        self.between = [False] * len(self)

    def step(self, actions: Iterable[Any]) -> list[TimeStep]:
        """Act in all at once. Where one fails, the episodes of all are over: they may stand anywhere now."""
        for remote, action in zip(self.remotes, actions, strict=True):
            remote.ask_step(action)
        try:
            timesteps = self._all(Remote.answer_step)
        except EnvFailed:
            self.end_episodes()
            raise
        for place, timestep in enumerate(timesteps):
            self.scores[place] += timestep.reward
            self.between[place] = timestep.terminated or timestep.truncated
        return timesteps

    def end_episodes(self) -> None:
        """The episodes under way end here; the next step begins others."""
        self.scores, self.between = [0.0] * len(self), [True] * len(self)

    def take_score(self, place: int) -> float:
        """The score of the game that has ended there; the next one begins with 0."""
        score, self.scores[place] = self.scores[place], 0.0
        return score

    @property
    def nbytes(self) -> int:
        """Bytes that their processes hold beside this one's; of closed ones, as last asked."""
        if not self._closed:
            self._nbytes = max(0, tree_bytes() - rss_bytes())
        return self._nbytes

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All that determines what follows: arrays by place and name, and plain values."""
        for remote in self.remotes:
            remote.ask_state()
        own = self._all(Remote.answer_state)
        arrays = {f"{place}.{name}": array for place, state in enumerate(own) for name, array in state.arrays.items()}
        values = {"environments": [state.values for state in own], "scores": self.scores, "between": self.between}
        return arrays, values

    def restore(self, arrays: dict[str, Array], values: dict[str, Any]) -> dict[int, str]:
        """Go on from what `state` gave. Returns the places of lost episodes, and why: they end where they stood."""
        self.scores, self.between = list(values["scores"]), list(values["between"])
        for place, (remote, own) in enumerate(zip(self.remotes, values["environments"], strict=True)):
            prefix = f"{place}."
            named = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            remote.ask_restore(named, own)
        lost = {}

        def restored(remote: Remote) -> None:
            try:
                remote.answer_window()
            except EpisodeLost as error:
                place = self.remotes.index(remote)
                if not self.between[place]:
                    lost[place], self.scores[place], self.between[place] = str(error), 0.0, True

        self._all(restored)
        return lost

    def close(self) -> None:
        """Close all environments and end their processes; raises EnvFailed, the first, if some fail at that."""
        self._closed = True
        self._all(Remote.close)

    def _all(self, answer: Callable[[Remote], Any], remotes: list[Remote] | None = None) -> list[Any]:
        """The answers of the environments (None: of all), in their order; raises the first error once all are in."""
        answers, errors = [], list[Exception]()
        for remote in self.remotes if remotes is None else remotes:
            try:
                answers.append(answer(remote))
            except (EnvError, EnvFailed) as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return answers


def is_single(name: str) -> bool:
    """Whether that is a Gymnasium environment that the user made itself, of which there is one."""
    if suites.suite_of(name) != "custom":
        return False
    try:
        return callables.is_gym(plugins.load(name))
    except Exception:  # a user's module may raise anything; it is told where the environment is made
        return False
