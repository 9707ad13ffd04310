"""The finished runs of a study, and their scores at equal steps, equal multiply-adds and equal wall time.

A finished run is read from its folder. What its scores say is kept in a JSON file too, which git holds: there it stays
when the folder, and the machine, are gone.
"""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from learning_runs import Cell, Study, Variant

from edgerl import ConfigError
from edgerl.experiments.reports.groups import LAST_EVALUATIONS
from edgerl.experiments.reports.reading import Run, read_run


@dataclass(frozen=True)
class Score:
    """A run's score: the mean of `count` readings, the last of them at agent step `step`."""

    value: float
    step: int
    count: int


@dataclass(frozen=True)
class Result:
    """A finished run. `kept`: what the JSON file has of it; `run`: its folder, None if that is gone."""

    cell: Cell
    kept: dict[str, Any]
    run: Run | None = None

    @cached_property
    def steps(self) -> np.ndarray:
        """Agent steps of the evaluations."""
        return np.array(self.kept["steps"])

    @cached_property
    def scores(self) -> np.ndarray:
        """Mean score of each evaluation."""
        return np.array(self.kept["scores"])

    @cached_property
    def spent(self) -> dict[str, np.ndarray]:
        """What the run had spent at each evaluation, by axis: steps, flops, minutes (evaluations included).

        Minutes are NaN if the run's folder is gone: they are not kept, since another machine has other ones.
        """
        nowhere = np.full(len(self.steps), math.nan)
        minutes = nowhere if self.run is None else self.run.metric("seconds", self.steps) / 60
        return {"steps": self.steps, "flops": np.array(self.kept["flops"], np.float64), "minutes": minutes}

    @property
    def training_mean(self) -> float:
        """The mean score of its last training games; NaN if no game ended."""
        value = self.kept["training_mean"]
        return math.nan if value is None else float(value)

    def score(self, axis: str, amounts: np.ndarray) -> Score | None:
        """Its score: the mean of its readings at these amounts of an axis; None if it has none.

        A reading is interpolated linearly between the evaluations around the amount, so runs that evaluate at unlike
        amounts are read at the same ones. Above the run's end it is the last evaluation; below the first there is none.
        """
        spent = self.spent[axis]
        known = amounts[amounts >= spent[0]]
        if not len(known):
            return None
        readings, steps = (np.interp(known, spent, values) for values in (self.scores, self.steps))
        return Score(float(np.mean(readings)), round(steps[-1]), len(known))

    @property
    def last(self) -> float:
        """The mean of its last evaluations."""
        return float(np.mean(self.scores[-LAST_EVALUATIONS:]))


def read(study: Study, root: Path, kept: dict[str, Any]) -> tuple[list[Result], list[tuple[Cell, str]]]:
    """The finished runs of a study, from their folders or else as `kept` by name, and the others with the reason."""
    results, unfinished = [], []
    for cell in study.cells():
        try:
            run = read_run(root / cell.name, cell.variant.name)
            _check(cell, run)
            results.append(Result(cell, _to_keep(cell, run), run))
        except ConfigError as error:
            if is_kept(cell, kept):
                results.append(Result(cell, kept[cell.name]))
            else:
                unfinished.append((cell, str(error)))
    return results, unfinished


def is_kept(cell: Cell, kept: dict[str, Any]) -> bool:
    """Whether a run of the variant's settings as they are now is kept."""
    return cell.name in kept and kept[cell.name]["settings"] == cell.variant.settings


def load_kept(file: Path) -> dict[str, Any]:
    """What a file keeps of finished runs, by name; nothing if there is no such file."""
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def keep(results: list[Result], kept: dict[str, Any], file: Path) -> None:
    """Write `kept` and these results to a file, a line for each run; it is replaced when it is whole."""
    kept = kept | {result.cell.name: result.kept for result in results}
    lines = [f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in sorted(kept)]
    partial = file.with_suffix(".partial")
    partial.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    os.replace(partial, file)


def _to_keep(cell: Cell, run: Run) -> dict[str, Any]:
    """What is kept of a run: every evaluation, the last training games, and what it was trained with."""
    returns = run.summary["returns"]
    training = run.training_mean(returns[-1]["step"])
    return {
        "settings": cell.variant.settings,
        "steps": [evaluation["step"] for evaluation in returns],
        "scores": [evaluation["mean"] for evaluation in returns],
        "flops": [evaluation["flops"] for evaluation in returns],
        "training_mean": None if math.isnan(training) else training,
        "frozen_at": run.summary["freeze"]["step"],
    }


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


def amounts(game: str, results: Iterable[Result], axis: str) -> np.ndarray:
    """What runs of a game are compared at: what the cheapest variant had spent at its last evaluations.

    Of each evaluation, the most that any run of that variant had spent. Empty if nothing is known.
    """
    by_variant: dict[str, list[np.ndarray]] = {}
    for result in results:
        spent = result.spent[axis][-LAST_EVALUATIONS:]
        if result.cell.game == game and not np.isnan(spent).any():
            by_variant.setdefault(result.cell.variant.name, []).append(spent)
    cheapest = min(by_variant.values(), key=lambda runs: float(np.mean([spent[-1] for spent in runs])), default=[])
    return np.max(cheapest, axis=0) if cheapest else np.empty(0)


def scores(variant: Variant, game: str, results: list[Result], axis: str) -> list[Score]:
    """The scores of a variant's runs of a game, read at the same amounts as all other variants."""
    compared = amounts(game, results, axis)
    runs = [result for result in results if result.cell.belongs_to(variant, game)]
    return [score for result in runs if (score := result.score(axis, compared)) is not None]
