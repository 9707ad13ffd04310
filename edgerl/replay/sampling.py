"""Which rows a batch is drawn from. A sampler's arrays lie in the bytes the ring gives it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ClassVar, Protocol

import numpy as np

from edgerl.types import Array
from memory_budget.rows import Field

FAN = 64  # rows a block, whose sum is kept: 8.13 bytes a row; a binary tree takes 16
_BLOCKS = np.int64(FAN)
# Losses below this count as this: at omega 0.5 a row with no loss at all is drawn a twentieth as often as one with the
# usual 0.04 nats, so that it is met again before it leaves the replay.
SMALLEST_LOSS = 1e-4
TRIES = 10_000  # times that rows which start no window are drawn again
PATIENCE = 20  # of these, before such rows are set aside: new ones can hold nearly all that rows weigh


def _blocks(capacity: int) -> int:
    return max(1, -(-capacity // FAN))


class Sampler(Protocol):
    """A way to sample, as the replay needs it. `largest`: the largest priority seen."""

    largest: float
    rng: np.random.Generator
    leaf: ClassVar[list[Field]]  # the column of a row, if a ring holds the sampler's leaves in its rows

    @staticmethod
    def index_bytes(capacity: int) -> int:
        """Bytes that the sampler takes for `capacity` rows."""

    @staticmethod
    def upper_bytes(capacity: int) -> int:
        """The same where the ring holds its leaves in rows."""

    def place(self, index: Array, capacity: int, priorities: Array | None = None, leaves: Array | None = None) -> None:
        """Lie in these bytes from now on (see `Prioritized.place`)."""

    def sum(self, count: int) -> None:
        """Compute anew what follows from the first `count` leaves."""

    def priorities(self) -> Array:
        """Every slot's priority, a float64 view [capacity]; [0] if rows have none."""

    def add(self, slot: int, *, startable: bool = True) -> None:
        """There is a new row in `slot`; one that is not `startable` is never drawn."""

    def remove(self, slots: Array) -> None:
        """These slots [n] hold no row any more."""

    def update(self, slots: Array, losses: Array) -> None:
        """Take the losses [n] of drawn slots [n] into account."""

    def draw(self, count: int, size: int, beta: float, valid: Callable[[Array], Array]) -> tuple[Array, Array]:
        """`count` of the first `size` slots that are `valid`, int64, and their importance weights, float32.

        Raises RuntimeError if no valid row can be found.
        """

    def mass(self, size: int) -> float:
        """What the first `size` slots weigh together."""

    def find(self, mass: Array) -> Array:
        """The slots [n] at which the running sum of what slots weigh passes the values of `mass` [n]."""

    def priorities_at(self, slots: Array) -> Array:
        """What these slots weigh, float64 [n]."""

    def setting_aside(self) -> AbstractContextManager[Callable[[Array], None]]:
        """Within, the function that is given makes slots [n] weigh nothing, if rows have priorities."""


class Uniform:
    """All rows are drawn alike: no priorities, no bytes."""

    leaf: ClassVar[list[Field]] = []

    @staticmethod
    def index_bytes(capacity: int) -> int:
        return 0

    @staticmethod
    def upper_bytes(capacity: int) -> int:
        return 0

    def __init__(
        self, index: Array, capacity: int, omega: float, rng: np.random.Generator, leaves: Array | None = None
    ) -> None:
        self.rng, self.largest = rng, 1.0

    def place(self, index: Array, capacity: int, priorities: Array | None = None, leaves: Array | None = None) -> None:
        """Nothing to do: there is nothing to lay out."""

    def sum(self, count: int) -> None:
        """Nothing to do: there is nothing to sum."""

    def priorities(self) -> Array:
        return np.zeros(0)

    def add(self, slot: int, *, startable: bool = True) -> None:
        """Nothing to do: rows are drawn by slot."""

    def remove(self, slots: Array) -> None:
        """Nothing to do: draws reject slots without a row."""

    def update(self, slots: Array, losses: Array) -> None:
        """Nothing to do: losses change nothing."""

    def mass(self, size: int) -> float:
        """What the first `size` slots weigh together: each of them 1."""
        return float(size)

    def find(self, mass: Array) -> Array:
        """The slots at which the running sum of what slots weigh passes the values of `mass`."""
        return mass.astype(np.int64)

    def priorities_at(self, slots: Array) -> Array:
        """What these slots weigh, float64 [n]."""
        return np.ones(len(slots))

    def setting_aside(self) -> AbstractContextManager[Callable[[Array], None]]:
        """Nothing to do: all rows weigh alike."""
        return nullcontext(lambda slots: None)

    def draw(self, count: int, size: int, beta: float, valid: Callable[[Array], Array]) -> tuple[Array, Array]:
        """`count` of the first `size` slots; slots that are not `valid` are drawn again. All weights are 1.

        Raises RuntimeError if no valid row can be found.
        """
        slots = self.rng.integers(size, size=count)
        for _ in range(TRIES):
            bad = ~valid(slots)
            if not bad.any():
                return slots, np.ones(count, np.float32)
            slots[bad] = self.rng.integers(size, size=int(bad.sum()))
        raise RuntimeError("no row of the replay can start a window")


class Prioritized:
    """Proportional prioritized sampling (Schaul et al. 2016) over the ring's slots.

    Priorities lie in blocks of 64. Every block has a sum, float64, which is computed anew at every change, so that no
    rounding error builds up. A running sum over the blocks finds the block, one within the block finds the row. A row's
    probability is priority / total; a priority is loss ** omega, with losses of SMALLEST_LOSS at least; new rows get
    the largest priority seen.
    """

    leaf: ClassVar[list[Field]] = [("priority", np.float64, ())]

    @staticmethod
    def index_bytes(capacity: int) -> int:
        """Bytes that priorities and sums take for `capacity` rows."""
        return 8 * (FAN + 1) * _blocks(capacity)

    @staticmethod
    def upper_bytes(capacity: int) -> int:
        """Bytes of the sums alone."""
        return 8 * _blocks(capacity)

    def __init__(
        self, index: Array, capacity: int, omega: float, rng: np.random.Generator, leaves: Array | None = None
    ) -> None:
        self.omega, self.rng = omega, rng
        self.largest = 1.0
        self.place(index, capacity, leaves=leaves)

    def place(self, index: Array, capacity: int, priorities: Array | None = None, leaves: Array | None = None) -> None:
        """Lay out priorities and sums for `capacity` slots at the front of `index` (uint8), `index_bytes` long.

        `priorities`: of the first slots; the others get 0. `leaves`: where the priorities lie, if not in `index`, which
        then takes `upper_bytes`; float64 [capacity], a whole number of blocks.
        """
        self.capacity, blocks = capacity, _blocks(capacity)
        own = blocks * FAN if leaves is None else 0
        values = index[: 8 * (own + blocks)].view(np.float64)
        values[:] = 0
        self.leaves, self.sums = (values[:own] if leaves is None else leaves).reshape(blocks, FAN), values[own:]
        if priorities is not None:
            self.leaves.reshape(-1)[: len(priorities)] = priorities
            self.sum(len(priorities))

    def sum(self, count: int) -> None:
        """Compute anew the sums of the blocks that hold the first `count` leaves."""
        blocks = -(-count // FAN)
        self.sums[:blocks] = self.leaves[:blocks].sum(axis=1)

    @property
    def total(self) -> float:
        return float(self.sums.sum())

    def mass(self, size: int) -> float:
        """The sum of all priorities; slots from `size` up are empty and have none."""
        return self.total

    def priorities(self) -> Array:
        """Every slot's priority: a float64 view [capacity]."""
        return self.leaves.reshape(-1)[: self.capacity]

    def priorities_at(self, slots: Array) -> Array:
        """The priorities of these slots, a copy, float64 [n]."""
        return self.priorities()[slots]

    def add(self, slot: int, *, startable: bool = True) -> None:
        """A new row in `slot`: the largest priority seen, or 0 for a row that must never start a window."""
        block = slot // FAN
        self.leaves[block, slot % FAN] = self.largest if startable else 0.0
        self.sums[block] = self.leaves[block].sum()

    def remove(self, slots: Array) -> None:
        """These slots hold no row any more."""
        self.set(slots, 0.0)

    def set(self, slots: Array, priorities: Array | float) -> None:
        """Give slots [n] these priorities [n]."""
        blocks = slots // _BLOCKS
        self.leaves[blocks, slots % _BLOCKS] = priorities
        self.sums[blocks] = self.leaves[blocks].sum(axis=1)

    def update(self, slots: Array, losses: Array) -> None:
        """New priorities max(loss, SMALLEST_LOSS) ** omega for the slots of a batch, both [n]."""
        priorities = np.maximum(losses.astype(np.float64), SMALLEST_LOSS) ** self.omega
        self.set(slots, priorities)
        self.largest = max(self.largest, float(priorities.max()))

    def draw(self, count: int, size: int, beta: float, valid: Callable[[Array], Array]) -> tuple[Array, Array]:
        """`count` slots, one from each of `count` equal shares of the total, and their importance weights.

        Slots that are not `valid` are drawn again. Weights are (size * probability) ** -beta over their maximum,
        float32 [count]. Raises RuntimeError if no valid row can be found.
        """
        total = self.total
        slots = self.find((np.arange(count) + self.rng.random(count)) * (total / count))
        with self.setting_aside() as set_aside:
            for tries in range(TRIES):
                bad = ~valid(slots) | (self.priorities()[slots] <= 0)
                if not bad.any():
                    break
                if tries >= PATIENCE:
                    set_aside(slots[bad])
                slots[bad] = self.find(self.rng.random(int(bad.sum())) * self.total)
            else:
                raise RuntimeError("no row of the replay can start a window")
        weights = (size / total * self.priorities()[slots]) ** -beta
        return slots, (weights / weights.max()).astype(np.float32)

    @contextmanager
    def setting_aside(self) -> Iterator[Callable[[Array], None]]:
        """Within, the function that is given makes slots [n] weigh nothing; afterwards they weigh what they did."""
        aside: list[tuple[Array, Array]] = []

        def set_aside(slots: Array) -> None:
            aside.append((slots, self.priorities_at(slots)))
            self.set(slots, 0.0)

        try:
            yield set_aside
        finally:
            for slots, priorities in reversed(aside):
                self.set(slots, priorities)

    def find(self, mass: Array) -> Array:
        """The slots at which the running sum of priorities passes the values of `mass`."""
        running = self.sums.cumsum()
        blocks = running.searchsorted(np.minimum(mass, np.nextafter(running[-1], 0)), side="right")
        blocks = np.minimum(blocks, len(running) - 1)  # if nothing has a priority
        mass = mass - np.where(blocks > 0, running[blocks - 1], 0.0)
        within = self.leaves[blocks].cumsum(axis=1)
        mass = np.minimum(mass, np.nextafter(within[:, -1], 0))  # rounding may go beyond the block's sum
        slots: Array = np.minimum(blocks * FAN + (within > mass[:, None]).argmax(axis=1), self.capacity - 1)
        return slots


SAMPLERS: dict[str, type[Uniform] | type[Prioritized]] = {"uniform": Uniform, "prioritized": Prioritized}
