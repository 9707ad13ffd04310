"""The report as one picture: scores, rows and memory for every environment."""

import io

from edgerl.errors import ConfigError
from edgerl.experiments.reports.contents import Contents, Section
from edgerl.experiments.reports.formats.style import COLOURS, INSTALL, Panel
from edgerl.experiments.reports.groups import AXES


def picture(contents: Contents) -> bytes:
    """A PNG: a row of panels for each environment."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import EngFormatter
    except ImportError as error:
        raise ConfigError(f"--format: png needs the package {error.name}: {INSTALL}") from None
    rows = len(contents.sections)
    figure = Figure(figsize=(15, 3.9 * rows + 0.9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{contents.title}\n{contents.subtitle}", fontsize=12)
    panels = figure.subplots(rows, 3, squeeze=False)
    for section, (left, middle, right) in zip(contents.sections, panels, strict=True):
        _scores(left, section, contents.x)
        _rows(middle, section)
        _memory(right, section)
        for panel in (left, middle, right):
            panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _scores(panel: Panel, section: Section, axis: str) -> None:
    for index, variant in enumerate(section.curves["variants"]):
        colour, x, mean = COLOURS[index % len(COLOURS)], variant["x"][axis], variant["mean"]
        seeds = len(variant["seeds"])
        label = f"{variant['name']} ({seeds} seed{'s' if seeds > 1 else ''})"
        panel.plot(x, mean["y"], color=colour, label=label, marker="o", markersize=3)
        if mean["low"] and mean["low"][0] is not None:
            panel.fill_between(x, mean["low"], mean["high"], color=colour, alpha=0.15, linewidth=0)
        if variant["freeze"]:
            panel.axvline(variant["freeze"][axis], color=colour, linestyle=":", linewidth=1)
    panel.legend(fontsize=8, frameon=False)
    _finish(panel, f"{section.env}: mean score, 95% interval", AXES[axis], "score")


def _rows(panel: Panel, section: Section) -> None:
    for index, variant in enumerate(section.curves["variants"]):
        colour = COLOURS[index % len(COLOURS)]
        panel.plot(variant["rows"]["x"], variant["rows"]["y"], color=colour, label=variant["name"])
        panel.plot(variant["capacity"]["x"], variant["capacity"]["y"], color=colour, linestyle=":", linewidth=1)
    _finish(panel, "replay: rows present, and that fit (dotted)", AXES["steps"], "rows")


def _memory(panel: Panel, section: Section) -> None:
    for index, variant in enumerate(section.curves["variants"]):
        colour = COLOURS[index % len(COLOURS)]
        panel.plot(variant["memory"]["x"], variant["memory"]["y"], color=colour, label=variant["name"])
        if variant["limit"]:
            panel.axhline(variant["limit"], color=colour, linestyle="--", linewidth=1)
    _finish(panel, "resident memory", AXES["steps"], "MB")


def _finish(panel: Panel, title: str, x: str, y: str) -> None:
    panel.set_title(title, fontsize=10)
    panel.set_xlabel(x)
    panel.set_ylabel(y)
    panel.set_xlim(left=0)
    if y != "score":
        panel.set_ylim(0, 1.08 * max(panel.dataLim.y1, 1))
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
