"""A ring whose rows vary in length, for frames that compress: one arena, heads at its front, payloads at its back.

    |head 0|head 1| ...  ->   unused   <-  ... |payload 1|payload 0|index (the sampler's upper levels)|
    0                                                                                            budget

A head holds a row's columns and where its payload lies. Heads grow up and payloads grow down until they meet: that ends
a lap, and the next lap starts at both ends again, over the oldest rows. GROUP slots share a key frame, the first of
them; they are written and evicted together. So the number of rows depends on the content of the frames.
"""

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import numpy as np

from memory_budget import frames
from memory_budget.budget import fit_rows
from memory_budget.changes import Changes, Span
from memory_budget.packed_layout import BLOCK, layout
from memory_budget.ring import Ring, arena_of, reverse
from memory_budget.rows import Array, Convert, Dtype, Field, IndexBytes

GROUP = 16  # rows that share a key frame: 32 would save 8% of Qbert's bytes and evict twice as coarsely
REVERSE_CHUNK = 2**16  # bytes reversed at a time


class PackedRing:
    """`Rows` of `columns` and one compressed uint8 frame a row, in exactly `budget` bytes.

    A payload as long as a frame is that frame. `rows`: the heads; `obs`: decodes frames; `index`: for more rows than
    there can ever be. Raises ValueError if `budget` is not sure to hold two groups of frames.
    """

    leaves_in_rows = True

    def __init__(
        self,
        budget: int,
        columns: list[Field],
        frame: tuple[int, ...],
        index_bytes: IndexBytes,
        arena: Array | None = None,
    ) -> None:
        self.frame, self.nbytes = frame, prod(frame)
        head, self.max_rows, self.end = layout(budget, columns, self.nbytes, index_bytes)
        if self.end < 2 * BLOCK * head.itemsize + 2 * GROUP * self.nbytes:
            raise ValueError(f"{budget} bytes are not sure to hold two groups of {GROUP} frames")
        self.arena, self.changes = arena_of(budget) if arena is None else arena, Changes(budget)
        self.rows: Array = self.arena[: self.max_rows * head.itemsize].view(head)
        self.index: Array = self.arena[self.end : self.end + index_bytes(self.max_rows)]
        self.head = self.oldest = 0
        self.lap = self.previous = 0  # the numbers of the first rows of this lap and of the previous one
        self.low = self.end  # this lap's payloads lie from here up
        self.table = 0  # heads that are in use or cleared, a whole number of blocks
        self._gone: list[Array] = []  # slots of the rows evicted by this append

    @property
    def obs(self) -> "Frames":
        """The frames by slot; not kept here, as a ring that knows itself is freed late."""
        return Frames(self)

    @property
    def size(self) -> int:
        return self.head - self.oldest

    @property
    def wrapped(self) -> bool:
        """Whether rows have been evicted."""
        return self.oldest > 0

    @property
    def extent(self) -> int:
        """Slots from here up are empty."""
        return max(self.head - self.lap, self.lap - self.previous if self.oldest < self.lap else 0)

    @property
    def used(self) -> int:
        """Bytes of the rows present, heads and payloads."""
        slots = self.slots(np.arange(self.oldest, self.head))
        return self.size * self.rows.itemsize + int(self.rows["length"][slots].sum())

    @property
    def bytes_per_row(self) -> int:
        """The mean of the rows present, heads and payloads; 0 if there are none."""
        return round(self.used / max(1, self.size))

    @property
    def capacity(self) -> int:
        """How many rows fit if they take as many bytes as the rows present; not fewer than are present."""
        if not self.size:
            return self.end // (self.rows.itemsize + self.nbytes)
        return max(self.size, self.size * self.end // self.used)

    def slots(self, numbers: Array) -> Array:
        """The slots of these rows; for a number below the oldest, the slot of the oldest."""
        numbers = np.maximum(numbers, self.oldest)
        slots: Array = numbers - np.where(numbers >= self.lap, self.lap, self.previous)
        return slots

    def numbers(self, slots: Array) -> Array:
        """The row number in each slot; below `oldest` if the slot is empty."""
        numbers: Array = slots + np.where(slots < self.head - self.lap, self.lap, self.previous)
        return numbers

    @property
    def newer_first(self) -> int:
        """0: `transcode` converts rows in the order of time."""
        return 0

    def by_age(self, values: Array) -> Array:
        """The values of the rows present, oldest first (a copy), from `values` by slot."""
        ordered: Array = values[self.slots(np.arange(self.oldest, self.head))]
        return ordered

    def append(self, obs: Array, evicted: Callable[[Array], None] | None = None, **columns: Any) -> int:
        """Store a row; returns its slot.

        `evicted` is called with the slots that lost their rows to make room, [n], before anything is written there.
        """
        frame = frames.pixel_by_pixel(obs).tobytes()
        self._gone = []
        while True:
            slot = self.head - self.lap
            payload = self._encode(frame, slot)
            if self._make_room(slot, len(payload)):
                break
            self.previous, self.lap, self.low = self.lap, self.head, self.end
        if evicted is not None and self._gone:
            evicted(np.concatenate(self._gone))
        self.low -= len(payload)
        self.arena[self.low : self.low + len(payload)] = np.frombuffer(payload, np.uint8)
        self.changes.note(self.low, self.low + len(payload))
        row = self.rows[slot]
        for name, value in columns.items():
            row[name] = value
        row["start"], row["length"] = self.low, len(payload)
        self.head += 1
        return slot

    def _make_room(self, slot: int, nbytes: int) -> bool:
        """Evict rows in the way of `slot` and its payload of `nbytes` bytes; False if this lap is full."""
        start = self.low - nbytes
        if slot % GROUP == 0:  # the heads of its group are about to be overwritten
            self._evict_before(self.previous + slot + GROUP)
        while self.oldest < self.lap and self._top(self.oldest) > start:
            self._evict_before(self.oldest + GROUP)
        if self.oldest < self.lap:
            return True  # below the oldest payload, in a slot of the previous lap
        table = -(-(slot + 1) // BLOCK) * BLOCK
        if table > self.max_rows or table * self.rows.itemsize > start:
            return False
        if table > self.table:
            self.rows[self.table : table] = np.zeros((), self.rows.dtype)
        self.table = table
        return True

    def _evict_before(self, number: int) -> None:
        """Evict the previous lap's rows below `number`, which ends a group or that lap."""
        number = min(number, self.lap)
        if number > self.oldest:
            self._gone.append(np.arange(self.oldest, number) - self.previous)
            self.oldest = number

    def _top(self, number: int) -> int:
        """Where the payload of a row of the previous lap ends."""
        row = self.rows[number - self.previous]
        return int(row["start"]) + int(row["length"])

    def _encode(self, frame: bytes, slot: int) -> bytes:
        """The payload of a frame to be stored in `slot`: the frame itself if lz4 does not make it shorter."""
        key_slot = slot - slot % GROUP
        payload = frames.encode(frame, self.obs.key(key_slot) if slot > key_slot else None)
        return payload if len(payload) < self.nbytes else frame

    @property
    def bottom(self) -> int:
        """Where the payloads in use begin."""
        older = int(self.rows["start"][self.lap - 1 - self.previous]) if self.oldest < self.lap else self.low
        return min(older, self.low)

    @property
    def span(self) -> Span:
        """The payloads in use, which only appending changes."""
        return Span("frames", self.arena, self.bottom, self.end, self.changes)

    def state(self) -> tuple[dict[str, Array], dict[str, int]]:
        """The heads and payloads in use (views of the arena), and where the ring stands."""
        raw = {"rows": self.rows[: self.table], "frames": self.arena[self.bottom : self.end]}
        return raw, {name: getattr(self, name) for name in ("head", "oldest", "lap", "previous", "low", "table")} | {
            "frames": len(raw["frames"]),
            "pixel_by_pixel": True,
        }

    def restore(self, values: dict[str, int]) -> dict[str, Array]:
        """Stand where `state` stood; returns the arrays to fill with what it gave.

        Raises ValueError for frames in colour of an earlier version, which had them plane by plane.
        """
        if len(self.frame) == 3 and "pixel_by_pixel" not in values:
            raise ValueError("its compressed frames in colour are of an earlier version, which ordered them otherwise")
        for name in ("head", "oldest", "lap", "previous", "low", "table"):
            setattr(self, name, values[name])
        return {"rows": self.rows[: self.table], "frames": self.arena[self.end - values["frames"] : self.end]}

    def room(self, row: Dtype, index_bytes: IndexBytes) -> int:
        """How many of the newest rows `transcode` would keep."""
        capacity = fit_rows(self.arena.nbytes, row.itemsize, index_bytes)
        numbers = np.arange(max(self.oldest, self.head - capacity), self.head)
        length = self.rows["length"][self.slots(numbers)].astype(np.int64)
        places = self.end - np.append(length[::-1].cumsum()[::-1], 0)
        return len(numbers) - max(0, int((np.arange(len(numbers) + 1) - places // row.itemsize).max()))

    def transcode(self, row: Dtype, index_bytes: IndexBytes, convert: Convert, chunk: int) -> tuple[Ring, int]:
        """Rewrite the rows as dtype `row` into a `Ring` over the same arena; this ring is of no use then.

        `convert` receives heads [b] and frames [b, *frame] in the order of time, at most `chunk` at once, and returns
        new rows. Payloads are first reversed, byte by byte, so that they lie in the order of time, the newest last; new
        rows are then written from the front, behind what has been read. If new rows would overtake what is still to be
        read, the oldest rows are left out. Returns the new ring and how many rows were left out. Beyond a chunk this
        takes copies of the heads and one key frame.
        """
        ring = Ring(self.arena.nbytes, row, index_bytes, self.arena)
        oldest = np.array([max(self.oldest, self.head - ring.capacity)])
        slots = self.slots(np.arange(int((oldest - self.slots(oldest) % GROUP)[0]), self.head))  # from a key on
        heads = self.rows[slots]
        length = heads["length"].astype(np.int64)
        places = self._reverse_payloads(slots, heads["start"].astype(np.int64), length)
        numbers = np.arange(len(slots) + 1)
        reach = np.append(places, self.end) // row.itemsize  # rows that fit below each payload
        first = max(len(slots) - ring.capacity, int((numbers - reach).max()), 0) if len(slots) else 0

        def read(n: int, key: bytes | None) -> bytes:
            """The frame of slots[n], given its key frame."""
            payload = self.arena[places[n] : places[n] + length[n]][::-1].tobytes()
            return frames.decode(payload, key, self.nbytes)

        key = read(first - slots[first] % GROUP, None) if first < len(slots) else None
        for start in range(first, len(slots), chunk):
            stop = min(start + chunk, len(slots))
            block = np.empty((stop - start, *self.frame), np.uint8)
            for n, out in zip(range(start, stop), block, strict=True):
                frame = read(n, key if slots[n] % GROUP else None)
                key = frame if slots[n] % GROUP == 0 else key
                frames.unpack(frame, out)
            ring.rows[start - first : stop - first] = convert(heads[start:stop], block)
        ring.head = ring.size = len(slots) - first
        return ring, self.size - ring.size

    def _reverse_payloads(self, slots: Array, start: Array, length: Array) -> Array:
        """Reverse the bytes of both laps' payloads; returns where the payloads of these rows (by age) lie then."""
        bottom = self.bottom
        for part in (self.arena[bottom : self.low], self.arena[self.low : self.end]):
            reverse(part, REVERSE_CHUNK)
        in_this_lap = np.arange(len(slots)) >= len(slots) - (self.head - self.lap)
        places: Array = np.where(in_this_lap, self.low + self.end, bottom + self.low) - (start + length)
        return places


class Frames:
    """The frames of a packed ring by slot, as an array [slots, *frame] would give them."""

    def __init__(self, ring: PackedRing) -> None:
        self.ring = ring

    def __getitem__(self, slots: Array) -> Array:
        """Copies of the frames in these slots, uint8 [*slots.shape, *frame]; a frame is decoded once."""
        ring = self.ring
        nbytes, arena = ring.nbytes, ring.arena.data
        distinct, first, inverse = np.unique(slots, return_index=True, return_inverse=True)

        def payloads(at: Array) -> Iterable[tuple[int, memoryview]]:
            heads = ring.rows[at]
            starts = heads["start"].astype(np.int64)
            for slot, start, end in zip(at.tolist(), starts.tolist(), (starts + heads["length"]).tolist(), strict=True):
                yield slot, arena[start:end]

        key_slots = np.unique(distinct - distinct % GROUP)
        keys = {slot: bytes(frames.decode(payload, None, nbytes)) for slot, payload in payloads(key_slots)}
        decoded = (
            frames.decode(payload, keys[slot - slot % GROUP], nbytes) if slot % GROUP else keys[slot]
            for slot, payload in payloads(distinct)
        )
        copies = frames.unpack_all(decoded, first, inverse.reshape(-1), ring.frame)
        return copies.reshape(*slots.shape, *ring.frame)

    def key(self, slot: int) -> bytes:
        """The key frame in `slot`."""
        row = self.ring.rows[slot]
        start = int(row["start"])
        return bytes(frames.decode(self.ring.arena[start : start + int(row["length"])].data, None, self.ring.nbytes))
