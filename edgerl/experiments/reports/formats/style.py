"""What pictures of scores and analyses share: colours, lines of reference, and what installs what they need."""

from typing import Any

COLOURS = ["#0067b1", "#d1580a", "#00875f", "#b4488c", "#8a6d00", "#3a8fc4", "#6b7280", "#a3333d"]
Panel = Any  # matplotlib's Axes, which has no types
INSTALL = "pip install -c constraints.txt -e '.[report]'"
QUIETER = "#5b6675"  # of lines and notes beside the curves
FEW = 30  # points of a line: it is drawn with markers, as a line through one point would not be seen
VEIL, VEILS = 0.15, 0.5  # how much a band covers, at most, and all bands of a plot together: many lie over one another
FAR = 0.5  # of the height of the curves: what is further above them is named, and no line is drawn
ROOM = 0.15  # of that height, above the curves, for such a name


def references(panel: Panel, known: dict[str, float] | None) -> None:
    """Draw the scores of `random` play and of a `human` tester as dashed lines, once the curves are drawn.

    A human's that is far above the curves is named at the top of the panel, with an arrow.
    """
    if known is None:
        return
    random, human = known["random"], known["human"]
    low, high = min(panel.dataLim.y0, random), max(panel.dataLim.y1, random)
    _line(panel, random, f"random play {random:,g}")
    if human <= high + FAR * (high - low):
        _line(panel, human, f"human tester {human:,g}")
    else:
        panel.set_ylim(top=high + ROOM * (high - low))
        _note(panel, f"human tester {human:,g} \u2191", xy=(0, 1), xycoords="axes fraction", va="top")


def _line(panel: Panel, score: float, text: str) -> None:
    panel.axhline(score, color=QUIETER, linestyle="--", linewidth=1)
    _note(panel, text, xy=(0, score), xycoords=("axes fraction", "data"), va="bottom")


def _note(panel: Panel, text: str, **place: Any) -> None:
    panel.annotate(f" {text}", **place, ha="left", fontsize=8, color=QUIETER)
