"""An analysis in pictures: how alike layers stay from snapshot to snapshot, and where the encoder attends."""

import io
from typing import Any

import numpy as np

from edgerl.errors import ConfigError
from edgerl.experiments.analysis.compare import Attention
from edgerl.experiments.reports.analyses import lowest
from edgerl.experiments.reports.formats.style import COLOURS, INSTALL, QUIETER, Panel

COLUMNS = 8  # of steps in the strip, at most
GROUND, INK, QUIET = "#181a1e", "#ecedf2", "#a9b1bd"  # of the strip: legible on light pages and on dark ones
TILE = 1.45  # inches


def check() -> None:
    """Raise ConfigError if matplotlib is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"edgerl analyze needs the package {error.name}: {INSTALL}") from None


def similarities(analysis: dict[str, Any]) -> bytes:
    """A PNG: SVCCA of every layer over training, and below it how far attention moved."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(9.5, 6.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for index, layer in enumerate(analysis["layers"]):
        colour = COLOURS[index % len(COLOURS)]
        line = "-" if layer["part"] == "stem" else "--"
        scores = [score for score in layer["scores"] if score["score"] is not None]
        steps, values = [score["from"] for score in scores], [score["score"] for score in scores]
        above.plot(
            steps, values, line, color=colour, marker="o", markersize=3, label=f"{layer['name']} ({layer['part']})"
        )
        if layer["untrained"] is not None:
            above.axhline(layer["untrained"], color=colour, linestyle=":", linewidth=1, alpha=0.6)
    moves = analysis["attention"]["moved"]
    steps, values = [move["from"] for move in moves], [move["moved"] for move in moves]
    below.plot(steps, values, color="#1d2430", marker="o", markersize=3)
    for panel, limit in ((above, "similarity"), (below, "movement")):
        panel.axhline(analysis["rule"][limit], color=QUIETER, linewidth=0.8, linestyle=(0, (8, 4)))
        _finish(panel, analysis, named=panel is above)
    run = analysis["run"]
    run_name = f"{run['env']}, {run['algo']}, seed {run['seed']}"
    above.set_title(f"{run_name}: SVCCA of each layer with itself {analysis['gap']:,} steps later", fontsize=11)
    above.set_ylabel("SVCCA")
    low = lowest(analysis)
    above.set_ylim(low, 1 + 0.03 * (1 - low))
    above.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    note = "dotted: an untrained network\nlong dashes: the rule's bounds"
    above.text(1.02, 0.0, note, transform=above.transAxes, fontsize=7.5, color=QUIETER, va="bottom")
    below.set_ylabel(f"attention moved\n({analysis['attention']['layer']})")
    below.set_ylim(bottom=0)
    below.set_xlabel("agent steps")
    below.xaxis.set_major_formatter(EngFormatter(sep=""))
    return _png(figure)


def _finish(panel: Panel, analysis: dict[str, Any], *, named: bool) -> None:
    """Mark T_f and the step from which the stem is settled, with their names if `named`, and draw a panel's grid."""
    for step, words, line in ((analysis["frozen_at"], "T_f", ":"), (analysis["safe"]["step"], "settled", "-.")):
        if step is not None:
            panel.axvline(step, color=QUIETER, linestyle=line, linewidth=1.3)
            panel.annotate(words if named else "", (step, 0.03), xycoords=("data", "axes fraction"), xytext=(3, 0),
                           textcoords="offset points", fontsize=8, color=QUIETER)  # fmt: skip
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)


def strip(analysis: dict[str, Any], attention: Attention) -> bytes:
    """A PNG: a row for each sample frame, first the frame alone, then attention over it as training went on."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    columns = 1 + min(COLUMNS, len(attention.steps))
    indices = np.unique(np.linspace(0, len(attention.steps) - 1, columns - 1).round().astype(int))
    rows, run, frozen = len(attention.frames), analysis["run"], analysis["frozen_at"]
    figure = Figure(figsize=(TILE * columns, TILE * rows + 0.75), dpi=110, facecolor=GROUND, layout="constrained")
    FigureCanvasAgg(figure)
    title = f"{run['env']}, {run['algo']}: attention of {analysis['attention']['layer']}"
    figure.suptitle(title, color=INK, fontsize=10)
    panels = figure.subplots(rows, columns, squeeze=False)
    colours = ListedColormap(_glow())
    words = ["frame", *(f"step {attention.steps[index]:,}" for index in indices)]
    for panel, word in zip(panels[0], words, strict=True):
        panel.set_title(word, color=INK, fontsize=8)
    for row, frame in enumerate(attention.frames):
        extent = (0, frame.shape[1], frame.shape[0], 0)
        for panel in panels[row]:
            panel.imshow(frame, cmap="gray", vmin=0, vmax=255, extent=extent)
            panel.set_axis_off()
        for panel, index in zip(panels[row][1:], indices, strict=True):
            panel.imshow(attention.maps[index][row], cmap=colours, interpolation="bicubic", extent=extent)
    if frozen is not None:
        figure.supxlabel(f"frozen at step {frozen:,}", color=QUIET, fontsize=8)
    return _png(figure)


def _glow() -> Any:
    """Colours [256, 4] from clear, for a map's least value, to bright, for its greatest."""
    from matplotlib import colormaps

    colours = colormaps["inferno"](np.linspace(0.3, 1, 256))
    colours[:, 3] = np.linspace(0, 0.8, 256)
    return colours


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
