"""Runs as their folders tell them: settings, summary and metrics; what cannot be read is named and left out."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgerl.config.settings import Config
from edgerl.config.toml import load
from edgerl.errors import ConfigError
from edgerl.runs import checkpoint
from edgerl.types import Array

CURVES = ("replay/rows", "memory/rss_bytes", "flops/total", "seconds")
# What two runs may differ in and still be the same one, but for its speed.
APART = ("run.threads", "run.checkpoint_every", "run.snapshot_every", "run.process_limit")


@dataclass(frozen=True)
class Run:
    """A finished run. `variant`: what its sweep calls it; `curves`: name -> (agent steps, values), float64."""

    folder: Path
    config: Config
    summary: dict[str, Any]
    curves: dict[str, tuple[Array, Array]]
    variant: str | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting by `table.key`."""
        tables = asdict(self.config)
        return {f"{table}.{key}": value for table, values in tables.items() for key, value in values.items()}

    def same(self, *but: str) -> str:
        """A key that is the same for runs of the same settings, those of APART and `but` left out."""
        return repr(sorted((name, str(value)) for name, value in self.settings.items() if name not in (*APART, *but)))

    def at(self, name: str, steps: Any) -> Array:
        """A curve's values at these agent steps, between its points by straight lines; NaN where it has none."""
        known, values = self.curves[name]
        return np.interp(steps, known, values) if len(known) else np.full(np.shape(steps), np.nan)

    @property
    def seconds(self) -> float:
        """How long it took, evaluations included."""
        return float(self.at("seconds", self.summary["steps"]))


@dataclass(frozen=True)
class Found:
    """What there was to read. `left_out`: (folder, why); `sweep`: the sweep.json of the one sweep that was named."""

    runs: list[Run]
    left_out: list[tuple[str, str]]
    sweep: dict[str, Any] | None


def read(paths: Iterable[Path]) -> Found:
    """Read runs, sweeps, and folders of either; raises ConfigError where there is not one finished run in them."""
    runs: list[Run] = []
    left_out: list[tuple[str, str]] = []
    sweeps: list[dict[str, Any]] = []
    paths = list(paths)
    for path in paths:
        try:
            folders, sweep = _folders(path)
        except ConfigError as error:
            left_out.append((str(path), str(error)))
            continue
        sweeps += [sweep] if sweep else []
        for folder, variant in folders:
            try:
                runs.append(_run(folder, variant))
            except ConfigError as error:
                left_out.append((str(folder), str(error)))
    runs, again = _once(runs)
    left_out += again
    if not runs:
        why = f"{left_out[0][0]}: {left_out[0][1]}" if left_out else "no folder was named"
        more = f" (and {len(left_out) - 1} more like it)" if len(left_out) > 1 else ""
        raise ConfigError(f"no finished run to report: {why}{more}")
    return Found(runs, left_out, sweeps[0] if len(sweeps) == 1 == len(paths) else None)


def _folders(path: Path) -> tuple[list[tuple[Path, str | None]], dict[str, Any] | None]:
    """The run folders that a path stands for, with their variants' names, and its sweep.json where it is a sweep."""
    if not path.is_dir():
        raise ConfigError("there is no such folder")
    if (path / "sweep.json").exists():
        try:
            sweep = json.loads((path / "sweep.json").read_text())
            return [(path / cell["folder"], cell["variant"]) for cell in sweep["cells"]], sweep
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"sweep.json cannot be read: {error}") from None
    if (path / "config.toml").exists() or (path / "checkpoint").exists():
        return [(path, None)], None
    inside = sorted(each.parent for each in path.glob("*/config.toml"))
    if not inside:
        raise ConfigError("it holds no run and no sweep")
    return [(folder, None) for folder in inside], None


def _run(folder: Path, variant: str | None) -> Run:
    """One finished run; raises ConfigError, saying why, for anything else."""
    if not folder.is_dir():
        raise ConfigError("not begun")
    config = load(folder / "config.toml")
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except FileNotFoundError:
        raise ConfigError(f"no summary.json: it did not come to its end ({_progress(folder, config)})") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"summary.json cannot be read: {error}") from None
    try:
        if summary["status"] != "finished":
            raise ConfigError(f"{summary['status']} after {summary['steps']:,} of {config.run.steps:,} steps")
        return Run(folder, config, summary, _curves(folder / "metrics.jsonl", _ends(summary)), variant)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"summary.json lacks {error}") from None


def _ends(summary: dict[str, Any]) -> dict[str, dict[float, float]]:
    """What a summary knows of the curves, by step: evaluations, the beginning, the freeze and the end."""
    freeze, memory = summary["freeze"], summary["memory"]
    frozen = freeze["step"] is not None
    return {
        "flops/total": {0: 0} | {each["step"]: each["flops"] for each in summary["returns"]},
        "replay/rows": {0: 0, summary["steps"]: summary["replay"]["rows"]},
        "memory/rss_bytes": {freeze["step"]: memory["rss_after_freeze"]} if frozen else {},
    }


def _progress(folder: Path, config: Config) -> str:
    places = checkpoint.places(folder / "checkpoint")
    return f"step {int(places[-1].name):,} of {config.run.steps:,} is saved" if places else "nothing is saved"


def _curves(file: Path, also: dict[str, dict[float, float]]) -> dict[str, tuple[Array, Array]]:
    """The metrics that are drawn, by name, with points known from elsewhere; lines that are no JSON are passed over."""
    points: dict[str, dict[float, float]] = {name: {} for name in CURVES}
    began: float | None = None
    for line in _lines(file):
        if "seconds" not in line and "time" in line:  # runs of before there was `seconds`
            began = line["time"] if began is None else began
            line["seconds"] = line["time"] - began
        for name, known in points.items():
            if name in line and "step" in line:
                known[line["step"]] = line[name]  # of several at one step the last
    curves = {name: sorted((known | also.get(name, {})).items()) for name, known in points.items()}
    return {
        name: (np.array([x for x, _ in at], float), np.array([y for _, y in at], float)) for name, at in curves.items()
    }


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return
    for each in text.splitlines():
        try:
            line = json.loads(each)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line


def _once(runs: list[Run]) -> tuple[list[Run], list[tuple[str, str]]]:
    """The runs without those that are another's repetition, and these with the reason."""
    seen: dict[str, Run] = {}
    again = []
    for run in runs:
        key = run.same()
        if key in seen:
            again.append((str(run.folder), f"the same settings and seed as {seen[key].folder}"))
        seen.setdefault(key, run)
    return list(seen.values()), again
