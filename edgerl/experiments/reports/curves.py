"""The curves that a report draws, as plain data, for the page and the picture."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from edgerl.envs.human_scores import references
from edgerl.experiments.reports.estimates import Estimate, iqm, mean
from edgerl.experiments.reports.groups import AXES, Group
from edgerl.experiments.reports.reading import Run
from edgerl.types import Array

POINTS = 240  # of a curve over time, at most: a screen shows no more
DIGITS = 5  # of a number
STATISTICS = {"mean": mean, "iqm": iqm}


def curves(env: str, groups: list[Group]) -> dict[str, Any]:
    """All curves of one environment: lists of numbers with five digits, None for a missing number.

    `references`: game points of random play and of a human tester, None where they are not known.
    """
    known = references(env)
    variants = [_variant(group) for group in groups]
    return {"env": env, "axes": AXES, "variants": variants, "references": asdict(known) if known else None}


def _variant(group: Group) -> dict[str, Any]:
    steps = group.steps
    estimates = {name: group.estimates(statistic) for name, statistic in STATISTICS.items()}
    return {
        "name": group.name,
        "x": {axis: plain(group.axis(axis, steps)) for axis in AXES},
        "freezes": [{axis: plain(group.axis(axis, [step]))[0] for axis in AXES} for step in group.freeze_steps],
        **{name: _band(by_step) for name, by_step in estimates.items()},
        "seeds": [
            {"seed": run.config.run.seed, "y": plain(group.scores[:, column])} for column, run in enumerate(group.runs)
        ],
        "rows": _rows(group),
        "capacity": _capacity(group),
        "memory": _memory(group),
        "limit": _megabytes(group.first.summary["memory"]["limit_bytes"]),
        "ledger": _ledger(group),
        "speed": [_speed(group, f"steps_per_s_{when}") for when in ("before", "after")],
    }


def _band(estimates: list[Estimate]) -> dict[str, Any]:
    """A curve and the ends of its interval."""
    return {
        "y": plain([estimate.value for estimate in estimates]),
        "low": plain([estimate.low for estimate in estimates]),
        "high": plain([estimate.high for estimate in estimates]),
    }


def _rows(group: Group) -> dict[str, Any]:
    """Rows in the replay: means over the seeds."""
    steps = _thin(group.first.metrics["replay/rows"][0])
    return {"x": plain(steps), "y": plain(np.mean([run.metric("replay/rows", steps) for run in group.runs], axis=0))}


def _capacity(group: Group) -> dict[str, Any]:
    """Rows that fit before and after each seed's freeze, as the corners of a step curve: means over the seeds."""
    end = max(run.summary["steps"] for run in group.runs)
    corners = [(0, False), *((step, after) for step in group.freeze_steps for after in (False, True)), (end, True)]
    rows = [np.mean([_fits(run, corner) for run in group.runs]) for corner in corners]
    return {"x": [step for step, _ in corners], "y": plain(rows)}


def _fits(run: Run, corner: tuple[int, bool]) -> float:
    """Rows that fit a run's replay at a step: before a freeze at this step, or after it."""
    capacity, frozen = run.summary["capacity"], run.summary["freeze"]["step"]
    return float(capacity["initial" if frozen is None or corner < (frozen, True) else "after_freeze"])


def _memory(group: Group) -> dict[str, Any]:
    """Resident megabytes of the process: the highest over the seeds and over the points that one point stands for."""
    runs = group.logging("memory/rss_bytes")
    steps = runs[0].metrics["memory/rss_bytes"][0]
    if not len(steps):
        return {"x": [], "y": []}
    highest = np.max([run.metric("memory/rss_bytes", steps) for run in runs], axis=0)
    parts = np.array_split(np.arange(len(steps)), min(POINTS, len(steps)))
    tops = [part[np.argmax(highest[part])] for part in parts]
    return {"x": plain(steps[tops]), "y": plain(highest[tops] / 1e6)}


def _ledger(group: Group) -> dict[str, dict[str, float | None]]:
    """Megabytes of every ledger line at the end of the run, planned and measured: means over the seeds."""
    ledgers = [run.summary["budget"]["ledger"] for run in group.runs]
    megabytes: dict[str, dict[str, float | None]] = {"planned": {}, "measured": {}}
    for name in dict.fromkeys(name for lines in ledgers for name in lines):
        for kind, shown in megabytes.items():
            known = [lines[name][kind] for lines in ledgers if name in lines and lines[name][kind] is not None]
            shown[name] = plain([np.mean(known) / 1e6])[0] if known else None
    return megabytes


def _speed(group: Group, key: str) -> float | None:
    known = [run.summary["throughput"][key] for run in group.runs if run.summary["throughput"][key]]
    return plain([np.mean(known)])[0] if known else None


def _megabytes(nbytes: int | None) -> float | None:
    return None if nbytes is None else nbytes / 1e6


def _thin(steps: Array) -> Array:
    """At most POINTS of these steps, spread evenly."""
    if len(steps) <= POINTS:
        return steps
    chosen: Array = steps[np.linspace(0, len(steps) - 1, POINTS).round().astype(int)]
    return chosen


def plain(values: Any) -> list[float | None]:
    """Numbers for JSON, with as many digits as a picture shows: whole numbers are integers, None and NaN are None."""
    numbers: list[float | None] = []
    for value in values:
        if value is None or not math.isfinite(value):
            numbers.append(None)
        else:
            short = float(f"{value:.{DIGITS}g}") if abs(value) < 1e7 else float(f"{value:.{DIGITS + 1}g}")
            numbers.append(int(value) if float(value).is_integer() and abs(value) < 1e7 else short)
    return numbers
