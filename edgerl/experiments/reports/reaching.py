"""How many multiply-adds a variant takes to its final score, and to that of another (Figure 6 (a), right)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgerl.experiments.reports.curves import plain
from edgerl.experiments.reports.groups import LAST_EVALUATIONS, NO_VARIANT, Group
from edgerl.experiments.reports.tables import Table, score_text


@dataclass(frozen=True)
class Reached:
    """The first evaluation at which `group` has the final `score` of `owner`; `step` and `flops`: None if at none."""

    group: Group
    owner: Group
    score: float
    step: int | None
    flops: float | None


def pairs(groups: list[Group]) -> list[tuple[Group, Group]]:
    """Each frozen variant with the never frozen one that differs from it in the fewest settings, the first of these."""
    evaluated = [group for group in groups if group.steps]
    frozen = [group for group in evaluated if group.freeze_steps]
    never = [group for group in evaluated if group.first.config.run.latest_freeze is None]
    return [(group, min(never, key=lambda whole: _differences(group, whole))) for group in frozen] if never else []


def reached(group: Group, owner: Group) -> Reached:
    """The first evaluation at which the mean over the seeds of `group` is at least the final score of `owner`."""
    score = float(np.mean(owner.final))
    means = np.mean(group.scores, axis=1)
    at = np.flatnonzero(means >= score - 1e-9 * abs(score))  # a mean of three equal numbers may be rounded up
    if not len(at):
        return Reached(group, owner, score, None, None)
    step = group.steps[at[0]]
    return Reached(group, owner, score, step, float(group.axis("flops", [step])[0]))


def table(groups: list[Group]) -> Table | None:
    """For every variant its own final score, and that of the other of its pair; None if there is no pair."""
    if not pairs(groups):
        return None
    rows = []
    for group in groups:
        for owner in [group, *_others(group, groups)] if group.steps else []:
            arrival, own = reached(group, owner), reached(owner, owner)
            whose = "its own" if owner is group else owner.name
            if arrival.step is None or arrival.flops is None or own.flops is None:
                rows.append([group.name, whose, score_text(arrival.score), "never", "-", "-"])
                continue
            share = f"{arrival.flops / own.flops:.2f}" if own.flops else "-"
            tera = f"{arrival.flops / 1e12:,.3g}"
            rows.append([group.name, whose, score_text(arrival.score), f"{arrival.step:,}", tera, share])
    notes = (
        f"A final score is the mean of the last {LAST_EVALUATIONS} evaluations, over the seeds. It is reached at the "
        "first evaluation whose mean over the seeds is as high. TFLOP: 10^12 multiply-adds by the paper's convention. "
        "Share: of what the owner of the final score takes to it. A frozen variant is compared with the never frozen "
        "one that differs from it in the fewest settings. Scores that rise and fall are reached early: see the curves."
    )
    head = ["variant", "final score of", "score", "reached at step", "TFLOP", "share"]
    return Table("Multiply-adds to a final score", head, rows, notes)


def bars(groups: list[Group]) -> list[dict[str, Any]]:
    """For every variant multiply-adds to its `own` final score and to the `other`'s; None where there is none."""
    if not pairs(groups):
        return []
    spent = []
    for group in groups:
        others = _others(group, groups) if group.steps else []
        to_own = reached(group, group).flops if group.steps else None
        to_other = reached(group, others[0]).flops if others else None
        spent.append(dict(zip(("name", "own", "other"), (group.name, *plain([to_own, to_other])), strict=True)))
    return spent


def _others(group: Group, groups: list[Group]) -> list[Group]:
    """The variants that are in a pair with this one, the most like it first."""
    paired = [pair[1 - pair.index(group)] for pair in pairs(groups) if group in pair]
    return sorted(paired, key=lambda partner: _differences(group, partner))


def _differences(first: Group, second: Group) -> int:
    """In how many settings two variants differ."""
    ours, theirs = first.first.settings, second.first.settings
    return sum(str(ours.get(key)) != str(theirs.get(key)) for key in ours | theirs if key not in NO_VARIANT)
