"""Which T_f of a sweep is the best, by one rule."""

import numpy as np

from edgerl.experiments.reports.estimates import Estimate, estimate, iqm
from edgerl.experiments.reports.groups import LAST_EVALUATIONS, Group
from edgerl.experiments.reports.tables import Table, interval


def tables(groups: list[Group]) -> list[Table]:
    """A table for each set of variants of one environment that differ only in T_f, and have two or more of it."""
    families: dict[str, list[Group]] = {}
    for group in groups:
        if group.steps:
            families.setdefault(group.first.identity("run.seed", "run.freeze_at", "run.freeze_by"), []).append(group)
    compared = [family for family in families.values() if len(_frozen(family)) > 1]
    return [_table(family, several=len(compared) > 1) for family in compared]


def best(family: list[Group]) -> Group:
    """The variant with the highest interquartile mean of final scores; of equal ones the one with the earlier T_f."""
    return max(_frozen(family), key=lambda group: final(group).value)  # max takes the first


def final(group: Group) -> Estimate:
    """The interquartile mean over the seeds of the final scores, with its interval."""
    return estimate([group.final], iqm, np.random.default_rng(0))[0]


def _frozen(family: list[Group]) -> list[Group]:
    """The variants whose T_f was given as a step, the earliest first."""
    by_step = {group.first.config.run.freeze_at: group for group in family}
    return [by_step[step] for step in sorted(step for step in by_step if isinstance(step, int))]


def _table(family: list[Group], *, several: bool) -> Table:
    frozen, chosen = _frozen(family), best(family)
    rows = []
    for group in [*frozen, *(group for group in family if group not in frozen)]:
        spent = float(group.axis("flops", [group.steps[-1]])[0])
        mark = "best" if group is chosen else ""
        rows.append([group.name, str(len(group.runs)), interval(final(group)), f"{spent / 1e12:,.3g}", mark])
    notes = (
        f"Rule: the highest interquartile mean over the seeds of each run's mean of its last {LAST_EVALUATIONS} "
        "evaluations; of equal ones the earlier T_f. The best of several is chosen on the scores it is shown with, "
        "which flatters it. Only frozen variants are ranked."
    )
    title = f"Best T_f: {chosen.name}" if several else "Best T_f"
    return Table(title, ["variant", "seeds", "IQM [95%]", "TFLOP", ""], rows, notes)
