"""The replays of several environments as one: a ring for each, in equal shares of one arena; batches drawn jointly.

So neither a stack nor an n-step window can cross from one environment into another, an episode's end adds a row to one
ring alone, and a freeze converts every ring in place.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from edgerl.replay.buffer import Replay
from edgerl.replay.draw import draw
from edgerl.replay.representation import Representation
from edgerl.types import Array, Batch
from memory_budget.changes import Span

ALIGNMENT = 8  # bytes: of a share of an arena, as of the rows in it


def share(budget: int, count: int) -> int:
    """Bytes that each of `count` replays has of a budget."""
    return budget if count == 1 else budget // count // ALIGNMENT * ALIGNMENT


class Replays:
    """`replays`: of one environment each, alike in all but what they hold, with one generator and one representation.

    What it has in common with `Replay` it does for all of them together. The number of a row is its number in its own
    replay times the count of replays, plus the place of that replay.
    """

    def __init__(self, replays: list[Replay]) -> None:
        self.replays = replays

    def __len__(self) -> int:
        return sum(map(len, self.replays))

    @property
    def capacity(self) -> int:
        return sum(replay.capacity for replay in self.replays)

    @property
    def nbytes(self) -> int:
        """Bytes of all rings, free space included."""
        return sum(replay.nbytes for replay in self.replays)

    @property
    def bytes_per_row(self) -> int:
        """Bytes of a row, the index aside; the mean of the rows present if their size varies."""
        total = sum(len(replay) * replay.bytes_per_row for replay in self.replays)
        return round(total / len(self)) if len(self) else self.replays[0].bytes_per_row

    @property
    def representation(self) -> Representation:
        return self.replays[0].representation

    @property
    def rng(self) -> np.random.Generator:
        return self.replays[0].rng

    @property
    def next_number(self) -> int:
        """Every row has had a smaller number."""
        return max(replay.ring.head for replay in self.replays) * len(self.replays)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The arrays of `state` that only new rows change, and a conversion."""
        return tuple(
            replace(span, name=f"{place}.{span.name}")
            for place, replay in enumerate(self.replays)
            for span in replay.spans
        )

    def look(self, n_step: int, gamma: float) -> None:
        """Change how far returns look, from the next batch on."""
        for replay in self.replays:
            replay.look(n_step, gamma)

    def room_for(self, representation: Representation) -> int:
        """How many of the newest rows `transcode` to this representation could keep."""
        return sum(replay.room_for(representation) for replay in self.replays)

    def newest(self, most: int) -> Array:
        """The numbers of at most `most` of the newest rows that have their history, int64 [n]."""
        return self._numbers(lambda replay: replay.newest(-(-most // len(self.replays))))[:most]

    def spread(self, most: int) -> Array:
        """The numbers of at most `most` rows that have their history, spread over all of them, int64 [n]."""
        return self._numbers(lambda replay: replay.spread(-(-most // len(self.replays))))[:most]

    def starting(self) -> Array:
        """The numbers of the rows that can start a window by their age, int64 [n]."""
        return self._numbers(Replay.starting)

    def _numbers(self, chosen: Callable[[Replay], Array]) -> Array:
        count = len(self.replays)
        return np.concatenate([chosen(replay) * count + place for place, replay in enumerate(self.replays)])

    def observations(self, numbers: Array) -> Array:
        """The observations of these row numbers [B], as the representation reads them."""
        own, places = np.divmod(numbers, len(self.replays))
        parts = [(places == place, replay) for place, replay in enumerate(self.replays)]
        order = np.concatenate([np.flatnonzero(mine) for mine, _ in parts])
        joined = concatenated([replay.observations(own[mine]) for mine, replay in parts if mine.any()])
        ordered: Array = joined[np.argsort(order)]
        return ordered

    def sample(self, count: int, beta: float) -> Batch:
        """A batch of `count` n-step windows of all replays, drawn as if they were one, at exponent `beta`.

        Raises RuntimeError if no replay holds a window yet.
        """
        if all(low >= high for low, high in (replay.startable for replay in self.replays)):
            raise RuntimeError(f"the replays' {len(self)} rows hold no window of {self.replays[0].n_step} steps yet")
        parts = []
        for place, slots, weight in draw(self.replays, count, beta, self.rng):
            replay = self.replays[place]
            part = replay.batch(replay.ring.numbers(slots), weight)
            parts.append(replace(part, index=part.index * len(self.replays) + place))
        if len(parts) == 1:
            return parts[0]
        return Batch(*(concatenated([getattr(part, column.name) for part in parts]) for column in fields(Batch)))

    def prioritize(self, index: Array, losses: Array) -> None:
        """As `update`; and `diagnose` counts the batch. `losses`: [0] if the rows have none."""
        for replay, mine, numbers in self._owned(index):
            replay.prioritize(numbers, losses[mine] if len(losses) else losses)
        self._level()

    def update(self, index: Array, losses: Array) -> None:
        """Set the priorities of a batch's rows, by its `index` [B], from their losses [B].

        Those of rows that have left since are dropped: other rows, or frames, lie where they lay.
        """
        for replay, mine, numbers in self._owned(index):
            ring = replay.ring
            there = (numbers >= ring.oldest) & (numbers < ring.head)
            if there.any():
                replay.sampler.update(ring.slots(numbers[there]), losses[mine][there])
        self._level()

    def _owned(self, index: Array) -> Iterator[tuple[Replay, Array, Array]]:
        """The replays of a batch: each with its part of the batch, bool [B], and with its own numbers of these rows."""
        numbers, places = np.divmod(index, len(self.replays))
        for place in np.unique(places).tolist():
            mine = places == place
            yield self.replays[place], mine, numbers[mine]

    def _level(self) -> None:
        """A new row gets the largest priority of all replays in any of them."""
        largest = max(replay.sampler.largest for replay in self.replays)
        for replay in self.replays:
            replay.sampler.largest = largest

    def diagnose(self) -> dict[str, float]:
        """The means of what the replays say of themselves since the last call (see `diagnosis`)."""
        said = [replay.diagnose() for replay in self.replays]
        names = dict.fromkeys(name for metrics in said for name in metrics)
        return {name: float(np.mean([metrics[name] for metrics in said if name in metrics])) for name in names}

    def transcode(self, representation: Representation, progress: Callable[[int], None] = lambda rows: None) -> int:
        """Turn the rows of all replays into rows of `representation`, in place; returns how many were dropped."""
        done = dropped = 0
        for replay in self.replays:
            rows = len(replay)

            def told(converted: int, before: int = done) -> None:
                progress(before + converted)

            dropped += replay.transcode(representation, told)
            done += rows
        return dropped

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """As of `Replay`: arrays by the place of their replay and their name, and plain values."""
        arrays, values = dict[str, Array](), []
        for place, replay in enumerate(self.replays):
            own, said = replay.state()
            arrays |= {f"{place}.{name}": array for name, array in own.items()}
            values.append(said)
        return arrays, {"replays": values}

    def restore(self, values: dict[str, Any], read: Callable[[str, Array], None]) -> None:
        """Take over what `state` gave; `read` fills an array of the arena from the saved array of that name."""
        for place, (replay, own) in enumerate(zip(self.replays, values["replays"], strict=True)):

            def read_own(name: str, array: Array, place: int = place) -> None:
                read(f"{place}.{name}", array)

            replay.restore(own, read_own)


AnyReplay = Replay | Replays


def concatenated(parts: list[Array]) -> Array:
    """Arrays one behind the other, where they are: in NumPy, or on the accelerator whose arrays they are."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import array_api_compat  # installed with torch, which made these arrays

    joined: Array = array_api_compat.array_namespace(*parts).concat(parts)
    return joined
