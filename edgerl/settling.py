"""When a freeze would have been safe: a plain rule over how much the stem still changed between snapshots."""

from dataclasses import dataclass
from typing import Any

FEWEST = 2  # intervals that say anything


@dataclass(frozen=True)
class Interval:
    """How the stem changed from one snapshot to the next.

    `layer`: the one with the lowest SVCCA `score` (None: of a layer that does not vary); `moved`: the attention's
    movement, None where it is not the stem's.
    """

    start: int
    end: int
    layer: str
    score: float | None
    moved: float | None


@dataclass(frozen=True)
class Rule:
    """What is calm: every stem layer's SVCCA is `similarity` or more, and attention moves by `movement` or less."""

    similarity: float
    movement: float

    def calm(self, interval: Interval) -> bool:
        """Whether hardly anything changed."""
        alike = interval.score is not None and interval.score >= self.similarity
        return alike and (interval.moved is None or interval.moved <= self.movement)


def settled(intervals: list[Interval], rule: Rule) -> int | None:
    """The first step from which on every interval is calm, to the last; None where the last is not."""
    step = None
    for interval in reversed(intervals):
        if not rule.calm(interval):
            break
        step = interval.start
    return step


def verdict(intervals: list[Interval], rule: Rule, frozen_at: int | None) -> dict[str, Any]:
    """The step from which on a freeze would have been safe by the rule, and the same in words (`text`).

    `known`: whether it can be told; `step`: None where it cannot, or where the stem never settled. `frozen_at`: where
    the run itself froze.
    """
    until = "The run has not frozen." if frozen_at is None else f"The run froze at step {frozen_at:,}."
    if len(intervals) < FEWEST:
        count = f"{len(intervals)} interval{'' if len(intervals) == 1 else 's'}"
        why = f"snapshots show the unfrozen stem over {count}, and {FEWEST} are the least"
        text = f"Whether a freeze would have been safe cannot be told: {why}. {until}"
        return {"step": None, "known": False, "text": text}
    step, last = settled(intervals, rule), intervals[-1]
    if step is None:
        why = f"from step {last.start:,} to {last.end:,} {_change(last, rule)}"
        text = f"A freeze would not have been safe by step {last.end:,}: {why}. {until}"
    else:
        calm = sum(interval.start >= step for interval in intervals)
        some = "one is" if calm == 1 else f"{calm} are"
        why = f"of {len(intervals)} intervals to step {last.end:,} the last {some} calm"
        text = f"A freeze would have been safe from step {step:,} on: {why}. {until}"
    return {"step": step, "known": True, "text": text}


def _change(interval: Interval, rule: Rule) -> str:
    """What is not calm about an interval."""
    found = []
    if interval.score is None:
        found.append(f"{interval.layer} gave the same for all observations")
    elif interval.score < rule.similarity:
        found.append(f"{interval.layer} had an SVCCA of {interval.score:.2f}")
    if interval.moved is not None and interval.moved > rule.movement:
        found.append(f"attention moved by {interval.moved:.2f}")
    return " and ".join(found)
