"""The meaning of the ring's rows: episodes, stacked windows, n-step returns; and the move from pixels to latents.

Row t holds (o_t, a_t, r_{t+1}, whether the episode terminated there); o_{t+1} is read from the next row. An episode
that is truncated adds one row with its last observation only. Every array here is a view into the ring's arena.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgerl.replay.diagnosis import Diagnosis
from edgerl.replay.representation import CHUNK, Representation
from edgerl.replay.sampling import SAMPLERS, Sampler
from edgerl.types import Array, Batch
from memory_budget.changes import Span
from memory_budget.packed import PackedRing
from memory_budget.ring import Ring, padded
from memory_budget.rows import Field, IndexBytes, Rows

# Flags of a row: an episode starts here; it terminated after this step; only the last observation of a truncated one.
FIRST, TERMINAL, LAST = 1, 2, 4


def step_columns(action: np.dtype[Any]) -> list[Field]:
    """The columns of a step beside its observation."""
    return [("reward", np.float32, ()), ("action", action.base, action.shape), ("flags", np.uint8, ())]


def row_dtype(field: Field, action: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of one stored step, given the field of its representation."""
    return padded([*step_columns(action), field])


class Replay:
    """n-step replay over one ring of exactly `budget` bytes; `sampling`: a name of `sampling.SAMPLERS`.

    `action`: the dtype of one action; `arena`: the bytes to lie in, uint8 [budget], made here if None.
    """

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
        arena: Array | None = None,
    ) -> None:
        self.representation, self.action = representation, action
        self.n_step, self.gamma, self.sampling = n_step, gamma, sampling
        kind = SAMPLERS[sampling]
        self.ring: Rows
        if representation.codec == "lz4":
            columns = [*kind.leaf, *step_columns(action)]
            self.ring = PackedRing(budget, columns, representation.field[2], kind.upper_bytes, arena)
        else:
            self.ring = Ring(budget, row_dtype(representation.field, action), kind.index_bytes, arena)
        leaves = self.ring.rows["priority"] if kind.leaf and self.ring.leaves_in_rows else None
        self.sampler: Sampler = kind(self.ring.index, self.ring.max_rows, omega, rng, leaves)
        self._starting = True  # the next row is its episode's first
        self._floor = 0  # rows below this number lost part of their history before a transcode
        self._diagnosis = Diagnosis(self.ring.max_rows)

    def __len__(self) -> int:
        return self.ring.size

    @property
    def capacity(self) -> int:
        return self.ring.capacity

    @property
    def nbytes(self) -> int:
        """Bytes of the ring, free space included."""
        return self.ring.arena.nbytes

    @property
    def rng(self) -> np.random.Generator:
        """What draws batches, and the crops of a frozen stem."""
        return self.sampler.rng

    @property
    def bytes_per_row(self) -> int:
        """Bytes of a row, the index aside; the mean of the rows present if their size varies."""
        return self.ring.bytes_per_row

    def look(self, n_step: int, gamma: float) -> None:
        """Change how far returns look, from the next batch on: nothing that is stored depends on it."""
        self.n_step, self.gamma = n_step, gamma

    def room_for(self, representation: Representation) -> int:
        """How many of the newest rows `transcode` to this representation could keep."""
        return self.ring.room(*self._layout(representation))

    def _layout(self, representation: Representation) -> tuple[np.dtype[Any], IndexBytes]:
        """The row dtype of this representation, and the bytes that sampler and scales take for n rows."""
        kind, scales = SAMPLERS[self.sampling], representation.scales
        beside = scales.table.nbytes if scales else 0
        return row_dtype(representation.field, self.action), lambda rows: kind.index_bytes(rows) + beside

    def append(self, stored: Array, action: Array | int, reward: float, *, terminated: bool) -> None:
        """Store one step: what `representation.observe` gave to store, the action, and the reward that followed."""
        flags = FIRST * self._starting | TERMINAL * terminated
        self._write(stored, action, reward, flags)
        self._starting = terminated

    def truncate(self, stored: Array) -> None:
        """The episode was cut off here: store its last observation, so that the rows before can bootstrap from it."""
        self._write(stored, 0, 0.0, FIRST * self._starting | LAST)
        self._starting = True

    def _write(self, stored: Array, action: Array | int, reward: float, flags: int) -> None:
        slot = self.ring.append(stored, self.sampler.remove, reward=reward, action=action, flags=flags)
        self.sampler.add(slot, startable=not flags & LAST)

    @property
    def startable(self) -> tuple[int, int]:
        """Row numbers [from, to) that can start a window, by age alone: with a whole stack and n steps ahead."""
        ring = self.ring
        behind = ring.oldest + (self.representation.history - 1 if ring.wrapped else 0)
        return max(behind, self._floor), ring.head - self.n_step

    def starting(self) -> Array:
        """The numbers of those rows, int64 [n]."""
        return np.arange(*self.startable)

    def newest(self, most: int) -> Array:
        """The numbers of at most `most` of the newest rows that have their history, int64 [n]."""
        return self.ring.head - np.arange(min(most, len(self) - self.representation.history)) - 1

    def spread(self, most: int) -> Array:
        """The numbers of at most `most` rows that have their history, evenly spread, int64 [n]."""
        low, high = self.startable
        return np.unique(np.linspace(low, max(low, high - 1), most).astype(np.int64))

    def sample(self, count: int, beta: float) -> Batch:
        """A batch of `count` n-step windows, with importance weights at exponent `beta`.

        Raises RuntimeError if the replay holds no window yet.
        """
        ring = self.ring
        low, high = self.startable
        if high <= low:
            raise RuntimeError(f"the replay's {ring.size} rows hold no window of {self.n_step} steps yet")
        slots, weight = self.sampler.draw(count, ring.extent, beta, self.starts)
        return self.batch(ring.numbers(slots), weight)

    def starts(self, slots: Array) -> Array:
        """Which of these slots hold a row that can start a window, bool [n]."""
        low, high = self.startable
        numbers = self.ring.numbers(slots)
        valid: Array = (numbers >= low) & (numbers < high) & ((self.ring.rows["flags"][slots] & LAST) == 0)
        return valid

    def batch(self, numbers: Array, weight: Array) -> Batch:
        """The n-step windows that start at these row numbers [B]."""
        returns, discount, length = self._look_ahead(numbers)
        both = self.observations(np.concatenate([numbers, numbers + length]))
        actions = self.ring.rows["action"][self.ring.slots(numbers)]
        count = len(numbers)
        return Batch(both[:count], actions, returns, discount, both[count:], weight, numbers)

    def prioritize(self, numbers: Array, losses: Array) -> None:
        """Set the priorities of these rows (a batch's `index`) from their losses, both [B]; `diagnose` counts them."""
        self.sampler.update(self.ring.slots(numbers), losses)
        self._diagnosis.drawn(numbers, losses, self.ring.oldest, self.ring.size)

    def diagnose(self) -> dict[str, float]:
        """Metrics of how rows are drawn and what is lost on them, since the last call (see `diagnosis`)."""
        return self._diagnosis.report(self.sampler.priorities()[: self.ring.extent])

    def _look_ahead(self, numbers: Array) -> tuple[Array, Array, Array]:
        """n-step returns sum_k gamma^k r, their discounts and lengths, each [B]."""
        steps = np.arange(self.n_step)
        slots = self.ring.slots(numbers[:, None] + np.arange(self.n_step + 1))
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
        slots = self.ring.slots(numbers[:, None] - np.arange(history - 1, -1, -1))
        present = _present((self.ring.rows["flags"][slots] & FIRST) != 0)
        return self.representation.read(self.ring.obs, slots, present)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """The ring's rows, their priorities and the scales (views of the arena), and plain values."""
        raw, values = self.ring.state()
        return raw | self._beside(), values | {
            "starting": self._starting,
            "floor": self._floor,
            "largest": self.sampler.largest,
            "diagnosis": self._diagnosis.state(),
            "rng": self.sampler.rng.bit_generator.state,
        }

    @property
    def spans(self) -> tuple[Span, ...]:
        """Those of these arrays that only new rows change, and a conversion."""
        return (self.ring.span,)

    def _beside(self) -> dict[str, Array]:
        """What lies beside the rows: their priorities, unless they are a column of the rows, and the scales."""
        arrays: dict[str, Array] = {}
        if not self.ring.leaves_in_rows:
            arrays["priorities"] = self.sampler.priorities()[: self.ring.size]
        if self.representation.scales is not None:
            arrays["scales"] = self.representation.scales.table
        return arrays

    def restore(self, values: dict[str, Any], read: Callable[[str, Array], None]) -> None:
        """Take over what `state` gave; `read` fills an array of the arena from the saved array of that name."""
        arrays = self.ring.restore(values)
        self._starting, self._floor = values["starting"], values["floor"]
        self.sampler.largest, self.sampler.rng.bit_generator.state = values["largest"], values["rng"]
        if "diagnosis" in values:  # older checkpoints lack it
            self._diagnosis.restore(values["diagnosis"])
        for name, array in (arrays | self._beside()).items():
            read(name, array)
        self.sampler.sum(self.ring.extent)

    def transcode(self, representation: Representation, progress: Callable[[int], None] = lambda rows: None) -> int:
        """Turn every row into a row of `representation`, in place; order, episodes and priorities stay.

        A representation of the same codec changes no row. Returns how many of the oldest rows were dropped for want of
        room; none are if new rows are no larger than the old. Beyond the arena this takes the leaf priorities (8 bytes
        a row; for compressed rows the heads too) and one chunk. Rows that lost part of their history to the ring are
        kept but never start a window. `progress` is told how many rows are done.
        """
        if representation.codec == self.representation.codec:
            self.representation = representation
            return 0
        ring, history, scales = self.ring, self.representation.history, representation.scales
        row, index_bytes = self._layout(representation)
        convert = _Conversion(self.representation, representation, row, progress)
        if ring.newer_first:
            first = ring.head - ring.newer_first  # the number of the first row to be converted
            before = ring.slots(np.arange(first - (history - 1), first))
            convert.begin(ring.rows["flags"][before], ring.obs[before], ring.newer_first)
        priorities, wrapped = self.sampler.priorities(), ring.wrapped
        if len(priorities):
            priorities = ring.by_age(priorities)
        self.ring, dropped = ring.transcode(row, index_bytes, convert, max(1, CHUNK // representation.views))
        if wrapped or dropped:
            self._floor = history - 1
        self.sampler.place(self.ring.index, self.ring.max_rows, priorities[dropped:])
        if scales:
            scales.move(self.ring.index[-scales.table.nbytes :])
        self.representation = representation
        self._diagnosis = Diagnosis(self.ring.max_rows, self.ring.head)
        return dropped


class _Conversion:
    """Turns blocks of successive rows into rows of another representation; remembers the frames of the last few."""

    def __init__(
        self, old: Representation, new: Representation, row: np.dtype[Any], progress: Callable[[int], None]
    ) -> None:
        self.old, self.new, self.row, self.progress = old, new, row, progress
        before = old.history - 1
        self.first, self.frames = np.zeros(before, bool), np.zeros((before, *old.field[2]), old.field[1])
        self.done, self.oldest = 0, 0

    def begin(self, flags: Array, frames: Array, oldest: int) -> None:
        """`flags`, `frames`: the rows preceding the first block; `oldest`: the oldest row's offset from the first."""
        self.first, self.frames, self.oldest = (flags & FIRST) != 0, frames, oldest

    def __call__(self, block: Array, frames: Array) -> Array:
        """The new rows of a block whose frames are [b, *frame]."""
        history, ahead = self.old.history, self.oldest - self.done
        first = np.concatenate([self.first, (block["flags"] & FIRST) != 0])
        frames = np.concatenate([self.frames, frames])
        if 0 <= ahead < len(block):  # slots before the oldest row hold newer rows
            first[history - 1 + ahead] = True
        slots = np.arange(len(block))[:, None] + np.arange(history)
        rows = np.zeros(len(block), self.row)
        for name in ("reward", "action", "flags"):
            rows[name] = block[name]
        rows["obs"] = self.new.convert(self.old.read(frames, slots, _present(first[slots])))
        self.first, self.frames, self.done = first[len(block) :], frames[len(block) :], self.done + len(block)
        self.progress(self.done)
        return rows


def _present(first: Array) -> Array:
    """Which rows of windows [B, history] belong to the newest row's episode; `first`: which rows start an episode."""
    starts_after = np.zeros(first.shape, bool)
    starts_after[:, :-1] = first[:, :0:-1].cumsum(axis=1)[:, ::-1] > 0
    return ~starts_after
