"""An analysis as files in a folder, and as a table on a terminal."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from edgerl.errors import ConfigError
from edgerl.experiments.reports.analyses import ATTENTION, JSON, SVCCA, table
from edgerl.runs.files import write_whole
from edgerl.runs.terminal import plain_table


def check(out: Path | None) -> None:
    """Raise ConfigError where an analysis could not be drawn, or not be written to `out` (None: the run's folder)."""
    from edgerl.experiments.analysis import pictures

    pictures.check()
    if out is not None and (out.is_file() or not out.resolve().parent.is_dir()):
        raise ConfigError(f"--out: {out} is no folder" if out.exists() else f"--out: there is no folder {out.parent}")


def write(found: dict[str, Any], shown: Any, folder: Path) -> list[str]:
    """Write an analysis into `folder`, each file whole or not at all; returns their names."""
    from edgerl.experiments.analysis import pictures

    files = {SVCCA: pictures.similarities(found)}
    if shown.steps:
        files[ATTENTION] = pictures.strip(found, shown)
    files[JSON] = (json.dumps(found, indent=1) + "\n").encode()
    try:
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            write_whole(folder / name, data)
    except OSError as error:
        raise ConfigError(f"--out: {error.filename} cannot be written: {error.strerror}") from None
    return list(files)


def show(found: dict[str, Any], console: Console) -> None:
    """Print an analysis for people."""
    shown = table(found, max(3, (console.width - 46) // 10))
    title = {"title": shown.title, "title_justify": "left", "title_style": "bold", "header_style": "table.header"}
    grid = plain_table(*shown.head, left=["part"], column={"no_wrap": True}, **title)
    for row in shown.rows:
        grid.add_row(*row)
    console.print(grid)
    console.print(f"\n{shown.notes}\n\n{found['safe']['text']}")
