"""Reads finished runs from their folders: settings, summary, metrics. Other folders are left out, with the reason."""

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgerl import reading
from edgerl.config.settings import Config
from edgerl.config.toml import load
from edgerl.errors import ConfigError
from edgerl.experiments.reports.shapes import SUMMARY, SWEEP
from edgerl.reading import COUNT, NUMBER, TEXT, Or
from edgerl.runs import checkpoint
from edgerl.runs.metrics import LAST_GAMES
from edgerl.types import Array

LONGEST_LINE = 64 * 1024  # bytes; a file with a longer one is read up to there
METRICS = ("replay/rows", "memory/rss_bytes", "memory/tree_peak_bytes", "flops/total", "seconds", "train/score")
LINE = {"step": COUNT, "time?": Or(NUMBER)} | {f"{name}?": Or(NUMBER) for name in METRICS}
# Settings that change how fast a run is or what it keeps, not what it learns.
WITHOUT_EFFECT = ("run.threads", "run.checkpoint_every", "run.snapshot_every", "run.process_limit")


@dataclass(frozen=True)
class Run:
    """A finished run. `variant`: its name in its sweep; `metrics`: name -> (agent steps, values), float64."""

    folder: Path
    config: Config
    summary: dict[str, Any]
    metrics: dict[str, tuple[Array, Array]]
    variant: str | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting by `table.key`."""
        tables = asdict(self.config)
        return {f"{table}.{key}": value for table, values in tables.items() for key, value in values.items()}

    def identity(self, *ignored: str) -> str:
        """A key that two runs share if their settings are the same, except for WITHOUT_EFFECT and `ignored`."""
        ignored = (*WITHOUT_EFFECT, *ignored)
        return repr(sorted((name, str(value)) for name, value in self.settings.items() if name not in ignored))

    def metric(self, name: str, steps: Any) -> Array:
        """A metric's values at these agent steps, interpolated linearly; NaN if it was never logged."""
        known, values = self.metrics[name]
        return np.interp(steps, known, values) if len(known) else np.full(np.shape(steps), np.nan)

    def training_mean(self, step: int) -> float:
        """The mean score of the last training games up to an evaluation, LAST_GAMES at most; NaN if there is none.

        It is read from the log where an older run's evaluations lack it; a log has one game a step at most.
        """
        for evaluation in self.summary["returns"]:
            if evaluation["step"] == step and "training_mean" in evaluation:
                return math.nan if evaluation["training_mean"] is None else float(evaluation["training_mean"])
        ended, scores = self.metrics["train/score"]
        last = scores[ended <= step][-LAST_GAMES:]
        return float(np.mean(last)) if len(last) else math.nan

    @property
    def seconds(self) -> float:
        """How long it took, evaluations included."""
        return float(self.metric("seconds", self.summary["steps"]))


@dataclass(frozen=True)
class LoadedRuns:
    """The runs read. `left_out`: (folder, why); `sweep`: sweep.json, if one sweep and nothing else was named."""

    runs: list[Run]
    left_out: list[tuple[str, str]]
    sweep: dict[str, Any] | None


def read(paths: Iterable[Path]) -> LoadedRuns:
    """Read runs, sweeps, and folders of runs; raises ConfigError if there is no finished run in them."""
    runs: list[Run] = []
    left_out: list[tuple[str, str]] = []
    sweeps: list[dict[str, Any]] = []
    paths = list(paths)
    for path in paths:
        try:
            folders, sweep = _folders(path)
        except (ConfigError, OSError) as error:
            left_out.append((str(path), getattr(error, "strerror", None) or str(error)))
            continue
        sweeps += [sweep] if sweep else []
        for folder, variant in folders:
            try:
                runs.append(read_run(folder, variant))
            except ConfigError as error:
                left_out.append((str(folder), str(error)))
    for leave in (_beginnings_apart, _once):
        runs, others = leave(runs)
        left_out += others
    if not runs:
        why = f"{left_out[0][0]}: {left_out[0][1]}" if left_out else "no folder was named"
        more = f" (and {len(left_out) - 1} more like it)" if len(left_out) > 1 else ""
        raise ConfigError(f"no finished run to report: {why}{more}")
    return LoadedRuns(runs, left_out, sweeps[0] if len(sweeps) == 1 == len(paths) else None)


def _folders(path: Path) -> tuple[list[tuple[Path, str | None]], dict[str, Any] | None]:
    """The run folders that a path stands for, with their variants' names, and the sweep.json if it is a sweep."""
    if not path.is_dir():
        raise ConfigError("it is no folder" if path.exists() else "there is no such folder")
    if (path / "sweep.json").exists():
        sweep = _table(path, "sweep.json", SWEEP)
        return list(
            {cell["folder"]: (path / cell["folder"], cell["variant"]) for cell in sweep["cells"]}.values()
        ), sweep
    if (path / "config.toml").exists() or (path / "checkpoint").exists():
        return [(path, None)], None
    folders = sorted(file.parent for file in path.glob("*/config.toml"))
    if not folders:
        raise ConfigError("it holds no run and no sweep")
    return [(folder, None) for folder in folders], None


def read_run(folder: Path, variant: str | None) -> Run:
    """Read one finished run; raises ConfigError with the reason if it is not one."""
    if not folder.is_dir():
        raise ConfigError("not begun")
    config = load(_inside(folder, "config.toml"))
    try:
        summary = _table(folder, "summary.json", {"status": TEXT, "steps": COUNT})
    except FileNotFoundError:
        raise ConfigError(f"no summary.json: it did not come to its end ({_saved(folder, config)})") from None
    if summary["status"] != "finished":
        raise ConfigError(f"{summary['status']} after {summary['steps']:,} of {config.run.steps:,} steps")
    if (wrong := reading.fault(summary, SUMMARY)) is not None:
        raise ConfigError(f"summary.json: {wrong}")
    if any(evaluation["mean"] is None for evaluation in summary["returns"]):
        raise ConfigError("a score is beyond the largest float")
    if summary["freeze"]["step"] is not None and summary["capacity"]["after_freeze"] is None:
        raise ConfigError("summary.json: capacity.after_freeze is not a number")
    metrics = _metrics(_inside(folder, "metrics.jsonl"), _from_summary(summary))
    return Run(folder, config, summary, metrics, variant)


def _inside(folder: Path, name: str) -> Path:
    """A file of a run; raises ConfigError for a link that leads out of its folder."""
    try:
        return reading.inside(folder, name)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from None


def _table(folder: Path, name: str, shape: reading.Shape) -> dict[str, Any]:
    """A JSON file of a folder; raises FileNotFoundError, or ConfigError with the reason if it is not of this shape."""
    try:
        return reading.table(_inside(folder, name), shape)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _from_summary(summary: dict[str, Any]) -> dict[str, dict[float, float]]:
    """Points of metrics that a summary has, by step: at evaluations, at the beginning, the freeze and the end."""
    freeze, memory = summary["freeze"], summary["memory"]
    frozen = freeze["step"] is not None
    return {
        "flops/total": {0: 0} | {evaluation["step"]: evaluation["flops"] for evaluation in summary["returns"]},
        "replay/rows": {0: 0, summary["steps"]: summary["replay"]["rows"]},
        "memory/rss_bytes": {freeze["step"]: memory["rss_after_freeze"]} if frozen else {},
    }


def _saved(folder: Path, config: Config) -> str:
    """How far the newest checkpoint of an unfinished run is, in words."""
    places = checkpoint.places(folder / "checkpoint")
    return f"step {int(places[-1].name):,} of {config.run.steps:,} is saved" if places else "nothing is saved"


def _metrics(file: Path, added: dict[str, dict[float, float]]) -> dict[str, tuple[Array, Array]]:
    """The metrics of a metrics.jsonl that reports use, by name, with `added` points; skips lines that are not JSON."""
    points: dict[str, dict[float, float]] = {name: {} for name in METRICS}
    began: float | None = None
    for line in _lines(file):
        if line.get("seconds") is None and line.get("time") is not None:  # an older run, which has no `seconds`
            began = line["time"] if began is None else began
            line["seconds"] = line["time"] - began
        for name, known in points.items():
            if line.get(name) is not None:
                known[line["step"]] = line[name]  # the last one, if a step has several
    metrics = {}
    for name, known in points.items():
        pairs = sorted((known | added.get(name, {})).items())
        metrics[name] = np.array([step for step, _ in pairs], float), np.array([value for _, value in pairs], float)
    return metrics


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of metrics in a file; none if it cannot be read. One line at a time is in memory."""
    try:
        with reading.opened(file) as lines:
            while (line := lines.readline(LONGEST_LINE)) and len(line) < LONGEST_LINE:
                with contextlib.suppress(ValueError):
                    values = reading.parsed(line)
                    if reading.fault(values, LINE) is None:
                        yield values
    except (OSError, ValueError):
        return


def _beginnings_apart(runs: list[Run]) -> tuple[list[Run], list[tuple[str, str]]]:
    """The runs without the beginnings that others of them share, and those as (folder, why).

    A beginning ended at its T_f (--until) and another run forked from it: its evaluations are that run's too.
    """
    shared = {(Path(fork["run"]).name, fork["step"]) for run in runs if (fork := run.summary.get("fork")) is not None}
    apart = [run for run in runs if (run.folder.name, run.summary["steps"]) in shared and run.config.run.until]
    why = "other runs here begin with it, and have its evaluations"
    return [run for run in runs if run not in apart], [(str(run.folder), why) for run in apart]


def _once(runs: list[Run]) -> tuple[list[Run], list[tuple[str, str]]]:
    """The runs without repetitions of another one, and the repetitions as (folder, why)."""
    first: dict[str, Run] = {}
    repetitions = []
    for run in runs:
        key = run.identity()
        if key in first:
            repetitions.append((str(run.folder), f"the same settings and seed as {first[key].folder}"))
        first.setdefault(key, run)
    return list(first.values()), repetitions
