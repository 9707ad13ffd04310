"""Which rows a batch is drawn from. A sampler's arrays lie in the bytes the ring gives it."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from edgerl.types import Array

Field = tuple[str, Any, tuple[int, ...]]
FAN = 64  # children per tree node: few levels, and 8.13 bytes a row where a binary tree takes 16
_BLOCKS = np.int64(FAN)


def _levels(capacity: int) -> list[int]:
    """Node counts from the leaves up, each a whole number of blocks; the last level is one block."""
    counts = [max(1, -(-capacity // FAN)) * FAN]
    while counts[-1] > FAN:
        counts.append(-(-(counts[-1] // FAN) // FAN) * FAN)
    return counts


class Sampler(Protocol):
    """What the replay needs of a way to sample. `largest`: the largest priority seen."""

    largest: float
    rng: np.random.Generator
    leaf: ClassVar[list[Field]]  # the column of a row, where a ring has the sampler's leaves among its rows

    @staticmethod
    def index_bytes(capacity: int) -> int: ...

    @staticmethod
    def upper_bytes(capacity: int) -> int: ...

    def place(
        self, index: Array, capacity: int, priorities: Array | None = None, leaves: Array | None = None
    ) -> None: ...

    def sum(self, count: int) -> None: ...

    def priorities(self) -> Array: ...

    def add(self, slot: int, *, startable: bool = True) -> None: ...

    def remove(self, slots: Array) -> None: ...

    def update(self, slots: Array, losses: Array) -> None: ...

    def draw(self, count: int, size: int, beta: float, valid: Callable[[Array], Array]) -> tuple[Array, Array]: ...


class Uniform:
    """Every row alike: no priorities, no bytes."""

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
        """There is nothing to lay out."""

    def sum(self, count: int) -> None:
        """There is nothing to sum."""

    def priorities(self) -> Array:
        return np.zeros(0)

    def add(self, slot: int, *, startable: bool = True) -> None:
        """Rows are found by their slots."""

    def remove(self, slots: Array) -> None:
        """What is no row any more is drawn, and turned down."""

    def update(self, slots: Array, losses: Array) -> None:
        """Losses change nothing."""

    def draw(self, count: int, size: int, beta: float, valid: Callable[[Array], Array]) -> tuple[Array, Array]:
        """`count` of the first `size` slots, those for which `valid` says no drawn again; all weights are 1.

        Raises RuntimeError where no valid row can be found.
        """
        slots = self.rng.integers(size, size=count)
        for _ in range(10_000):
            bad = ~valid(slots)
            if not bad.any():
                return slots, np.ones(count, np.float32)
            slots[bad] = self.rng.integers(size, size=int(bad.sum()))
        raise RuntimeError("no row of the replay can start a window")


class Prioritized:
    """Proportional prioritized sampling (Schaul et al. 2016) over the ring's slots.

    A sum tree with 64 children a node, float64, rebuilt from its children at every change, so that no rounding error
    builds up. Row probability is priority / total; a priority is loss ** omega; new rows get the largest seen.
    """

    leaf: ClassVar[list[Field]] = [("priority", np.float64, ())]

    @staticmethod
    def index_bytes(capacity: int) -> int:
        """Bytes the tree takes for `capacity` rows."""
        return 8 * sum(_levels(capacity))

    @staticmethod
    def upper_bytes(capacity: int) -> int:
        """Bytes it takes without its leaves."""
        return 8 * sum(_levels(capacity)[1:])

    def __init__(
        self, index: Array, capacity: int, omega: float, rng: np.random.Generator, leaves: Array | None = None
    ) -> None:
        self.omega, self.rng = omega, rng
        self.largest = 1.0
        self.place(index, capacity, leaves=leaves)

    def place(self, index: Array, capacity: int, priorities: Array | None = None, leaves: Array | None = None) -> None:
        """Lay the tree into `index` (uint8 [index_bytes]) for `capacity` slots, the first with these priorities.

        Where `leaves` (float64 [capacity], a whole number of blocks) lie elsewhere, `index` has [upper_bytes].
        """
        self.capacity = capacity
        counts = _levels(capacity)
        self.levels: list[Array] = [] if leaves is None else [leaves.reshape(-1, FAN)]
        start = 0
        for count in counts[len(self.levels) :]:
            self.levels.append(index[start : start + 8 * count].view(np.float64).reshape(-1, FAN))
            start += 8 * count
        index[:start] = 0
        if priorities is not None:
            self.levels[0].reshape(-1)[: len(priorities)] = priorities
            self.sum(len(priorities))

    def sum(self, count: int) -> None:
        """Compute every node above the first `count` leaves anew."""
        for below, above in zip(self.levels, self.levels[1:], strict=False):
            count = -(-count // FAN)
            above.reshape(-1)[:count] = below[:count].sum(axis=1)

    @property
    def total(self) -> float:
        return float(self.levels[-1].sum())

    def priorities(self) -> Array:
        """Every slot's priority: a float64 view [capacity]."""
        return self.levels[0].reshape(-1)[: self.capacity]

    def add(self, slot: int, *, startable: bool = True) -> None:
        """A new row in `slot`: the largest priority seen, or 0 for a row that must never start a window."""
        self.levels[0].reshape(-1)[slot] = self.largest if startable else 0.0
        for below, above in zip(self.levels, self.levels[1:], strict=False):
            slot //= FAN
            above.reshape(-1)[slot] = below[slot].sum()

    def remove(self, slots: Array) -> None:
        """These slots hold no row any more."""
        self.set(slots, 0.0)

    def set(self, slots: Array, priorities: Array | float) -> None:
        """Give slots [n] these priorities [n]."""
        self.levels[0].reshape(-1)[slots] = priorities
        blocks = slots
        for below, above in zip(self.levels, self.levels[1:], strict=False):
            blocks = blocks // _BLOCKS
            above.reshape(-1)[blocks] = below[blocks].sum(axis=1)

    def update(self, slots: Array, losses: Array) -> None:
        """New priorities loss ** omega for the slots of a batch, both [n]."""
        priorities = losses.astype(np.float64) ** self.omega
        self.set(slots, priorities)
        self.largest = max(self.largest, float(priorities.max()))

    def draw(self, count: int, size: int, beta: float, valid: Callable[[Array], Array]) -> tuple[Array, Array]:
        """`count` slots, one from each of `count` equal shares of the total, and their importance weights.

        Slots for which `valid` says no are drawn again. Weights are (size * probability) ** -beta over their
        maximum, float32 [count]. Raises RuntimeError where no valid row can be found.
        """
        total = self.total
        slots = self._find((np.arange(count) + self.rng.random(count)) * (total / count))
        for _ in range(10_000):
            bad = ~valid(slots) | (self.priorities()[slots] <= 0)
            if not bad.any():
                break
            slots[bad] = self._find(self.rng.random(int(bad.sum())) * total)
        else:
            raise RuntimeError("no row of the replay can start a window")
        weights = (size / total * self.priorities()[slots]) ** -beta
        return slots, (weights / weights.max()).astype(np.float32)

    def _find(self, mass: Array) -> Array:
        """The slots at which the running sum of priorities passes each value of `mass`."""
        nodes = np.zeros(len(mass), np.int64)
        for level in reversed(self.levels):
            sums = level[nodes].cumsum(axis=1)
            last = (sums < sums[:, -1:]).sum(axis=1)  # the last child that holds anything: rounding may pass it
            children = np.minimum((sums <= mass[:, None]).sum(axis=1), last)
            before = children > 0
            mass = mass - np.where(before, sums[np.arange(len(mass)), children - 1], 0.0)
            nodes = nodes * FAN + children
        return np.minimum(nodes, self.capacity - 1)


SAMPLERS: dict[str, type[Uniform] | type[Prioritized]] = {"uniform": Uniform, "prioritized": Prioritized}
