"""A report's contents, the same for every format: tables and curves by environment, commands, what was left out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerl.experiments.reports import freeze_steps, reaching, tables
from edgerl.experiments.reports.analyses import AnalysedRun, read_analyses
from edgerl.experiments.reports.curves import curves
from edgerl.experiments.reports.groups import Group, groups
from edgerl.experiments.reports.reading import LoadedRuns, Run
from edgerl.experiments.reports.repeat import command
from edgerl.experiments.reports.tables import Table
from edgerl.experiments.sweeps import paper


@dataclass(frozen=True)
class Section:
    """What a report shows of one environment. `comparisons`: tables of its variants with each other."""

    env: str
    scores: Table
    comparisons: list[Table]
    cost: Table
    curves: dict[str, Any]
    analyses: list[AnalysedRun]


@dataclass(frozen=True)
class Commands:
    """The commands that repeat the runs of one environment: a line for each variant or run."""

    name: str
    lines: list[str]


@dataclass(frozen=True)
class Contents:
    """A whole report. `x`: the axis that curves have at first; `overall`: tables over all environments."""

    title: str
    subtitle: str
    x: str
    overall: list[Table]
    sections: list[Section]
    commands: list[Commands]
    versions: list[Table]
    left_out: Table | None
    analysis_title: str = "what its encoder learned"  # follows the name of an analysed run


def collect(loaded: LoadedRuns, title: str | None) -> Contents:
    """A report's contents from its runs; `title`: instead of the default one."""
    by_env = groups(loaded.runs)
    preset = (loaded.sweep or {}).get("preset")
    experiment = paper.load(preset) if preset in paper.names() else None
    scale = (loaded.sweep or {}).get("scale") or 1
    overall = [tables.all_games(by_env), tables.beside_paper(by_env, experiment, scale) if experiment else None]
    return Contents(
        title or (experiment.title if experiment else f"edgerl: {', '.join(by_env)}"),
        _subtitle(loaded, by_env, scale if experiment else 1),
        experiment.x if experiment else "steps",
        [table for table in overall if table],
        [_section(env, variants) for env, variants in by_env.items()],
        [Commands(env, [line for group in variants for line in _commands(group)]) for env, variants in by_env.items()],
        _versions(loaded.runs),
        _left_out(loaded.left_out),
    )


def _section(env: str, variants: list[Group]) -> Section:
    analyses = [analysis for group in variants for analysis in read_analyses(group)]
    to_score = reaching.table(variants)
    drawn = curves(env, variants) | {"reaching": reaching.bars(variants)}
    return Section(
        env,
        tables.scores(variants),
        [*freeze_steps.tables(variants), *([to_score] if to_score else [])],
        tables.cost(variants),
        drawn,
        analyses,
    )


def _subtitle(loaded: LoadedRuns, by_env: dict[str, list[Group]], scale: float) -> str:
    count = len(loaded.runs)
    parts = [f"{count} run{'s' if count > 1 else ''} of {len(by_env)} environment{'s' if len(by_env) > 1 else ''}"]
    lengths = sorted({run.summary["steps"] for run in loaded.runs})
    parts.append(f"{lengths[0]:,} steps" if len(lengths) == 1 else f"{lengths[0]:,} to {lengths[-1]:,} steps")
    if scale != 1:
        parts.append(f"{scale:g} of the paper's length")
    if loaded.left_out:
        parts.append(f"{len(loaded.left_out)} left out")
    return " · ".join(parts)


def _commands(group: Group) -> list[str]:
    """The commands of a variant's runs: one shell loop if only the seeds differ."""
    seeds = [run.config.run.seed for run in group.runs]
    lines = [command(run.config) for run in group.runs]
    bodies = {line.replace(f"--seed {seed} ", "--seed $seed ") for line, seed in zip(lines, seeds, strict=True)}
    if len(seeds) == 1 or len(bodies) > 1:
        return lines
    return [f"for seed in {' '.join(map(str, seeds))}; do {bodies.pop()}; done"]


def _versions(runs: list[Run]) -> list[Table]:
    """The versions the runs ran with: a table with a row for each package, or no table if none is known."""
    by_run = [run.summary.get("versions") or {} for run in runs]
    names = dict.fromkeys(name for versions in by_run for name in versions)
    used = {name: sorted({str(versions[name]) for versions in by_run if versions.get(name)}) for name in names}
    rows = [[name, "; ".join(versions)] for name, versions in used.items() if versions]
    return [Table("Versions", ["", ""], rows)] if rows else []


def _left_out(left_out: list[tuple[str, str]]) -> Table | None:
    rows = [[_short(folder), why] for folder, why in left_out]
    return Table("Runs that are not in the averages", ["folder", "why"], rows) if rows else None


def _short(folder: str) -> str:
    return "/".join(Path(folder).parts[-2:])
