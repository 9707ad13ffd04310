"""The report as one picture: scores, rows, memory and multiply-adds to a final score for every environment."""

import io
import warnings
from typing import Any

from edgerl.errors import ConfigError
from edgerl.experiments.reports.contents import Contents, Section
from edgerl.experiments.reports.formats.style import COLOURS, FEW, INSTALL, VEIL, VEILS, Panel, references
from edgerl.experiments.reports.groups import AXES

NAMES_A_LINE = 2  # of variants, which may be long
NAMES = {"loc": "outside lower left", "ncols": NAMES_A_LINE, "fontsize": 9, "frameon": False}


def picture(contents: Contents) -> bytes:
    """A PNG: a row of panels for each environment."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(f"--format: png needs the package {error.name}: {INSTALL}") from None
    figure = Figure(dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    try:
        with rc_context({"text.parse_math": False}), warnings.catch_warnings():  # a name may hold any sign
            warnings.simplefilter("ignore", UserWarning)  # of those that the font lacks
            _draw(figure, contents)
            figure.savefig(buffer, format="png")
    except (ArithmeticError, MemoryError, ValueError) as error:  # numbers, or a count of panels, beyond all pictures
        raise ConfigError(f"--format: these runs give no png: {error}; give html") from None
    return buffer.getvalue()


def _draw(figure: Any, contents: Contents) -> None:
    from matplotlib.ticker import EngFormatter, StrMethodFormatter

    rows = len(contents.sections)
    reached = any(section.curves["reaching"] for section in contents.sections)
    columns = 4 if reached else 3
    names = sum(len(section.curves["variants"]) for section in contents.sections)
    figure.set_size_inches(5 * columns, 4.2 * rows + 0.17 * names / NAMES_A_LINE + 0.9)
    figure.suptitle(f"{contents.title}\n{contents.subtitle}", fontsize=12)
    parts = figure.subfigures(rows, 1, squeeze=False)[:, 0]
    for section, part in zip(contents.sections, parts, strict=True):
        row = part.subplots(1, columns)
        _scores(row[0], section, contents.x)
        _rows(row[1], section)
        _memory(row[2], section)
        if reached:
            _reaching(row[3], section)
        for panel in row:
            panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        for panel in row[:3]:
            panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
        part.legend(*row[0].get_legend_handles_labels(), **NAMES)


def _scores(panel: Panel, section: Section, axis: str) -> None:
    veiled = min(VEIL, VEILS / len(section.curves["variants"]))
    for index, variant in enumerate(section.curves["variants"]):
        colour, x, mean = COLOURS[index % len(COLOURS)], variant["x"][axis], variant["mean"]
        seeds = len(variant["seeds"])
        label = f"{variant['name']} ({seeds} seed{'s' if seeds > 1 else ''})"
        panel.plot(x, mean["y"], color=colour, label=label, marker="o", markersize=3)
        if mean["low"] and mean["low"][0] is not None:
            panel.fill_between(x, mean["low"], mean["high"], color=colour, alpha=veiled, linewidth=0)
        for freeze in variant["freezes"]:
            panel.axvline(freeze[axis], color=colour, linestyle=":", linewidth=1)
    references(panel, section.curves["references"])
    _finish(panel, f"{section.env}: mean score, 95% interval", AXES[axis], "score")


def _reaching(panel: Panel, section: Section) -> None:
    """Two bars for each variant, the first variant on top; no bar: that final score was never reached."""
    variants = section.curves["reaching"]
    panel.set_visible(bool(variants))
    for row, variant in enumerate(variants):
        colour = COLOURS[row % len(COLOURS)]
        panel.barh(row - 0.2, variant["own"] or 0, 0.36, color=colour)
        panel.barh(row + 0.2, variant["other"] or 0, 0.36, color=colour, alpha=0.4)
    panel.set_yticks([])
    panel.invert_yaxis()
    panel.set_title("multiply-adds to its own final score; pale: to the other's", fontsize=10)
    panel.set_xlabel(AXES["flops"])
    panel.grid(alpha=0.3, axis="x")
    panel.spines[["top", "right"]].set_visible(False)


def _rows(panel: Panel, section: Section) -> None:
    for index, variant in enumerate(section.curves["variants"]):
        colour = COLOURS[index % len(COLOURS)]
        _line(panel, variant["rows"], colour)
        panel.plot(variant["capacity"]["x"], variant["capacity"]["y"], color=colour, linestyle=":", linewidth=1)
    _finish(panel, "replay: rows present, and that fit (dotted)", AXES["steps"], "rows")


def _memory(panel: Panel, section: Section) -> None:
    for index, variant in enumerate(section.curves["variants"]):
        colour = COLOURS[index % len(COLOURS)]
        _line(panel, variant["memory"], colour)
        if variant["limit"]:
            panel.axhline(variant["limit"], color=colour, linestyle="--", linewidth=1)
    _finish(panel, "resident memory", AXES["steps"], "MB")


def _line(panel: Panel, curve: dict[str, list[float]], colour: str) -> None:
    panel.plot(curve["x"], curve["y"], color=colour, marker="o" if len(curve["x"]) < FEW else None, markersize=3)


def _finish(panel: Panel, title: str, x: str, y: str) -> None:
    panel.set_title(title, fontsize=10)
    panel.set_xlabel(x)
    panel.set_ylabel(y)
    panel.set_xlim(left=0)
    if y != "score":
        panel.set_ylim(0, 1.08 * max(panel.dataLim.y1, 1))
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
