"""What the ring's rows mean: episodes, stacked windows, n-step returns; and the move from pixels to latents.

Row t holds (o_t, a_t, r_{t+1}, whether the episode terminated there); o_{t+1} is read from the next row. An episode
that is truncated adds one row with its last observation only. Every array here is a view into the ring's arena.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgerl.representation import Field, Representation
from edgerl.sampling import SAMPLERS, Sampler
from edgerl.types import Array, Batch
from memory_budget.ring import Ring, padded

FIRST, TERMINAL, LAST = 1, 2, 4  # flags: starts an episode; terminated after it; only the truncated end's observation
CHUNK = 32  # windows encoded at a time: ONNX Runtime takes 6.7 MB for 32 stacked Atari frames, 56 MB for 256


def row_dtype(field: Field, action: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of one stored step, given the field of its representation."""
    return padded([("reward", np.float32, ()), ("action", action, ()), ("flags", np.uint8, ()), field])


class Replay:
    """n-step replay over one ring of exactly `budget` bytes; `sampling`: a name of `sampling.SAMPLERS`."""

    def __init__(
        self,
        budget: int,
        representation: Representation,
        action: np.dtype[Any],
        *,
        n_step: int,
        gamma: float,
        omega: float = 0.0,
        rng: np.random.Generator,
        sampling: str = "prioritized",
    ) -> None:
        self.representation, self.action = representation, action
        self.n_step, self.gamma = n_step, gamma
        sampler = SAMPLERS[sampling]
        self.ring = Ring(budget, row_dtype(representation.field, action), sampler.index_bytes)
        self.sampler: Sampler = sampler(self.ring.index, self.ring.capacity, omega, rng)
        self._starting = True  # the next row is its episode's first
        self._floor = 0  # rows below this number lost part of their history to the ring before a transcode

    def __len__(self) -> int:
        return self.ring.size

    @property
    def capacity(self) -> int:
        return self.ring.capacity

    def append(self, stored: Array, action: Array | int, reward: float, *, terminated: bool) -> None:
        """Store one step: what `representation.observe` gave to store, and what acting on it brought."""
        flags = FIRST * self._starting | TERMINAL * terminated
        self._write(stored, action, reward, flags)
        self._starting = terminated

    def truncate(self, stored: Array) -> None:
        """The episode was cut off here: store its last observation, so that the rows before can bootstrap from it."""
        self._write(stored, 0, 0.0, FIRST * self._starting | LAST)
        self._starting = True

    def _write(self, stored: Array, action: Array | int, reward: float, flags: int) -> None:
        slot = self.ring.advance()
        rows = self.ring.rows
        rows["reward"][slot], rows["action"][slot], rows["flags"][slot] = reward, action, flags
        rows["obs"][slot] = stored
        self.sampler.add(slot, startable=not flags & LAST)

    @property
    def startable(self) -> tuple[int, int]:
        """Row numbers [from, to) that can start a window: whole stack behind, n steps ahead, by age alone."""
        ring = self.ring
        behind = ring.oldest + (self.representation.history - 1 if ring.wrapped else 0)
        return max(behind, self._floor), ring.head - self.n_step

    def sample(self, count: int, beta: float) -> Batch:
        """A batch of `count` n-step windows, with importance weights at exponent `beta`.

        Raises RuntimeError where the replay holds no window yet.
        """
        ring = self.ring
        low, high = self.startable
        if high <= low:
            raise RuntimeError(f"the replay's {ring.size} rows hold no window of {self.n_step} steps yet")

        def startable(slots: Array) -> Array:
            numbers = self._numbers(slots)
            valid: Array = (numbers >= low) & (numbers < high) & ((ring.rows["flags"][slots] & LAST) == 0)
            return valid

        slots, weight = self.sampler.draw(count, ring.size, beta, startable)
        return self.batch(self._numbers(slots), weight)

    def batch(self, numbers: Array, weight: Array) -> Batch:
        """The n-step windows that start at these row numbers [B]."""
        returns, discount, length = self._look_ahead(numbers)
        both = self.observations(np.concatenate([numbers, numbers + length]))
        slots = numbers % self.capacity
        count = len(numbers)
        return Batch(both[:count], self.ring.rows["action"][slots], returns, discount, both[count:], weight, slots)

    def _numbers(self, slots: Array) -> Array:
        """The row number in each slot: the only one in [oldest, oldest + capacity) that lies there."""
        oldest = self.ring.oldest
        return oldest + (slots - oldest) % self.capacity

    def prioritize(self, slots: Array, losses: Array) -> None:
        """Set the priorities of a batch's `index` from its losses, both [B]."""
        self.sampler.update(slots, losses)

    def _look_ahead(self, numbers: Array) -> tuple[Array, Array, Array]:
        """n-step returns sum_k gamma^k r, their discounts and lengths, each [B]."""
        steps = np.arange(self.n_step)
        slots = (numbers[:, None] + np.arange(self.n_step + 1)) % self.capacity
        flags, rewards = self.ring.rows["flags"][slots], self.ring.rows["reward"][slots[:, :-1]]
        terminal = (flags[:, :-1] & TERMINAL) != 0
        ends = terminal | ((flags[:, 1:] & LAST) != 0)
        length = np.where(ends.any(axis=1), ends.argmax(axis=1) + 1, self.n_step)
        returns = np.where(steps < length[:, None], rewards, 0.0) @ (self.gamma**steps)
        terminated = terminal[np.arange(len(numbers)), length - 1]
        discount = np.where(terminated, 0.0, self.gamma**length)
        return returns.astype(np.float32), discount.astype(np.float32), length

    def observations(self, numbers: Array) -> Array:
        """The observations of these row numbers [B], as the representation reads them."""
        history = self.representation.history
        slots = (numbers[:, None] - np.arange(history - 1, -1, -1)) % self.capacity
        present = _present((self.ring.rows["flags"][slots] & FIRST) != 0)
        return self.representation.read(self.ring.rows["obs"], slots, present)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """The rows present and their priorities (views of the arena), and plain values."""
        size = self.ring.size
        raw = {"rows": self.ring.rows[:size], "priorities": self.sampler.priorities()[:size]}
        values: dict[str, Any] = {"head": self.ring.head, "starting": self._starting, "floor": self._floor}
        values |= {"size": size, "largest": self.sampler.largest, "rng": self.sampler.rng.bit_generator.state}
        return raw, values

    def restore(self, values: dict[str, Any], read: Callable[[str, Array], None]) -> None:
        """Take over what `state` gave; `read` fills an array of the arena from the saved one of that name."""
        ring = self.ring
        ring.head, ring.size = values["head"], values["size"]
        self._starting, self._floor = values["starting"], values["floor"]
        self.sampler.largest, self.sampler.rng.bit_generator.state = values["largest"], values["rng"]
        raw = self.state()[0]
        read("rows", raw["rows"])
        read("priorities", raw["priorities"])
        self.sampler.sum()

    def transcode(self, representation: Representation) -> None:
        """Turn every row into `representation`'s, in place; order, episodes and priorities stay (DESIGN: the freeze).

        A representation that stores the same field changes no row. Beyond the arena this takes the leaf priorities
        (8 bytes a row) and one chunk. A ring that had wrapped lost part of its oldest rows' history: those are kept but
        never start a window.
        """
        if representation.field == self.representation.field:
            self.representation = representation
            return
        ring, old, history = self.ring, self.representation, self.representation.history
        priorities, turn = self.sampler.priorities()[: ring.size].copy(), 0
        if ring.wrapped:
            turn = ring.head % ring.capacity
            self._floor = history - 1
        row = row_dtype(representation.field, self.action)
        before = np.arange(-(history - 1), 0) % ring.capacity
        carried, done = ring.rows[before].copy(), 0

        def convert(block: Array) -> Array:
            nonlocal carried, done
            rows = np.concatenate([carried, block])
            slots = np.arange(len(block))[:, None] + np.arange(history)
            first = (rows["flags"] & FIRST) != 0
            if done <= turn < done + len(block):  # the oldest row: what lies before it is newer
                first[history - 1 + turn - done] = True
            new = np.zeros(len(block), row)
            for name in ("reward", "action", "flags"):
                new[name] = block[name]
            new["obs"] = representation.convert(old.read(rows["obs"], slots, _present(first[slots])))
            carried, done = rows[len(block) :], done + len(block)
            return new

        ring.transcode(row, convert, max(1, CHUNK // representation.views))
        self.sampler.place(ring.index, ring.capacity, np.roll(priorities, -turn))
        self.representation = representation


def _present(first: Array) -> Array:
    """Which rows of windows [B, history] belong to the newest row's episode, from which of them start one."""
    starts_after = np.zeros(first.shape, bool)
    starts_after[:, :-1] = first[:, :0:-1].cumsum(axis=1)[:, ::-1] > 0
    return ~starts_after
