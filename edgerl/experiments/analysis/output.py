"""An analysis as files in a folder, and as a table on a terminal."""

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from edgerl.errors import ConfigError
from edgerl.experiments.reports.analyses import ANALYSIS_FILE, ATTENTION_FILE, SVCCA_FILE, table
from edgerl.output.terminal import plain_table
from edgerl.runs import strict_json
from edgerl.runs.files import write_whole

if TYPE_CHECKING:
    from edgerl.experiments.analysis.compare import Attention


def check(out: Path | None, run_folder: Path) -> None:
    """Raise ConfigError if an analysis could not be drawn, or not be written to `out` (None: the run's folder)."""
    from edgerl.experiments.analysis import pictures

    pictures.check()
    if out is not None and (out.is_file() or not out.resolve().parent.is_dir()):
        raise ConfigError(f"--out: {out} is no folder" if out.exists() else f"--out: there is no folder {out.parent}")
    folder = run_folder if out is None else out
    there = folder if folder.is_dir() else folder.resolve().parent
    if there.is_dir() and not os.access(there, os.W_OK):
        raise ConfigError(f"--out: {there} cannot be written: {os.strerror(errno.EACCES)}; give another folder")


def write(analysis: dict[str, Any], attention: "Attention", folder: Path) -> list[str]:
    """Write an analysis into `folder`, each file whole or not at all; returns the files' names."""
    from edgerl.experiments.analysis import pictures

    files = {SVCCA_FILE: pictures.similarities(analysis)}
    if attention.steps:
        files[ATTENTION_FILE] = pictures.strip(analysis, attention)
    files[ANALYSIS_FILE] = (strict_json.dumps(analysis, indent=1) + "\n").encode()
    try:
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            write_whole(folder / name, content)
    except OSError as error:
        raise ConfigError(f"--out: {error.filename} cannot be written: {error.strerror}") from None
    return list(files)


def show(analysis: dict[str, Any], console: Console) -> None:
    """Print an analysis for people."""
    scores = table(analysis, max(3, (console.width - 46) // 10))
    style = {"title": scores.title, "title_justify": "left", "title_style": "bold", "header_style": "table.header"}
    grid = plain_table(*scores.head, left=["part"], column={"no_wrap": True}, **style)
    for row in scores.rows:
        grid.add_row(*row)
    console.print(grid)
    console.print(f"\n{scores.notes}\n\n{analysis['safe']['text']}")
