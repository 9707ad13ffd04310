"""The finished runs of a study, and their scores at equal steps, equal multiply-adds and equal wall time."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from learning_runs import Cell, Study, Variant

from edgerl import ConfigError
from edgerl.experiments.reports.groups import LAST_EVALUATIONS
from edgerl.experiments.reports.reading import Run, read_run


@dataclass(frozen=True)
class Score:
    """A run's score: the mean of its last evaluations, `count` of them, up to agent step `step`."""

    value: float
    step: int
    count: int


@dataclass(frozen=True)
class Result:
    """A finished run, and what it had spent at each evaluation."""

    cell: Cell
    run: Run

    @cached_property
    def steps(self) -> np.ndarray:
        """Agent steps of the evaluations."""
        return np.array([evaluation["step"] for evaluation in self.run.summary["returns"]])

    @cached_property
    def scores(self) -> np.ndarray:
        """Mean score of each evaluation."""
        return np.array([evaluation["mean"] for evaluation in self.run.summary["returns"]])

    @cached_property
    def spent(self) -> dict[str, np.ndarray]:
        """What the run had spent at each evaluation, by axis: steps, flops, minutes (evaluations included)."""
        flops = np.array([evaluation["flops"] for evaluation in self.run.summary["returns"]], np.float64)
        return {"steps": self.steps, "flops": flops, "minutes": self.run.metric("seconds", self.steps) / 60}

    def score(self, axis: str, bound: float) -> Score | None:
        """Its score from the last evaluations at which it had spent no more than `bound`; None if there are none."""
        allowed = np.flatnonzero(self.spent[axis] <= bound)[-LAST_EVALUATIONS:]
        if not len(allowed):
            return None
        return Score(float(np.mean(self.scores[allowed])), int(self.steps[allowed[-1]]), len(allowed))


def read(study: Study, root: Path) -> tuple[list[Result], list[tuple[Cell, str]]]:
    """The finished runs of a study, and the others with the reason."""
    results, unfinished = [], []
    for cell in study.cells():
        try:
            run = read_run(root / cell.name, cell.variant.name)
            _check(cell, run)
            results.append(Result(cell, run))
        except ConfigError as error:
            unfinished.append((cell, str(error)))
    return results, unfinished


def _check(cell: Cell, run: Run) -> None:
    """Raise ConfigError if a run lacks an evaluation, or was trained with other settings than the study's."""
    config = run.config.run
    due, played = config.steps // config.eval_every, len(run.summary["returns"])
    if played < due:
        raise ConfigError(f"not finished: {played} of {due} evaluations")
    wanted = {setting.key: value for setting, value in cell.config().values() if setting.name in cell.variant.settings}
    settings = run.settings | {"run.env": config.env, "run.seed": config.seed}
    wanted |= {"run.env": cell.env, "run.seed": cell.seed}
    for key, value in wanted.items():
        if key != "run.checkpoint_every" and settings[key] != value:
            raise ConfigError(f"trained with {key} = {settings[key]} instead of {value}")


def bounds(game: str, results: Iterable[Result], axis: str) -> float:
    """What runs of a game may spend to be compared: the most that any run of the cheapest variant has spent."""
    totals: dict[str, list[float]] = {}
    for result in results:
        if result.cell.game == game:
            totals.setdefault(result.cell.variant.name, []).append(float(result.spent[axis][-1]))
    return max(min(totals.values(), key=np.mean), default=0.0) if totals else 0.0


def scores(variant: Variant, game: str, results: list[Result], axis: str) -> list[Score]:
    """The scores of a variant's runs of a game, none above what all variants may spend on this axis."""
    bound = bounds(game, results, axis)
    runs = [result for result in results if result.cell.belongs_to(variant, game)]
    return [score for result in runs if (score := result.score(axis, bound)) is not None]
