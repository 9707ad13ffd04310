"""When a freeze would have been safe: a plain rule over how much the stem still changed between snapshots."""

from dataclasses import dataclass
from typing import Any

FEWEST_INTERVALS = 2  # with fewer, nothing can be said
SHARE = 0.5  # of an untrained network's distance from 1: a calm layer is no further from 1 than that


@dataclass(frozen=True)
class Interval:
    """How the stem changed from one snapshot to the next.

    `scores`: SVCCA by layer (None if a layer does not vary); `untrained`: the same layers against a network of other
    random weights; `moved`: how far attention moved, None if the layer followed is not in the stem.
    """

    start: int
    end: int
    scores: dict[str, float | None]
    untrained: dict[str, float | None]
    moved: float | None


@dataclass(frozen=True)
class Rule:
    """An interval is calm if each stem layer's SVCCA is `similarity` or more and attention moves `movement` or less.

    Also, no layer may be further from 1 than half of what an untrained network is. On a game that hardly changes an
    untrained network scores high too, so a high score alone says nothing.
    """

    similarity: float
    movement: float

    def changes(self, interval: Interval) -> list[str]:
        """What is not calm about an interval, in words."""
        reasons = []
        for layer, score in interval.scores.items():
            untrained = interval.untrained[layer]
            if score is None or untrained is None:
                reasons.append(f"{layer} gave the same for all observations")
            elif score < self.similarity:
                reasons.append(f"{layer} had an SVCCA of {score:.2f}")
            elif 1 - score > SHARE * (1 - untrained):
                reasons.append(f"{layer} had an SVCCA of {score:.3f} (an untrained network {untrained:.3f})")
        if interval.moved is not None and interval.moved > self.movement:
            reasons.append(f"attention moved by {interval.moved:.2f}")
        return reasons


def settled(intervals: list[Interval], rule: Rule) -> int | None:
    """The first step from which every interval is calm, to the last; None if the last one is not."""
    step = None
    for interval in reversed(intervals):
        if rule.changes(interval):
            break
        step = interval.start
    return step


def verdict(intervals: list[Interval], rule: Rule, frozen_at: int | None) -> dict[str, Any]:
    """The first step at which a freeze would have been safe by the rule, and the same in words (`text`).

    `known`: whether it can be told; `step`: None if it cannot, or if the stem never settled. `frozen_at`: the step at
    which the run itself froze.
    """
    until = "The run has not frozen." if frozen_at is None else f"The run froze at step {frozen_at:,}."
    if len(intervals) < FEWEST_INTERVALS:
        count = f"{len(intervals)} interval{'' if len(intervals) == 1 else 's'}"
        why = f"snapshots show the stem in training over {count}, and {FEWEST_INTERVALS} are the least"
        text = f"Whether a freeze would have been safe cannot be told: {why}. {until}"
        return {"step": None, "known": False, "text": text}
    step, last = settled(intervals, rule), intervals[-1]
    if step is None:
        why = f"from step {last.start:,} to {last.end:,} {' and '.join(rule.changes(last))}"
        text = f"A freeze would not have been safe by step {last.end:,}: {why}. {until}"
    else:
        calm = sum(interval.start >= step for interval in intervals)
        some = "last one" if calm == 1 else f"last {calm}"
        why = f"the {some} of {len(intervals)} intervals to step {last.end:,} {'is' if calm == 1 else 'are'} calm"
        text = f"A freeze would have been safe from step {step:,} on: {why}. {until}"
    return {"step": step, "known": True, "text": text}
