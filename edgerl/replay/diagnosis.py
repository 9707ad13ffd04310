"""What a run learns of its replay on the way: how unequally rows are drawn, and what is lost on new and on old ones."""

from typing import Any

import numpy as np

from edgerl.types import Array

FOLLOWED = 256  # rows present at a time whose draws are counted, evenly spread
TOP = FRESH = 0.1  # of the rows: those with the largest priorities, and the newest ones
OLD = 0.5  # of the rows: the older half


class Diagnosis:
    """Counts draws and losses; `rows`: how many rows there can be. Everything begins anew at a freeze.

    `first`: the number of the first row that is followed. A row is known by its number, as the ring counts them.
    """

    def __init__(self, rows: int, first: int = 0) -> None:
        self._stride = max(1, rows // FOLLOWED)
        self._first = self._next = -(-first // self._stride) * self._stride  # the oldest followed row still present
        self._draws: dict[int, int] = {}  # of followed rows that are present, by number; none: 0
        self._left = self._left_draws = self._left_undrawn = 0  # followed rows that have left
        self._losses = {"fresh": [0.0, 0], "old": [0.0, 0]}  # sums and counts since the last report

    def drawn(self, numbers: Array, losses: Array, oldest: int, size: int) -> None:
        """Note a batch: its rows' numbers [B], their losses [B] or [0], the oldest row's number, the rows present."""
        for number in numbers[(numbers % self._stride == 0) & (numbers >= self._first)].tolist():
            self._draws[number] = self._draws.get(number, 0) + 1
        while self._next < oldest:
            draws = self._draws.pop(self._next, 0)
            self._left, self._left_draws = self._left + 1, self._left_draws + draws
            self._left_undrawn += draws == 0
            self._next += self._stride
        if len(losses):
            rank = numbers - oldest  # 0: the oldest
            for name, chosen in (("fresh", rank >= (1 - FRESH) * size), ("old", rank < OLD * size)):
                self._losses[name][0] += float(losses[chosen].sum())
                self._losses[name][1] += int(chosen.sum())

    def report(self, priorities: Array) -> dict[str, float]:
        """The metrics since the last report, or since start or freeze; `priorities`: of all rows, [0] if none."""
        metrics = {f"replay/loss_{name}": total / count for name, (total, count) in self._losses.items() if count}
        self._losses = {name: [0.0, 0] for name in self._losses}
        if self._left:
            metrics["replay/draws_per_row"] = self._left_draws / self._left
            metrics["replay/undrawn"] = self._left_undrawn / self._left
        if len(priorities):
            top = max(1, round(TOP * len(priorities)))
            largest = np.partition(priorities, -top)[-top:]
            metrics["replay/top_tenth"] = float(largest.sum() / max(priorities.sum(), 1e-300))
        return metrics

    def state(self) -> dict[str, Any]:
        """All of it as plain values."""
        values = {name.lstrip("_"): value for name, value in vars(self).items()}
        return values | {"draws": list(map(list, self._draws.items()))}  # JSON has no numbers as keys

    def restore(self, values: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        for name in vars(self):
            setattr(self, name, values[name.lstrip("_")])
        self._draws = dict(values["draws"])
