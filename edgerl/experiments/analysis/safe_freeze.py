"""When a freeze would have been safe: the rule of `edgerl.settling` over all snapshots of a run, in words."""

from typing import Any

from edgerl.settling.rule import FEWEST_INTERVALS, Interval, Rule


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
