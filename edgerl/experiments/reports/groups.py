"""Groups of runs that differ only in their seeds, and their scores at each evaluation."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgerl.experiments.reports.estimates import Estimate, Statistic, estimate
from edgerl.experiments.reports.reading import WITHOUT_EFFECT, Run
from edgerl.types import Array
from memory_budget import format_bytes

AXES = {
    "steps": "agent steps",
    "env_steps": "environment steps",
    "flops": "multiply-adds",
    "minutes": "wall time, minutes",
}

LAST_EVALUATIONS = 3  # of a run, whose mean is its final score
# Settings that a variant's name has without their keys.
WORDED = ("run.algo", "run.budget", "run.freeze_at", "run.freeze_by")
NO_VARIANT = ("run.seed", *WITHOUT_EFFECT)  # settings that make no variant
UNSAID = ("same", "None")  # values that a name leaves out: as before the freeze, and none


@dataclass(frozen=True)
class Group:
    """The runs of one variant of one environment, sorted by seed."""

    env: str
    name: str
    runs: list[Run]

    @property
    def first(self) -> Run:
        return self.runs[0]

    @cached_property
    def steps(self) -> list[int]:
        """The agent steps at which every seed was evaluated."""
        return sorted(set.intersection(*(set(scores) for scores in self._scores)))

    @cached_property
    def scores(self) -> Array:
        """Mean score of each evaluation's games, float64 [steps, seeds]."""
        runs = self._scores
        return np.array([[scores[step] for scores in runs] for step in self.steps]).reshape(-1, len(runs))

    @property
    def final(self) -> Array:
        """Each run's final score, the mean of its last LAST_EVALUATIONS evaluations: float64 [1, seeds]."""
        final: Array = np.mean(self.scores[-LAST_EVALUATIONS:], axis=0, keepdims=True)
        return final

    @property
    def _scores(self) -> list[dict[int, float]]:
        """For every run, the mean score by step."""
        return [{evaluation["step"]: evaluation["mean"] for evaluation in run.summary["returns"]} for run in self.runs]

    @property
    def freeze_steps(self) -> list[int]:
        """The steps at which seeds froze, without repetitions, in order; none for a seed that never did."""
        steps = {run.summary["freeze"]["step"] for run in self.runs}
        return sorted(steps - {None})

    def logging(self, metric: str) -> list[Run]:
        """The runs whose log has a metric; all if none has."""
        return [run for run in self.runs if len(run.metrics[metric][0])] or self.runs

    def estimates(self, statistic: Statistic) -> list[Estimate]:
        """`statistic` over the seeds at each of `steps`; the interval is the same at every call."""
        return estimate([self.scores], statistic, np.random.default_rng(0)) if self.steps else []

    def axis(self, name: str, steps: Iterable[float]) -> Array:
        """These agent steps on the axis `name` of AXES: the mean over the seeds that know it."""
        agent_steps = np.array(list(steps), np.float64)
        if name == "steps":
            return agent_steps
        if name == "env_steps":
            return agent_steps * action_repeat(self.first)
        metric, unit = ("flops/total", 1) if name == "flops" else ("seconds", 60)
        values: Array = np.mean([run.metric(metric, agent_steps) for run in self.logging(metric)], axis=0) / unit
        return values


def action_repeat(run: Run) -> int:
    """How many steps of the environment an agent step is."""
    returns = run.summary["returns"]
    return round(returns[-1]["env_steps"] / returns[-1]["step"]) if returns and returns[-1]["step"] else 1


def groups(runs: Iterable[Run]) -> dict[str, list[Group]]:
    """The variants of every environment, in the order of `runs`."""
    by_env: dict[str, dict[tuple[str, ...], list[Run]]] = {}
    for run in runs:
        by_env.setdefault(run.config.run.env, {}).setdefault(_of_variant(run), []).append(run)
    return {env: _variants(env, list(variants.values())) for env, variants in by_env.items()}


def over_games(by_env: dict[str, list[Group]]) -> list[list[Group]]:
    """The same variant in every environment, in the order of `by_env`.

    Its settings are the same but for the environment and the seed; within a sweep also but for what its environments
    have of their own, such as the preset's T_f.
    """
    variants: dict[tuple[str, ...], list[Group]] = {}
    for group in (group for groups in by_env.values() for group in groups):
        run = group.first
        own = ("run.freeze_at", "run.freeze_by", "run.encoder_from") if run.variant else ()
        variants.setdefault((run.variant or "", run.identity("run.env", "run.seed", *own)), []).append(group)
    return list(variants.values())


def _of_variant(run: Run) -> tuple[str, ...]:
    """A key that the runs of one variant share.

    Each seed of a sweep's variant may begin with the networks of another run: that of the same seed.
    """
    if run.variant is None or run.config.run.encoder_from is None:
        return (run.identity("run.seed"),)
    return str(run.folder.parent), run.variant, run.identity("run.seed", "run.encoder_from")


def _variants(env: str, variants: list[list[Run]]) -> list[Group]:
    by_seed = [sorted(seeds, key=lambda run: run.config.run.seed) for seeds in variants]
    named = names([seeds[0] for seeds in by_seed])
    return [Group(env, name, seeds) for name, seeds in zip(named, by_seed, strict=True)]


def names(runs: list[Run]) -> list[str]:
    """A short name for each variant, given a run of each: its sweep's, or how it differs from the others."""
    of_sweeps = [run.variant for run in runs]
    if all(of_sweeps) and len(set(of_sweeps)) == len(of_sweeps):
        return [str(name) for name in of_sweeps]
    settings = {key: None for run in runs for key in run.settings}
    differing = [key for key in settings if len({_setting(run, key) for run in runs}) > 1]
    others = [key for key in differing if key not in ("run.env", *WORDED, *NO_VARIANT)]
    worded = [key for key in WORDED if key in differing] or ([] if others else WORDED)
    found = []
    for run in runs:
        latest = run.config.run.latest_freeze
        frozen = "never frozen" if latest is None else f"frozen at {latest:,}"
        if run.config.run.freeze_at == "auto":
            frozen = f"frozen once settled, by {latest:,}"
        values = {key.partition(".")[2]: _setting(run, key) for key in others}
        words = [
            *([run.config.run.algo] if "run.algo" in worded else []),
            *([budget_text(run)] if "run.budget" in worded else []),
            *([frozen] if {"run.freeze_at", "run.freeze_by"} & set(worded) else []),
            *(f"{name} {value}" for name, value in values.items() if value not in UNSAID),
        ]
        found.append(", ".join(words or [f"{name} {value}" for name, value in values.items()]))
    return found


def budget_text(run: Run) -> str:
    """A run's budget for people; from 10 MB on in GB, as the paper has it."""
    nbytes = run.config.run.budget
    if not isinstance(nbytes, int):
        return nbytes
    return f"{nbytes / 1e9:g} GB" if nbytes >= 10**7 else format_bytes(nbytes)


def _setting(run: Run, key: str) -> str:
    return str(run.settings.get(key))
