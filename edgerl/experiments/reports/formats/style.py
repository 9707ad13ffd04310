"""What the pictures of reports and analyses share: colours, and the command that installs what they need."""

from typing import Any

COLOURS = ["#0067b1", "#d1580a", "#00875f", "#b4488c", "#8a6d00", "#3a8fc4", "#6b7280", "#a3333d"]
Panel = Any  # matplotlib's Axes, which has no types
INSTALL = "pip install -c constraints.txt -e '.[report]'"
