"""A batch drawn from several replays as from one: a row's chance is its share of what all rows weigh together."""

from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from edgerl.replay.buffer import Replay
from edgerl.replay.sampling import PATIENCE, TRIES
from edgerl.types import Array


class Share(NamedTuple):
    """What one replay gives to a batch: which replay, its slots, int64 [n], and their weights, float32 [n]."""

    replay: int
    slots: Array
    weight: Array


def draw(replays: list[Replay], count: int, beta: float, rng: np.random.Generator) -> list[Share]:
    """`count` rows that start a window, one from each of `count` equal parts of what all rows weigh.

    A row that starts none is drawn again, from all replays. Weights are (rows * probability) ** -beta over their
    maximum (Schaul et al. 2016), in which all but the priority cancels out. Raises RuntimeError if no row starts a
    window.
    """
    joined = _Joined(replays)
    owners, slots = joined.find((np.arange(count) + rng.random(count)) * (joined.total / count))
    with ExitStack() as stack:
        set_aside = [stack.enter_context(replay.sampler.setting_aside()) for replay in replays]
        for tries in range(TRIES):
            priorities = joined.priorities(owners, slots)
            again = np.flatnonzero(priorities <= 0)
            if not len(again):
                break
            if tries >= PATIENCE:
                for owner in np.unique(owners[again]).tolist():
                    set_aside[owner](slots[again][owners[again] == owner])
                joined.weigh()
            owners[again], slots[again] = joined.find(rng.random(len(again)) * joined.total)
        else:
            raise RuntimeError("no row of the replay can start a window")
    weight = priorities**-beta
    weight = (weight / weight.max()).astype(np.float32)
    chosen = [np.flatnonzero(owners == replay) for replay in range(len(replays))]
    return [Share(replay, slots[mine], weight[mine]) for replay, mine in enumerate(chosen) if len(mine)]


class _Joined:
    """Replays one behind the other; `ends`: the running sum of what their rows weigh; `total`: all of it."""

    def __init__(self, replays: list[Replay]) -> None:
        self.replays = replays
        self.weigh()

    def weigh(self) -> None:
        """Take what rows weigh now."""
        masses = np.array([replay.sampler.mass(replay.ring.extent) for replay in self.replays])
        self.ends = masses.cumsum()
        self.begins, self.total = self.ends - masses, float(self.ends[-1])

    def find(self, mass: Array) -> tuple[Array, Array]:
        """The replays and the slots at which the running sum over all rows passes the values of `mass`, both [n]."""
        owners = np.minimum(self.ends.searchsorted(mass, side="right"), len(self.replays) - 1)
        slots = np.zeros(len(mass), np.int64)
        for owner, mine in self._by_owner(owners):
            sampler, extent = self.replays[owner].sampler, self.replays[owner].ring.extent
            slots[mine] = np.clip(sampler.find(mass[mine] - self.begins[owner]), 0, max(0, extent - 1))
        return owners, slots

    def priorities(self, owners: Array, slots: Array) -> Array:
        """What these rows weigh, float64 [n]; 0 for one that starts no window."""
        priorities = np.zeros(len(slots))
        for owner, mine in self._by_owner(owners):
            replay = self.replays[owner]
            starts = replay.starts(slots[mine])
            priorities[mine] = np.where(starts, replay.sampler.priorities_at(slots[mine]), 0.0)
        return priorities

    def _by_owner(self, owners: Array) -> list[tuple[int, Any]]:
        """The replays among `owners`, and where each stands there."""
        if len(self.replays) == 1:
            return [(0, slice(None))]
        return [(owner, np.flatnonzero(owners == owner)) for owner in np.unique(owners).tolist()]
