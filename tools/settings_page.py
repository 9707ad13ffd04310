"""Writes docs/settings.md from the dataclasses of edgerl/config/settings.py: `python tools/settings_page.py`."""

import math
from pathlib import Path

from edgerl.config.agent_settings import AGENTS
from edgerl.config.setting import Setting
from edgerl.config.settings import SETTINGS

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """# Settings

Every setting of a run, as `--set table.key=value`, as a line of a `--config` file's `[table]`, and by its name in
`edgerl.configure(...)`. Those with an option of their own are options of `edgerl train` and `plan`, and of `sweep`,
where environments, budgets, T_f and seeds are axes with options of their own ([sweeps.md](sweeps.md#the-grid)).
What a preset says of each environment and algorithm: [presets.toml](../edgerl/config/presets.toml). "never" stands for
none. The last column: what may change when a run is resumed. A star: what matters only after T_f, in which runs that
are forked from one beginning may differ.

This page is written by `python tools/settings_page.py`.
"""
TAIL = """## Where a setting means something else than in public code

- `target_every` counts updates, and the first copy of the target network comes that many updates after learning
  starts: with Rainbow's preset at agent step 3,600. Kaixhin's Rainbow copies at every step that 2,000 divides, so first
  at step 2,000, 400 updates in. Updates are what a period can be counted in whatever `updates_per_step` is. Until its
  first copy the target is the network as it was drawn.
- `omega` is an exponent of losses. DQN's loss is the squared error, so `omega = 0.5` gives the priorities that Schaul
  et al. 2016 have with an exponent of 1.
- `priority = "cross_entropy"` is what public code has; Hessel et al. 2018 write the KL loss (`kl`).
"""
KINDS = {int: "whole number", float: "number", str: "text", bool: "true, false", dict: "table"}
TITLES = {"run": "Run", "replay": "Replay and updates", "agent": "Agent"}


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    for table, title in TITLES.items():
        lines = [f"## {title}: `{table}`", "", *_head(table)]
        lines += [_row(setting) for setting in SETTINGS.values() if setting.table == table]
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, TAIL])


def _head(table: str) -> list[str]:
    cells = ["setting", "option", "value", "what it is", "of" if table == "agent" else "at a resume"]
    return [f"| {' | '.join(cells)} |", f"|{'---|' * len(cells)}"]


def _row(setting: Setting) -> str:
    last = "may change" if setting.resumable else ""
    if setting.table == "agent":
        last = ", ".join(algo for algo, kind in AGENTS.items() if setting.name in kind.__dataclass_fields__)
        last = "all" if last == ", ".join(AGENTS) else last
    option = f"`{setting.flag}`" if setting.option else ""
    star = " *" if setting.after_freeze else ""
    cells = [f"`{setting.name}`{star}", option, _value(setting), setting.help, last]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _value(setting: Setting) -> str:
    kinds = ["size" if setting.size else KINDS[kind] for kind in setting.types]
    words = [f"`{word}`" for word in (*setting.words, *(["never"] if setting.optional else []))]
    return ", ".join([*(f"{kind}{_bounds(setting)}" for kind in kinds), *words])


def _bounds(setting: Setting) -> str:
    low, high = (str(end) if isinstance(end, int) else f"{end:g}" for end in (setting.low, setting.high))
    if setting.high < math.inf:
        return f" {low} to {high}"
    return f" from {low}" if setting.low > -math.inf and not setting.size else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
