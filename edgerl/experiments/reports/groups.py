"""Runs that differ in their seeds alone, together; what they come to at each evaluation."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgerl.experiments.reports.reading import APART, Run
from edgerl.experiments.reports.statistics import Estimate, Statistic, estimate
from edgerl.types import Array
from memory_budget import format_bytes

AXES = {
    "steps": "agent steps",
    "env_steps": "environment steps",
    "flops": "multiply-adds",
    "minutes": "wall time, minutes",
}

SAID = ("run.algo", "run.budget", "run.freeze_at")  # of a variant, in words of their own


@dataclass(frozen=True)
class Group:
    """The seeds of one variant of one environment, in the order of their seeds."""

    env: str
    name: str
    runs: list[Run]

    @property
    def first(self) -> Run:
        return self.runs[0]

    @cached_property
    def steps(self) -> list[int]:
        """The agent steps at which every seed was evaluated."""
        return sorted(set.intersection(*({each["step"] for each in run.summary["returns"]} for run in self.runs)))

    @cached_property
    def scores(self) -> Array:
        """Mean score of each evaluation's games, float64 [steps, seeds]."""
        found = [{each["step"]: each["mean"] for each in run.summary["returns"]} for run in self.runs]
        return np.array([[scores[step] for scores in found] for step in self.steps]).reshape(-1, len(self.runs))

    @property
    def freeze_step(self) -> int | None:
        step: int | None = self.first.summary["freeze"]["step"]
        return step

    def estimates(self, statistic: Statistic) -> list[Estimate]:
        """`statistic` over the seeds at each of `steps`, the same interval whenever it is asked for."""
        return estimate([self.scores], statistic, np.random.default_rng(0)) if self.steps else []

    def axis(self, name: str, steps: Iterable[float]) -> Array:
        """Agent steps on another axis of AXES: the mean over the seeds."""
        at = np.array(list(steps), np.float64)
        if name == "steps":
            return at
        if name == "env_steps":
            return at * repeat(self.first)
        curve, unit = ("flops/total", 1) if name == "flops" else ("seconds", 60)
        found: Array = np.mean([run.at(curve, at) for run in self.runs], axis=0) / unit
        return found


def repeat(run: Run) -> int:
    """How many steps of the environment an agent step is."""
    returns = run.summary["returns"]
    return round(returns[-1]["env_steps"] / returns[-1]["step"]) if returns and returns[-1]["step"] else 1


def groups(runs: Iterable[Run]) -> dict[str, list[Group]]:
    """Variants by environment, in the order in which they were met; environments are never mixed."""
    found: dict[str, list[Group]] = {}
    by_env: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        by_env.setdefault(run.config.run.env, {}).setdefault(run.same("run.seed"), []).append(run)
    for env, variants in by_env.items():
        members = [sorted(each, key=lambda run: run.config.run.seed) for each in variants.values()]
        names = _names([each[0] for each in members])
        found[env] = [Group(env, name, each) for name, each in zip(names, members, strict=True)]
    return found


def _names(runs: list[Run]) -> list[str]:
    """A short name for each variant of an environment: its sweep's, or what tells it from the others."""
    own = [run.variant for run in runs]
    if all(own) and len(set(own)) == len(own):
        return [str(name) for name in own]
    settings = {key: None for run in runs for key in run.settings}
    differing = [key for key in settings if len({_said(run, key) for run in runs}) > 1]
    others = [key for key in differing if key not in (*SAID, *APART)]
    said = [key for key in SAID if key in differing] or ([] if others else SAID)
    names = []
    for run in runs:
        freeze_at = run.config.run.freeze_at
        names.append(
            ", ".join(
                [
                    *([run.config.run.algo] if "run.algo" in said else []),
                    *([budget(run)] if "run.budget" in said else []),
                    *(["never frozen" if freeze_at is None else f"frozen at {freeze_at:,}"] if SAID[2] in said else []),
                    *(f"{key.partition('.')[2]} {_said(run, key)}" for key in others),
                ]
            )
        )
    return names


def budget(run: Run) -> str:
    """A run's budget as people write it, the paper's in GB."""
    nbytes = run.config.run.budget
    if not isinstance(nbytes, int):
        return nbytes
    return f"{nbytes / 1e9:g} GB" if nbytes >= 10**7 else format_bytes(nbytes)


def _said(run: Run, key: str) -> str:
    return str(run.settings.get(key))
