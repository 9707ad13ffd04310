"""When a freeze would have been safe: a plain rule over how much the stem still changed between snapshots."""

from dataclasses import dataclass
from typing import Any

FEWEST = 2  # intervals that say anything
SHARE = 0.5  # of an untrained network's distance from 1 that a calm layer keeps within


@dataclass(frozen=True)
class Interval:
    """How the stem changed from one snapshot to the next.

    `scores`: SVCCA by layer (None: of one that does not vary); `untrained`: the same layers against a network of other
    random weights; `moved`: the attention's movement, None where it is not the stem's.
    """

    start: int
    end: int
    scores: dict[str, float | None]
    untrained: dict[str, float | None]
    moved: float | None


@dataclass(frozen=True)
class Rule:
    """What is calm: each stem layer's SVCCA is `similarity` or more, and attention moves by `movement` or less.

    And no layer is further from 1 than half of what an untrained network is: where that scores high too, as on a game
    that hardly changes, a high score alone says nothing.
    """

    similarity: float
    movement: float

    def changes(self, interval: Interval) -> list[str]:
        """What is not calm about an interval, in words."""
        found = []
        for layer, score in interval.scores.items():
            untrained = interval.untrained[layer]
            if score is None or untrained is None:
                found.append(f"{layer} gave the same for all observations")
            elif score < self.similarity:
                found.append(f"{layer} had an SVCCA of {score:.2f}")
            elif 1 - score > SHARE * (1 - untrained):
                found.append(f"{layer} had an SVCCA of {score:.3f} (an untrained network {untrained:.3f})")
        if interval.moved is not None and interval.moved > self.movement:
            found.append(f"attention moved by {interval.moved:.2f}")
        return found


def settled(intervals: list[Interval], rule: Rule) -> int | None:
    """The first step from which on every interval is calm, to the last; None where the last is not."""
    step = None
    for interval in reversed(intervals):
        if rule.changes(interval):
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
        why = f"snapshots show the stem in training over {count}, and {FEWEST} are the least"
        text = f"Whether a freeze would have been safe cannot be told: {why}. {until}"
        return {"step": None, "known": False, "text": text}
    step, last = settled(intervals, rule), intervals[-1]
    if step is None:
        why = f"from step {last.start:,} to {last.end:,} {' and '.join(rule.changes(last))}"
        text = f"A freeze would not have been safe by step {last.end:,}: {why}. {until}"
    else:
        calm = sum(interval.start >= step for interval in intervals)
        some = "one is" if calm == 1 else f"{calm} are"
        why = f"of {len(intervals)} intervals to step {last.end:,} the last {some} calm"
        text = f"A freeze would have been safe from step {step:,} on: {why}. {until}"
    return {"step": step, "known": True, "text": text}
