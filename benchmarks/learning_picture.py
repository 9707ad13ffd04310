"""The picture of benchmarks/learning.py: learning curves of every game, by agent steps and by multiply-adds."""

import io
from typing import Any

import numpy as np
from learning_results import Result
from learning_runs import Study, Variant
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, StrMethodFormatter

from edgerl.envs.human_scores import references as scores_of
from edgerl.experiments.reports.formats.style import COLOURS, VEIL, VEILS, references
from edgerl.experiments.reports.groups import AXES

Panel = Any  # matplotlib's Axes, which has no types
ROWS = ("steps", "flops")  # the axis of each row of panels


def picture(study: Study, results: list[Result]) -> bytes:
    """A PNG: a column of panels for each game that has results. Lines are means over seeds, bands their range."""
    games = [game for game in study.games if any(result.cell.game == game for result in results)]
    figure = Figure(figsize=(3.9 * len(games), 3.2 * len(ROWS) + 0.9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    title = "Scores of evaluations: lines are means over the seeds, bands reach from the lowest to the highest"
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(len(ROWS), len(games), squeeze=False)
    for game, column in zip(games, panels.T, strict=True):
        own = [result for result in results if result.cell.game == game]
        for axis, panel in zip(ROWS, column, strict=True):
            _draw(panel, study, own, axis)
        column[0].set_title(game, fontsize=11)
    for row in panels:
        row[0].set_ylabel("score")
    lines = {label: line for panel in panels[0] for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(lines.values(), lines.keys(), loc="outside lower left", ncols=4, fontsize=9, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw(panel: Panel, study: Study, results: list[Result], axis: str) -> None:
    """The curves of one game along one axis."""
    shown = [variant for variant in study.variants if _runs(variant, results)]
    for variant in shown:
        colour, runs = COLOURS[study.variants.index(variant) % len(COLOURS)], _runs(variant, results)
        x = np.mean([result.spent[axis] for result in runs], axis=0)
        scores = np.stack([result.scores for result in runs])
        panel.plot(x, scores.mean(axis=0), color=colour, label=variant.name, marker="o", markersize=3)
        veil = min(VEIL, VEILS / len(shown))
        panel.fill_between(x, scores.min(axis=0), scores.max(axis=0), color=colour, alpha=veil, linewidth=0)
        for frozen_at in {result.kept["frozen_at"] for result in runs} - {None} if axis == "steps" else ():
            panel.axvline(frozen_at, color=colour, linestyle=":", linewidth=1)
    known = scores_of(results[0].cell.env)
    references(panel, None if known is None else {"random": known.random, "human": known.human})
    panel.set_xlabel(AXES[axis])
    panel.set_xlim(left=0)
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)


def _runs(variant: Variant, results: list[Result]) -> list[Result]:
    return [result for result in results if result.cell.variant.name == variant.name]
