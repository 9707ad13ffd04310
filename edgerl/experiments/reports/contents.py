"""The report before it takes a form: tables and curves by environment, what repeats it, what was left out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerl.experiments.reports import tables
from edgerl.experiments.reports.analyses import AnalysedRun, read_analyses
from edgerl.experiments.reports.curves import curves
from edgerl.experiments.reports.groups import Group, groups
from edgerl.experiments.reports.reading import Found, Run
from edgerl.experiments.reports.repeat import command
from edgerl.experiments.reports.tables import Table
from edgerl.experiments.sweeps import paper


@dataclass(frozen=True)
class Section:
    """One environment."""

    env: str
    scores: Table
    cost: Table
    curves: dict[str, Any]
    analyses: list[AnalysedRun]


@dataclass(frozen=True)
class Commands:
    """What repeats the runs of one environment, a line for each."""

    name: str
    lines: list[str]


@dataclass(frozen=True)
class Contents:
    """A whole report. `x`: the axis that curves are first shown against; `overall`: tables over environments."""

    title: str
    subtitle: str
    x: str
    overall: list[Table]
    sections: list[Section]
    commands: list[Commands]
    versions: list[Table]
    left_out: Table | None
    analysis_title: str = "what its encoder learned"  # behind the name of an analysed run


def collect(found: Found, title: str | None) -> Contents:
    """Make of runs what a report shows; `title`: another one than their own."""
    by_env = groups(found.runs)
    preset = (found.sweep or {}).get("preset")
    experiment = paper.load(preset) if preset in paper.names() else None
    scale = (found.sweep or {}).get("scale") or 1
    overall = [tables.together(by_env), tables.printed(by_env, experiment, scale) if experiment else None]
    return Contents(
        title or (experiment.title if experiment else f"edgerl: {', '.join(by_env)}"),
        _subtitle(found, by_env, scale if experiment else 1),
        experiment.x if experiment else "steps",
        [table for table in overall if table],
        [_section(env, each) for env, each in by_env.items()],
        [Commands(env, [line for group in each for line in _commands(group)]) for env, each in by_env.items()],
        _versions(found.runs),
        _left_out(found.left_out),
    )


def _section(env: str, variants: list[Group]) -> Section:
    analyses = [analysis for group in variants for analysis in read_analyses(group)]
    return Section(env, tables.scores(variants), tables.cost(variants), curves(env, variants), analyses)


def _subtitle(found: Found, by_env: dict[str, list[Group]], scale: float) -> str:
    count = len(found.runs)
    parts = [f"{count} run{'s' if count > 1 else ''} of {len(by_env)} environment{'s' if len(by_env) > 1 else ''}"]
    lengths = sorted({run.summary["steps"] for run in found.runs})
    parts.append(f"{lengths[0]:,} steps" if len(lengths) == 1 else f"{lengths[0]:,} to {lengths[-1]:,} steps")
    if scale != 1:
        parts.append(f"{scale:g} of the paper's length")
    if found.left_out:
        parts.append(f"{len(found.left_out)} left out, named below")
    return " · ".join(parts)


def _commands(group: Group) -> list[str]:
    """The commands of a variant's seeds: a loop of the shell where only the seeds differ."""
    seeds = [run.config.run.seed for run in group.runs]
    lines = [command(run.config) for run in group.runs]
    bare = {line.replace(f"--seed {seed} ", "--seed $seed ") for line, seed in zip(lines, seeds, strict=True)}
    if len(seeds) == 1 or len(bare) > 1:
        return lines
    return [f"for seed in {' '.join(map(str, seeds))}; do {bare.pop()}; done"]


def _versions(runs: list[Run]) -> list[Table]:
    """What the runs ran with: one table, each line with all that was found."""
    known = [run.summary.get("versions") or {} for run in runs]
    names = dict.fromkeys(name for each in known for name in each)
    rows = [[name, "; ".join(sorted({str(each[name]) for each in known if each.get(name)}))] for name in names]
    rows = [row for row in rows if row[1]]
    return [Table("Versions", ["", ""], rows)] if rows else []


def _left_out(named: list[tuple[str, str]]) -> Table | None:
    rows = [[_short(folder), why] for folder, why in named]
    return Table("Runs that are not in the averages", ["folder", "why"], rows) if rows else None


def _short(folder: str) -> str:
    return "/".join(Path(folder).parts[-2:])
